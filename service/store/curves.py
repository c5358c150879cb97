"""Learning curves of many trials at once, thinned in the database."""

import json
from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import CTE, BigInteger, Select, Text, bindparam, case, cast, func, select

from service.store.tables import records, trials
from service.store.transactions import Reading
from shrinknets.wire import Curve

_EMPTY = Curve(step=[], validation_accuracy=[], hidden_units=[])


def read_curves(tx: Reading, trial_ids: Sequence[str], *, points: int) -> dict[str, Curve]:
    """The curve of each trial in at most so many points, 2 or more, by one query.

    The first and the last epoch stay; from one point to the next it is at least the stride that a
    curve without gaps needs.
    """
    values = {"trial_ids": trial_ids, "points": points}
    rows = tx.connection.execute(_thinned(), values).all()
    columns: dict[str, tuple[list[int], list[float], list[int]]] = {}
    for (trial_id, step, accuracy, _), units in zip(rows, _hidden_units(rows), strict=True):
        of_trial = columns.get(trial_id)
        if of_trial is None:
            of_trial = columns[trial_id] = ([], [], [])
        of_trial[0].append(step)
        of_trial[1].append(accuracy)
        of_trial[2].append(units)
    curves = {
        trial_id: Curve(step=steps, validation_accuracy=accuracies, hidden_units=units)
        for trial_id, (steps, accuracies, units) in columns.items()
    }
    return {trial_id: curves.get(trial_id, _EMPTY) for trial_id in trial_ids}


def _hidden_units(rows: Sequence[Any]) -> list[int]:
    # Parsed at once: a thousand calls of a parser cost more than the query.
    widths = json.loads(f"[{','.join(row[3] for row in rows)}]")
    return [sum(of_layers) for of_layers in widths]


@cache
def _thinned() -> Select[Any]:
    # Built once: to build it costs as much as to run it.
    walk = _walk()
    step = records.c.step
    return (
        select(walk.c.id, step, records.c.validation_accuracy, cast(records.c.widths, Text))
        .join_from(walk, records, (records.c.trial_id == walk.c.id) & (step == walk.c.step))
        .order_by(step)
    )


def _walk() -> CTE:
    """The steps that are kept, found by leaps along the index of (trial_id, step).

    So a curve costs what its points cost, however long it is. To count rows, the database would
    have to read them all.
    """
    step, points = records.c.step, bindparam("points", type_=BigInteger())
    of_trial = records.c.trial_id == trials.c.id
    first = select(func.min(step)).where(of_trial).scalar_subquery()
    last = select(func.max(step)).where(of_trial).scalar_subquery()
    stride = (last - first + points - 2) // (points - 1)
    walk = (
        select(trials.c.id, first.label("step"), last.label("last"), stride.label("stride"))
        .where(trials.c.id.in_(bindparam("trial_ids", expanding=True)))
        .cte("walk", recursive=True)
    )
    leap = walk.c.step + walk.c.stride
    goal = case((leap < walk.c.last, leap), else_=walk.c.last)
    ahead = select(func.min(step)).where(records.c.trial_id == walk.c.id, step >= goal)
    # Most curves have no gaps, and PostgreSQL finds one step much faster than the next one.
    there = select(step).where(records.c.trial_id == walk.c.id, step == goal)
    landing = func.coalesce(there.scalar_subquery(), ahead.scalar_subquery())
    return walk.union_all(
        select(walk.c.id, landing, walk.c.last, walk.c.stride).where(walk.c.step < walk.c.last)
    )
