"""Which server is at work on a conversation, where several share a database: a row that runs out unless it is renewed.

The clock is the database's, so that machines need not agree on the time.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Any

import sqlalchemy as sa

from codeact.chats.database import Database
from codeact.chats.tables import conversations, leases

__all__ = ["Leases", "held_by"]


def held_by(holder: str | None) -> sa.ColumnElement[bool]:
    """A condition on a row of `conversations`: this one holds it. Always true of None.

    Who was not heard of for too long, and goes on, must not write into what another has taken over.
    """
    if holder is None:
        return sa.true()
    return sa.exists().where(leases.c.conversation == conversations.c.id, leases.c.holder == holder)


class Leases(Database):
    """Who holds which conversation."""

    def take(self, key: str, holder: str, seconds: float) -> bool:
        """Hold a conversation that nobody holds, or whose holder has ended; whether that came about."""
        new = {"holder": holder, "expires": self._now() + seconds, "stop": False}
        ours = (leases.c.conversation == key) & ((leases.c.holder == holder) | (leases.c.expires < self._now()))
        try:
            with self._changing() as connection:
                if not connection.execute(leases.update().where(ours).values(**new)).rowcount:
                    connection.execute(leases.insert().values(conversation=key, **new))
        except sa.exc.IntegrityError:   # somebody has it
            return False
        return True

    def renew(self, keys: Collection[str], holder: str, seconds: float) -> dict[str, bool]:
        """Hold them for longer: those that are still held, each with whether it is to be stopped."""
        ours = leases.c.conversation.in_(keys) & (leases.c.holder == holder)
        renewed = leases.update().where(ours).values(expires=self._now() + seconds)
        with self._changing() as connection:
            rows = connection.execute(renewed.returning(leases.c.conversation, leases.c.stop)).all()
        return {row.conversation: bool(row.stop) for row in rows}

    def release(self, key: str, holder: str | None = None) -> None:
        """Let go of one; with None, whoever holds it."""
        of_it = leases.c.conversation == key
        with self._changing() as connection:
            connection.execute(leases.delete().where(of_it if holder is None else of_it & (leases.c.holder == holder)))

    def holder(self, key: str) -> str | None:
        """Who holds a conversation."""
        query = sa.select(leases.c.holder).where(leases.c.conversation == key, leases.c.expires >= self._now())
        with self._engine.connect() as connection:
            return connection.execute(query).scalar_one_or_none()

    def ask_to_stop(self, key: str) -> None:
        """Have its holder stop what runs, when it next renews."""
        with self._changing() as connection:
            connection.execute(leases.update().where(leases.c.conversation == key).values(stop=True))

    def _now(self) -> Any:
        """Seconds since 1970; an embedded database has its program's clock."""
        if self._engine.dialect.name == "postgresql":
            return sa.cast(sa.func.extract("epoch", sa.func.clock_timestamp()), sa.Float)
        return time.time()
