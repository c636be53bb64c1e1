"""The database of conversations: SQLite by default, PostgreSQL by URL. Every method is one transaction.

A conversation is entries, numbered; a branch is its parent's entries up to a number, and its own. Nothing is changed
but summaries; pieces of a turn are removed once the turn is stored. Safe to be used from any thread.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.util import CommandError

from codeact.chats.tables import branches, conversations, entries, logins, names, users
from codeact.chats.values import Branch, Entry, Options, Summary
from codeact.errors import ConfigError, NotFound
from codeact.messages import Usage

__all__ = ["PIECES", "Store"]

PIECES = ("text", "code", "output", "display", "tool_called")
"""Kinds of entries that a `turn` holds all of."""
_MAX_TITLE = 200
_MAX_CHARS = 16_000_000
"""Of entries that are read at once."""
_PER_TURN = 10
"""Entries read for each turn that is shown: messages that came to nothing and own cells lie between turns."""
_NAME_SECONDS = 180 * 24 * 3600.0
_LOCK = 7_316_402
"""Of PostgreSQL's advisory locks, ours: one program migrates at a time."""


class Store:
    """Conversations in a database.

    Args:
        url: As SQLAlchemy takes it.

    Raises:
        ConfigError: It cannot be opened, or is of another version of the program.
    """

    def __init__(self, url: str) -> None:
        try:
            self._engine = sa.create_engine(url, pool_pre_ping=True)
            if self._engine.dialect.name == "sqlite":
                sa.event.listen(self._engine, "connect", _as_we_use_it)
            self._migrate()
        except (sa.exc.SQLAlchemyError, CommandError, ImportError) as error:
            said = str(getattr(error, "orig", None) or error).split("\n", 1)[0]
            shown = sa.engine.make_url(url).render_as_string(hide_password=True) if "://" in url else url
            raise ConfigError(f"cannot use the database {shown}: {said}") from None

    def _migrate(self) -> None:
        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        with self._engine.begin() as connection:
            # Of several programs that start at once one migrates, the others wait.
            if self._engine.dialect.name == "postgresql":
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
            elif self._engine.dialect.name == "sqlite":
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    # Conversations ----------------------------------------------------------------------------------------------------

    def create(self, owner: str, title: str, options: Options) -> Summary:
        """Add one, with its first branch."""
        key, branch, now = secrets.token_hex(8), secrets.token_hex(8), time.time()
        with self._engine.begin() as connection:
            connection.execute(conversations.insert().values(
                id=key, owner=owner, title=_line(title), pinned=False, options=json.dumps(options.to_json()),
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
            row = connection.execute(_summaries().where(conversations.c.id == _word(key))).mappings().first()
        if row is None or (owner is not None and row["owner"] != owner):
            raise NotFound(f"there is no conversation {key!r}")
        return _summary(row)

    def by_share(self, token: str) -> Summary:
        """The one that is shared with this token.

        Raises:
            NotFound: None is.
        """
        with self._engine.connect() as connection:
            row = connection.execute(_summaries().where(conversations.c.shared == _word(token))).mappings().first()
        if row is None:
            raise NotFound("this link leads to no conversation; it may have been taken back")
        return _summary(row)

    def find(self, owner: str, *, search: str = "", limit: int = 50, before: float | None = None) -> list[Summary]:
        """An owner's, the pinned first, then the latest; `search` looks through titles and messages.

        Args:
            before: Only those whose `updated` is less, and that are not pinned: those came first.
        """
        query = _summaries().where(conversations.c.owner == owner)
        if before is not None:
            query = query.where(conversations.c.updated < before, conversations.c.pinned.is_(False))
        if words := _line(search.strip()):
            like = f"%{_escaped(words)}%"
            spelled = f"%{_escaped(_spelled(words)[1:-1])}%"
            said = sa.exists().where(entries.c.conversation == conversations.c.id, entries.c.kind.in_(("user", "turn")),
                                     entries.c.data.ilike(spelled, escape="\\"))
            query = query.where(conversations.c.title.ilike(like, escape="\\") | said)
        query = query.order_by(conversations.c.pinned.desc(), conversations.c.updated.desc()).limit(limit)
        with self._engine.connect() as connection:
            return [_summary(row) for row in connection.execute(query).mappings()]

    def count(self, owner: str) -> int:
        """How many an owner has."""
        with self._engine.connect() as connection:
            query = sa.select(sa.func.count()).where(conversations.c.owner == owner)
            return int(connection.execute(query).scalar_one())

    def update(self, key: str, **values: Any) -> None:
        """Change columns of a conversation."""
        if "options" in values:
            values["options"] = json.dumps(values["options"].to_json())
        if "title" in values:
            values["title"] = _line(values["title"])
        with self._engine.begin() as connection:
            connection.execute(conversations.update().where(conversations.c.id == key).values(**values))

    def delete(self, key: str) -> None:
        """Remove one with all it has."""
        with self._engine.begin() as connection:
            for table in (entries, branches, names):
                connection.execute(table.delete().where(table.c.conversation == key))
            connection.execute(conversations.delete().where(conversations.c.id == key))

    def running(self) -> list[Summary]:
        """Those that a program left in the midst of a turn."""
        query = _summaries().where(conversations.c.state.in_(("running", "waiting")))
        with self._engine.connect() as connection:
            return [_summary(row) for row in connection.execute(query).mappings()]

    # Entries ----------------------------------------------------------------------------------------------------------

    def add(self, key: str, items: Sequence[tuple[str, Mapping[str, Any], int | None]], *,
            state: str | None = None, branch: str | None = None) -> list[Entry]:
        """Add entries to a branch, the current one if none is named: (kind, data, number of the turn).

        A `turn` removes the pieces that it holds; its usage is added to the conversation's.

        Raises:
            NotFound: The conversation is gone.
        """
        now = time.time()
        changed: dict[str, Any] = {} if state is None else {"state": state}
        with self._engine.begin() as connection:
            # Written before it is read: from here on no other program numbers entries of this conversation.
            found = connection.execute(
                conversations.update().where(conversations.c.id == key)
                .values(seq=conversations.c.seq + len(items), updated=now)
                .returning(conversations.c.seq, conversations.c.branch)).first()
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
                    connection.execute(entries.delete().where(entries.c.conversation == key, entries.c.branch == branch,
                                                              entries.c.kind.in_(PIECES)))
            if changed:
                connection.execute(conversations.update().where(conversations.c.id == key).values(**changed))
            if made:
                connection.execute(entries.insert(), [
                    {"conversation": key, "seq": entry.seq, "branch": branch, "kind": entry.kind, "turn": turn,
                     "at": now, "data": _spelled(entry.data)}
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
        """The last `turn` entries of the current branch below a number of turns, and messages and cells among them.

        Where there are very many, or very large ones, those nearest to the end.
        """
        with self._engine.connect() as connection:
            total = self._n_turns(connection, key)
            upper = total if before is None else min(before, total)
            query = self._of_branch(connection, key).where(
                entries.c.kind.in_(("turn", "user", "cell", "cell_done")), entries.c.turn >= upper - limit,
                entries.c.turn < upper if before is not None else sa.true())
            return _as_may_be(connection, query.order_by(entries.c.seq.desc()).limit(limit * _PER_TURN))[::-1]

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
        with self._engine.begin() as connection:
            connection.execute(branches.insert().values(
                id=new, conversation=key, parent=parent, at_turn=at_turn, at_seq=at_seq, n_turns=at_turn,
                label=_line(label), created=now))
            connection.execute(conversations.update().where(conversations.c.id == key).values(branch=new))
        return new

    def switch(self, key: str, branch: str) -> None:
        """Make another branch the current one.

        Raises:
            NotFound: There is none of that name.
        """
        if branch not in {one.id for one in self.branches(key)}:
            raise NotFound(f"the conversation has no branch {branch!r}")
        self.update(key, branch=branch)

    def name(self, name: str, key: str, branch: str, turn: int) -> None:
        """Know a place in a conversation by a name (64 characters at most); very old names are forgotten."""
        now = time.time()
        with self._engine.begin() as connection:
            connection.execute(names.delete().where((names.c.name == name) | (names.c.at < now - _NAME_SECONDS)))
            connection.execute(names.insert().values(name=name, conversation=key, branch=branch, turn=turn, at=now))

    def named(self, name: str) -> tuple[str, str, int] | None:
        """Conversation, branch and number of turns that a name is of."""
        query = sa.select(names.c.conversation, names.c.branch, names.c.turn).where(names.c.name == _word(name))
        with self._engine.connect() as connection:
            found = connection.execute(query).first()
        return (found[0], found[1], found[2]) if found else None

    # Users ------------------------------------------------------------------------------------------------------------

    def add_user(self, name: str, password_hash: str) -> None:
        """Add a user, or give one another password."""
        with self._engine.begin() as connection:
            connection.execute(users.delete().where(users.c.name == name))
            connection.execute(users.insert().values(name=name, password=password_hash, created=time.time()))
            connection.execute(logins.delete().where(logins.c.owner == name))

    def user_hash(self, name: str) -> str | None:
        """The hash of a user's password; None where there is no such user."""
        if not name.isprintable():   # nor can databases take all of these
            return None
        with self._engine.connect() as connection:
            return connection.execute(sa.select(users.c.password).where(users.c.name == name)).scalar_one_or_none()

    def users(self) -> Sequence[str]:
        """All users' names, in order."""
        with self._engine.connect() as connection:
            return tuple(connection.execute(sa.select(users.c.name).order_by(users.c.name)).scalars())

    def delete_user(self, name: str) -> bool:
        """Remove a user, with all logins; the conversations stay. Whether there was one."""
        with self._engine.begin() as connection:
            connection.execute(logins.delete().where(logins.c.owner == name))
            return connection.execute(users.delete().where(users.c.name == name)).rowcount > 0

    def add_login(self, token_hash: str, owner: str, expires: float) -> None:
        """Somebody has come in; what has run out is forgotten."""
        with self._engine.begin() as connection:
            connection.execute(logins.delete().where(logins.c.expires < time.time()))
            connection.execute(logins.insert().values(token=token_hash, owner=owner, expires=expires))

    def login(self, token_hash: str) -> str | None:
        """Who came in with this token, if it still holds."""
        query = sa.select(logins.c.owner).where(logins.c.token == _word(token_hash), logins.c.expires > time.time())
        with self._engine.connect() as connection:
            return connection.execute(query).scalar_one_or_none()

    def end_login(self, token_hash: str) -> None:
        """Somebody goes."""
        with self._engine.begin() as connection:
            connection.execute(logins.delete().where(logins.c.token == token_hash))

    def ping(self) -> None:
        """Ask the database for nothing; raises what SQLAlchemy does where it does not answer."""
        with self._engine.connect() as connection:
            connection.execute(sa.select(1))

    def totals(self) -> dict[str, float]:
        """Counts over all conversations, for whoever watches the server."""
        columns = (sa.func.count(), sa.func.sum(conversations.c.prompt_tokens),
                   sa.func.sum(conversations.c.completion_tokens), sa.func.sum(conversations.c.cost))
        with self._engine.connect() as connection:
            n, read, written, cost = connection.execute(sa.select(*columns).select_from(conversations)).one()
            turns = connection.execute(sa.select(sa.func.count()).where(entries.c.kind == "turn")).scalar_one()
        return {"conversations": float(n), "turns": float(turns), "prompt_tokens": float(read or 0),
                "completion_tokens": float(written or 0), "cost": float(cost or 0)}

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()


def _as_we_use_it(connection: Any, _: Any) -> None:
    """Readers and a writer at once; a program's crash loses nothing that was committed."""
    cursor = connection.cursor()
    for pragma in ("busy_timeout=10000", "journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _summaries() -> Any:
    n_branches = sa.select(sa.func.count()).where(branches.c.conversation == conversations.c.id).scalar_subquery()
    n_turns = sa.select(branches.c.n_turns).where(branches.c.id == conversations.c.branch).scalar_subquery()
    return sa.select(conversations, n_branches.label("n_branches"), n_turns.label("n_turns"))


def _summary(row: Any) -> Summary:
    usage = Usage(row["prompt_tokens"], row["completion_tokens"], row["cost"])
    return Summary(
        row["id"], row["owner"], row["title"], bool(row["pinned"]), Options.from_json(json.loads(row["options"])),
        row["created"], row["updated"], row["state"], row["n_turns"] or 0, usage, row["branch"], row["n_branches"],
        row["shared"])


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


def _spelled(data: Any) -> str:
    """As JSON that can be searched, and be sent: half of a surrogate pair is no character to anybody else."""
    return _text(json.dumps(data, ensure_ascii=False))


def _text(text: str) -> str:
    return text.encode(errors="replace").decode()


def _line(text: str) -> str:
    """A name of something, as databases take it."""
    return _text(text.replace("\0", ""))[:_MAX_TITLE]


def _word(key: str) -> str:
    """A key that comes from outside; one that is none of ours finds nothing."""
    return key if key.isascii() and key.isprintable() else ""


def _escaped(words: str) -> str:
    return words.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")

