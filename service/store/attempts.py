"""Attempts: the life of one process that works on a trial, from its start to its end."""

from typing import Any

from sqlalchemy import and_, insert

from service.errors import ConflictError, InvalidInputError, LeaseLostError, NotFoundError
from service.store.checkpoints import go_back, list_checkpoints
from service.store.clock import now
from service.store.datasets import find_file
from service.store.facts import EpochsTaken
from service.store.ids import Kind, digest, new_id, new_token
from service.store.jobs import get_row as get_job_row
from service.store.leases import (
    Held,
    get_attempt_row,
    get_held_row,
    hold_job,
    lose_attempts,
    renew_attempt,
)
from service.store.networks import add_networks
from service.store.records import add_records
from service.store.states import ATTEMPTS, TRIALS, move
from service.store.tables import attempts, trials
from service.store.transactions import Reading, Writing
from service.store.trials import get_trial, summarise
from shrinknets.frontier import best
from shrinknets.wire import (
    Attempt,
    AttemptEnd,
    AttemptState,
    DatasetFile,
    JobSpec,
    NetworkResult,
    Record,
    Trial,
    TrialAssignment,
    TrialState,
)

ENDINGS = [*(state for state in TrialState if state.is_final), TrialState.WAITING]


def start_attempt(tx: Writing, trial_id: str, token: str, *, lease_seconds: float) -> Attempt:
    """Let a waiting trial go on from its newest checkpoint, with the right to write for it.

    Raises NotFoundError, LeaseLostError, and ConflictError where the trial does not wait, or its
    job is to pause.
    """
    trial = get_trial(tx, trial_id)
    if hold_job(tx, trial.job_id, token).pause_requested_at is not None:
        raise ConflictError(f"Job {trial.job_id!r} is to pause, so no attempt can start.")
    _replace_unseen(tx, trial_id)
    is_mine = trials.c.id == trial_id
    if not move(tx, TRIALS, is_mine, before=TrialState.WAITING, after=TrialState.RUNNING):
        state = get_trial(tx, trial_id).state.value
        raise ConflictError(f"Trial {trial_id!r} is {state}, so no attempt at it can start.")
    kept = list_checkpoints(tx, trial_id)
    go_back(tx, trial_id, kept[0].step if kept else 0)
    attempt_id, own_token = new_id(Kind.ATTEMPT), new_token()
    tx.connection.execute(
        insert(attempts).values(
            id=attempt_id,
            job_id=trial.job_id,
            trial_id=trial_id,
            state=AttemptState.RUNNING,
            reason="",
            token_digest=digest(own_token),
            lease_expires_at=now(plus_seconds=lease_seconds),
            started_at=now(),
        )
    )
    trial = get_trial(tx, trial_id)
    return Attempt(id=attempt_id, token=own_token, lease_seconds=lease_seconds, trial=trial)


def read_assignment(
    tx: Writing, attempt_id: str, token: str, *, lease_seconds: float
) -> TrialAssignment:
    """Tell a process what to do, and renew its lease. Raises NotFoundError, LeaseLostError."""
    held = renew_attempt(tx, attempt_id, token, lease_seconds=lease_seconds)
    spec = JobSpec.model_validate(get_job_row(tx, held.job_id).spec)
    trial = get_trial(tx, held.trial_id)
    return TrialAssignment(
        spec=spec,
        trial=trial,
        data=find_file(tx, spec.dataset),
        checkpoints=list_checkpoints(tx, held.trial_id),
    )


def get_dataset_file(tx: Reading, attempt_id: str, token: str) -> DatasetFile:
    """The file of the data set that an attempt trains on.

    Raises NotFoundError, also where the data set has no file, and LeaseLostError.
    """
    row = get_held_row(tx, attempt_id, token)
    file = find_file(tx, get_job_row(tx, row.job_id).dataset)
    if file is None:
        raise NotFoundError("file of a data set for attempt", attempt_id)
    return file


