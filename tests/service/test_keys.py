"""API keys in the database: found by digest while they are valid, and never stored."""

import re
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from service.errors import NotFoundError
from service.store import Slice, Store, keys
from service.store.clock import now
from service.store.tables import keys as table
from shrinknets.wire import Key, Role


def make(store: Store, role: Role = Role.VIEWER, days: float | None = None) -> tuple[Key, str]:
    with store.writing() as tx:
        return keys.create_key(tx, role=role, owner="ada", name="laptop", expires_in_days=days)


def find(store: Store, key: str) -> keys.Valid | None:
    with store.reading() as tx:
        return keys.find_valid(tx, key)


def test_a_key_is_long_and_only_its_beginning_and_digest_are_stored(store: Store) -> None:
    info, key = make(store)
    assert re.fullmatch("sn_[0-9A-Za-z]{43}", key)
    with store.reading() as tx:
        (row,) = tx.connection.execute(select(table)).all()
    assert key not in str(row)
    assert info.prefix == key[:8]
    assert info.last_used_at is None


def test_a_key_is_found_with_its_role_until_it_is_revoked(store: Store) -> None:
    info, key = make(store, Role.WORKER)
    found = find(store, key)
    assert found is not None
    assert (found.id, found.owner, found.role) == (info.id, "ada", Role.WORKER)
    assert find(store, key[:-1]) is None
    with store.writing() as tx:
        revoked, is_new = keys.revoke_key(tx, info.id)
    assert is_new
    assert revoked.revoked_at is not None
    assert find(store, key) is None
    with store.writing() as tx:
        assert keys.revoke_key(tx, info.id) == (revoked, False)


def test_a_key_expires(store: Store) -> None:
    info, key = make(store, days=1)
    assert info.expires_at is not None
    assert timedelta(hours=23) < info.expires_at - info.created_at < timedelta(hours=25)
    assert find(store, key) is not None
    with store.writing() as tx:
        tx.connection.execute(update(table).values(expires_at=now(plus_seconds=-1)))
    assert find(store, key) is None
    with store.reading() as tx:
        assert keys.has_keys(tx)
        assert not keys.has_valid_keys(tx)


def test_the_last_use_is_written_once_a_minute(store: Store) -> None:
    info, key = make(store)
    found = find(store, key)
    assert found is not None
    assert found.use_is_due
    with store.writing() as tx:
        keys.note_use(tx, info.id)
    first = find(store, key)
    assert first is not None
    assert not first.use_is_due
    with store.writing() as tx:
        used_at = keys.get_key(tx, info.id).last_used_at
        keys.note_use(tx, info.id)
        assert keys.get_key(tx, info.id).last_used_at == used_at
        tx.connection.execute(update(table).values(last_used_at=now(plus_seconds=-61)))
        keys.note_use(tx, info.id)
        assert keys.get_key(tx, info.id).last_used_at > used_at  # type: ignore[operator]


def test_revoking_an_unknown_key_is_an_error(store: Store) -> None:
    with store.writing() as tx, pytest.raises(NotFoundError):
        keys.revoke_key(tx, "key-none")


def test_keys_are_listed_page_by_page(store: Store) -> None:
    made = [make(store)[0].id for _ in range(3)]
    with store.reading() as tx:
        first = keys.list_keys(tx, Slice(limit=2))
        assert first.next is not None
        rest = keys.list_keys(tx, Slice(limit=2, cursor=first.next))
    assert [key.id for key in (*first.items, *rest.items)] == made
