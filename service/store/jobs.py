"""Jobs: create, read, change, cancel."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_, func, insert, or_, select, update
from sqlalchemy import exists as sql_exists

from service.errors import ConflictError, InvalidInputError, NotFoundError
from service.store.clock import now
from service.store.datasets import hold_dataset
from service.store.families import settle, unoffered
from service.store.ids import Kind, new_id
from service.store.labels import read_labels, set_labels
from service.store.quotas import Share, require_queue_room
from service.store.states import ATTEMPTS, JOBS, TRIALS, move
from service.store.tables import attempts, job_labels, job_methods, jobs, trials
from service.store.transactions import Reading, Writing
from shrinknets.wire import (
    MLP,
    AttemptState,
    Job,
    JobPatch,
    JobSpec,
    JobState,
    Method,
    Progress,
    TrialState,
)

HAS_MORE = or_(
    sql_exists().where(trials.c.job_id == jobs.c.id),
    sql_exists().where(job_labels.c.job_id == jobs.c.id),
).label("has_more")
"""Whether a job has trials or labels, as a column of its row."""

_FINAL = [state for state in TrialState if state.is_final]


def create_job(
    tx: Writing,
    spec: JobSpec,
    *,
    labels: Mapping[str, str] | None = None,
    priority: int = 0,
    job_id: str | None = None,
    share: Share | None = None,
) -> Job:
    """Put a job at the end of the queue, or of those of its priority.

    Raises InvalidInputError where there is no such data set or network, and TooManyJobsError where
    its submitter's share of the queue is used up.
    """
    if share is not None:
        require_queue_room(tx, share)
    hold_dataset(tx, spec.dataset)
    require_earlier_jobs(tx, spec.warm_start)
    spec = settle(tx, spec)
    job_id = job_id or new_id(Kind.JOB)
    chosen = spec.methods.chosen()
    tx.connection.execute(
        insert(jobs).values(
            id=job_id,
            state=JobState.QUEUED,
            reason="",
            spec=spec.model_dump(mode="json"),
            **_named(spec.name),
            dataset=spec.dataset,
            family=spec.network.family,
            priority=priority,
            key_id=share.key_id if share else None,
            total_trials=spec.total_trials,
            created_at=now(),
        )
    )
    rows = [{"job_id": job_id, "method": method} for method in chosen]
    tx.connection.execute(insert(job_methods), rows)
    set_labels(tx, job_id, labels or {})
    tx.tell_of_job(job_id, is_queued=True)
    return get_job(tx, job_id)


def get_job(tx: Reading, job_id: str) -> Job:
    """Raises NotFoundError."""
    return build_jobs(tx, [get_row(tx, job_id)])[0]


def change_job(tx: Writing, job_id: str, patch: JobPatch) -> Job:
    """Change a job's name, labels or priority, in whatever state it is. Raises NotFoundError."""
    lock_row(tx, job_id)
    changes: dict[str, Any] = {} if patch.name is None else _named(patch.name)
    if patch.priority is not None:
        changes["priority"] = patch.priority
    if changes:
        tx.connection.execute(update(jobs).where(jobs.c.id == job_id).values(changes))
    if patch.labels is not None:
        set_labels(tx, job_id, patch.labels)
    tx.tell("job", job_id=job_id)
    return get_job(tx, job_id)


def require_earlier_jobs(tx: Reading, job_ids: Sequence[str]) -> None:
    """Raises InvalidInputError that names the first job that is not there."""
    for place, job_id in enumerate(job_ids):
        if not exists(tx, job_id):
            raise InvalidInputError(f"warm_start.{place}", job_id, "the id of a job that there is")


def exists(tx: Reading, job_id: str) -> bool:
    """Whether there is such a job."""
    query = select(jobs.c.id).where(jobs.c.id == job_id)
    return tx.connection.execute(query).first() is not None


def get_row(tx: Reading, job_id: str) -> Row[Any]:
    """Raises NotFoundError."""
    return _one(tx, job_id, select(jobs).where(jobs.c.id == job_id))


def lock_row(tx: Writing, job_id: str) -> Row[Any]:
    """Read a job that nobody else can change before the commit. Raises NotFoundError."""
    query = select(jobs).where(jobs.c.id == job_id)
    return _one(tx, job_id, query.with_for_update(key_share=True))


def cancel_job(tx: Writing, job_id: str) -> Job:
    """Cancel at once what nobody works on; ask the worker of a running job to stop.

    Raises NotFoundError, and ConflictError where the job has ended otherwise.
    """
    match lock_row(tx, job_id).state:
        case JobState.QUEUED | JobState.PAUSED as state:
            reason = "Cancelled on request, while no worker had it."
            move(
                tx, JOBS, jobs.c.id == job_id, before=state, after=JobState.CANCELLED, reason=reason
            )
            cancel_trials(tx, [job_id], reason=reason)
        case JobState.RUNNING:
            _request_cancel(tx, job_id)
        case JobState.CANCELLED:
            pass
        case state:
            raise ConflictError(f"Job {job_id!r} has {state.value} already: nothing to cancel.")
    return get_job(tx, job_id)


