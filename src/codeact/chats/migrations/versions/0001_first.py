"""The first tables.

Written as the tables were then, not as `tables.py` has them now.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make them."""
    op.create_table(
        "conversations",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("owner", sa.String(200), nullable=False),
        sa.Column("title", sa.String(400), nullable=False),
        sa.Column("pinned", sa.Boolean, nullable=False),
        sa.Column("options", sa.Text, nullable=False),
        sa.Column("created", sa.Float, nullable=False),
        sa.Column("updated", sa.Float, nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("branch", sa.String(32), nullable=False),
        sa.Column("shared", sa.String(64), unique=True),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("prompt_tokens", sa.BigInteger, nullable=False),
        sa.Column("completion_tokens", sa.BigInteger, nullable=False),
        sa.Column("cost", sa.Float, nullable=False),
    )
    op.create_index("conversations_of", "conversations", ["owner", "updated"])
    conversation = sa.ForeignKey("conversations.id", ondelete="CASCADE")
    op.create_table(
        "branches",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("conversation", sa.String(32), conversation, nullable=False, index=True),
        sa.Column("parent", sa.String(32)),
        sa.Column("at_turn", sa.Integer, nullable=False),
        sa.Column("at_seq", sa.BigInteger, nullable=False),
        sa.Column("n_turns", sa.Integer, nullable=False),
        sa.Column("label", sa.String(400), nullable=False),
        sa.Column("created", sa.Float, nullable=False),
    )
    op.create_table(
        "entries",
        sa.Column("conversation", sa.String(32), sa.ForeignKey("conversations.id", ondelete="CASCADE"),
                  primary_key=True),
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("branch", sa.String(32), nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("turn", sa.Integer),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("data", sa.Text, nullable=False),
    )
    op.create_index("entries_turn", "entries", ["conversation", "branch", "turn"])
    op.create_index("entries_kind", "entries", ["conversation", "kind"])
    op.create_table(
        "users",
        sa.Column("name", sa.String(200), primary_key=True),
        sa.Column("password", sa.Text, nullable=False),
        sa.Column("created", sa.Float, nullable=False),
    )
    op.create_table(
        "logins",
        sa.Column("token", sa.String(64), primary_key=True),
        sa.Column("owner", sa.String(200), nullable=False),
        sa.Column("expires", sa.Float, nullable=False),
    )


def downgrade() -> None:
    """Remove them."""
    for name in ("logins", "users", "entries", "branches", "conversations"):
        op.drop_table(name)
