"""API keys, who did what, and the workers that came."""

from sqlalchemy import JSON, Column, Index, String, Table

from service.store.clock import UtcTime
from service.store.tables.columns import ID, SEQUENCE, SHA256, metadata, one_of
from shrinknets.wire import Outcome, Role

keys = Table(
    "keys",
    metadata,
    Column("seq", SEQUENCE, primary_key=True, autoincrement=True),
    Column("id", ID, nullable=False, unique=True),
    Column("name", String(200), nullable=False),
    Column("owner", String(200), nullable=False),
    Column("role", one_of(Role, "role"), nullable=False),
    Column("digest", SHA256, nullable=False, unique=True),
    Column("prefix", String(16), nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("expires_at", UtcTime),
    Column("revoked_at", UtcTime),
    Column("last_used_at", UtcTime),
    sqlite_autoincrement=True,
)

audit = Table(
    "audit",
    metadata,
    Column("id", SEQUENCE, primary_key=True, autoincrement=True),
    Column("at", UtcTime, nullable=False),
    # No foreign key: the key of a server's own worker is in no table.
    Column("key_id", ID),
    Column("owner", String(200), nullable=False),
    Column("action", String(32), nullable=False),
    Column("object", String(200), nullable=False),
    Column("outcome", one_of(Outcome, "outcome"), nullable=False),
    sqlite_autoincrement=True,
)

workers = Table(
    "workers",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("host", String(200), nullable=False),
    Column("device", String(200), nullable=False),
    # None where it did not say; SQL's NULL, not JSON's.
    Column("families", JSON(none_as_null=True)),
    Column("first_seen_at", UtcTime, nullable=False),
    Column("last_seen_at", UtcTime, nullable=False),
    Index(None, "last_seen_at"),
)
