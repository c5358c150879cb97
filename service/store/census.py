"""Counts what there is, in a few aggregate queries whatever the number of rows."""

from dataclasses import dataclass

from sqlalchemy import func, select, text

from service.store.clock import now
from service.store.tables import artifacts, attempts, jobs, networks, trials
from service.store.transactions import Reading
from shrinknets.wire import AttemptState, JobState


@dataclass(frozen=True, kw_only=True)
class Census:
    """The queue and the store of files at one moment."""

    jobs: dict[JobState, int]
    """Every state is there, also with none."""
    oldest_queued_seconds: float
    """Since the job that is first in the queue was submitted; 0 where none waits."""
    attempts_running: int
    artifacts: int
    artifact_bytes: int


def read_census(tx: Reading) -> Census:
    """Four queries; that of the jobs reads an index only."""
    count, size = tx.connection.execute(
        select(func.count(), func.coalesce(func.sum(artifacts.c.size_bytes), 0))
    ).one()
    return Census(
        jobs=count_jobs(tx),
        oldest_queued_seconds=_oldest_queued_seconds(tx),
        attempts_running=tx.connection.execute(
            select(func.count()).where(attempts.c.state == AttemptState.RUNNING)
        ).scalar_one(),
        artifacts=count,
        artifact_bytes=int(size),
    )


def count_jobs(tx: Reading) -> dict[JobState, int]:
    """How many jobs stand in each state."""
    query = select(jobs.c.state, func.count()).group_by(jobs.c.state)
    found = {row[0]: row[1] for row in tx.connection.execute(query)}
    return {state: found.get(state, 0) for state in JobState}


def count_results(tx: Reading) -> tuple[int, int]:
    """The number of trials and that of networks."""
    parts = (
        select(func.count()).select_from(table).scalar_subquery() for table in (trials, networks)
    )
    row = tx.connection.execute(select(*parts)).one()
    return row[0], row[1]


def database_bytes(tx: Reading) -> int:
    """What the database takes on its disk."""
    if tx.dialect == "postgresql":
        size = text("SELECT pg_database_size(current_database())")
    else:
        size = text("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")
    return int(tx.connection.execute(size).scalar_one())


def _oldest_queued_seconds(tx: Reading) -> float:
    first = (
        select(now(), jobs.c.created_at)
        .where(jobs.c.state == JobState.QUEUED)
        .order_by(jobs.c.seq)
        .limit(1)
    )
    row = tx.connection.execute(first).one_or_none()
    return 0.0 if row is None else max(0.0, (row[0] - row[1]).total_seconds())