def cancel_trials(tx: Writing, job_ids: Iterable[str], *, reason: str) -> None:
    """Cancel all trials of jobs that have not ended, and end their attempts."""
    ids = list(job_ids)
    move(
        tx,
        ATTEMPTS,
        attempts.c.job_id.in_(ids),
        before=AttemptState.RUNNING,
        after=AttemptState.ENDED,
        trial_ended_as=TrialState.CANCELLED,
        reason=reason,
    )
    for before in (TrialState.WAITING, TrialState.RUNNING):
        move(
            tx,
            TRIALS,
            trials.c.job_id.in_(ids),
            before=before,
            after=TrialState.CANCELLED,
            reason=reason,
        )


def _named(name: str) -> dict[str, Any]:
    return {"name": name, "folded_name": name.casefold()}


def _one(tx: Reading, job_id: str, query: Select[Any]) -> Row[Any]:
    row = tx.connection.execute(query).one_or_none()
    if row is None:
        raise NotFoundError("job", job_id)
    return row


def _request_cancel(tx: Writing, job_id: str) -> None:
    statement = (
        update(jobs)
        .where(jobs.c.id == job_id, jobs.c.cancel_requested_at.is_(None))
        .values(cancel_requested_at=now(), reason="Cancel requested; the worker is stopping it.")
    )
    if tx.connection.execute(statement).rowcount:
        tx.tell("job", job_id=job_id)


def build_jobs(tx: Reading, rows: Sequence[Row[Any]]) -> list[Job]:
    """The jobs of rows, in a constant number of queries."""
    progress = _progress(tx, rows)
    labels = read_labels(tx, [row.id for row in rows])
    missing = unoffered(tx, {row.family for row in rows if _may_lack_workers(row)})
    return [_build(row, labels.get(row.id, {}), progress[row.id], missing) for row in rows]


def build_bare_job(row: Row[Any]) -> Job:
    """The job of a row that has neither trials nor labels, and does not wait for a worker."""
    return _build(row, {}, _progress_of(row, None, None))


def _build(
    row: Row[Any], labels: dict[str, str], progress: Progress, missing: Collection[str] = ()
) -> Job:
    """`missing`: the families that no worker can build."""
    return Job(
        id=row.id,
        state=row.state,
        reason=_reason(row, missing),
        name=row.name,
        labels=labels,
        priority=row.priority,
        # A job can be renamed; what it was submitted as is of no use to anybody.
        spec=JobSpec.model_validate({**row.spec, "name": row.name}),
        progress=progress,
        created_at=row.created_at,
        started_at=row.started_at,
        ended_at=row.ended_at,
        worker=row.worker,
    )


def _may_lack_workers(row: Row[Any]) -> bool:
    return row.state == JobState.QUEUED and not row.reason and row.family != MLP


def _reason(row: Row[Any], missing: Collection[str]) -> str:
    # Never stored: it is true until such a worker comes, and nobody is told of that.
    if _may_lack_workers(row) and row.family in missing:
        return (
            f"Waits for a worker that has the network family {row.family!r}: none that is here "
            "does."
        )
    return str(row.reason)


def _progress(tx: Reading, rows: Sequence[Row[Any]]) -> dict[str, Progress]:
    ids = [row.id for row in rows]
    counts = {row.job_id: row for row in tx.connection.execute(_counts(ids))} if ids else {}
    alive = _alive_units(tx, ids) if ids else {}
    return {row.id: _progress_of(row, counts.get(row.id), alive.get(row.id)) for row in rows}


def _progress_of(row: Row[Any], counts: Row[Any] | None, alive: int | None) -> Progress:
    ended, running = (0, 0) if counts is None else (counts.ended, counts.running)
    return Progress(
        # A network that is chosen anew, after failed trials were tried again, is retrained anew.
        total=max(row.total_trials, ended + running),
        ended=ended,
        running=running,
        best_validation_accuracy=None if counts is None else counts.best,
        alive_units=alive,
    )


def _counts(ids: list[str]) -> Select[Any]:
    def count(which: ColumnElement[bool]) -> ColumnElement[int]:
        return func.count().filter(which)

    # A retrained network is there to compare with, not to be taken.
    is_complete = and_(trials.c.state == TrialState.COMPLETE, trials.c.method != Method.RETRAIN)
    return (
        select(
            trials.c.job_id,
            count(trials.c.state.in_(_FINAL)).label("ended"),
            count(trials.c.state == TrialState.RUNNING).label("running"),
            func.max(trials.c.validation_accuracy).filter(is_complete).label("best"),
        )
        .where(trials.c.job_id.in_(ids))
        .group_by(trials.c.job_id)
    )


def _alive_units(tx: Reading, ids: list[str]) -> dict[str, int]:
    latest = (
        func.row_number()
        .over(
            partition_by=trials.c.job_id,
            order_by=(trials.c.reported_at.desc(), trials.c.seq.desc()),
        )
        .label("place")
    )
    ranked = (
        select(trials.c.job_id, trials.c.widths, latest)
        .where(
            trials.c.job_id.in_(ids),
            trials.c.state == TrialState.RUNNING,
            trials.c.reported_at.is_not(None),
        )
        .subquery()
    )
    query = select(ranked.c.job_id, ranked.c.widths).where(ranked.c.place == 1)
    return {row.job_id: sum(row.widths) for row in tx.connection.execute(query)}
