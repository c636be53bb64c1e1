"""What users have used and may use, and which server is at work on a conversation."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the tables, and a column for what a conversation has on disk."""
    op.create_table(
        "spent",
        sa.Column("owner", sa.String(200), primary_key=True),
        sa.Column("day", sa.String(10), primary_key=True),
        sa.Column("tokens", sa.BigInteger, nullable=False),
        sa.Column("cost", sa.Float, nullable=False),
    )
    op.create_table(
        "quotas",
        sa.Column("owner", sa.String(200), primary_key=True),
        sa.Column("disk", sa.String(40)),
        sa.Column("cost", sa.String(40)),
        sa.Column("tokens", sa.String(40)),
    )
    op.create_table(
        "leases",
        sa.Column("conversation", sa.String(32), primary_key=True),
        sa.Column("holder", sa.String(40), nullable=False),
        sa.Column("expires", sa.Float, nullable=False),
        sa.Column("stop", sa.Boolean, nullable=False),
    )
    op.add_column("conversations", sa.Column("n_bytes", sa.BigInteger))


def downgrade() -> None:
    """Remove them."""
    op.drop_column("conversations", "n_bytes")
    for name in ("leases", "quotas", "spent"):
        op.drop_table(name)
