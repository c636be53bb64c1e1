"""Users of a server and their logins, in its database; passwords and tokens as hashes alone."""

import time
from collections.abc import Sequence

import sqlalchemy as sa

from codeact.chats.database import Database, word
from codeact.chats.tables import logins, users

__all__ = ["Accounts"]


class Accounts(Database):
    """Who may come in, and who has."""

    def add_user(self, name: str, password_hash: str) -> None:
        """Add a user, or give one another password."""
        with self._changing() as connection:
            new = {"password": password_hash, "created": time.time()}
            insert = self._insert(users).values(name=name, **new)
            connection.execute(insert.on_conflict_do_update(index_elements=["name"], set_=new))
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
        with self._changing() as connection:
            connection.execute(logins.delete().where(logins.c.owner == name))
            return connection.execute(users.delete().where(users.c.name == name)).rowcount > 0

    def add_login(self, token_hash: str, owner: str, expires: float) -> None:
        """Somebody has come in; what has run out is forgotten."""
        with self._changing() as connection:
            connection.execute(logins.delete().where(logins.c.expires < time.time()))
            connection.execute(logins.insert().values(token=token_hash, owner=owner, expires=expires))

    def login(self, token_hash: str) -> str | None:
        """Who came in with this token, if it still holds."""
        query = sa.select(logins.c.owner).where(logins.c.token == word(token_hash), logins.c.expires > time.time())
        with self._engine.connect() as connection:
            return connection.execute(query).scalar_one_or_none()

    def end_login(self, token_hash: str) -> None:
        """Somebody goes."""
        with self._changing() as connection:
            connection.execute(logins.delete().where(logins.c.token == token_hash))

    def end_logins(self, owner: str) -> int:
        """Somebody goes everywhere: all logins and keys end; how many there were."""
        with self._changing() as connection:
            return connection.execute(logins.delete().where(logins.c.owner == owner)).rowcount
