"""How much one key may have at once."""

from dataclasses import dataclass

from sqlalchemy import func, select

from service.errors import TooLargeError, TooManyJobsError
from service.store.tables import datasets, jobs
from service.store.transactions import Reading, Writing
from shrinknets.wire import JobState

_WAITING = (JobState.QUEUED, JobState.PAUSED)
# Any number does, as long as nothing else in the database locks pairs that begin with it.
_TURNS = 7_239


@dataclass(frozen=True, kw_only=True)
class Share:
    """Who asks, and how much of the service they may have."""

    key_id: str | None
    """None stands for all who need no key."""
    max_queued_jobs: int
    max_dataset_bytes: int


def require_queue_room(tx: Writing, share: Share) -> None:
    """Raises TooManyJobsError. Others of the same key wait until this transaction has ended."""
    _take_turn(tx, share)
    is_theirs = jobs.c.key_id.is_not_distinct_from(share.key_id)
    query = select(func.count()).where(is_theirs, jobs.c.state.in_(_WAITING))
    if tx.connection.execute(query).scalar_one() >= share.max_queued_jobs:
        raise TooManyJobsError(share.max_queued_jobs)


def require_dataset_room(tx: Writing, share: Share, size_bytes: int) -> None:
    """Raises TooLargeError. Others of the same key wait until this transaction has ended."""
    _take_turn(tx, share)
    check_dataset_room(tx, share, size_bytes)


def check_dataset_room(tx: Reading, share: Share, size_bytes: int) -> None:
    """The same as things stand, to spare a transfer in vain. Raises TooLargeError."""
    is_theirs = datasets.c.key_id.is_not_distinct_from(share.key_id)
    query = select(func.coalesce(func.sum(datasets.c.size_bytes), 0)).where(is_theirs)
    used = int(tx.connection.execute(query).scalar_one())
    if used + size_bytes > share.max_dataset_bytes:
        raise TooLargeError(
            f"The data sets of this key take {used:,} bytes; {size_bytes:,} more would be beyond "
            f"the {share.max_dataset_bytes:,} that it may have: delete some that are not needed. "
            "The service's operator can raise SHRINKNETS_MAX_DATASET_BYTES_PER_KEY."
        )


def _take_turn(tx: Writing, share: Share) -> None:
    # SQLite has one writer at a time anyway.
    if tx.dialect == "postgresql":
        who = func.hashtext(share.key_id or "")
        tx.connection.execute(select(func.pg_advisory_xact_lock(_TURNS, who)))