def report(
    tx: Writing, attempt_id: str, token: str, batch: list[Record], *, lease_seconds: float
) -> Held:
    """Take records in and renew the lease. Raises NotFoundError, LeaseLostError."""
    held = renew_attempt(tx, attempt_id, token, lease_seconds=lease_seconds)
    if batch:
        _take_records(tx, held.job_id, held.trial_id, batch)
    return held


def end_attempt(tx: Writing, attempt_id: str, token: str, end: AttemptEnd) -> Trial:
    """End an attempt and its trial, with all it found. Doing so twice in one way is harmless.

    Raises NotFoundError, LeaseLostError, InvalidInputError.
    """
    if end.state is TrialState.WAITING:
        return _give_back(tx, attempt_id, token, end)
    if not end.state.is_final:
        raise InvalidInputError("state", end.state.value, f"one of {', '.join(ENDINGS)}")
    moved = move(
        tx,
        ATTEMPTS,
        attempts.c.id == attempt_id,
        attempts.c.token_digest == digest(token),
        before=AttemptState.RUNNING,
        after=AttemptState.ENDED,
        trial_ended_as=end.state,
        reason=end.reason,
    )
    if not moved:
        return _ended_before(tx, attempt_id, token, end.state)
    job_id, trial_id = moved[0].job_id, moved[0].trial_id
    if end.state is TrialState.PRUNED and not end.reason:
        end = end.model_copy(update={"reason": get_attempt_row(tx, attempt_id).prune_reason or ""})
    if end.records:
        _take_records(tx, job_id, trial_id, end.records)
    if end.networks:
        add_networks(tx, job_id, trial_id, end.networks)
    _end_trial(tx, trial_id, end)
    return get_trial(tx, trial_id)


def _give_back(tx: Writing, attempt_id: str, token: str, end: AttemptEnd) -> Trial:
    is_mine = and_(attempts.c.id == attempt_id, attempts.c.token_digest == digest(token))
    if not lose_attempts(tx, is_mine, reason=end.reason):
        row = get_attempt_row(tx, attempt_id)
        if row.state != AttemptState.LOST or row.token_digest != digest(token):
            raise LeaseLostError("attempt", attempt_id)
    return get_trial(tx, get_attempt_row(tx, attempt_id).trial_id)


def _take_records(tx: Writing, job_id: str, trial_id: str, batch: list[Record]) -> None:
    add_records(tx, trial_id, batch)
    tx.facts.append(EpochsTaken(count=len(batch)))
    summarise(tx, trial_id)
    tx.tell("records", job_id=job_id, trial_id=trial_id)


def _end_trial(tx: Writing, trial_id: str, end: AttemptEnd) -> None:
    moved = move(
        tx,
        TRIALS,
        trials.c.id == trial_id,
        before=TrialState.RUNNING,
        after=end.state,
        reason=end.reason,
        **(_summary_of(chosen) if (chosen := best(end.networks)) else {}),
    )
    assert moved, "a running attempt belongs to a running trial"


def _summary_of(network: NetworkResult) -> dict[str, Any]:
    return {
        "validation_accuracy": network.validation_accuracy,
        "widths": network.widths,
        "parameters": network.parameters,
        "macs": network.macs,
        "latency_ms": network.latency_ms,
    }


def _ended_before(tx: Writing, attempt_id: str, token: str, state: TrialState) -> Trial:
    row = get_attempt_row(tx, attempt_id)
    is_same = row.token_digest == digest(token) and row.trial_ended_as == state
    if row.state != AttemptState.ENDED or not is_same:
        raise LeaseLostError("attempt", attempt_id)
    return get_trial(tx, row.trial_id)


def _replace_unseen(tx: Writing, trial_id: str) -> None:
    # Only the job's holder starts attempts. Where it asks again and no process ever showed the
    # first token, the answer that carried it got lost; waiting for its lease would help nobody.
    is_unseen = and_(attempts.c.trial_id == trial_id, attempts.c.seen_at.is_(None))
    lose_attempts(tx, is_unseen, reason="Its token was never used.")
