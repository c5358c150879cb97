"""Idempotency keys of each owner; events that outlive their job, to tell of its deletion."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision: str | None = "0006"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

NAMES = {"fk": "fk_%(table_name)s_%(column_0_name)s", "pk": "pk_%(table_name)s"}


def upgrade() -> None:
    """Let events stand alone, and give each idempotency key to who submitted its job with it."""
    with op.batch_alter_table("events", naming_convention=NAMES) as events:
        events.drop_constraint("fk_events_job_id", type_="foreignkey")
    _create_idempotency_keys("owner", "key")
    op.execute(
        """
        INSERT INTO idempotency_keys (owner, key, body_digest, job_id, created_at)
        SELECT coalesce(
            (SELECT min(audit.owner) FROM audit WHERE audit.object = old.job_id
             AND audit.action = 'job.submit' AND audit.key_id IS NOT NULL), ''
        ), old.key, old.body_digest, old.job_id, old.created_at
        FROM old_idempotency_keys AS old
        """
    )
    op.drop_table("old_idempotency_keys")


def downgrade() -> None:
    """Make keys global again, the oldest of equal ones; events of deleted jobs are lost."""
    op.execute("DELETE FROM events WHERE job_id NOT IN (SELECT id FROM jobs)")
    with op.batch_alter_table("events", naming_convention=NAMES) as events:
        events.create_foreign_key("fk_events_job_id", "jobs", ["job_id"], ["id"])
    _create_idempotency_keys("key")
    op.execute(
        """
        INSERT INTO idempotency_keys (key, body_digest, job_id, created_at)
        SELECT key, body_digest, job_id, created_at FROM (
            SELECT old_idempotency_keys.*,
                row_number() OVER (PARTITION BY key ORDER BY created_at, owner) AS place
            FROM old_idempotency_keys
        ) AS ranked WHERE place = 1
        """
    )
    op.drop_table("old_idempotency_keys")


def _create_idempotency_keys(*primary: str) -> None:
    # Made anew: not every database can change a primary key.
    for name in ("created_at", "job_id"):
        op.drop_index(f"ix_idempotency_keys_{name}", "idempotency_keys")
    op.rename_table("idempotency_keys", "old_idempotency_keys")
    if op.get_context().dialect.name == "postgresql":
        for kind in ("pk_idempotency_keys", "fk_idempotency_keys_job_id"):
            op.execute(f"ALTER TABLE old_idempotency_keys RENAME CONSTRAINT {kind} TO old_{kind}")
    lengths = {"owner": 200, "key": 255}
    op.create_table(
        "idempotency_keys",
        *(sa.Column(name, sa.String(lengths[name]), primary_key=True) for name in primary),
        sa.Column("body_digest", sa.String(64), nullable=False),
        sa.Column(
            "job_id",
            sa.String(32),
            sa.ForeignKey("jobs.id", deferrable=True, initially="DEFERRED"),
            nullable=False,
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ix_idempotency_keys_created_at", "idempotency_keys", ["created_at"])
    op.create_index("ix_idempotency_keys_job_id", "idempotency_keys", ["job_id"])
