"""Submissions that may be sent again: a key makes them one job."""

import hashlib
import json

from sqlalchemy import delete, select
from sqlalchemy.dialects import postgresql, sqlite

from service.errors import ConflictError
from service.store.clock import now
from service.store.ids import Kind, new_id
from service.store.jobs import create_job, get_job
from service.store.quotas import Share
from service.store.tables import idempotency_keys as keys
from service.store.transactions import Writing
from shrinknets.wire import Job, JobSubmission

KEEP_SECONDS = 24 * 60 * 60
"""How long a key is remembered; a client that tries again has long given up."""


def submit_job(
    tx: Writing,
    submission: JobSubmission,
    *,
    key: str | None = None,
    owner: str = "",
    share: Share | None = None,
) -> tuple[Job, bool]:
    """Queue a job; returns it and whether it is new.

    The same key of the same owner with the same submission gives the same job again, as it stands
    now. Raises ConflictError where the owner used the key for another submission, and what
    `create_job` raises.
    """
    job_id = new_id(Kind.JOB)
    taken_by = None if key is None else _take(tx, owner, key, submission, job_id)
    if taken_by is not None:
        return get_job(tx, taken_by), False
    job = create_job(
        tx,
        submission.spec(),
        labels=submission.labels,
        priority=submission.priority,
        job_id=job_id,
        share=share,
    )
    return job, True


def forget_old_keys(tx: Writing) -> None:
    """Let keys go that are older than a day."""
    tx.connection.execute(delete(keys).where(keys.c.created_at < now(plus_seconds=-KEEP_SECONDS)))


def _take(tx: Writing, owner: str, key: str, submission: JobSubmission, job_id: str) -> str | None:
    """Note whose the key is; returns the job that has it already."""
    digest = _digest(submission)
    insert = postgresql.insert if tx.dialect == "postgresql" else sqlite.insert
    values = {
        "owner": owner,
        "key": key,
        "body_digest": digest,
        "job_id": job_id,
        "created_at": now(),
    }
    # Whoever comes second waits here until the first has committed, and then sees its row.
    taken = tx.connection.execute(
        insert(keys).values(values).on_conflict_do_nothing().returning(keys.c.key)
    )
    if taken.one_or_none() is not None:
        return None
    row = tx.connection.execute(select(keys).where(keys.c.owner == owner, keys.c.key == key)).one()
    if row.body_digest != digest:
        raise ConflictError(
            f"The Idempotency-Key {key!r} was used for another submission: take a new one."
        )
    return str(row.job_id)


def _digest(submission: JobSubmission) -> str:
    # Without what is as by default, so that a field that a later version adds changes nothing.
    content = submission.model_dump(mode="json", exclude_defaults=True)
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
