"""What follows when leases run out: their holders were silent for too long."""

from typing import Any

from sqlalchemy import ColumnElement, select, true

from service.store.clock import now
from service.store.facts import LeasesLost
from service.store.jobs import cancel_trials
from service.store.leases import lose_attempts
from service.store.states import JOBS, move
from service.store.tables import attempts, jobs
from service.store.transactions import Writing
from shrinknets.wire import JobState

# The first that fits counts: who wanted a job cancelled or paused gets that, not another worker.
_ENDS: list[tuple[ColumnElement[bool], JobState, str]] = [
    (
        jobs.c.cancel_requested_at.is_not(None),
        JobState.CANCELLED,
        "Cancelled on request, after its worker went silent.",
    ),
    (
        jobs.c.pause_requested_at.is_not(None),
        JobState.PAUSED,
        "Paused on request, after its worker went silent.",
    ),
    (true(), JobState.QUEUED, "Its worker was silent for too long; it waits for another."),
]
_NOBODY: dict[str, Any] = {
    "worker": None,
    "token_digest": None,
    "lease_expires_at": None,
    "pause_requested_at": None,
}


def expire_jobs(tx: Writing) -> list[str]:
    """Take the jobs of silent workers back: to the queue, or cancelled or paused as was asked."""
    overdue = (
        select(jobs.c.id)
        .where(jobs.c.state == JobState.RUNNING, jobs.c.lease_expires_at < now())
        .order_by(jobs.c.seq)
        .with_for_update(skip_locked=True, key_share=True)
    )
    ids = list(tx.connection.execute(overdue).scalars())
    if not ids:
        return []
    tx.facts.append(LeasesLost(what="job", count=len(ids)))
    lose_attempts(tx, attempts.c.job_id.in_(ids), reason="Its worker was silent for too long.")
    for which, after, reason in _ENDS:
        is_it = jobs.c.id.in_(ids)
        moved = move(
            tx, JOBS, is_it, which, before=JobState.RUNNING, after=after, reason=reason, **_NOBODY
        )
        if after is JobState.CANCELLED:
            cancel_trials(tx, [row.id for row in moved], reason="The job was cancelled.")
    return ids


def expire_attempts(tx: Writing) -> list[str]:
    """Give up the processes that were silent for too long; their trials wait for another."""
    reason = "Its process was silent for too long."
    lost = lose_attempts(tx, attempts.c.lease_expires_at < now(), reason=reason)
    if lost:
        tx.facts.append(LeasesLost(what="attempt", count=len(lost)))
    return lost
