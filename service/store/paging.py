"""Cuts lists into pages by key, so that a page costs the same wherever it lies."""

import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Self, TypeVar

from sqlalchemy import Column, Row, Select, literal, tuple_
from sqlalchemy.sql.elements import KeyedColumnElement

from service.errors import InvalidInputError
from service.store.clock import UtcTime
from service.store.transactions import Reading
from shrinknets.wire import Page

MAX_KEY = 2**63 - 1
_ALLOWED = "`next` of the page before, with the same sort"

Item = TypeVar("Item")
Build = Callable[[Sequence[Row[Any]]], list[Item]]


@dataclass(frozen=True, kw_only=True)
class Slice:
    """Which part of a list is asked for."""

    cursor: str | None = None
    """`next` of the page before; None starts at the beginning."""
    limit: int = 100


@dataclass(frozen=True, kw_only=True)
class Sort:
    """The order of a list: by a column, then by age; rows without a value come last."""

    name: str
    """As it was asked for; a cursor works with the order that it was made in."""
    column: Column[Any]
    descending: bool

    @classmethod
    def read(cls, name: StrEnum, columns: dict[str, Column[Any]]) -> Self:
        """The order that a name such as `-ended` stands for."""
        column = columns[name.value.removeprefix("-")]
        return cls(name=name.value, column=column, descending=name.value.startswith("-"))


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Where a page ended: the sorted value and the key of its last row."""

    value: Any
    key: int


def read_page(
    tx: Reading,
    query: Select[Any],
    *,
    key: KeyedColumnElement[int],
    part: Slice,
    build: Build[Item],
    newest_first: bool = False,
) -> Page[Item]:
    """Read one page in the order of `key`, which the query must select.

    Raises InvalidInputError where the cursor is none of this list.
    """
    if part.cursor is not None:
        last = _read_key(part.cursor)
        query = query.where(key < last if newest_first else key > last)
    query = query.order_by(key.desc() if newest_first else key).limit(part.limit + 1)
    rows = tx.connection.execute(query).all()
    shown = rows[: part.limit]
    more = len(rows) > part.limit
    return Page(items=build(shown), next=str(getattr(shown[-1], key.key)) if more else None)


def read_sorted_page(
    tx: Reading,
    query: Select[Any],
    *,
    key: Column[int],
    sort: Sort,
    part: Slice,
    build: Build[Item],
) -> Page[Item]:
    """Read one page in an order whose column the query must select, as it must `key`.

    Raises InvalidInputError where the cursor is none of this list in this order.
    """
    if sort.column is key:
        return read_page(tx, query, key=key, part=part, build=build, newest_first=sort.descending)
    after = None if part.cursor is None else _read_place(part.cursor, sort)
    rows: list[Row[Any]] = []
    if after is None or after.value is not None:
        rows += tx.connection.execute(_with_value(query, key, sort, after, part.limit + 1))
    if sort.column.nullable and len(rows) <= part.limit:
        # A query of its own: where None stands in an index differs from database to database.
        in_rest = after if after is not None and after.value is None else None
        missing = part.limit + 1 - len(rows)
        rows += tx.connection.execute(_without_value(query, key, sort, in_rest, missing))
    shown = rows[: part.limit]
    more = len(rows) > part.limit
    return Page(items=build(shown), next=_write_place(shown[-1], key, sort) if more else None)


def _with_value(
    query: Select[Any], key: Column[int], sort: Sort, after: _Place | None, limit: int
) -> Select[Any]:
    column = sort.column
    if column.nullable:
        query = query.where(column.is_not(None))
    if after is not None:
        here = tuple_(column, key)
        there = tuple_(literal(after.value, column.type), literal(after.key, key.type))
        query = query.where(here < there if sort.descending else here > there)
    order = (column.desc(), key.desc()) if sort.descending else (column, key)
    return query.order_by(*order).limit(limit)


def _without_value(
    query: Select[Any], key: Column[int], sort: Sort, after: _Place | None, limit: int
) -> Select[Any]:
    query = query.where(sort.column.is_(None))
    if after is not None:
        query = query.where(key < after.key if sort.descending else key > after.key)
    return query.order_by(key.desc() if sort.descending else key).limit(limit)


def _read_key(cursor: str) -> int:
    is_number = cursor.isascii() and cursor.isdecimal() and len(cursor) < 20
    if not is_number or int(cursor) > MAX_KEY:
        raise InvalidInputError("cursor", cursor, _ALLOWED)
    return int(cursor)


def _write_place(row: Row[Any], key: Column[int], sort: Sort) -> str:
    value = getattr(row, sort.column.name)
    if isinstance(value, datetime):
        value = value.isoformat()
    text = json.dumps([sort.name, value, getattr(row, key.name)])
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _read_place(cursor: str, sort: Sort) -> _Place:
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        name, value, key = json.loads(text)
        place = _Place(value=_read_value(value, sort.column), key=_read_key(str(key)))
    except (ValueError, TypeError, RecursionError) as error:
        raise InvalidInputError("cursor", cursor[:100], _ALLOWED) from error
    if name != sort.name:
        raise InvalidInputError("cursor", cursor[:100], _ALLOWED)
    return place


def _read_value(value: Any, column: Column[Any]) -> Any:
    if value is None and column.nullable:
        return None
    if isinstance(column.type, UtcTime):
        time = datetime.fromisoformat(value)
        if time.tzinfo is None or not 1970 <= time.year < 9999:
            raise ValueError(value)
        return time
    kind = column.type.python_type
    if issubclass(kind, StrEnum):
        return kind(value)
    if kind is str:
        # A name: anything else could be text that the database does not take.
        if not isinstance(value, str) or not (value.isascii() and value.isprintable()):
            raise ValueError(value)
        return value
    number = kind(value)
    if isinstance(value, str) or not -MAX_KEY <= number <= MAX_KEY:
        raise ValueError(value)
    return number
