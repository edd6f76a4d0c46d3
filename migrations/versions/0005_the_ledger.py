"""Closures that people tell of, and the gaps that are open now."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "closures",
        sa.Column("id", _KEY, autoincrement=True, nullable=False),
        sa.Column("instrument", sa.String(length=64), nullable=True),
        sa.Column("start_at", _TIME, nullable=False),
        sa.Column("end_at", _TIME, nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("author", sa.String(length=128), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_closures")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_closures_end_at", "closures", ["end_at"], unique=False)
    op.create_table(
        "open_gaps",
        sa.Column("instrument", sa.String(length=64), nullable=False),
        sa.Column("last_at", _TIME, nullable=False),
        sa.Column("start_at", _TIME, nullable=False),
        sa.Column("opened_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("instrument", name=op.f("pk_open_gaps")),
    )


def downgrade() -> None:
    """Take them back."""
    op.drop_table("open_gaps")
    op.drop_index("ix_closures_end_at", table_name="closures")
    op.drop_table("closures")
