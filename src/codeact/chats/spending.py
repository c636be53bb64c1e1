"""What users have used, and what each may use where that is not the server's own limit; in the database."""

from __future__ import annotations

import time
from typing import Any

import sqlalchemy as sa

from codeact.chats.database import Database
from codeact.chats.quota import Rate, day_of
from codeact.chats.tables import conversations, quotas, spent

__all__ = ["Spending"]


class Spending(Database):
    """Accounts of use, by user and day."""

    def spend(self, owner: str, tokens: int, cost: float) -> None:
        """A model was asked."""
        new = {"owner": owner, "day": day_of(time.time()), "tokens": tokens, "cost": cost}
        insert = self._insert(spent).values(**new)
        self._run(insert.on_conflict_do_update(index_elements=["owner", "day"], set_={
            "tokens": spent.c.tokens + insert.excluded.tokens, "cost": spent.c.cost + insert.excluded.cost}))

    def spent(self, owner: str, rate: Rate) -> tuple[int, float]:
        """Tokens and dollars of the present day or month."""
        query = sa.select(sa.func.sum(spent.c.tokens), sa.func.sum(spent.c.cost)).where(
            spent.c.owner == owner, spent.c.day.startswith(rate.span(time.time())))
        with self._engine.connect() as connection:
            tokens, cost = connection.execute(query).one()
        return int(tokens or 0), float(cost or 0)

    def quota_of(self, owner: str) -> dict[str, str | None]:
        """What is set for this user: `disk`, `cost` and `tokens` as `Quota.read` takes them."""
        query = sa.select(quotas.c.disk, quotas.c.cost, quotas.c.tokens).where(quotas.c.owner == owner)
        with self._engine.connect() as connection:
            row = connection.execute(query).mappings().first()
        return dict(row) if row else {}

    def set_quota(self, owner: str, **texts: str | None) -> None:
        """Set something for this user; None: as the server has it."""
        insert = self._insert(quotas).values(owner=owner, **texts)
        self._run(insert.on_conflict_do_update(index_elements=["owner"], set_=texts))

    def sizes(self, owner: str) -> dict[str, int | None]:
        """Bytes on disk of each of a user's conversations; None: not known."""
        query = sa.select(conversations.c.id, conversations.c.n_bytes).where(conversations.c.owner == owner)
        with self._engine.connect() as connection:
            return {row.id: row.n_bytes for row in connection.execute(query)}

    def _run(self, statement: Any) -> None:
        with self._changing() as connection:
            connection.execute(statement)
