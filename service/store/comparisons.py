"""Compares jobs: per method how accurate, how large and how costly, and each job's frontier."""

import statistics
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, func, select

from service.errors import NotFoundError
from service.store.networks import read_frontiers
from service.store.tables import jobs, networks, trials
from service.store.transactions import Reading
from shrinknets.wire import Comparison, JobComparison, Method, MethodComparison, Quartiles

_Key = tuple[str, Method]
_Chosen = Row[Any, Any, Any, Any]


def compare_jobs(tx: Reading, job_ids: Sequence[str]) -> Comparison:
    """The jobs side by side, in a constant number of queries. Raises NotFoundError."""
    query = select(jobs.c.id, jobs.c.name, jobs.c.state, jobs.c.dataset)
    found = {row.id: row for row in tx.connection.execute(query.where(jobs.c.id.in_(job_ids)))}
    for job_id in job_ids:
        if job_id not in found:
            raise NotFoundError("job", job_id)
    methods = _compare_methods(tx, job_ids)
    frontiers = read_frontiers(tx, job_ids)
    return Comparison(
        jobs=[
            JobComparison(
                job_id=job_id,
                name=found[job_id].name,
                state=found[job_id].state,
                dataset=found[job_id].dataset,
                methods=methods.get(job_id, []),
                frontier=frontiers.get(job_id, []),
            )
            for job_id in job_ids
        ]
    )


def _compare_methods(tx: Reading, job_ids: Sequence[str]) -> dict[str, list[MethodComparison]]:
    chosen = _chosen(tx, job_ids)
    order = list(Method)
    compared: dict[str, list[MethodComparison]] = {}
    for row in sorted(_effort(tx, job_ids), key=lambda row: order.index(row.method)):
        own = chosen.get((row.job_id, row.method), [])
        compared.setdefault(row.job_id, []).append(
            MethodComparison(
                method=row.method,
                n=len(own),
                test_accuracy=quartiles([network.test_accuracy for network in own]),
                parameters=quartiles([network.parameters for network in own]),
                trials=row.trials,
                train_seconds=row.train_seconds,
            )
        )
    return compared


def quartiles(values: Sequence[float]) -> Quartiles | None:
    """The quartiles of numbers, interpolated, both ends included; None of nothing."""
    if not values:
        return None
    # The library wants two at least.
    several = values if len(values) > 1 else [*values, *values]
    first, median, third = statistics.quantiles(several, n=4, method="inclusive")
    return Quartiles(low=min(values), first=first, median=median, third=third, high=max(values))


def _effort(tx: Reading, job_ids: Sequence[str]) -> Sequence[Row[Any]]:
    query = (
        select(
            trials.c.job_id,
            trials.c.method,
            func.count().label("trials"),
            func.sum(trials.c.train_seconds).label("train_seconds"),
        )
        .where(trials.c.job_id.in_(job_ids))
        .group_by(trials.c.job_id, trials.c.method)
    )
    return tx.connection.execute(query).all()


def _chosen(tx: Reading, job_ids: Sequence[str]) -> dict[_Key, list[_Chosen]]:
    """Of each trial the network that is the most accurate on validation, the smaller of equals."""
    place = func.row_number().over(
        partition_by=networks.c.trial_id,
        order_by=(
            networks.c.validation_accuracy.desc(),
            networks.c.parameters,
            networks.c.seq,
        ),
    )
    ranked = (
        select(
            networks.c.trial_id,
            networks.c.test_accuracy,
            networks.c.parameters,
            place.label("place"),
        )
        .where(networks.c.job_id.in_(job_ids))
        .subquery()
    )
    query = (
        select(trials.c.job_id, trials.c.method, ranked.c.test_accuracy, ranked.c.parameters)
        .join(trials, trials.c.id == ranked.c.trial_id)
        .where(ranked.c.place == 1)
    )
    chosen: dict[_Key, list[_Chosen]] = {}
    for row in tx.connection.execute(query):
        chosen.setdefault((row.job_id, row.method), []).append(row)
    return chosen
