"""Records: what trials report for each epoch, and curves thinned for drawing."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, func, or_, select
from sqlalchemy.dialects import postgresql, sqlite

from service.store.paging import Slice, read_page
from service.store.rows import build
from service.store.tables import records
from service.store.transactions import Reading, Writing
from service.store.trials import get_trial
from shrinknets.figures import Alive
from shrinknets.wire import Page, Phase, Record

_COLUMNS = [records.c[name] for name in Record.model_fields]


@dataclass(frozen=True, kw_only=True)
class Thinning:
    """Which records of a curve are kept; the first and the last always are."""

    every: int = 1
    """One of so many."""
    max_points: int | None = None
    """At most so many, 2 or more."""

    def keeps(self, place: ColumnElement[int], length: ColumnElement[int]) -> ColumnElement[bool]:
        """Whether a record stays, by its place from 1 on among `length`."""
        is_kept = or_((place - 1) % self.every == 0, place == length)
        if self.max_points is None:
            return is_kept
        gaps = self.max_points - 1
        stride = (length - 1 + gaps - 1) // gaps
        # A curve of one record has a stride of 0.
        is_drawn = or_(place == 1, place == length, (place - 1) % func.nullif(stride, 0) == 0)
        return and_(is_kept, is_drawn)


def add_records(tx: Writing, trial_id: str, batch: Sequence[Record]) -> None:
    """Insert records; one with a known step replaces the earlier one."""
    rows = {r.step: {"trial_id": trial_id, **r.model_dump()} for r in batch}
    insert = (postgresql.insert if tx.dialect == "postgresql" else sqlite.insert)(records)
    changed = {c.name: insert.excluded[c.name] for c in records.c if not c.primary_key}
    statement = insert.on_conflict_do_update(
        index_elements=[records.c.trial_id, records.c.step], set_=changed
    )
    tx.connection.execute(statement, list(rows.values()))


def list_records(
    tx: Reading, trial_id: str, part: Slice, *, thinning: Thinning | None = None
) -> Page[Record]:
    """A page of a trial's records by step, all or thinned. Raises NotFoundError."""
    get_trial(tx, trial_id)
    query = select(*_COLUMNS).where(records.c.trial_id == trial_id)
    if thinning is None:
        return read_page(tx, query, key=records.c.step, part=part, build=_build_all)
    ranked = query.add_columns(
        func.row_number().over(order_by=records.c.step).label("place"),
        func.count().over().label("length"),
    ).subquery()
    kept = select(ranked).where(thinning.keeps(ranked.c.place, ranked.c.length))
    return read_page(tx, kept, key=ranked.c.step, part=part, build=_build_all)


def read_alive_units(
    tx: Reading, trial_ids: Collection[str], *, points: int = 200
) -> dict[str, list[Alive]]:
    """Alive units by epoch of each trial that has any, thinned in SQL to about `points` each.

    Epochs of polishing are left out and not counted; the last other epoch is always there.
    """
    trial, step = records.c.trial_id, records.c.step
    ranked = (
        select(
            trial,
            records.c.widths,
            func.row_number().over(partition_by=trial, order_by=step).label("epoch"),
            func.count().over(partition_by=trial).label("length"),
        )
        .where(trial.in_(trial_ids), records.c.phase != Phase.POLISH)
        .subquery()
    )
    stride = (ranked.c.length - 1) // points + 1
    is_drawn = or_((ranked.c.epoch - 1) % stride == 0, ranked.c.epoch == ranked.c.length)
    query = select(ranked).where(is_drawn).order_by(ranked.c.trial_id, ranked.c.epoch)
    curves: dict[str, list[Alive]] = {}
    for row in tx.connection.execute(query):
        curves.setdefault(row.trial_id, []).append(Alive(row.epoch, sum(row.widths)))
    return curves


def _build_all(rows: Sequence[Row[Any]]) -> list[Record]:
    return [build(Record, row) for row in rows]
