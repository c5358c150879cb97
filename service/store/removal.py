"""Deletes jobs with all that belongs to them."""

from sqlalchemy import CompoundSelect, Table, delete, select

from service.errors import ConflictError
from service.store.jobs import lock_row
from service.store.tables import (
    attempts,
    checkpoint_files,
    checkpoints,
    events,
    exports,
    idempotency_keys,
    job_labels,
    job_methods,
    jobs,
    log_chunks,
    networks,
    records,
    trials,
)
from service.store.transactions import Writing
from shrinknets.wire import JobState

_OWNED: tuple[Table, ...] = (
    events,
    exports,
    networks,
    attempts,
    trials,
    job_labels,
    job_methods,
    idempotency_keys,
)
"""The tables whose rows name a job, in the order in which they can go."""


def delete_job(tx: Writing, job_id: str) -> list[str]:
    """Delete a job; returns the SHA-256 of the files that it referred to.

    They are the caller's to delete after the commit, where nothing else refers to them. Raises
    NotFoundError, and ConflictError while a worker has the job.
    """
    if lock_row(tx, job_id).state is JobState.RUNNING:
        raise ConflictError(f"Job {job_id!r} is running: cancel it, and delete it once it ended.")
    files = list(tx.connection.execute(_files_of(job_id)).scalars())
    its_trials = select(trials.c.id).where(trials.c.job_id == job_id)
    for table in (records, log_chunks, checkpoints, checkpoint_files):
        tx.connection.execute(delete(table).where(table.c.trial_id.in_(its_trials)))
    for table in _OWNED:
        tx.connection.execute(delete(table).where(table.c.job_id == job_id))
    tx.connection.execute(delete(jobs).where(jobs.c.id == job_id))
    tx.tell("deleted", job_id=job_id)
    return files


def _files_of(job_id: str) -> CompoundSelect[str]:
    weights = select(networks.c.weights_sha256).where(networks.c.job_id == job_id)
    exported = select(exports.c.sha256).where(
        exports.c.job_id == job_id, exports.c.sha256.is_not(None)
    )
    its_trials = select(trials.c.id).where(trials.c.job_id == job_id)
    unfinished = [
        select(table.c.sha256).where(table.c.trial_id.in_(its_trials))
        for table in (checkpoints, checkpoint_files)
    ]
    return weights.union(exported, *unfinished)
