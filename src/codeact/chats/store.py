"""The database of conversations: its front, and the list of them."""

from __future__ import annotations

import json
import secrets
import time
from typing import Any

import sqlalchemy as sa

from codeact.chats.accounts import Accounts
from codeact.chats.database import line, said_in, spelled, word
from codeact.chats.entries import PIECES, Entries, Item
from codeact.chats.leases import Leases, held_by
from codeact.chats.spending import Spending
from codeact.chats.tables import branches, conversations, entries, names
from codeact.chats.values import Options, Summary
from codeact.errors import NotFound
from codeact.messages import Usage

__all__ = ["PIECES", "Item", "Store"]

# Built once: to put such queries together takes longer than to have them answered
_SUMMARIES = sa.select(
    conversations,
    sa.select(sa.func.count()).where(branches.c.conversation == conversations.c.id).scalar_subquery()
    .label("n_branches"),
    sa.select(branches.c.n_turns).where(branches.c.id == conversations.c.branch).scalar_subquery().label("n_turns"))
_BY_KEY = _SUMMARIES.where(conversations.c.id == sa.bindparam("key"))
_BY_SHARE = _SUMMARIES.where(conversations.c.shared == sa.bindparam("token"))
_RUNNING = _SUMMARIES.where(conversations.c.state.in_(("running", "waiting")))


class Store(Entries, Accounts, Spending, Leases):
    """Conversations in a database; their entries and branches, users and logins by its parts.

    Args:
        url: As SQLAlchemy takes it.

    Raises:
        ConfigError: It cannot be opened, or is of another version of the program.
    """

    def create(self, owner: str, title: str, options: Options) -> Summary:
        """Add one, with its first branch."""
        key, branch, now = secrets.token_hex(8), secrets.token_hex(8), time.time()
        with self._changing() as connection:
            connection.execute(conversations.insert().values(
                id=key, owner=owner, title=line(title), pinned=False, options=json.dumps(options.to_json()),
                created=now, updated=now, state="idle", branch=branch, seq=0, prompt_tokens=0, completion_tokens=0,
                cost=0.0))
            connection.execute(branches.insert().values(id=branch, conversation=key, parent=None, at_turn=0, at_seq=0,
                                                        n_turns=0, label="", created=now))
        return self.summary(key, owner)

    def summary(self, key: str, owner: str | None) -> Summary:
        """One of an owner's; of anybody's with None.

        Raises:
            NotFound: There is none.
        """
        with self._engine.connect() as connection:
            row = connection.execute(_BY_KEY, {"key": word(key)}).mappings().first()
        if row is None or (owner is not None and row["owner"] != owner):
            raise NotFound(f"there is no conversation {key!r}")
        return _summary(row)

    def by_share(self, token: str) -> Summary:
        """The one that is shared with this token.

        Raises:
            NotFound: None is.
        """
        with self._engine.connect() as connection:
            row = connection.execute(_BY_SHARE, {"token": word(token)}).mappings().first()
        if row is None:
            raise NotFound("this link leads to no conversation; it may have been taken back")
        return _summary(row)

    def find(self, owner: str, *, search: str = "", limit: int = 50, before: float | None = None) -> list[Summary]:
        """An owner's, all the pinned first, then the latest; `search` looks through titles and messages.

        Args:
            limit: Of those that are not pinned.
            before: Only those whose `updated` is less, and that are not pinned: those came first.
        """
        query = _SUMMARIES.where(conversations.c.owner == owner)
        if words := line(search.strip()):
            like = f"%{_escaped(words)}%"
            inside = f"%{_escaped(spelled(words)[1:-1])}%"
            words_of = said_in(entries.c.data, self._engine.dialect.name)
            said = sa.exists().where(
                entries.c.conversation == conversations.c.id, entries.c.kind.in_(("user", "turn")),
                entries.c.data.ilike(inside, escape="\\"), words_of.ilike(inside, escape="\\"))
            query = query.where(conversations.c.title.ilike(like, escape="\\") | said)
        query = query.order_by(conversations.c.updated.desc())
        pinned, others = query.where(conversations.c.pinned.is_(True)), query.where(conversations.c.pinned.is_(False))
        if before is not None:
            others = others.where(conversations.c.updated < before)
        with self._engine.connect() as connection:
            first = connection.execute(pinned).mappings().all() if before is None else []
            return [_summary(row) for row in (*first, *connection.execute(others.limit(limit)).mappings())]

    def count(self, owner: str) -> int:
        """How many an owner has."""
        with self._engine.connect() as connection:
            query = sa.select(sa.func.count()).where(conversations.c.owner == owner)
            return int(connection.execute(query).scalar_one())

    def update(self, key: str, *, holder: str | None = None, **values: Any) -> None:
        """Change columns of a conversation; where a holder is named, only if it holds it."""
        if "options" in values:
            values["options"] = json.dumps(values["options"].to_json())
        if "title" in values:
            values["title"] = line(values["title"])
        with self._changing() as connection:
            connection.execute(
                conversations.update().where(conversations.c.id == key, held_by(holder)).values(**values))

    def delete(self, key: str) -> None:
        """Remove one with all it has."""
        with self._changing() as connection:
            for table in (entries, branches, names):
                connection.execute(table.delete().where(table.c.conversation == key))
            connection.execute(conversations.delete().where(conversations.c.id == key))

    def running(self) -> list[Summary]:
        """Those that a program left in the midst of a turn."""
        with self._engine.connect() as connection:
            return [_summary(row) for row in connection.execute(_RUNNING).mappings()]

    def totals(self) -> dict[str, float]:
        """Counts over all conversations, for whoever watches the server."""
        columns = (sa.func.count(), sa.func.sum(conversations.c.prompt_tokens),
                   sa.func.sum(conversations.c.completion_tokens), sa.func.sum(conversations.c.cost))
        with self._engine.connect() as connection:
            n, read, written, cost = connection.execute(sa.select(*columns).select_from(conversations)).one()
            turns = connection.execute(sa.select(sa.func.count()).where(entries.c.kind == "turn")).scalar_one()
        return {"conversations": float(n), "turns": float(turns), "prompt_tokens": float(read or 0),
                "completion_tokens": float(written or 0), "cost": float(cost or 0)}


def _summary(row: Any) -> Summary:
    usage = Usage(row["prompt_tokens"], row["completion_tokens"], row["cost"])
    return Summary(
        row["id"], row["owner"], row["title"], bool(row["pinned"]), Options.kept(json.loads(row["options"])),
        row["created"], row["updated"], row["state"], row["n_turns"] or 0, usage, row["branch"], row["n_branches"],
        row["shared"])


def _escaped(words: str) -> str:
    return words.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
