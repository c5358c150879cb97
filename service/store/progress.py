"""What a job's driver reads and orders while trials run: new epochs, what was spent, pruning."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Row, and_, func, or_, select, update

from service.errors import LeaseLostError
from service.store.clock import now
from service.store.ids import digest
from service.store.jobs import get_row
from service.store.leases import hold_job
from service.store.tables import attempts, records, trials
from service.store.transactions import Reading, Writing
from service.store.trials import get_trial
from shrinknets.wire import AttemptState, Epochs, JobState, Spent, Trial

_COLUMNS = [records.c[name] for name in Epochs.model_fields]


def read_epochs(
    tx: Reading, job_id: str, token: str, after: Mapping[str, int]
) -> dict[str, Epochs]:
    """The epochs of a job's trials after the step that is known of each, in one query.

    Trials of other jobs and trials without newer epochs are left out. Raises NotFoundError,
    LeaseLostError.
    """
    require_holder(tx, job_id, token)
    if not after:
        return {}
    newer = [
        and_(records.c.trial_id == trial_id, records.c.step > step)
        for trial_id, step in after.items()
    ]
    query = (
        select(records.c.trial_id, *_COLUMNS)
        .join(trials, trials.c.id == records.c.trial_id)
        .where(trials.c.job_id == job_id, or_(*newer))
        .order_by(records.c.trial_id, records.c.step)
    )
    rows: dict[str, list[Row[Any]]] = defaultdict(list)
    for row in tx.connection.execute(query):
        rows[row.trial_id].append(row)
    return {trial_id: _as_columns(found) for trial_id, found in rows.items()}


def read_spent(tx: Reading, job_id: str, token: str) -> Spent:
    """What the job has spent so far, by its tables. Raises NotFoundError, LeaseLostError."""
    require_holder(tx, job_id, token)
    periods = (
        select(attempts.c.started_at, func.coalesce(attempts.c.ended_at, now()).label("ended_at"))
        .where(attempts.c.job_id == job_id)
        .order_by(attempts.c.started_at)
    )
    macs = (
        select(func.coalesce(func.sum(records.c.macs), 0))
        .join(trials, trials.c.id == records.c.trial_id)
        .where(trials.c.job_id == job_id)
    )
    return Spent(
        seconds=seconds_covered(tuple(row) for row in tx.connection.execute(periods)),
        epoch_macs=float(tx.connection.execute(macs).scalar_one()),
    )


def prune_trial(tx: Writing, trial_id: str, token: str, *, reason: str) -> Trial:
    """Ask a running trial to end as pruned; one that does not run is left as it is.

    Asks for the token of the job's lease; asking again keeps the first reason. Raises
    NotFoundError, LeaseLostError.
    """
    hold_job(tx, get_trial(tx, trial_id).job_id, token)
    tx.connection.execute(
        update(attempts)
        .where(
            attempts.c.trial_id == trial_id,
            attempts.c.state == AttemptState.RUNNING,
            attempts.c.prune_reason.is_(None),
        )
        .values(prune_reason=reason)
    )
    return get_trial(tx, trial_id)


def require_holder(tx: Reading, job_id: str, token: str) -> None:
    """Raises NotFoundError, and LeaseLostError unless the token holds the job."""
    row = get_row(tx, job_id)
    if row.state is not JobState.RUNNING or row.token_digest != digest(token):
        raise LeaseLostError("job", job_id)


def seconds_covered(periods: Iterable[tuple[datetime, datetime]]) -> float:
    """How long at least one of the periods, given by rising start, was going on."""
    total, until = 0.0, None
    for start, end in periods:
        begin = start if until is None else max(start, until)
        if end > begin:
            total += (end - begin).total_seconds()
            until = end
    return total


def _as_columns(rows: list[Row[Any]]) -> Epochs:
    return Epochs(**{name: [getattr(row, name) for row in rows] for name in Epochs.model_fields})
