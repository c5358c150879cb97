"""Events: the append-only log that tells readers what to read again."""

from sqlalchemy import func, select

from service.store.rows import build
from service.store.tables import events
from service.store.transactions import Reading
from shrinknets.wire import Event


def read_events(
    tx: Reading, *, after: int, job_id: str | None = None, limit: int = 500
) -> list[Event]:
    """The next events after an id, of one job or of all, in the order in which they happened."""
    query = select(events).where(events.c.id > after).order_by(events.c.id).limit(limit)
    if job_id is not None:
        query = query.where(events.c.job_id == job_id)
    return [build(Event, row) for row in tx.connection.execute(query)]


def latest_event_id(tx: Reading) -> int:
    """The id of the newest event, 0 where nothing ever happened."""
    latest = tx.connection.execute(select(func.max(events.c.id))).scalar_one()
    return 0 if latest is None else int(latest)
