"""API keys: made, found by their digest, listed, revoked; the key itself is never stored."""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, insert, or_, select, update

from service.errors import NotFoundError
from service.store.clock import now
from service.store.ids import Kind, digest, new_id, new_key
from service.store.paging import Slice, read_page
from service.store.rows import build
from service.store.tables import keys
from service.store.transactions import Reading, Writing
from shrinknets.wire import Key, Page, Role

PREFIX_LENGTH = 8
"""So much of a key is kept and shown: 5 of its 43 random characters."""
USE_SECONDS = 60.0
"""How exactly the last use of a key is kept."""
SECONDS_PER_DAY = 86_400.0


@dataclass(frozen=True, kw_only=True)
class Valid:
    """A key that is neither revoked nor expired."""

    id: str
    owner: str
    role: Role
    use_is_due: bool
    """Whether its last use was noted longer ago than that is kept exactly."""


def create_key(
    tx: Writing, *, role: Role, owner: str, name: str, expires_in_days: float | None
) -> tuple[Key, str]:
    """Make a key; returns what is known of it, and the key itself, which nobody sees again."""
    key_id, key = new_id(Kind.KEY), new_key()
    days = expires_in_days
    tx.connection.execute(
        insert(keys).values(
            id=key_id,
            name=name,
            owner=owner,
            role=role,
            digest=digest(key),
            prefix=key[:PREFIX_LENGTH],
            created_at=now(),
            expires_at=None if days is None else now(plus_seconds=days * SECONDS_PER_DAY),
        )
    )
    return get_key(tx, key_id), key


def get_key(tx: Reading, key_id: str) -> Key:
    """Raises NotFoundError."""
    row = tx.connection.execute(select(keys).where(keys.c.id == key_id)).one_or_none()
    if row is None:
        raise NotFoundError("key", key_id)
    return build(Key, row)


def list_keys(tx: Reading, part: Slice) -> Page[Key]:
    """All keys in the order of their creation, revoked and expired ones too."""
    return read_page(
        tx,
        select(keys),
        key=keys.c.seq,
        part=part,
        build=lambda rows: [build(Key, row) for row in rows],
    )


def revoke_key(tx: Writing, key_id: str) -> tuple[Key, bool]:
    """Revoke a key; returns it and whether it was not revoked before. Raises NotFoundError."""
    statement = (
        update(keys)
        .where(keys.c.id == key_id, keys.c.revoked_at.is_(None))
        .values(revoked_at=now())
    )
    is_new = tx.connection.execute(statement).rowcount > 0
    return get_key(tx, key_id), is_new


def find_valid(tx: Reading, key: str) -> Valid | None:
    """The key of this text, unless it is unknown, revoked or expired."""
    # Looked up by its digest: how long that takes says nothing of the keys there are.
    return _valid(tx, keys.c.digest == digest(key))


def find_valid_id(tx: Reading, key_id: str) -> Valid | None:
    """The key of this id, unless it is unknown, revoked or expired."""
    return _valid(tx, keys.c.id == key_id)


def has_keys(tx: Reading) -> bool:
    """Whether a key was ever made."""
    return tx.connection.execute(select(keys.c.seq).limit(1)).first() is not None


def has_valid_keys(tx: Reading) -> bool:
    """Whether there is a key that somebody could use."""
    query = select(keys.c.seq).where(*_is_valid()).limit(1)
    return tx.connection.execute(query).first() is not None


def note_use(tx: Writing, key_id: str) -> None:
    """Remember that a key was used just now, unless that was noted within the last minute."""
    statement = update(keys).where(keys.c.id == key_id, _is_due()).values(last_used_at=now())
    tx.connection.execute(statement)


def _is_due() -> ColumnElement[bool]:
    return or_(keys.c.last_used_at.is_(None), keys.c.last_used_at < now(plus_seconds=-USE_SECONDS))


def _is_valid() -> tuple[ColumnElement[bool], ...]:
    return (
        keys.c.revoked_at.is_(None),
        or_(keys.c.expires_at.is_(None), keys.c.expires_at > now()),
    )


def _valid(tx: Reading, which: ColumnElement[bool]) -> Valid | None:
    due = _is_due().label("due")
    query = select(keys.c.id, keys.c.owner, keys.c.role, due).where(which, *_is_valid())
    row = tx.connection.execute(query).one_or_none()
    if row is None:
        return None
    return Valid(id=row.id, owner=row.owner, role=row.role, use_is_due=bool(row.due))
