"""Deletes jobs with all that belongs to them."""

from collections.abc import Iterator, Sequence

from sqlalchemy import Table, delete, exists, select

from service.errors import ConflictError
from service.store.jobs import lock_row
from service.store.tables import (
    artifacts,
    attempts,
    datasets,
    events,
    idempotency_keys,
    job_labels,
    job_methods,
    jobs,
    networks,
    records,
    trials,
)
from service.store.transactions import Writing
from shrinknets.wire import JobState

_OWNED: tuple[Table, ...] = (
    events,
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
    its_files = select(networks.c.weights_sha256).where(networks.c.job_id == job_id).distinct()
    files = list(tx.connection.execute(its_files).scalars())
    its_trials = select(trials.c.id).where(trials.c.job_id == job_id)
    tx.connection.execute(delete(records).where(records.c.trial_id.in_(its_trials)))
    for table in _OWNED:
        tx.connection.execute(delete(table).where(table.c.job_id == job_id))
    tx.connection.execute(delete(jobs).where(jobs.c.id == job_id))
    return drop_unused(tx, files)


def drop_unused(tx: Writing, files: Sequence[str]) -> list[str]:
    """Forget those of these files that no network and no data set refers to; returns them.

    The files themselves are the caller's to delete, after the commit.
    """
    return [sha256 for part in _parts(files) for sha256 in _drop_unused(tx, part)]


def _parts(files: Sequence[str]) -> Iterator[Sequence[str]]:
    # A statement takes some 30,000 values at most.
    for start in range(0, len(files), _PART):
        yield files[start : start + _PART]


def _drop_unused(tx: Writing, files: Sequence[str]) -> list[str]:
    weights = exists().where(networks.c.weights_sha256 == artifacts.c.sha256)
    data = exists().where(datasets.c.sha256 == artifacts.c.sha256)
    unused = delete(artifacts).where(artifacts.c.sha256.in_(files), ~weights, ~data)
    return list(tx.connection.execute(unused.returning(artifacts.c.sha256)).scalars())
