"""Gives queued jobs to the workers that ask for one and can run them."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import (
    ARRAY,
    JSON,
    ColumnElement,
    Double,
    Integer,
    Row,
    Select,
    String,
    any_,
    bindparam,
    column,
    func,
    select,
)
from sqlalchemy.sql.dml import ReturningUpdate

from service.store.clock import now
from service.store.facts import Claimed
from service.store.ids import digest, new_token
from service.store.jobs import HAS_MORE, build_bare_job, build_jobs
from service.store.states import JOBS, moving, run_move
from service.store.tables import jobs
from service.store.transactions import Writing
from shrinknets.wire import Claim, ClaimRequest, Job, JobState


def claim_job(tx: Writing, *, worker: str, lease_seconds: float) -> Claim | None:
    """Give the job of the highest priority, and of those the oldest, to a plain worker.

    It can build perceptrons alone. None where no such job is queued.
    """
    return claim_jobs(tx, [ClaimRequest(worker=worker)], lease_seconds=lease_seconds)[0]


def claim_jobs(
    tx: Writing, asked: Sequence[ClaimRequest], *, lease_seconds: float
) -> list[Claim | None]:
    """Give each worker a job that it can run; returns a claim for each, None for who goes without.

    Workers that can build the same families get the first such jobs of the queue in the order in
    which they asked. Of several kinds of workers, that of the first who asked chooses first.
    """
    ids = _pick(tx, asked)
    workers = {
        job_id: one.worker for job_id, one in zip(ids, asked, strict=True) if job_id is not None
    }
    claims = _hand_over(tx, workers, lease_seconds=lease_seconds) if workers else {}
    return [None if job_id is None else claims[job_id] for job_id in ids]


def _pick(tx: Writing, asked: Sequence[ClaimRequest]) -> list[str | None]:
    """Lock a job for each worker, by one statement for all that can build the same families."""
    kinds: defaultdict[frozenset[str], list[int]] = defaultdict(list)
    for place, one in enumerate(asked):
        kinds[one.buildable].append(place)
    picked: dict[int, str] = {}
    for families, places in kinds.items():
        values = {
            "at_most": len(places),
            "families": list(families),
            "picked": list(picked.values()),
        }
        query = _queued(tx.dialect, but_picked=bool(picked))
        found = tx.connection.execute(query, values).scalars().all()
        picked.update(zip(places, found, strict=False))
    return [picked.get(place) for place in range(len(asked))]


@cache
def _queued(dialect: str, *, but_picked: bool) -> Select[str]:
    # Locks nothing that is given to nobody: others would go past it, and wait although it is there.
    query = (
        select(jobs.c.id)
        .where(jobs.c.state == JobState.QUEUED, _is_of_families(dialect))
        .order_by(jobs.c.priority.desc(), jobs.c.seq)
        .limit(bindparam("at_most", type_=Integer()))
        .with_for_update(skip_locked=True, key_share=True)
    )
    # A transaction goes past what others have locked, but not past what it locked itself.
    is_left = jobs.c.id.not_in(bindparam("picked", expanding=True))
    return query.where(is_left) if but_picked else query


def _is_of_families(dialect: str) -> ColumnElement[bool]:
    # One value whatever their number: a list is written into each statement anew.
    if dialect == "postgresql":
        return jobs.c.family == any_(bindparam("families", type_=ARRAY(String())))
    told = func.json_each(bindparam("families", type_=JSON())).table_valued("value")
    return jobs.c.family.in_(select(told.c.value))


def _hand_over(
    tx: Writing, workers: Mapping[str, str], *, lease_seconds: float
) -> dict[str, Claim]:
    """Let jobs that are locked run, each on its worker; the claims by job."""
    tokens = {job_id: new_token() for job_id in workers}
    given = {
        job_id: {"worker": worker, "token_digest": digest(tokens[job_id])}
        for job_id, worker in workers.items()
    }
    moved = run_move(
        tx, JOBS, _claiming(), after=JobState.RUNNING, given=given, lease_seconds=lease_seconds
    )
    # What is locked, nobody else can have moved.
    assert len(moved) == len(workers)
    tx.facts.extend(Claimed() for _ in moved)
    return {
        job.id: Claim(job=job, token=tokens[job.id], lease_seconds=lease_seconds)
        for job in _build(tx, moved)
    }


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
