"""The first schema."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision: str | None = None
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

SEQUENCE = sa.BigInteger().with_variant(sa.Integer, "sqlite")
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make all tables."""
    _create_jobs()
    _create_trials()
    _create_attempts()
    _create_records()
    _create_artifacts()
    _create_networks()
    _create_events()


def downgrade() -> None:
    """Drop all tables."""
    for table in ("events", "networks", "artifacts", "records", "attempts", "trials", "jobs"):
        op.drop_table(table)


def _one_of(name: str, *values: str) -> sa.Enum:
    return sa.Enum(*values, name=name, native_enum=False, create_constraint=True, length=16)


def _create_jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("seq", SEQUENCE, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(32), nullable=False, unique=True),
        sa.Column(
            "state",
            _one_of("state", "queued", "running", "paused", "succeeded", "failed", "cancelled"),
            nullable=False,
        ),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("spec", sa.JSON, nullable=False),
        sa.Column("total_trials", sa.BigInteger, nullable=False),
        sa.Column("worker", sa.String(200)),
        sa.Column("token_digest", sa.String(64)),
        sa.Column("lease_expires_at", TIME),
        sa.Column("cancel_requested_at", TIME),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("started_at", TIME),
        sa.Column("ended_at", TIME),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_jobs_state_seq", "jobs", ["state", "seq"])


def _create_trials() -> None:
    op.create_table(
        "trials",
        sa.Column("seq", SEQUENCE, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(32), nullable=False, unique=True),
        sa.Column("job_id", sa.String(32), sa.ForeignKey("jobs.id"), nullable=False),
        sa.Column(
            "method", _one_of("method", "shrinknets", "path", "fixed", "fixed_l2"), nullable=False
        ),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column(
            "state",
            _one_of(
                "state",
                "waiting",
                "running",
                "complete",
                "pruned",
                "failed",
                "infeasible",
                "cancelled",
            ),
            nullable=False,
        ),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("params", sa.JSON, nullable=False),
        sa.Column("seed", sa.BigInteger, nullable=False),
        sa.Column("epochs", sa.BigInteger, nullable=False),
        sa.Column("train_seconds", sa.Double, nullable=False),
        sa.Column("validation_accuracy", sa.Double),
        sa.Column("widths", sa.JSON, nullable=False),
        sa.Column("parameters", sa.BigInteger),
        sa.Column("reported_at", TIME),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("started_at", TIME),
        sa.Column("ended_at", TIME),
        sa.UniqueConstraint("job_id", "method", "number"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_trials_job_id_seq", "trials", ["job_id", "seq"])


def _create_attempts() -> None:
    op.create_table(
        "attempts",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("job_id", sa.String(32), sa.ForeignKey("jobs.id"), nullable=False),
        sa.Column("trial_id", sa.String(32), sa.ForeignKey("trials.id"), nullable=False),
        sa.Column("state", _one_of("state", "running", "ended", "lost"), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("token_digest", sa.String(64), nullable=False, unique=True),
        sa.Column("lease_expires_at", TIME, nullable=False),
        sa.Column("seen_at", TIME),
        sa.Column(
            "trial_ended_as",
            _one_of(
                "trial_ended_as",
                "waiting",
                "running",
                "complete",
                "pruned",
                "failed",
                "infeasible",
                "cancelled",
            ),
        ),
        sa.Column("started_at", TIME, nullable=False),
        sa.Column("ended_at", TIME),
    )
    op.create_index("ix_attempts_job_id_state", "attempts", ["job_id", "state"])
    op.create_index("ix_attempts_state_lease_expires_at", "attempts", ["state", "lease_expires_at"])
    op.create_index("ix_attempts_trial_id", "attempts", ["trial_id"])


def _create_records() -> None:
    op.create_table(
        "records",
        sa.Column("trial_id", sa.String(32), sa.ForeignKey("trials.id"), primary_key=True),
        sa.Column("step", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("phase", _one_of("phase", "train", "warmup", "shrink", "polish"), nullable=False),
        sa.Column("train_loss", sa.Double, nullable=False),
        sa.Column("validation_loss", sa.Double, nullable=False),
        sa.Column("validation_accuracy", sa.Double, nullable=False),
        sa.Column("widths", sa.JSON, nullable=False),
        sa.Column("parameters", sa.BigInteger, nullable=False),
        sa.Column("macs", sa.BigInteger, nullable=False),
        sa.Column("lam", sa.Double, nullable=False),
        sa.Column("seconds", sa.Double, nullable=False),
        sqlite_with_rowid=False,
    )


def _create_artifacts() -> None:
    op.create_table(
        "artifacts",
        sa.Column("sha256", sa.String(64), primary_key=True),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
    )


def _create_networks() -> None:
    op.create_table(
        "networks",
        sa.Column("seq", SEQUENCE, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(32), nullable=False, unique=True),
        sa.Column("job_id", sa.String(32), sa.ForeignKey("jobs.id"), nullable=False),
        sa.Column("trial_id", sa.String(32), sa.ForeignKey("trials.id"), nullable=False),
        sa.Column("widths", sa.JSON, nullable=False),
        sa.Column("hidden_units", sa.BigInteger, nullable=False),
        sa.Column("parameters", sa.BigInteger, nullable=False),
        sa.Column("macs", sa.BigInteger, nullable=False),
        sa.Column("validation_accuracy", sa.Double, nullable=False),
        sa.Column("test_accuracy", sa.Double, nullable=False),
        sa.Column("step", sa.BigInteger, nullable=False),
        sa.Column("lam", sa.Double, nullable=False),
        sa.Column(
            "weights_sha256", sa.String(64), sa.ForeignKey("artifacts.sha256"), nullable=False
        ),
        sa.Column("weights_bytes", sa.BigInteger, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_networks_job_id_seq", "networks", ["job_id", "seq"])
    op.create_index("ix_networks_trial_id_seq", "networks", ["trial_id", "seq"])


def _create_events() -> None:
    op.create_table(
        "events",
        sa.Column("id", SEQUENCE, primary_key=True, autoincrement=True),
        sa.Column("job_id", sa.String(32), sa.ForeignKey("jobs.id"), nullable=False),
        sa.Column("trial_id", sa.String(32), sa.ForeignKey("trials.id")),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_events_job_id_id", "events", ["job_id", "id"])
