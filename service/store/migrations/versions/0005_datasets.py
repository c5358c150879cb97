"""Data sets, first those that every worker has, and by whose key a job was submitted."""

from collections.abc import Sequence
from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision: str | None = "0004"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

SEQUENCE = sa.BigInteger().with_variant(sa.Integer, "sqlite")
TIME = sa.DateTime(timezone=True)
INDEXES = (
    ("ix_datasets_rows_seq", "datasets", ("rows", "seq")),
    ("ix_datasets_sha256", "datasets", ("sha256",)),
    ("ix_datasets_key_id", "datasets", ("key_id",)),
    ("ix_jobs_key_id_state", "jobs", ("key_id", "state")),
)
BUILT_IN = (
    ("digits", 64, (178, 182, 177, 183, 181, 182, 181, 179, 174, 180)),
    ("breast_cancer", 30, (212, 357)),
    ("wine", 13, (59, 71, 48)),
)


def upgrade() -> None:
    """Make the table with the data sets that there were before it; add the column."""
    _create_datasets()
    op.add_column("jobs", sa.Column("key_id", sa.String(32)))
    for name, table, columns in INDEXES:
        op.create_index(name, table, list(columns))


def downgrade() -> None:
    """Drop them again; what was uploaded is lost, and jobs that use it cannot go on."""
    for name, table, _ in INDEXES:
        op.drop_index(name, table)
    op.drop_column("jobs", "key_id")
    op.drop_table("datasets")


def _create_datasets() -> None:
    sources = ("built_in", "uploaded")
    table = op.create_table(
        "datasets",
        sa.Column("seq", SEQUENCE, primary_key=True, autoincrement=True),
        sa.Column("name", sa.String(63), nullable=False, unique=True),
        sa.Column("folded_name", sa.String(63), nullable=False),
        sa.Column(
            "source",
            sa.Enum(*sources, name="source", native_enum=False, create_constraint=True, length=16),
            nullable=False,
        ),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.Column("test_rows", sa.BigInteger),
        sa.Column("input_shape", sa.JSON, nullable=False),
        sa.Column("num_classes", sa.BigInteger, nullable=False),
        sa.Column("class_counts", sa.JSON, nullable=False),
        sa.Column("dtype", sa.String(16), nullable=False),
        sa.Column("sha256", sa.String(64), sa.ForeignKey("artifacts.sha256")),
        sa.Column("size_bytes", sa.BigInteger),
        sa.Column("key_id", sa.String(32)),
        sa.Column("owner", sa.String(200), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sqlite_autoincrement=True,
    )
    at = datetime.now(UTC)
    rows = [
        {
            "name": name,
            "folded_name": name,
            "source": "built_in",
            "rows": sum(counts),
            "input_shape": [inputs],
            "num_classes": len(counts),
            "class_counts": list(counts),
            "dtype": "float64",
            "owner": "",
            "created_at": at,
        }
        for name, inputs, counts in BUILT_IN
    ]
    op.bulk_insert(table, rows)
