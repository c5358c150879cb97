"""Writes the events of a transaction, as its last statement before the commit."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, insert, text

from service.store.clock import now
from service.store.news import CHANNEL, News, payload
from service.store.tables import events

# Any number does, as long as nothing else in the database locks it.
EVENTS_LOCK = 7_239_004_187

# Ids must become visible in their order: a reader never looks back. The lock is taken last and
# freed by the commit, so nothing else can wait for its holder; every row of the INSERT comes out of
# a join with `first`, so no id is drawn before the lock is held. One statement, since all others
# who have something to tell wait meanwhile.
_ON_POSTGRESQL = text(
    """
    WITH first AS MATERIALIZED (
        SELECT pg_advisory_xact_lock(:lock), pg_notify(:channel, :payload)
    )
    INSERT INTO events (job_id, trial_id, kind, at)
    SELECT told.job_id, told.trial_id, told.kind, clock_timestamp()
    FROM first CROSS JOIN unnest(
        CAST(:job_ids AS varchar[]), CAST(:trial_ids AS varchar[]), CAST(:kinds AS varchar[])
    ) AS told (job_id, trial_id, kind)
    """
)


@dataclass(frozen=True, kw_only=True)
class Told:
    """What an event says."""

    job_id: str
    trial_id: str | None
    kind: str


def announce(connection: Connection, told: Sequence[Told], *, news: News, origin: str) -> None:
    """Write events, and wake other processes once they are committed."""
    if connection.dialect.name == "postgresql":
        values = {
            "lock": EVENTS_LOCK,
            "channel": CHANNEL,
            "payload": payload(origin, news),
            "job_ids": [one.job_id for one in told],
            "trial_ids": [one.trial_id for one in told],
            "kinds": [one.kind for one in told],
        }
        connection.execute(_ON_POSTGRESQL, values)
        return
    rows = [{"job_id": one.job_id, "trial_id": one.trial_id, "kind": one.kind} for one in told]
    connection.execute(insert(events).values(at=now()), rows)
