"""The network family of each job, by which workers are given jobs that they can run."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision: str | None = "0011"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

QUEUE: list[str | sa.TextClause] = ["state", sa.text("priority DESC"), "seq"]


def upgrade() -> None:
    """Take the families out of the specs; jobs from before there were families are perceptrons."""
    family = sa.Column("family", sa.String(63), nullable=False, server_default="mlp")
    op.add_column("jobs", family)
    is_postgres = op.get_context().dialect.name == "postgresql"
    named = (
        "spec #>> '{network,family}'" if is_postgres else "json_extract(spec, '$.network.family')"
    )
    op.execute(f"UPDATE jobs SET family = {named} WHERE {named} <> 'mlp'")  # noqa: S608 (our own words)
    op.drop_index("ix_jobs_queue", "jobs")
    op.create_index("ix_jobs_queue", "jobs", [*QUEUE, "family"])


def downgrade() -> None:
    """Let every worker have any job again; the specs still name the families."""
    op.drop_index("ix_jobs_queue", "jobs")
    op.create_index("ix_jobs_queue", "jobs", QUEUE)
    op.drop_column("jobs", "family")
