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
            if self._engine.dialect.name == "postgresql":
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    # Conversations ----------------------------------------------------------------------------------------------------

    def create(self, owner: str, title: str, options: Options) -> Summary:
        """Add one, with its first branch."""
        key, branch, now = secrets.token_hex(8), secrets.token_hex(8), time.time()
        with self._engine.begin() as connection:
            connection.execute(conversations.insert().values(
                id=key, owner=owner, title=title[:_MAX_TITLE], pinned=False, options=json.dumps(options.to_json()),
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
            row = connection.execute(_summaries().where(conversations.c.id == key)).mappings().first()
        if row is None or (owner is not None and row["owner"] != owner):
            raise NotFound(f"there is no conversation {key!r}")
        return _summary(row)

    def by_share(self, token: str) -> Summary:
        """The one that is shared with this token.

        Raises:
            NotFound: None is.
        """
        with self._engine.connect() as connection:
            row = connection.execute(_summaries().where(conversations.c.shared == token)).mappings().first()
        if row is None:
            raise NotFound("this link leads to no conversation; it may have been taken back")
        return _summary(row)

    def find(self, owner: str, *, search: str = "", limit: int = 50, before: float | None = None) -> list[Summary]:
        """An owner's, the pinned first, then the latest; `search` looks through titles and messages."""
        query = _summaries().where(conversations.c.owner == owner)
        if before is not None:
            query = query.where(conversations.c.updated < before)
        if words := search.strip():
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
            values["title"] = values["title"][:_MAX_TITLE]
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
            state: str | None = None) -> list[Entry]:
        """Add entries to the current branch: (kind, data, number of the turn).

        A `turn` removes the pieces that it holds; its usage is added to the conversation's.
        """
        now = time.time()
        with self._engine.begin() as connection:
            found = connection.execute(
                sa.select(conversations.c.seq, conversations.c.branch).where(conversations.c.id == key)
                .with_for_update()).first()
            if found is None:
                raise NotFound(f"there is no conversation {key!r}")
            seq, branch = found
            made = [Entry(seq + n, kind, data, now, branch, turn)
                    for n, (kind, data, turn) in enumerate(items, start=1)]
            changed: dict[str, Any] = {"seq": seq + len(items), "updated": now}
            if state is not None:
                changed["state"] = state
            for kind, data, turn in items:
                if kind == "turn":
                    usage = data["completion"].get("usage", {})
                    for name in ("prompt_tokens", "completion_tokens", "cost"):
                        changed[name] = conversations.c[name] + usage.get(name, 0)
                    connection.execute(branches.update().where(branches.c.id == branch).values(n_turns=(turn or 0) + 1))
                    connection.execute(entries.delete().where(entries.c.conversation == key, entries.c.branch == branch,
                                                              entries.c.kind.in_(PIECES)))
            connection.execute(conversations.update().where(conversations.c.id == key).values(**changed))
            if made:
                connection.execute(entries.insert(), [
                    {"conversation": key, "seq": entry.seq, "branch": branch, "kind": entry.kind, "turn": turn,
                     "at": now, "data": _spelled(entry.data)}
                    for entry, (_, _, turn) in zip(made, items, strict=True)])
        return made

    def entries(self, key: str, *, after: int = 0, limit: int = 1000, kinds: Sequence[str] = ()) -> list[Entry]:
        """Entries of the current branch with numbers above `after`, in order."""
        with self._engine.connect() as connection:
            query = self._of_branch(connection, key).where(entries.c.seq > after).order_by(entries.c.seq).limit(limit)
            if kinds:
                query = query.where(entries.c.kind.in_(kinds))
            return [_entry(row) for row in connection.execute(query).mappings()]

    def turns(self, key: str, *, before: int | None = None, limit: int = 30) -> list[Entry]:
        """The last `turn` entries of the current branch below a number of turns, with the `user` entries among them."""
        with self._engine.connect() as connection:
            total = self._n_turns(connection, key)
            upper = total if before is None else min(before, total)
            query = self._of_branch(connection, key).where(
                entries.c.kind.in_(("turn", "user", "cell", "cell_done")), entries.c.turn >= upper - limit,
                entries.c.turn < upper if before is not None else sa.true())
            return [_entry(row) for row in connection.execute(query.order_by(entries.c.seq)).mappings()]

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

    def branch(self, key: str, at_turn: int, label: str) -> str:
        """Make a branch of the current one after so many turns, and make it the current one.

        The user's message that began the turn after them is not part of it.
        """
        new, now = secrets.token_hex(8), time.time()
        with self._engine.begin() as connection:
            query = self._of_branch(connection, key)
            # What came before the message or the turn that is the first to be left out.
            first_out = connection.execute(
                query.with_only_columns(sa.func.min(entries.c.seq)).where(
                    entries.c.turn >= at_turn, entries.c.kind.in_(("turn", "user")))).scalar_one_or_none()
            row = connection.execute(sa.select(conversations.c.branch, conversations.c.seq)
                                     .where(conversations.c.id == key)).one()
            at_seq = row.seq if first_out is None else first_out - 1
            connection.execute(branches.insert().values(
                id=new, conversation=key, parent=row.branch, at_turn=at_turn, at_seq=at_seq, n_turns=at_turn,
                label=label[:_MAX_TITLE], created=now))
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
        query = sa.select(names.c.conversation, names.c.branch, names.c.turn).where(names.c.name == name)
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
        query = sa.select(logins.c.owner).where(logins.c.token == token_hash, logins.c.expires > time.time())
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
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "busy_timeout=10000", "foreign_keys=ON"):
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


def _spelled(data: Any) -> str:
    """As JSON that can be searched; where a character is none that databases take, all of it in ASCII."""
    text = json.dumps(data, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:   # half of a surrogate pair
        return json.dumps(data)
    return text


def _escaped(words: str) -> str:
    return words.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")

