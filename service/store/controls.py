"""What people do to jobs that exist: pause, resume, try failed trials again, clone."""

from typing import Any

from pydantic import ValidationError
from sqlalchemy import delete, null, select, update

from service.errors import ConflictError, InvalidInputError
from service.store.clock import now
from service.store.jobs import create_job, get_job, lock_row
from service.store.quotas import Share
from service.store.states import JOBS, TRIALS, move
from service.store.tables import jobs, networks, trials
from service.store.transactions import Writing
from shrinknets.wire import (
    CloneChanges,
    Job,
    JobState,
    JobSubmission,
    TrialState,
    WrongFieldError,
)

_AGAIN = (TrialState.FAILED, TrialState.CANCELLED)


def pause_job(tx: Writing, job_id: str) -> Job:
    """Keep a queued job from being claimed; ask the worker of a running one to let go of it.

    Raises NotFoundError, and ConflictError where the job has ended or is being cancelled.
    """
    row = lock_row(tx, job_id)
    match row.state:
        case JobState.QUEUED:
            reason = "Paused on request, while no worker had it."
            _move(tx, job_id, JobState.QUEUED, JobState.PAUSED, reason=reason)
        case JobState.RUNNING if row.cancel_requested_at is None:
            if row.pause_requested_at is None:
                _note(tx, job_id, now(), "Pause requested; the worker is letting go of it.")
        case JobState.RUNNING:
            raise ConflictError(f"Job {job_id!r} is being cancelled: it cannot be paused.")
        case JobState.PAUSED:
            pass
        case state:
            raise ConflictError(f"Job {job_id!r} has {state.value} already: nothing to pause.")
    return get_job(tx, job_id)


def resume_job(tx: Writing, job_id: str) -> Job:
    """Put a paused job back into the queue; a running one that was to pause goes on.

    Raises NotFoundError, and ConflictError where the job has ended.
    """
    row = lock_row(tx, job_id)
    match row.state:
        case JobState.PAUSED:
            reason = "Resumed; it waits for a worker."
            _move(tx, job_id, JobState.PAUSED, JobState.QUEUED, reason=reason)
        case JobState.RUNNING:
            if row.pause_requested_at is not None:
                _note(tx, job_id, None, "")
        case JobState.QUEUED:
            pass
        case state:
            raise ConflictError(f"Job {job_id!r} has {state.value} already: nothing to resume.")
    return get_job(tx, job_id)


def retry_failed(tx: Writing, job_id: str) -> Job:
    """Put an ended job back into the queue, to run the trials anew that failed or were cut off.

    Raises NotFoundError, and ConflictError where the job has not ended, was cancelled, or has no
    such trial.
    """
    state = lock_row(tx, job_id).state
    if state is JobState.CANCELLED:
        raise ConflictError(f"Job {job_id!r} was cancelled: clone it to run it again.")
    if not state.is_final:
        raise ConflictError(f"Job {job_id!r} is {state.value}: wait for its end, or cancel it.")
    _forget_networks(tx, job_id)
    # Another network may be chosen then; until that it is told which one would be.
    tx.connection.execute(
        update(jobs).where(jobs.c.id == job_id).values(choice=null(), chosen_at=None)
    )
    again = [
        row
        for before in _AGAIN
        for row in move(
            tx,
            TRIALS,
            trials.c.job_id == job_id,
            before=before,
            after=TrialState.WAITING,
            reason="Tried again on request.",
        )
    ]
    if not again:
        raise ConflictError(f"Job {job_id!r} has no failed trial: nothing to try again.")
    count = "1 trial is" if len(again) == 1 else f"{len(again)} trials are"
    _move(tx, job_id, state, JobState.QUEUED, reason=f"{count} tried again on request.")
    return get_job(tx, job_id)


def clone_job(
    tx: Writing, job_id: str, changes: CloneChanges, *, share: Share | None = None
) -> Job:
    """Queue a job like another one, with changes.

    Raises NotFoundError, and what `create_job` raises.
    """
    original = get_job(tx, job_id)
    fields: dict[str, Any] = {
        **original.spec.model_dump(),
        "labels": original.labels,
        "priority": original.priority,
        **changes.model_dump(exclude_none=True),
    }
    submission = _checked(fields)
    return create_job(
        tx,
        submission.spec(),
        labels=submission.labels,
        priority=submission.priority,
        share=share,
    )


def _move(tx: Writing, job_id: str, before: JobState, after: JobState, *, reason: str) -> None:
    moved = move(
        tx,
        JOBS,
        jobs.c.id == job_id,
        before=before,
        after=after,
        reason=reason,
        worker=None,
        token_digest=None,
        lease_expires_at=None,
        pause_requested_at=None,
    )
    assert moved, "the row is locked"


def _note(tx: Writing, job_id: str, pause_requested_at: Any, reason: str) -> None:
    tx.connection.execute(
        update(jobs)
        .where(jobs.c.id == job_id)
        .values(pause_requested_at=pause_requested_at, reason=reason)
    )
    tx.tell("job", job_id=job_id)


def _forget_networks(tx: Writing, job_id: str) -> None:
    # A trial that runs anew finds them anew.
    failed = select(trials.c.id).where(trials.c.job_id == job_id, trials.c.state.in_(_AGAIN))
    tx.connection.execute(delete(networks).where(networks.c.trial_id.in_(failed)))


def _checked(fields: dict[str, Any]) -> JobSubmission:
    try:
        return JobSubmission.model_validate(fields)
    except ValidationError as error:
        # Each field is right by itself, so only the whole can be wrong.
        match error.errors()[0].get("ctx"):
            case {"error": WrongFieldError() as cause}:
                raise InvalidInputError(cause.field, cause.given, cause.allowed) from error
        raise
