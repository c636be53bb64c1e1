"""The tables of the database of conversations; `migrations/` makes and changes them."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)

__all__ = [
    "branches",
    "conversations",
    "entries",
    "leases",
    "logins",
    "metadata",
    "names",
    "quotas",
    "spent",
    "users",
]

metadata = MetaData()

conversations = Table(
    "conversations",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("owner", String(200), nullable=False),
    Column("title", String(400), nullable=False),
    Column("pinned", Boolean, nullable=False),
    Column("options", Text, nullable=False),
    Column("created", Float, nullable=False),
    Column("updated", Float, nullable=False),
    Column("state", String(20), nullable=False),
    Column("branch", String(32), nullable=False),
    Column("shared", String(64), unique=True),
    Column("seq", BigInteger, nullable=False),
    Column("prompt_tokens", BigInteger, nullable=False),
    Column("completion_tokens", BigInteger, nullable=False),
    Column("cost", Float, nullable=False),
    Column("n_bytes", BigInteger),
    Index("conversations_of", "owner", "updated"),
)

"""`n_bytes`: on disk, when it was last put to sleep; null: not looked at yet."""

branches = Table(
    "branches",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("conversation", String(32), ForeignKey("conversations.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("parent", String(32)),
    Column("at_turn", Integer, nullable=False),
    Column("at_seq", BigInteger, nullable=False),
    Column("n_turns", Integer, nullable=False),
    Column("label", String(400), nullable=False),
    Column("created", Float, nullable=False),
)
"""`at_seq`: the last entry of the parent that belongs to this one too."""

entries = Table(
    "entries",
    metadata,
    Column("conversation", String(32), ForeignKey("conversations.id", ondelete="CASCADE"), primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("branch", String(32), nullable=False),
    Column("kind", String(20), nullable=False),
    Column("turn", Integer),
    Column("at", Float, nullable=False),
    Column("data", Text, nullable=False),
    Index("entries_turn", "conversation", "branch", "turn"),
    Index("entries_kind", "conversation", "kind"),
)
"""`turn`: the number of a `turn` entry; of a `user` entry that of the turn it begins."""

names = Table(
    "names",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("conversation", String(32), nullable=False, index=True),
    Column("branch", String(32), nullable=False),
    Column("turn", Integer, nullable=False),
    Column("at", Float, nullable=False),
)
"""A hash of what another program knows a place in a conversation by."""

users = Table(
    "users",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("password", Text, nullable=False),
    Column("created", Float, nullable=False),
)

logins = Table(
    "logins",
    metadata,
    Column("token", String(64), primary_key=True),
    Column("owner", String(200), nullable=False),
    Column("expires", Float, nullable=False),
)

spent = Table(
    "spent",
    metadata,
    Column("owner", String(200), primary_key=True),
    Column("day", String(10), primary_key=True),
    Column("tokens", BigInteger, nullable=False),
    Column("cost", Float, nullable=False),
)

quotas = Table(
    "quotas",
    metadata,
    Column("owner", String(200), primary_key=True),
    Column("disk", String(40)),
    Column("cost", String(40)),
    Column("tokens", String(40)),
)
"""As `Quota.read` takes them; null: as the server has it."""

leases = Table(
    "leases",
    metadata,
    Column("conversation", String(32), primary_key=True),
    Column("holder", String(40), nullable=False),
    Column("expires", Float, nullable=False),
    Column("stop", Boolean, nullable=False),
)
"""Which server is at work on a conversation; `stop`: another was asked to have it stopped."""
