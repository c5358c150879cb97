"""The legal moves of jobs, trials and attempts, and the one statement that makes a move."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Column, ColumnElement, Row, Table, func, update
from sqlalchemy.sql.dml import ReturningUpdate

from service.errors import ServiceError
from service.store.clock import now
from service.store.dropping import drop_checkpoints
from service.store.facts import TrialEnded
from service.store.tables import attempts, jobs, trials
from service.store.transactions import Writing
from shrinknets.wire import AttemptState, JobState, TrialState

JOB_MOVES: Mapping[JobState, frozenset[JobState]] = {
    JobState.QUEUED: frozenset({JobState.RUNNING, JobState.PAUSED, JobState.CANCELLED}),
    JobState.RUNNING: frozenset(
        {
            JobState.QUEUED,
            JobState.PAUSED,
            JobState.SUCCEEDED,
            JobState.FAILED,
            JobState.CANCELLED,
        }
    ),
    # Resumed it waits for a worker as any other: nobody holds a paused job.
    JobState.PAUSED: frozenset({JobState.QUEUED, JobState.CANCELLED}),
    # To try failed trials again.
    JobState.SUCCEEDED: frozenset({JobState.QUEUED}),
    JobState.FAILED: frozenset({JobState.QUEUED}),
    JobState.CANCELLED: frozenset(),
}

TRIAL_MOVES: Mapping[TrialState, frozenset[TrialState]] = {
    TrialState.WAITING: frozenset({TrialState.RUNNING, TrialState.CANCELLED}),
    TrialState.RUNNING: frozenset(
        {
            TrialState.WAITING,
            TrialState.COMPLETE,
            TrialState.PRUNED,
            TrialState.FAILED,
            TrialState.INFEASIBLE,
            TrialState.CANCELLED,
        }
    ),
    TrialState.COMPLETE: frozenset(),
    TrialState.PRUNED: frozenset(),
    TrialState.FAILED: frozenset({TrialState.WAITING}),
    TrialState.INFEASIBLE: frozenset(),
    # Cut off by the end of a job that is tried again.
    TrialState.CANCELLED: frozenset({TrialState.WAITING}),
}

ATTEMPT_MOVES: Mapping[AttemptState, frozenset[AttemptState]] = {
    AttemptState.RUNNING: frozenset({AttemptState.ENDED, AttemptState.LOST}),
    AttemptState.ENDED: frozenset(),
    AttemptState.LOST: frozenset(),
}


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What has states: its table, its legal moves, and what a move tells the caller."""

    table: Table
    moves: Mapping[Any, frozenset[Any]]
    final: frozenset[Any]
    """The states in which something has ended, and has the time of that."""
    returning: tuple[Column[Any], ...]
    event: str | None
    """The kind of event that tells of a move."""


JOBS = Machine(
    table=jobs,
    moves=JOB_MOVES,
    final=frozenset(state for state in JobState if state.is_final),
    returning=(jobs.c.id,),
    event="job",
)
TRIALS = Machine(
    table=trials,
    moves=TRIAL_MOVES,
    final=frozenset(state for state in TrialState if state.is_final),
    returning=(
        trials.c.id,
        trials.c.job_id,
        trials.c.method,
        trials.c.started_at,
        trials.c.ended_at,
    ),
    event="trial",
)
ATTEMPTS = Machine(
    table=attempts,
    moves=ATTEMPT_MOVES,
    final=frozenset({AttemptState.ENDED, AttemptState.LOST}),
    returning=(attempts.c.id, attempts.c.job_id, attempts.c.trial_id),
    event=None,
)


class IllegalMoveError(ServiceError):
    """The code asked for a move that no rule allows."""

    def __init__(self, what: str, before: StrEnum, after: StrEnum) -> None:
        super().__init__(f"No {what} can move from {before.value} to {after.value}.")


def move(
    tx: Writing,
    machine: Machine,
    *which: ColumnElement[bool],
    before: StrEnum,
    after: StrEnum,
    **values: Any,
) -> Sequence[Row[Any]]:
    """Move the rows that stand in `before` and meet all of `which`, in one guarded UPDATE.

    Returns those that moved; none means that somebody else was faster, never success.
    Raises IllegalMoveError.
    """
    statement = moving(machine, *which, before=before, after=after, **values)
    return run_move(tx, machine, statement, after=after)


def moving(
    machine: Machine,
    *which: ColumnElement[bool],
    before: StrEnum,
    after: StrEnum,
    **values: Any,
) -> ReturningUpdate[Any]:
    """The UPDATE of a move, to be kept where it is needed often. Raises IllegalMoveError."""
    if after not in machine.moves[before]:
        raise IllegalMoveError(machine.table.name.removesuffix("s"), before, after)
    table = machine.table
    return (
        update(table)
        .where(table.c.state == before, *which)
        .values(state=after, **_times(machine, before, after), **values)
        .returning(*machine.returning)
    )


def run_move(
    tx: Writing,
    machine: Machine,
    statement: ReturningUpdate[Any],
    *,
    after: StrEnum,
    **values: Any,
) -> Sequence[Row[Any]]:
    """Run the UPDATE of a move to `after`, and tell of it; returns the rows that moved."""
    moved = tx.connection.execute(statement, values).all()
    for row in moved:
        _tell(tx, machine, row, after)
    if machine is TRIALS and after in machine.final:
        drop_checkpoints(tx, [row.id for row in moved])
    return moved


def _times(machine: Machine, before: StrEnum, after: StrEnum) -> dict[str, Any]:
    if after in machine.final:
        return {"ended_at": now()}
    again = {"ended_at": None} if before in machine.final else {}
    if after.value == "running":
        return {**again, "started_at": func.coalesce(machine.table.c.started_at, now())}
    return again


def _tell(tx: Writing, machine: Machine, row: Row[Any], after: Any) -> None:
    match machine.event:
        case "job":
            tx.tell_of_job(row.id, is_queued=after is JobState.QUEUED)
        case "trial":
            tx.tell("trial", job_id=row.job_id, trial_id=row.id)
            if row.ended_at is not None and row.started_at is not None:
                seconds = (row.ended_at - row.started_at).total_seconds()
                tx.facts.append(TrialEnded(method=row.method, state=after, seconds=seconds))
        case _:
            pass
