"""What may go: files that nothing refers to, old events, and workers that were long silent."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, delete, exists, func, select

from service.store.clock import now
from service.store.networks import hold_file
from service.store.tables import artifacts, attempts, events, metadata
from service.store.transactions import Reading, Writing
from shrinknets.wire import AttemptState


@dataclass(frozen=True, kw_only=True)
class StoredFile:
    """A file that was handed in."""

    sha256: str
    size_bytes: int


def find_unreferenced(tx: Reading, *, grace_seconds: float) -> list[StoredFile]:
    """The files that nothing refers to and no upload in flight can still be about."""
    query = select(artifacts.c.sha256, artifacts.c.size_bytes).where(_may_go(grace_seconds))
    rows = tx.connection.execute(query.order_by(artifacts.c.sha256))
    return [StoredFile(sha256=row.sha256, size_bytes=row.size_bytes) for row in rows]


def drop_unreferenced(
    tx: Writing, sha256: str, *, grace_seconds: float, spares_awaited: bool = True
) -> bool:
    """Forget a file if it still may go; until the commit nobody else can note it or refer to it.

    Those that a running trial may still refer to stay, unless the caller knows that this one is
    none of them. False means that somebody was faster, and the file must stay.
    """
    is_it = artifacts.c.sha256 == sha256
    # First the lock, then the question, in a statement of its own: PostgreSQL would not ask again
    # after having waited for a transaction that refers to the row.
    tx.connection.execute(select(artifacts.c.sha256).where(is_it).with_for_update())
    may_go = _may_go(grace_seconds, spares_awaited=spares_awaited)
    statement = delete(artifacts).where(is_it, may_go)
    return bool(tx.connection.execute(statement).rowcount)


def hold_unknown(tx: Writing, sha256: str) -> bool:
    """Keep others from noting a file until `let_go`; False where it is known."""
    return hold_file(tx, sha256, size_bytes=0)


def let_go(tx: Writing, sha256: str) -> None:
    """End what `hold_unknown` began; to be called in the same transaction."""
    tx.connection.execute(delete(artifacts).where(artifacts.c.sha256 == sha256))


def count_old_events(tx: Reading, *, days: float) -> int:
    """How many events are older."""
    return int(tx.connection.execute(_old_events(days, func.count())).scalar_one())


def drop_old_events(tx: Writing, *, days: float, limit: int) -> int:
    """Delete the oldest of the events that are older; returns how many went."""
    ids = _old_events(days, events.c.id).order_by(events.c.id).limit(limit)
    statement = delete(events).where(events.c.id.in_(ids.scalar_subquery()))
    return tx.connection.execute(statement).rowcount


def _old_events(days: float, what: Any) -> Select[Any]:
    # The newest stays: it tells readers how far the counting has come.
    newest = select(func.max(events.c.id)).scalar_subquery()
    is_old = events.c.at < now(plus_seconds=-days * 86_400)
    return select(what).where(is_old, events.c.id < newest)


def _may_go(grace_seconds: float, *, spares_awaited: bool = True) -> ColumnElement[bool]:
    # A trial hands its networks in as it finds them and refers to them at its end, which may be
    # days later: what came in since the oldest running attempt began may be one of them.
    is_awaited = exists().where(
        attempts.c.state == AttemptState.RUNNING, attempts.c.started_at <= artifacts.c.created_at
    )
    return and_(
        artifacts.c.created_at < now(plus_seconds=-grace_seconds),
        *([~is_awaited] if spares_awaited else []),
        *(~exists().where(column == artifacts.c.sha256) for column in _references()),
    )


def _references() -> Iterator[Any]:
    """Every column of every table that names a file, so that a new one is never forgotten."""
    for table in metadata.sorted_tables:
        for column in table.columns:
            if any(key.column is artifacts.c.sha256 for key in column.foreign_keys):
                yield column
