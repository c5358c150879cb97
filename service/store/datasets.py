"""Data sets, built in and handed in: listed, described, and held while a job is submitted."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, func, select

from service.errors import InvalidInputError, NotFoundError
from service.store.paging import Slice, Sort, read_sorted_page
from service.store.rows import build
from service.store.tables import datasets, jobs
from service.store.transactions import Reading, Writing
from shrinknets.wire import (
    Dataset,
    DatasetDetails,
    DatasetFile,
    DatasetSort,
    DatasetSource,
    Page,
)

MAX_NAMED = 20
"""So many data sets or jobs are named in an answer."""

_COLUMNS = {"created": datasets.c.seq, "name": datasets.c.name, "rows": datasets.c.rows}
# Of ten thousand classes a list need not tell.
_LISTED = [column for column in datasets.c if column is not datasets.c.class_counts]


@dataclass(frozen=True, kw_only=True)
class DatasetFilter:
    """Which data sets are asked for: those that meet all that is named."""

    source: DatasetSource | None = None
    owner: str = ""
    text: str = ""
    """Part of the name, in capitals or not."""

    def conditions(self) -> list[ColumnElement[bool]]:
        found: list[ColumnElement[bool]] = []
        if self.source is not None:
            found.append(datasets.c.source == self.source)
        if self.owner:
            found.append(datasets.c.owner == self.owner)
        if self.text:
            part = self.text.casefold()
            found.append(datasets.c.folded_name.contains(part, autoescape=True))
        return found


def list_datasets(
    tx: Reading, part: Slice, *, which: DatasetFilter, sort: DatasetSort
) -> Page[Dataset]:
    """A page of data sets. Raises InvalidInputError."""
    return read_sorted_page(
        tx,
        select(*_LISTED).where(*which.conditions()),
        key=datasets.c.seq,
        sort=Sort.read(sort, _COLUMNS),
        part=part,
        build=lambda rows: [build(Dataset, row) for row in rows],
    )


def get_dataset(tx: Reading, name: str) -> DatasetDetails:
    """Raises NotFoundError."""
    row = tx.connection.execute(select(datasets).where(datasets.c.name == name)).one_or_none()
    if row is None:
        raise NotFoundError("data set", name)
    listed = {field: getattr(row, field) for field in Dataset.model_fields}
    num_jobs, ids = find_users(tx, name)
    return DatasetDetails(**listed, class_counts=row.class_counts, num_jobs=num_jobs, jobs=ids)


def find_users(tx: Reading, name: str) -> tuple[int, list[str]]:
    """How many jobs use a data set, and the ids of the newest of them."""
    uses_it = jobs.c.dataset == name
    count = tx.connection.execute(select(func.count()).where(uses_it)).scalar_one()
    newest = select(jobs.c.id).where(uses_it).order_by(jobs.c.seq.desc()).limit(MAX_NAMED)
    return int(count), list(tx.connection.execute(newest).scalars())


def require_dataset(tx: Reading, name: str) -> Row[Any]:
    """The data set that a job names. Raises InvalidInputError, with those that there are."""
    return _found(tx, name, _find(tx, name, lock=False))


def hold_dataset(tx: Writing, name: str) -> None:
    """Keep a data set from being deleted until this transaction has ended.

    Raises InvalidInputError, with those that there are.
    """
    _found(tx, name, _find(tx, name, lock=True))


def find_file(tx: Reading, name: str) -> DatasetFile | None:
    """The file of a data set; None where every worker has it."""
    row = _find(tx, name, lock=False)
    if row is None or row.sha256 is None:
        return None
    return DatasetFile(sha256=row.sha256, size_bytes=row.size_bytes)


def _find(tx: Reading, name: str, *, lock: bool) -> Row[Any] | None:
    query = select(*_LISTED).where(datasets.c.name == name)
    if lock:
        query = query.with_for_update(read=True, key_share=True)
    return tx.connection.execute(query).one_or_none()


def _found(tx: Reading, name: str, row: Row[Any] | None) -> Row[Any]:
    if row is None:
        raise InvalidInputError("dataset", name, _choices(tx))
    return row


def _choices(tx: Reading) -> str:
    query = select(datasets.c.name).order_by(datasets.c.seq).limit(MAX_NAMED + 1)
    names = list(tx.connection.execute(query).scalars())
    if len(names) > MAX_NAMED:
        shown = ", ".join(repr(name) for name in names[:MAX_NAMED])
        return f"one of {shown} or another of the list at /api/v1/datasets"
    return f"one of {in_words([repr(name) for name in names])}; others are uploaded before"


def in_words(names: Sequence[str]) -> str:
    """`a, b or c`."""
    *most, last = names
    return f"{', '.join(most)} or {last}" if most else last
