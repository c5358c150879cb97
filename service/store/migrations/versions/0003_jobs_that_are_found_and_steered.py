"""Names, labels, priorities and methods of jobs as columns, idempotency keys, more indexes."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision: str | None = "0002"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

TIME = sa.DateTime(timezone=True)
SPEC = sa.column("spec", sa.JSON)
COLUMNS: list[sa.ColumnClause[str]] = [
    sa.column(name) for name in ("name", "folded_name", "dataset")
]
METHODS = ("shrinknets", "path", "fixed", "fixed_l2")

INDEXES = (
    ("ix_jobs_dataset_seq", "jobs", ("dataset", "seq")),
    ("ix_jobs_priority_seq", "jobs", ("priority", "seq")),
    ("ix_jobs_ended_at_seq", "jobs", ("ended_at", "seq")),
    ("ix_jobs_queue", "jobs", ("state", sa.text("priority DESC"), "seq")),
    ("ix_networks_parameters_seq", "networks", ("parameters", "seq")),
    ("ix_networks_macs_seq", "networks", ("macs", "seq")),
    ("ix_networks_validation_accuracy_seq", "networks", ("validation_accuracy", "seq")),
    ("ix_networks_test_accuracy_seq", "networks", ("test_accuracy", "seq")),
    ("ix_networks_weights_sha256", "networks", ("weights_sha256",)),
    ("ix_events_trial_id", "events", ("trial_id",)),
)


def upgrade() -> None:
    """Add the columns and tables, and fill them from the specs of the jobs that there are."""
    text = sa.String(200)
    op.add_column("jobs", sa.Column("name", text, nullable=False, server_default=""))
    op.add_column("jobs", sa.Column("folded_name", sa.Text, nullable=False, server_default=""))
    op.add_column("jobs", sa.Column("dataset", text, nullable=False, server_default=""))
    op.add_column("jobs", sa.Column("priority", sa.BigInteger, nullable=False, server_default="0"))
    op.add_column("jobs", sa.Column("pause_requested_at", TIME))
    _create_job_methods()
    _create_job_labels()
    _create_idempotency_keys()
    _fill_from_specs()
    for name, table, columns in INDEXES:
        op.create_index(name, table, list(columns))


def downgrade() -> None:
    """Drop them again; labels and priorities are lost."""
    for name, table, _ in INDEXES:
        op.drop_index(name, table)
    for table in ("idempotency_keys", "job_labels", "job_methods"):
        op.drop_table(table)
    for column in ("pause_requested_at", "priority", "dataset", "folded_name", "name"):
        op.drop_column("jobs", column)


def _fill_from_specs() -> None:
    jobs = sa.table("jobs", sa.column("id"), *COLUMNS, SPEC)
    methods = sa.table("job_methods", sa.column("job_id"), sa.column("method"))
    op.execute(
        jobs.update().values(
            name=sa.func.coalesce(SPEC["name"].as_string(), ""),
            dataset=sa.func.coalesce(SPEC["dataset"].as_string(), ""),
        )
    )
    _fold_names(jobs)
    for one in METHODS:
        users = sa.select(jobs.c.id, sa.literal(one)).where(
            SPEC["methods", one, "trials"].as_string().is_not(None)
        )
        op.execute(methods.insert().from_select(["job_id", "method"], users))


def _fold_names(jobs: sa.TableClause) -> None:
    # In Python, because databases do not agree on which letters are the same in small.
    connection = op.get_bind()
    names = connection.execute(sa.select(jobs.c.name).where(jobs.c.name != "").distinct())
    folded = [{"old": name, "new": name.casefold()} for name in names.scalars()]
    if folded:
        has_name = jobs.c.name == sa.bindparam("old")
        statement = jobs.update().where(has_name).values(folded_name=sa.bindparam("new"))
        connection.execute(statement, folded)


def _create_job_methods() -> None:
    op.create_table(
        "job_methods",
        sa.Column("job_id", sa.String(32), sa.ForeignKey("jobs.id"), primary_key=True),
        sa.Column(
            "method",
            sa.Enum(*METHODS, name="method", native_enum=False, create_constraint=True, length=16),
            primary_key=True,
        ),
    )
    op.create_index("ix_job_methods_method_job_id", "job_methods", ["method", "job_id"])


def _create_job_labels() -> None:
    op.create_table(
        "job_labels",
        sa.Column("job_id", sa.String(32), sa.ForeignKey("jobs.id"), primary_key=True),
        sa.Column("key", sa.String(63), primary_key=True),
        sa.Column("value", sa.String(200), nullable=False),
    )
    op.create_index("ix_job_labels_key_value_job_id", "job_labels", ["key", "value", "job_id"])


def _create_idempotency_keys() -> None:
    op.create_table(
        "idempotency_keys",
        sa.Column("key", sa.String(255), primary_key=True),
        sa.Column("body_digest", sa.String(64), nullable=False),
        sa.Column(
            "job_id",
            sa.String(32),
            sa.ForeignKey("jobs.id", deferrable=True, initially="DEFERRED"),
            nullable=False,
        ),
        sa.Column("created_at", TIME, nullable=False),
    )
    op.create_index("ix_idempotency_keys_created_at", "idempotency_keys", ["created_at"])
    op.create_index("ix_idempotency_keys_job_id", "idempotency_keys", ["job_id"])
