"""Workers: who asked for jobs or renewed a lease, from where, and when last."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from service.store.clock import now
from service.store.tables import attempts, jobs, workers
from service.store.transactions import Reading, Writing
from shrinknets.wire import AttemptState, ClaimRequest, JobState, WorkerInfo, WorkerState

BEAT_SECONDS = 5.0
"""A heartbeat is written no more often: a worker is heard of twice a second."""
SHOWN = 1_000


def introduce(tx: Writing, asking: Sequence[ClaimRequest]) -> None:
    """Note workers that ask for jobs, unless that was done a moment ago."""
    known = _find_fresh(tx, [one.worker for one in asking])
    new = {one.worker: one for one in asking if not _is_known(one, known.get(one.worker))}
    # In one order everywhere, lest two servers wait for each other.
    told = [{"name": name, **_described(one)} for name, one in sorted(new.items())]
    for rows in ([r for r in told if "families" in r], [r for r in told if "families" not in r]):
        if rows:
            _note(tx, rows)


def _described(worker: ClaimRequest) -> dict[str, Any]:
    # A worker that has just started does not know its families yet: most likely they are the same.
    told = {"host", "device"} | ({"families"} if worker.families is not None else set())
    return worker.model_dump(mode="json", include=told)


def _note(tx: Writing, rows: Sequence[dict[str, Any]]) -> None:
    insert = (postgresql.insert if tx.dialect == "postgresql" else sqlite.insert)(workers)
    statement = insert.values(first_seen_at=now(), last_seen_at=now())
    changed = {name: statement.excluded[name] for name in rows[0] if name != "name"}
    tx.connection.execute(
        statement.on_conflict_do_update(
            index_elements=[workers.c.name], set_={"last_seen_at": now(), **changed}
        ),
        rows,
    )


def hear(tx: Writing, name: str) -> None:
    """Note a heartbeat of a worker that introduced itself, unless that was done a moment ago."""
    if not _find_fresh(tx, [name]):
        statement = update(workers).where(workers.c.name == name).values(last_seen_at=now())
        tx.connection.execute(statement)


def list_workers(tx: Reading, *, silent_seconds: float) -> list[WorkerInfo]:
    """The workers heard of last, the newest first, in three queries."""
    # A heartbeat may be this much younger than it is known to be.
    since = now(plus_seconds=-(silent_seconds + BEAT_SECONDS))
    query = (
        select(workers, (workers.c.last_seen_at < since).label("is_silent"))
        .order_by(workers.c.last_seen_at.desc(), workers.c.name)
        .limit(SHOWN)
    )
    held = _jobs_by_worker(tx)
    running = _trials_by_worker(tx)
    return [
        WorkerInfo(
            name=row.name,
            host=row.host,
            device=row.device,
            families=None if row.families is None else [one["name"] for one in row.families],
            state=_state(row, is_busy=row.name in held),
            jobs=held[row.name],
            trials=running[row.name],
            first_seen_at=row.first_seen_at,
            last_seen_at=row.last_seen_at,
        )
        for row in tx.connection.execute(query).all()
    ]


def drop_silent(tx: Writing, *, days: float) -> int:
    """Forget workers not heard of for longer that hold no job; returns how many."""
    return tx.connection.execute(delete(workers).where(_is_forgotten(days))).rowcount


def count_silent(tx: Reading, *, days: float) -> int:
    """How many `drop_silent` would forget."""
    return len(tx.connection.execute(select(workers.c.name).where(_is_forgotten(days))).all())


def _is_forgotten(days: float) -> Any:
    busy = select(jobs.c.worker).where(jobs.c.state == JobState.RUNNING)
    is_old = workers.c.last_seen_at < now(plus_seconds=-days * 86_400)
    return is_old & workers.c.name.not_in(busy.where(jobs.c.worker.is_not(None)))


def _find_fresh(tx: Reading, names: Sequence[str]) -> dict[str, Row[Any]]:
    # Read before anything is written: most often nothing needs to be, and no row be locked.
    query = select(workers).where(
        workers.c.name.in_(names), workers.c.last_seen_at > now(plus_seconds=-BEAT_SECONDS)
    )
    return {row.name: row for row in tx.connection.execute(query)}


def _is_known(worker: ClaimRequest, row: Row[Any] | None) -> bool:
    return row is not None and all(getattr(row, k) == v for k, v in _described(worker).items())


def _state(row: Row[Any], *, is_busy: bool) -> WorkerState:
    if row.is_silent:
        return WorkerState.SILENT
    return WorkerState.BUSY if is_busy else WorkerState.IDLE


def _jobs_by_worker(tx: Reading) -> defaultdict[str, list[str]]:
    query = select(jobs.c.worker, jobs.c.id).where(jobs.c.state == JobState.RUNNING)
    return _grouped(tx.connection.execute(query.order_by(jobs.c.seq)).all())


def _trials_by_worker(tx: Reading) -> defaultdict[str, list[str]]:
    query = (
        select(jobs.c.worker, attempts.c.trial_id)
        .join(jobs, jobs.c.id == attempts.c.job_id)
        .where(attempts.c.state == AttemptState.RUNNING, jobs.c.state == JobState.RUNNING)
        .order_by(attempts.c.started_at, attempts.c.id)
    )
    return _grouped(tx.connection.execute(query).all())


def _grouped(rows: Any) -> defaultdict[str, list[str]]:
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for worker, what in rows:
        groups[worker].append(what)
    return groups
