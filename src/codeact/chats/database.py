"""A database, opened and brought to the present tables; and text as databases take it.

SQLite by default, PostgreSQL by URL. What is kept in it is said by the parts of `store.Store`, each in a file.
"""

from __future__ import annotations

import json
import re
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.util import CommandError

from codeact.errors import ConfigError

__all__ = ["Database", "line", "said_in", "spelled", "word"]

_MAX_TITLE = 200
_BUSY_SECONDS = 10
_LOCK = 7_316_402
"""Of PostgreSQL's advisory locks, ours: one program migrates at a time."""
_SAID = r'^\{(?:"type": "turn", "completion": \{)?"text": "((?:[^"\\]|\\.)*)"'
"""What was said, in the data of a `user` or `turn` entry as `spelled` has it; both databases read this expression."""


class Database:
    """A database of conversations. Every method is one transaction; safe to be used from any thread.

    Args:
        url: As SQLAlchemy takes it.

    Raises:
        ConfigError: It cannot be opened, or is of another version of the program.
    """

    def __init__(self, url: str) -> None:
        try:
            self._engine = sa.create_engine(url, pool_pre_ping=True)
            self._writer: AbstractContextManager[Any] = nullcontext()
            if self._engine.dialect.name == "sqlite":
                sa.event.listen(self._engine, "connect", _as_we_use_it)
                self._writer = threading.Lock()
            _patiently(self._migrate)
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

    @contextmanager
    def _changing(self) -> Iterator[sa.Connection]:
        """A transaction that writes.

        SQLite has one writer at a time, and has the others sleep, look, and sleep for longer. Those of this program
        wait in line instead.
        """
        with self._writer, self._engine.begin() as connection:
            yield connection

    def ping(self) -> None:
        """Ask the database for nothing; raises what SQLAlchemy does where it does not answer."""
        with self._engine.connect() as connection:
            connection.execute(sa.select(1))

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()


def _as_we_use_it(connection: Any, _: Any) -> None:
    """Readers and a writer at once; a program's crash loses nothing that was committed."""
    cursor = connection.cursor()
    for pragma in (f"busy_timeout={_BUSY_SECONDS * 1000}", "journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
        _patiently(partial(cursor.execute, f"PRAGMA {pragma}"))
    cursor.close()
    connection.create_function("said_in", 1, lambda data: found[1] if (found := re.match(_SAID, data)) else None)


def _patiently(do: Callable[[], Any]) -> None:
    """SQLite does not wait, whatever its busy_timeout, while another program turns to WAL or is the last to close."""
    until = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            do()
            return
        except (sqlite3.OperationalError, sa.exc.OperationalError) as error:
            if "database is locked" not in str(error) or time.monotonic() > until:
                raise
            time.sleep(0.02)


def spelled(data: Any) -> str:
    """As JSON that can be searched, and be sent: half of a surrogate pair is no character to anybody else."""
    return _text(json.dumps(data, ensure_ascii=False))


def said_in(data: Any, dialect: str) -> Any:
    """The words of a `user` or `turn` entry, as `spelled` has them, for a query: its data has other words too."""
    return sa.func.substring(data, sa.cast(_SAID, sa.Text)) if dialect == "postgresql" else sa.func.said_in(data)


def _text(text: str) -> str:
    return text.encode(errors="replace").decode()


def line(text: str) -> str:
    """A name of something, as databases take it."""
    return _text(text.replace("\0", ""))[:_MAX_TITLE]


def word(key: str) -> str:
    """A key that comes from outside; one that is none of ours finds nothing."""
    return key if key.isascii() and key.isprintable() else ""
