"""Lists of a job's trials: filtered, sorted, page by page."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, select

from service.store.curves import read_curves
from service.store.jobs import get_row as get_job_row
from service.store.paging import Slice, Sort, read_sorted_page
from service.store.rows import build
from service.store.tables import trials
from service.store.transactions import Reading
from shrinknets.wire import Method, Page, Trial, TrialSort, TrialState

_COLUMNS = {
    "created": trials.c.seq,
    "started": trials.c.started_at,
    "ended": trials.c.ended_at,
    **{
        name: trials.c[name]
        for name in (
            *("method", "number", "state", "seed", "epochs", "train_seconds"),
            *("validation_accuracy", "parameters"),
        )
    },
}


def list_trials(
    tx: Reading,
    job_id: str,
    part: Slice,
    *,
    states: Sequence[TrialState] = (),
    methods: Sequence[Method] = (),
    sort: TrialSort = TrialSort.CREATED,
    points: int | None = None,
) -> Page[Trial]:
    """A page of a job's trials, of any of the states and methods where there are some.

    With their curves, in at most so many points each, where `points` is given.
    Raises NotFoundError, InvalidInputError.
    """
    get_job_row(tx, job_id)
    query = select(trials).where(trials.c.job_id == job_id)
    if states:
        query = query.where(trials.c.state.in_(states))
    if methods:
        query = query.where(trials.c.method.in_(methods))
    order = Sort.read(sort, _COLUMNS)

    def build_all(rows: Sequence[Row[Any]]) -> list[Trial]:
        ids = [row.id for row in rows]
        curves = {} if points is None else read_curves(tx, ids, points=points)
        return [build(Trial, row, curve=curves.get(row.id)) for row in rows]

    return read_sorted_page(tx, query, key=trials.c.seq, sort=order, part=part, build=build_all)
