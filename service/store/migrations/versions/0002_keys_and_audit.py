"""API keys, and the trail of what was done with them."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision: str | None = "0001"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

SEQUENCE = sa.BigInteger().with_variant(sa.Integer, "sqlite")
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make both tables; nothing that was there changes."""
    op.create_table(
        "keys",
        sa.Column("seq", SEQUENCE, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(32), nullable=False, unique=True),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("owner", sa.String(200), nullable=False),
        sa.Column(
            "role", _one_of("role", "viewer", "submitter", "worker", "admin"), nullable=False
        ),
        sa.Column("digest", sa.String(64), nullable=False, unique=True),
        sa.Column("prefix", sa.String(16), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("expires_at", TIME),
        sa.Column("revoked_at", TIME),
        sa.Column("last_used_at", TIME),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "audit",
        sa.Column("id", SEQUENCE, primary_key=True, autoincrement=True),
        sa.Column("at", TIME, nullable=False),
        sa.Column("key_id", sa.String(32)),
        sa.Column("owner", sa.String(200), nullable=False),
        sa.Column("action", sa.String(32), nullable=False),
        sa.Column("object", sa.String(200), nullable=False),
        sa.Column("outcome", _one_of("outcome", "success", "failure"), nullable=False),
        sqlite_autoincrement=True,
    )


def downgrade() -> None:
    """Drop both tables."""
    for table in ("audit", "keys"):
        op.drop_table(table)


def _one_of(name: str, *values: str) -> sa.Enum:
    return sa.Enum(*values, name=name, native_enum=False, create_constraint=True, length=16)
