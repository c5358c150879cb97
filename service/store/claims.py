"""Gives queued jobs to the workers that ask for one."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import JSON, Double, Integer, Row, String, bindparam, column, func, select
from sqlalchemy.sql.dml import ReturningUpdate

from service.store.clock import now
from service.store.facts import Claimed
from service.store.ids import digest, new_token
from service.store.jobs import HAS_MORE, build_bare_job, build_jobs
from service.store.states import JOBS, moving, run_move
from service.store.tables import jobs
from service.store.transactions import Writing
from shrinknets.wire import Claim, Job, JobState


def claim_job(tx: Writing, *, worker: str, lease_seconds: float) -> Claim | None:
    """Give the queued job of the highest priority, and of those the oldest, to a worker.

    None where nothing is queued.
    """
    claims = claim_jobs(tx, [worker], lease_seconds=lease_seconds)
    return claims[0] if claims else None


def claim_jobs(tx: Writing, workers: Sequence[str], *, lease_seconds: float) -> list[Claim]:
    """Give each worker a job, the first the one that comes first in the queue.

    Returns the claims in the order of the workers; the last go without where too few are queued.
    """
    ids = tx.connection.execute(_FIRST, {"at_most": len(workers)}).scalars().all()
    if not ids:
        return []
    tokens = {job_id: new_token() for job_id in ids}
    given = {
        job_id: {"worker": worker, "token_digest": digest(tokens[job_id])}
        for job_id, worker in zip(ids, workers, strict=False)
    }
    moved = run_move(
        tx, JOBS, _claiming(), after=JobState.RUNNING, given=given, lease_seconds=lease_seconds
    )
    # What the first statement locked, nobody else can have moved.
    assert len(moved) == len(ids)
    tx.facts.extend(Claimed() for _ in ids)
    rows = {row.id: row for row in moved}
    built = _build(tx, [rows[job_id] for job_id in ids])
    return [Claim(job=job, token=tokens[job.id], lease_seconds=lease_seconds) for job in built]


_FIRST = (
    select(jobs.c.id)
    .where(jobs.c.state == JobState.QUEUED)
    .order_by(jobs.c.priority.desc(), jobs.c.seq)
    .limit(bindparam("at_most", type_=Integer()))
    .with_for_update(skip_locked=True, key_share=True)
)


@cache
def _claiming() -> ReturningUpdate[Any]:
    # Kept, because making the statement takes longer than running it.
    given = func.json_each(bindparam("given", type_=JSON())).table_valued(
        column("key", String()), column("value", JSON()), name="given"
    )
    return moving(
        JOBS,
        jobs.c.id == given.c.key,
        before=JobState.QUEUED,
        after=JobState.RUNNING,
        reason="",
        worker=given.c.value["worker"].as_string(),
        token_digest=given.c.value["token_digest"].as_string(),
        lease_expires_at=now(plus_seconds=bindparam("lease_seconds", type_=Double())),
    ).returning(*(each for each in jobs.c if each is not jobs.c.id), HAS_MORE)


def _build(tx: Writing, rows: Sequence[Row[Any]]) -> list[Job]:
    # Most have neither trials nor labels yet, and others wait for this transaction to end.
    if any(row.has_more for row in rows):
        return build_jobs(tx, rows)
    return [build_bare_job(row) for row in rows]
