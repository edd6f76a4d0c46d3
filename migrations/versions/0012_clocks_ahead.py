"""Frames that are dated after they came, found by when they came."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the index."""
    condition = sa.text("moment > received_at")
    op.create_index(
        "ix_frames_ahead",
        "frames",
        ["instrument", "received_at"],
        postgresql_where=condition,
        sqlite_where=condition,
    )


def downgrade() -> None:
    """Take it back."""
    op.drop_index("ix_frames_ahead", table_name="frames")
