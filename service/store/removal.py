"""Deletes jobs with all that belongs to them."""

from collections.abc import Iterator, Sequence

from sqlalchemy import ColumnElement, CompoundSelect, Table, delete, exists, or_, select

from service.errors import ConflictError
from service.store.jobs import lock_row
from service.store.tables import (
    artifacts,
    attempts,
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

_PART = 1000


def delete_job(tx: Writing, job_id: str) -> list[str]:
    """Delete a job; returns the SHA-256 of the files that nothing refers to any more.

    Their rows are gone with it; the files are the caller's to delete, after the commit. Raises
    NotFoundError, and ConflictError while a worker has the job.
    """
    if lock_row(tx, job_id).state is JobState.RUNNING:
        raise ConflictError(f"Job {job_id!r} is running: cancel it, and delete it once it ended.")
    files = list(tx.connection.execute(_files_of(job_id)).scalars())
    its_trials = select(trials.c.id).where(trials.c.job_id == job_id)
    for table in (records, log_chunks):
        tx.connection.execute(delete(table).where(table.c.trial_id.in_(its_trials)))
    for table in _OWNED:
        tx.connection.execute(delete(table).where(table.c.job_id == job_id))
    tx.connection.execute(delete(jobs).where(jobs.c.id == job_id))
    return [sha256 for part in _parts(files) for sha256 in _drop_unused(tx, part)]


def is_referred_to() -> ColumnElement[bool]:
    """Whether a file is part of a network, be it its weights or an export."""
    return or_(
        exists().where(networks.c.weights_sha256 == artifacts.c.sha256),
        exists().where(exports.c.sha256 == artifacts.c.sha256),
    )


def _files_of(job_id: str) -> CompoundSelect[str]:
    weights = select(networks.c.weights_sha256).where(networks.c.job_id == job_id)
    exported = select(exports.c.sha256).where(
        exports.c.job_id == job_id, exports.c.sha256.is_not(None)
    )
    return weights.union(exported)


def _parts(files: Sequence[str]) -> Iterator[Sequence[str]]:
    # A statement takes some 30,000 values at most.
    for start in range(0, len(files), _PART):
        yield files[start : start + _PART]


def _drop_unused(tx: Writing, files: Sequence[str]) -> list[str]:
    unused = delete(artifacts).where(artifacts.c.sha256.in_(files), ~is_referred_to())
    return list(tx.connection.execute(unused.returning(artifacts.c.sha256)).scalars())
