"""Trials: announce, read, and the summary that each carries of its records."""

from typing import Any

from sqlalchemy import Column, ScalarSelect, func, insert, select, update

from service.errors import NotFoundError
from service.store.clock import now
from service.store.ids import Kind, new_id
from service.store.leases import hold_job
from service.store.rows import build
from service.store.tables import records, trials
from service.store.transactions import Reading, Writing
from shrinknets.wire import Trial, TrialRequest, TrialState


def create_trial(tx: Writing, job_id: str, token: str, request: TrialRequest) -> tuple[Trial, bool]:
    """Announce a trial; returns it and whether it is new.

    The same (method, number) again gives the same trial, for clients that lost the answer.
    Raises NotFoundError, LeaseLostError.
    """
    hold_job(tx, job_id, token)
    same = select(trials).where(
        trials.c.job_id == job_id,
        trials.c.method == request.method,
        trials.c.number == request.number,
    )
    if (row := tx.connection.execute(same).one_or_none()) is not None:
        return build(Trial, row, curve=None), False
    trial_id = new_id(Kind.TRIAL)
    tx.connection.execute(
        insert(trials).values(
            id=trial_id,
            job_id=job_id,
            state=TrialState.WAITING,
            reason="",
            epochs=0,
            train_seconds=0.0,
            widths=[],
            created_at=now(),
            **request.model_dump(),
        )
    )
    tx.tell("trial", job_id=job_id, trial_id=trial_id)
    return get_trial(tx, trial_id), True


def get_trial(tx: Reading, trial_id: str) -> Trial:
    """Raises NotFoundError."""
    row = tx.connection.execute(select(trials).where(trials.c.id == trial_id)).one_or_none()
    if row is None:
        raise NotFoundError("trial", trial_id)
    return build(Trial, row, curve=None)


def summarise(tx: Writing, trial_id: str) -> None:
    """Bring the trial's summary up to date with its records."""

    def last(column: Column[Any]) -> ScalarSelect[Any]:
        mine = select(column).where(records.c.trial_id == trial_id)
        return mine.order_by(records.c.step.desc()).limit(1).scalar_subquery()

    def over_all(value: Any) -> ScalarSelect[Any]:
        return select(value).where(records.c.trial_id == trial_id).scalar_subquery()

    tx.connection.execute(
        update(trials)
        .where(trials.c.id == trial_id)
        .values(
            epochs=over_all(func.count()),
            train_seconds=over_all(func.coalesce(func.sum(records.c.seconds), 0.0)),
            validation_accuracy=last(records.c.validation_accuracy),
            widths=last(records.c.widths),
            parameters=last(records.c.parameters),
            macs=last(records.c.macs),
            reported_at=now(),
        )
    )
