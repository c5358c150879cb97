"""Cuts lists into pages by key, so that a page costs the same wherever it lies."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Column, Row, Select

from service.store.transactions import Reading
from shrinknets.wire import Page

Item = TypeVar("Item")


@dataclass(frozen=True, kw_only=True)
class Slice:
    """Which part of a list is asked for."""

    cursor: int | None = None
    """The key of the last item seen; None starts at the beginning."""
    limit: int = 100


def read_page(
    tx: Reading,
    query: Select[Any],
    *,
    key: Column[int],
    part: Slice,
    build: Callable[[Sequence[Row[Any]]], list[Item]],
    newest_first: bool = False,
) -> Page[Item]:
    """Read one page in the order of `key`, which the query must select."""
    if part.cursor is not None:
        query = query.where(key < part.cursor if newest_first else key > part.cursor)
    query = query.order_by(key.desc() if newest_first else key).limit(part.limit + 1)
    rows = tx.connection.execute(query).all()
    shown = rows[: part.limit]
    more = len(rows) > part.limit
    return Page(items=build(shown), next=str(getattr(shown[-1], key.name)) if more else None)
