"""What searches must know: MACs and latency of trials, what was learned before each, pruning."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision: str | None = "0008"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    """Add the columns; of earlier trials the last epoch has the MACs."""
    learned = sa.Column("learned", sa.JSON(), nullable=False, server_default="[]")
    op.add_column("trials", sa.Column("macs", sa.BigInteger()))
    op.add_column("trials", sa.Column("latency_ms", sa.Double()))
    op.add_column("trials", learned)
    op.add_column("attempts", sa.Column("prune_reason", sa.Text()))
    op.add_column("networks", sa.Column("latency_ms", sa.Double()))
    op.execute(
        """
        UPDATE trials SET macs = (
            SELECT records.macs FROM records WHERE records.trial_id = trials.id
            ORDER BY records.step DESC LIMIT 1
        )
        """
    )


def downgrade() -> None:
    """Remove them."""
    op.drop_column("networks", "latency_ms")
    op.drop_column("attempts", "prune_reason")
    for name in ("learned", "latency_ms", "macs"):
        op.drop_column("trials", name)
