"""The network families that workers can build."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision: str | None = "0010"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    """Let workers say what they can build; those that are known have not said it yet."""
    op.add_column("workers", sa.Column("families", sa.JSON))


def downgrade() -> None:
    """Forget it."""
    op.drop_column("workers", "families")
