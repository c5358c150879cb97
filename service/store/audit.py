"""The audit trail: who did what; it is only ever added to."""

from dataclasses import dataclass

from sqlalchemy import insert, select

from service.store.clock import now
from service.store.paging import Slice, read_page
from service.store.rows import build
from service.store.tables import audit
from service.store.transactions import Reading, Writing
from shrinknets.wire import AuditEntry, Outcome, Page


@dataclass(frozen=True, kw_only=True)
class Actor:
    """Who does something, as the trail names them."""

    key_id: str | None
    owner: str


def note(
    tx: Writing, actor: Actor, action: str, of: str, *, outcome: Outcome = Outcome.SUCCESS
) -> None:
    """Add an entry, in the transaction that does what it tells of."""
    tx.connection.execute(
        insert(audit).values(
            at=now(),
            key_id=actor.key_id,
            owner=actor.owner,
            action=action,
            object=of,
            outcome=outcome,
        )
    )


def list_entries(tx: Reading, part: Slice) -> Page[AuditEntry]:
    """The whole trail, newest first."""
    return read_page(
        tx,
        select(audit),
        key=audit.c.id,
        part=part,
        build=lambda rows: [build(AuditEntry, row) for row in rows],
        newest_first=True,
    )
