"""What happened in conversations: entries, numbered; a branch is its parent's up to a number, and its own.

Nothing is changed; pieces of what runs are removed once an entry is stored that holds all of them.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from codeact.chats.database import Database, line, spelled, word
from codeact.chats.leases import held_by
from codeact.chats.tables import branches, conversations, entries, names
from codeact.chats.values import Branch, Entry
from codeact.errors import ChatElsewhere, NotFound

__all__ = ["PIECES", "Entries", "Item"]

PIECES = ("text", "code", "output", "display", "tool_called")
"""Kinds of entries that one of `_WHOLE` holds all of."""
_WHOLE = ("turn", "cut", "cell_done")
_SHOWN = (*_WHOLE, "user", "cell", "stopped", "interrupted", "error", "ended", "restored", "note")
"""What a page has of the past; the rest tells of what runs, or is for the program."""
_MAX_CHARS = 16_000_000
"""Of entries that are read at once."""
_PER_TURN = 10
"""Entries read for each turn that is shown: messages that came to nothing and own cells lie between turns."""
_NAME_SECONDS = 180 * 24 * 3600.0

Item = tuple[str, Mapping[str, Any], int | None]
"""An entry to be: kind, data, number of the turn."""


class Entries(Database):
    """Entries and branches of conversations."""

    def add(self, key: str, items: Sequence[Item], *, state: str | None = None, branch: str | None = None,
            holder: str | None = None) -> list[Entry]:
        """Add entries to a branch, the current one if none is named.

        What holds pieces removes them. The usage of a `turn` is added to the conversation's.

        Args:
            holder: Who does, and must hold the conversation for it (leases.py).

        Raises:
            NotFound: The conversation is gone.
            ChatElsewhere: The holder does not hold it any more.
        """
        now = time.time()
        changed: dict[str, Any] = {} if state is None else {"state": state}
        with self._changing() as connection:
            # Written before it is read: from here on no other program numbers entries of this conversation.
            found = connection.execute(
                conversations.update().where(conversations.c.id == key, held_by(holder))
                .values(seq=conversations.c.seq + len(items), updated=now)
                .returning(conversations.c.seq, conversations.c.branch)).first()
            if found is None and holder is not None and _is_there(connection, key):
                raise ChatElsewhere("this server was not heard of for too long, and lost the conversation to another")
            if found is None:
                raise NotFound(f"there is no conversation {key!r}")
            seq, branch = found.seq - len(items), branch or found.branch
            made = [Entry(seq + n, kind, data, now, branch, turn)
                    for n, (kind, data, turn) in enumerate(items, start=1)]
            for kind, data, turn in items:
                if kind == "turn":
                    usage = data["completion"].get("usage", {})
                    for name in ("prompt_tokens", "completion_tokens", "cost"):
                        changed[name] = conversations.c[name] + usage.get(name, 0)
                    connection.execute(branches.update().where(branches.c.id == branch).values(n_turns=(turn or 0) + 1))
                if kind in _WHOLE:
                    connection.execute(entries.delete().where(entries.c.conversation == key, entries.c.branch == branch,
                                                              entries.c.kind.in_(PIECES)))
            if changed:
                connection.execute(conversations.update().where(conversations.c.id == key).values(**changed))
            if made:
                connection.execute(entries.insert(), [
                    {"conversation": key, "seq": entry.seq, "branch": branch, "kind": entry.kind, "turn": turn,
                     "at": now, "data": spelled(entry.data)}
                    for entry, (_, _, turn) in zip(made, items, strict=True)])
        return made

    def entries(self, key: str, *, after: int = 0, limit: int = 1000, kinds: Sequence[str] = ()) -> list[Entry]:
        """Entries of the current branch with numbers above `after`, in order; fewer where they are large."""
        with self._engine.connect() as connection:
            query = self._of_branch(connection, key).where(entries.c.seq > after).order_by(entries.c.seq).limit(limit)
            if kinds:
                query = query.where(entries.c.kind.in_(kinds))
            return _as_may_be(connection, query)

    def turns(self, key: str, *, before: int | None = None, limit: int = 30) -> list[Entry]:
        """The last `turn` entries of the current branch below a number of turns, and all else that is shown among them.

        Up to the first piece of what runs: from there on it has to be followed. Where there are very many, or very
        large ones, those nearest to the end.
        """
        with self._engine.connect() as connection:
            total = self._n_turns(connection, key)
            upper = total if before is None else min(before, total)
            current = sa.select(conversations.c.branch).where(conversations.c.id == key).scalar_subquery()
            runs = sa.select(sa.func.min(entries.c.seq)).where(
                entries.c.conversation == key, entries.c.kind.in_(PIECES), entries.c.branch == current)
            first_piece = connection.execute(runs).scalar_one_or_none()
            query = self._of_branch(connection, key).where(
                entries.c.kind.in_(_SHOWN), entries.c.turn >= upper - limit,
                entries.c.turn < upper if before is not None else sa.true(),
                entries.c.seq < first_piece if first_piece is not None else sa.true())
            return _as_may_be(connection, query.order_by(entries.c.seq.desc()).limit(limit * _PER_TURN))[::-1]

    def unsettled(self, key: str, branch: str) -> list[Entry]:
        """Pieces of a branch that no entry holds yet; questions and own cells beside them."""
        of_branch = sa.select(entries).where(entries.c.conversation == key, entries.c.branch == branch)
        with self._engine.connect() as connection:
            since = _last_seq(connection, of_branch, _WHOLE)
            kinds = (*PIECES, "cell", "approval", "answered")
            return _as_may_be(connection, of_branch.where(entries.c.kind.in_(kinds), entries.c.seq > since)
                              .order_by(entries.c.seq))

    def since_turn(self, key: str, kinds: Sequence[str]) -> list[Entry]:
        """Entries of some kinds of the current branch after its last turn."""
        with self._engine.connect() as connection:
            of_branch = self._of_branch(connection, key)
            since = _last_seq(connection, of_branch, ("turn",))
            return _as_may_be(connection, of_branch.where(entries.c.kind.in_(kinds), entries.c.seq > since)
                              .order_by(entries.c.seq))

    def last_of(self, key: str, kinds: Sequence[str]) -> Entry | None:
        """The last entry of some kinds of the current branch."""
        with self._engine.connect() as connection:
            query = self._of_branch(connection, key).where(entries.c.kind.in_(kinds))
            row = connection.execute(query.order_by(entries.c.seq.desc()).limit(1)).mappings().first()
        return _entry(row) if row else None

    def said_at(self, key: str, turn: int) -> Entry | None:
        """The message that began a turn of the current branch, or that is to begin it."""
        with self._engine.connect() as connection:
            query = self._of_branch(connection, key).where(entries.c.kind == "user", entries.c.turn == turn)
            row = connection.execute(query.order_by(entries.c.seq.desc()).limit(1)).mappings().first()
        return _entry(row) if row else None

    def all_of(self, key: str, kinds: Sequence[str]) -> Iterator[Entry]:
        """All entries of some kinds of the current branch, a thousand at a time."""
        after = 0
        while found := self.entries(key, after=after, kinds=kinds):
            yield from found
            after = found[-1].seq

    def n_turns(self, key: str) -> int:
        """Turns of the current branch."""
        with self._engine.connect() as connection:
            return self._n_turns(connection, key)

    @staticmethod
    def _n_turns(connection: sa.Connection, key: str) -> int:
        query = sa.select(branches.c.n_turns).join(conversations, conversations.c.branch == branches.c.id).where(
            conversations.c.id == key)
        return int(connection.execute(query).scalar_one_or_none() or 0)

    @staticmethod
    def _of_branch(connection: sa.Connection, key: str) -> Any:
        """A query of the entries that the current branch has, its forebears' among them."""
        rows = {row.id: row for row in connection.execute(sa.select(branches).where(branches.c.conversation == key))}
        chosen = sa.select(conversations.c.branch).where(conversations.c.id == key)
        current = connection.execute(chosen).scalar_one_or_none()
        parts, most = [], None
        while current in rows:
            part = entries.c.branch == current
            parts.append(part if most is None else part & (entries.c.seq <= most))
            row = rows[current]
            most = row.at_seq if most is None else min(most, row.at_seq)
            current = row.parent
        return sa.select(entries).where(entries.c.conversation == key, sa.or_(sa.false(), *parts))

    # Branches ---------------------------------------------------------------------------------------------------------

    def branches(self, key: str) -> list[Branch]:
        """All of a conversation, oldest first."""
        with self._engine.connect() as connection:
            current = connection.execute(
                sa.select(conversations.c.branch).where(conversations.c.id == key)).scalar_one_or_none()
            rows = connection.execute(sa.select(branches).where(branches.c.conversation == key)
                                      .order_by(branches.c.created)).all()
        return [Branch(row.id, row.parent, row.at_turn, row.label, row.created, row.id == current) for row in rows]

    def end_of(self, key: str, at_turn: int) -> int:
        """The last entry of the current branch that belongs to so many turns, or to the user's own cells after them.

        The message that began the turn after them does not.
        """
        with self._engine.connect() as connection:
            first_out = connection.execute(
                self._of_branch(connection, key).with_only_columns(sa.func.min(entries.c.seq)).where(
                    entries.c.turn >= at_turn, entries.c.kind.in_(("turn", "user")))).scalar_one_or_none()
            last = connection.execute(sa.select(conversations.c.seq).where(conversations.c.id == key)).scalar_one()
        return int(last if first_out is None else first_out - 1)

    def branch(self, key: str, at_turn: int, at_seq: int, label: str) -> str:
        """Make a branch of the current one, of so many turns and entries, and make it the current one."""
        new, now = secrets.token_hex(8), time.time()
        parent = sa.select(conversations.c.branch).where(conversations.c.id == key).scalar_subquery()
        with self._changing() as connection:
            connection.execute(branches.insert().values(
                id=new, conversation=key, parent=parent, at_turn=at_turn, at_seq=at_seq, n_turns=at_turn,
                label=line(label), created=now))
            connection.execute(conversations.update().where(conversations.c.id == key).values(branch=new))
        return new

    def switch(self, key: str, branch: str) -> None:
        """Make another branch the current one.

        Raises:
            NotFound: There is none of that name.
        """
        if branch not in {one.id for one in self.branches(key)}:
            raise NotFound(f"the conversation has no branch {branch!r}")
        with self._changing() as connection:
            connection.execute(conversations.update().where(conversations.c.id == key).values(branch=branch))

    def name(self, name: str, key: str, branch: str, turn: int) -> None:
        """Know a place in a conversation by a name (64 characters at most); very old names are forgotten."""
        now = time.time()
        with self._changing() as connection:
            connection.execute(names.delete().where((names.c.name == name) | (names.c.at < now - _NAME_SECONDS)))
            connection.execute(names.insert().values(name=name, conversation=key, branch=branch, turn=turn, at=now))

    def named(self, name: str) -> tuple[str, str, int] | None:
        """Conversation, branch and number of turns that a name is of."""
        query = sa.select(names.c.conversation, names.c.branch, names.c.turn).where(names.c.name == word(name))
        with self._engine.connect() as connection:
            found = connection.execute(query).first()
        return (found[0], found[1], found[2]) if found else None


def _is_there(connection: sa.Connection, key: str) -> bool:
    return connection.execute(sa.select(conversations.c.id).where(conversations.c.id == key)).first() is not None


def _last_seq(connection: sa.Connection, query: Any, kinds: Sequence[str]) -> int:
    """The number of the last entry of some kinds; 0 where there is none."""
    newest = query.with_only_columns(entries.c.seq).where(entries.c.kind.in_(kinds)).order_by(entries.c.seq.desc())
    return int(connection.execute(newest.limit(1)).scalar_one_or_none() or 0)


def _entry(row: Any) -> Entry:
    return Entry(row["seq"], row["kind"], json.loads(row["data"]), row["at"], row["branch"], row["turn"])


def _as_may_be(connection: sa.Connection, query: Any) -> list[Entry]:
    """The first entries of a query, until they are large together: a reader asks for more from the last one on."""
    found: list[Entry] = []
    room = _MAX_CHARS
    with connection.execution_options(stream_results=True, max_row_buffer=50).execute(query) as rows:
        for row in rows.mappings():
            found.append(_entry(row))
            room -= len(row["data"])
            if room <= 0:
                break
    return found
