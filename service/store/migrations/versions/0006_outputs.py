"""Exports of networks, and logs of trials in pieces."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision: str | None = "0005"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    """Add both tables; what older versions stored has neither."""
    op.create_table(
        "exports",
        sa.Column("network_id", sa.String(32), sa.ForeignKey("networks.id"), primary_key=True),
        sa.Column(
            "format",
            sa.Enum(
                *("onnx", "pt2"),
                name="format",
                native_enum=False,
                create_constraint=True,
                length=16,
            ),
            primary_key=True,
        ),
        sa.Column("job_id", sa.String(32), sa.ForeignKey("jobs.id"), nullable=False),
        sa.Column("sha256", sa.String(64), sa.ForeignKey("artifacts.sha256")),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
    )
    op.create_index("ix_exports_job_id", "exports", ["job_id"])
    op.create_index("ix_exports_sha256", "exports", ["sha256"])
    op.create_table(
        "log_chunks",
        sa.Column("trial_id", sa.String(32), sa.ForeignKey("trials.id"), primary_key=True),
        sa.Column("start", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("attempt_id", sa.String(32), sa.ForeignKey("attempts.id"), nullable=False),
        sa.Column("offset", sa.BigInteger, nullable=False),
        sa.Column("num_bytes", sa.BigInteger, nullable=False),
        sa.Column("num_lines", sa.BigInteger, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
    )
    op.create_index("ix_log_chunks_attempt_id", "log_chunks", ["attempt_id"])


def downgrade() -> None:
    """Drop them again; logs are lost, exported files stay behind unnamed."""
    op.drop_table("log_chunks")
    op.drop_table("exports")
