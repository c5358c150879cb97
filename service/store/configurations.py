"""Configurations: trials that differ in their seed alone, with mean and spread."""

import statistics
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, and_, or_, select

from service.store.jobs import get_row as get_job_row
from service.store.paging import Slice, read_page
from service.store.tables import trials
from service.store.transactions import Reading
from shrinknets.wire import Configuration, JobSpec, Method, Page, Spread, TrialState

_WITH_NETWORK = frozenset({TrialState.COMPLETE, TrialState.INFEASIBLE})
_Key = tuple[Method, int]


def list_configurations(tx: Reading, job_id: str, part: Slice) -> Page[Configuration]:
    """A page of a job's configurations in the order of their first trials.

    Raises NotFoundError, InvalidInputError.
    """
    repeats = JobSpec.model_validate(get_job_row(tx, job_id).spec).repeats
    firsts = select(trials).where(trials.c.job_id == job_id, trials.c.number % repeats == 0)

    def build(rows: Sequence[Row[Any]]) -> list[Configuration]:
        found: dict[_Key, list[Row[Any]]] = defaultdict(list)
        for row in _repeats_of(tx, job_id, rows, repeats):
            found[row.method, row.number // repeats].append(row)
        keys = [(row.method, row.number // repeats) for row in rows]
        return [_of(number, found[method, number]) for method, number in keys]

    return read_page(tx, firsts, key=trials.c.seq, part=part, build=build)


def _repeats_of(
    tx: Reading, job_id: str, firsts: Sequence[Row[Any]], repeats: int
) -> Sequence[Row[Any]]:
    if repeats == 1 or not firsts:
        return firsts
    by_method: dict[Method, list[int]] = defaultdict(list)
    for row in firsts:
        by_method[row.method].append(row.number)
    which = [
        and_(trials.c.method == method, (trials.c.number - trials.c.number % repeats).in_(numbers))
        for method, numbers in by_method.items()
    ]
    query = select(trials).where(trials.c.job_id == job_id, or_(*which)).order_by(trials.c.number)
    return tx.connection.execute(query).all()


def _of(number: int, rows: Sequence[Row[Any]]) -> Configuration:
    useful = [row for row in rows if row.state in _WITH_NETWORK]
    accuracies = [r.validation_accuracy for r in useful if r.validation_accuracy is not None]
    return Configuration(
        method=rows[0].method,
        configuration=number,
        params=rows[0].params,
        trials=len(rows),
        ended=sum(row.state.is_final for row in rows),
        n=len(useful),
        validation_accuracy=_spread(accuracies),
        parameters=_spread([r.parameters for r in useful if r.parameters is not None]),
    )


def _spread(numbers: Sequence[float]) -> Spread | None:
    if not numbers:
        return None
    std = statistics.stdev(numbers) if len(numbers) > 1 else None
    return Spread(mean=statistics.fmean(numbers), std=std)
