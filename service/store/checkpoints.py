"""Checkpoints: what a trial goes on from when its process was lost, paused or preempted."""

from sqlalchemy import delete, func, insert, select, update

from service.errors import InvalidInputError, NotFoundError
from service.store.clock import now
from service.store.dropping import drop_checkpoints
from service.store.leases import Held, get_held_row, renew_attempt
from service.store.networks import require_files
from service.store.tables import artifacts, checkpoint_files, checkpoints, records, trials
from service.store.transactions import Reading, Writing
from service.store.trials import summarise
from shrinknets.wire import CheckpointFile, NewCheckpoint

KEPT = 2
"""Of each trial: should the newest be damaged, there is another."""


def add_checkpoint(
    tx: Writing, attempt_id: str, token: str, new: NewCheckpoint, *, lease_seconds: float
) -> Held:
    """Keep a checkpoint, drop older ones and renew the lease.

    Raises NotFoundError, LeaseLostError, and InvalidInputError where a file was not handed in or
    records up to its step are missing.
    """
    held = renew_attempt(tx, attempt_id, token, lease_seconds=lease_seconds)
    _require_records(tx, held.trial_id, new.step)
    wanted = {sha256: f"files.{place}" for place, sha256 in enumerate(new.files)}
    require_files(tx, {**wanted, new.sha256: "sha256"})
    # The same step once more: an answer that got lost, or a file that is made anew.
    drop_checkpoints(tx, [held.trial_id], before=new.step + 1, after=new.step - 1)
    key = {"trial_id": held.trial_id, "step": new.step}
    tx.connection.execute(insert(checkpoints).values(**key, sha256=new.sha256, created_at=now()))
    if files := sorted(set(new.files)):
        tx.connection.execute(
            insert(checkpoint_files), [{**key, "sha256": sha256} for sha256 in files]
        )
    kept = list_checkpoints(tx, held.trial_id)
    if len(kept) > KEPT:
        drop_checkpoints(tx, [held.trial_id], before=kept[KEPT - 1].step)
    return held


def list_checkpoints(tx: Reading, trial_id: str) -> list[CheckpointFile]:
    """What a trial can go on from, newest first."""
    query = (
        select(checkpoints.c.step, checkpoints.c.sha256, artifacts.c.size_bytes)
        .join(artifacts, artifacts.c.sha256 == checkpoints.c.sha256)
        .where(checkpoints.c.trial_id == trial_id)
        .order_by(checkpoints.c.step.desc())
    )
    rows = tx.connection.execute(query)
    return [CheckpointFile(step=n, sha256=sha, size_bytes=size) for n, sha, size in rows]


def resume(tx: Writing, attempt_id: str, token: str, step: int, *, lease_seconds: float) -> Held:
    """Note that an attempt goes on from a checkpoint, or from the beginning at step 0.

    What its trial had beyond that is forgotten. Raises NotFoundError, LeaseLostError,
    InvalidInputError.
    """
    held = renew_attempt(tx, attempt_id, token, lease_seconds=lease_seconds)
    steps = [0, *(one.step for one in list_checkpoints(tx, held.trial_id))]
    if step not in steps:
        allowed = f"the step of a checkpoint: one of {', '.join(map(str, steps))}"
        raise InvalidInputError("step", str(step), allowed)
    go_back(tx, held.trial_id, step)
    return held


def go_back(tx: Writing, trial_id: str, step: int) -> None:
    """Forget all that a trial reported and kept beyond a step."""
    drop_checkpoints(tx, [trial_id], after=step)
    is_beyond = (records.c.trial_id == trial_id, records.c.step > step)
    tx.connection.execute(delete(records).where(*is_beyond))
    if step:
        tx.connection.execute(update(trials).where(trials.c.id == trial_id).values(reason=""))
        summarise(tx, trial_id)
        return
    tx.connection.execute(
        update(trials)
        .where(trials.c.id == trial_id)
        .values(
            reason="",
            epochs=0,
            train_seconds=0.0,
            validation_accuracy=None,
            widths=[],
            parameters=None,
            macs=None,
            latency_ms=None,
            reported_at=None,
        )
    )


def require_file(tx: Reading, attempt_id: str, token: str, sha256: str) -> None:
    """Make sure that a file belongs to a checkpoint of the attempt's trial.

    Raises NotFoundError, LeaseLostError.
    """
    trial_id = get_held_row(tx, attempt_id, token).trial_id
    for table in (checkpoints, checkpoint_files):
        query = select(table.c.step).where(table.c.trial_id == trial_id, table.c.sha256 == sha256)
        if tx.connection.execute(query).first() is not None:
            return
    raise NotFoundError("file of a checkpoint", sha256)


def _require_records(tx: Reading, trial_id: str, step: int) -> None:
    # Each epoch has one: after a resume none may be missing, and nobody would report it again.
    query = select(func.count()).where(records.c.trial_id == trial_id, records.c.step <= step)
    found = tx.connection.execute(query).scalar_one()
    if found != step:
        allowed = f"a step up to which all epochs were reported: {found} were"
        raise InvalidInputError("step", str(step), allowed)
