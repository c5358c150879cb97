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
    with op.batch_alter_table("trials") as trials:
        trials.add_column(sa.Column("macs", sa.BigInteger()))
        trials.add_column(sa.Column("latency_ms", sa.Double()))
        trials.add_column(sa.Column("learned", sa.JSON(), nullable=False, server_default="[]"))
    with op.batch_alter_table("attempts") as attempts:
        attempts.add_column(sa.Column("prune_reason", sa.Text()))
    with op.batch_alter_table("networks") as networks:
        networks.add_column(sa.Column("latency_ms", sa.Double()))
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
    with op.batch_alter_table("networks") as networks:
        networks.drop_column("latency_ms")
    with op.batch_alter_table("attempts") as attempts:
        attempts.drop_column("prune_reason")
    with op.batch_alter_table("trials") as trials:
        for name in ("learned", "latency_ms", "macs"):
            trials.drop_column(name)
