"""The network that was chosen for a job, and trials after the choice."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision: str | None = "0009"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

SEARCH = "'shrinknets', 'path', 'fixed', 'fixed_l2'"
ALL = f"{SEARCH}, 'retrain', 'fine_tune'"
TABLES = ("trials", "job_methods")


def upgrade() -> None:
    """Add the columns, and allow the methods; what older versions stored has no choice."""
    op.add_column("jobs", sa.Column("choice", sa.JSON))
    op.add_column("jobs", sa.Column("chosen_at", sa.DateTime(timezone=True)))
    _allow(SEARCH, ALL)


def downgrade() -> None:
    """Drop them again; choices, and trials after them with all that they found, are lost."""
    late = "SELECT id FROM trials WHERE method IN ('retrain', 'fine_tune')"
    theirs = f"SELECT id FROM networks WHERE trial_id IN ({late})"  # noqa: S608 (our own words)
    op.execute(f"DELETE FROM exports WHERE network_id IN ({theirs})")  # noqa: S608
    for table in ("networks", "records", "log_chunks", "events", "attempts"):
        op.execute(f"DELETE FROM {table} WHERE trial_id IN ({late})")  # noqa: S608
    op.execute("DELETE FROM trials WHERE method IN ('retrain', 'fine_tune')")
    op.execute("DELETE FROM job_methods WHERE method IN ('retrain', 'fine_tune')")
    _allow(ALL, SEARCH)
    op.drop_column("jobs", "chosen_at")
    op.drop_column("jobs", "choice")


def _allow(before: str, after: str) -> None:
    if op.get_context().dialect.name == "postgresql":
        for table in TABLES:
            name = op.f(f"ck_{table}_method")
            op.drop_constraint(name, table, type_="check")
            op.create_check_constraint(name, table, f"method IN ({after})")
        return
    # SQLite could only make the tables anew, which it refuses while others refer to them. What it
    # checks stands in the text of its schema alone, and so it can be changed there.
    connection = op.get_bind()
    version = connection.exec_driver_sql("PRAGMA schema_version").scalar_one()
    connection.exec_driver_sql("PRAGMA writable_schema = ON")
    for table in TABLES:
        connection.exec_driver_sql(
            "UPDATE sqlite_master SET sql = replace(sql, ?, ?) WHERE type = 'table' AND name = ?",
            (f"method IN ({before})", f"method IN ({after})", table),
        )
    connection.exec_driver_sql(f"PRAGMA schema_version = {version + 1}")
    connection.exec_driver_sql("PRAGMA writable_schema = OFF")
