"""Leases: who may write for a job or an attempt, until when, and what follows when it ends."""

from dataclasses import dataclass
from typing import Any, assert_never

from sqlalchemy import ColumnElement, Row, func, select, update

from service.errors import LeaseLostError, NotFoundError
from service.store.clock import now
from service.store.ids import digest
from service.store.jobs import cancel_trials, get_job, get_row, lock_row
from service.store.states import ATTEMPTS, JOBS, TRIALS, move
from service.store.tables import attempts, jobs, trials
from service.store.transactions import Reading, Writing
from service.store.workers import hear
from shrinknets.wire import AttemptState, Job, JobEnd, JobState, Order, TrialState


@dataclass(frozen=True, kw_only=True)
class Held:
    """An attempt whose lease was just renewed."""

    job_id: str
    trial_id: str
    order: Order


def hold_job(tx: Writing, job_id: str, token: str) -> Row[Any]:
    """Make sure that the token holds the job, and that it does so until the commit.

    Raises NotFoundError, LeaseLostError.
    """
    row = lock_row(tx, job_id)
    if row.state != JobState.RUNNING or row.token_digest != digest(token):
        raise LeaseLostError("job", job_id)
    return row


def renew_job(tx: Writing, job_id: str, token: str, *, lease_seconds: float) -> Order:
    """Prolong a worker's lease; returns what it is to do. Raises NotFoundError, LeaseLostError."""
    row = tx.connection.execute(
        update(jobs)
        .where(*_is_holder(job_id, token))
        .values(lease_expires_at=now(plus_seconds=lease_seconds))
        .returning(jobs.c.cancel_requested_at, jobs.c.pause_requested_at, jobs.c.worker)
    ).one_or_none()
    if row is None:
        get_row(tx, job_id)
        raise LeaseLostError("job", job_id)
    hear(tx, row.worker)
    return _order(row)


def release_job(tx: Writing, job_id: str, token: str, end: JobEnd) -> Job:
    """Take a job back from its worker. Doing so twice in the same way is harmless.

    Raises NotFoundError, LeaseLostError.
    """
    row = lock_row(tx, job_id)
    after = _state_to_leave_in(row, end.state)
    if not _leave(tx, job_id, token, after, end.reason):
        if row.token_digest == digest(token) and _is_same(row.state, after):
            return get_job(tx, job_id)
        raise LeaseLostError("job", job_id)
    if after in {JobState.QUEUED, JobState.PAUSED}:
        lose_attempts(tx, attempts.c.job_id == job_id, reason="Its worker gave the job back.")
    else:
        cancel_trials(tx, [job_id], reason=f"The job {after.value} before this trial ended.")
    return get_job(tx, job_id)


def renew_attempt(tx: Writing, attempt_id: str, token: str, *, lease_seconds: float) -> Held:
    """Prolong the lease of a trial's process. Raises NotFoundError, LeaseLostError."""
    row = tx.connection.execute(
        update(attempts)
        .where(
            attempts.c.id == attempt_id,
            attempts.c.token_digest == digest(token),
            attempts.c.state == AttemptState.RUNNING,
        )
        .values(
            lease_expires_at=now(plus_seconds=lease_seconds),
            seen_at=func.coalesce(attempts.c.seen_at, now()),
        )
        .returning(attempts.c.job_id, attempts.c.trial_id, attempts.c.prune_reason)
    ).one_or_none()
    if row is None:
        get_attempt_row(tx, attempt_id)
        raise LeaseLostError("attempt", attempt_id)
    order = _order(get_row(tx, row.job_id))
    if order is Order.CONTINUE and row.prune_reason is not None:
        order = Order.PRUNE
    return Held(job_id=row.job_id, trial_id=row.trial_id, order=order)


def require_attempt_token(tx: Reading, token: str) -> None:
    """Raises LeaseLostError unless the token is that of a running attempt."""
    query = select(attempts.c.id).where(
        attempts.c.token_digest == digest(token), attempts.c.state == AttemptState.RUNNING
    )
    if tx.connection.execute(query).one_or_none() is None:
        raise LeaseLostError("attempt", "of this upload")


def is_attempt_token(tx: Reading, token: str) -> bool:
    """Whether the token is that of an attempt, be it running or not."""
    query = select(attempts.c.id).where(attempts.c.token_digest == digest(token))
    return tx.connection.execute(query).first() is not None


def get_attempt_row(tx: Reading, attempt_id: str) -> Row[Any]:
    """Raises NotFoundError."""
    row = tx.connection.execute(select(attempts).where(attempts.c.id == attempt_id)).one_or_none()
    if row is None:
        raise NotFoundError("attempt", attempt_id)
    return row


def get_held_row(tx: Reading, attempt_id: str, token: str) -> Row[Any]:
    """The row of a running attempt whose token this is. Raises NotFoundError, LeaseLostError."""
    row = get_attempt_row(tx, attempt_id)
    if row.token_digest != digest(token) or row.state is not AttemptState.RUNNING:
        raise LeaseLostError("attempt", attempt_id)
    return row


def lose_attempts(tx: Writing, which: ColumnElement[bool], *, reason: str) -> list[str]:
    """Give up running attempts and let their trials wait for others; returns the trials' ids."""
    lost = move(
        tx, ATTEMPTS, which, before=AttemptState.RUNNING, after=AttemptState.LOST, reason=reason
    )
    trial_ids = [row.trial_id for row in lost]
    move(
        tx,
        TRIALS,
        trials.c.id.in_(trial_ids),
        before=TrialState.RUNNING,
        after=TrialState.WAITING,
        reason=reason,
    )
    return trial_ids


def _is_holder(job_id: str, token: str) -> tuple[ColumnElement[bool], ...]:
    return (
        jobs.c.id == job_id,
        jobs.c.token_digest == digest(token),
        jobs.c.state == JobState.RUNNING,
    )


def _leave(tx: Writing, job_id: str, token: str, after: JobState, reason: str) -> bool:
    # The token stays, to know the same worker when it repeats a request whose answer got lost.
    moved = move(
        tx,
        JOBS,
        jobs.c.id == job_id,
        jobs.c.token_digest == digest(token),
        before=JobState.RUNNING,
        after=after,
        reason=reason or _default_reason(after),
        worker=None,
        lease_expires_at=None,
        pause_requested_at=None,
    )
    return bool(moved)


def _is_same(state: JobState, after: JobState) -> bool:
    """Whether a job that was released before stands as this release would leave it."""
    given_back = {JobState.QUEUED, JobState.PAUSED}
    return state == after or {state, after} <= given_back


def _order(row: Row[Any]) -> Order:
    if row.cancel_requested_at is not None:
        return Order.STOP
    return Order.CONTINUE if row.pause_requested_at is None else Order.PAUSE


def _state_to_leave_in(row: Row[Any], wished: JobState) -> JobState:
    """What was asked for meanwhile counts: a cancelled job must not come back from the queue."""
    if wished not in {JobState.QUEUED, JobState.PAUSED}:
        return wished
    match _order(row):
        case Order.STOP:
            return JobState.CANCELLED
        case Order.PAUSE:
            return JobState.PAUSED
        case Order.CONTINUE:
            return JobState.QUEUED
        case Order.PRUNE:
            raise AssertionError("jobs are not pruned")
        case order:
            assert_never(order)


def _default_reason(after: JobState) -> str:
    match after:
        case JobState.CANCELLED:
            return "Cancelled on request."
        case JobState.QUEUED:
            return "Its worker gave it back; it waits for another."
        case JobState.PAUSED:
            return "Paused on request."
        case _:
            return ""
