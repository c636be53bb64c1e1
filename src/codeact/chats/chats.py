"""All conversations of a server: the front of this package.

Methods are synchronous and may be called from any thread. `owner` is a user's name; a conversation of somebody else's
is one that is not there. `Chats` is put together of parts, a file each: `awake` (waking and sleep), over it `talk`,
`ways` (branches) and `shelf` (what there is). Here conversations are made and found.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from codeact.chats.powers import Powers
from codeact.chats.quota import Quota
from codeact.chats.shelf import Shelf
from codeact.chats.store import Store
from codeact.chats.values import Options, Summary
from codeact.chats.ways import Ways
from codeact.errors import ConfigError, LimitReached
from codeact.protocols import Model

__all__ = ["Chats", "forget", "open_store"]


class Chats(Ways, Shelf):
    """Conversations, and the agents that have them.

    Args:
        url: The database, as SQLAlchemy takes it; "" is a file in `home`.
        home: Where files and states are kept; else `$XDG_DATA_HOME/codeact`.
        defaults: Options of a new conversation.
        model: Makes the model of a name; else as the settings say.
        sandbox: The walls, as `Interpreter` takes them.
        idle_seconds: After so long a conversation's interpreter is put to sleep.
        max_live: So many are awake at once, besides those that work.
        max_per_user: Conversations of one user.
        max_running: In so many conversations of one user something may run at once; None: in all.
        tools_allowed: What `Options.tools` may name: a tool runs with the server's rights.
        models_offered: Models to choose from. A model's name can name a module to import or a file to read.
        any_model: Whether users may name others too; they are trusted as who runs the server is, then.
        hosts_allowed: What `Options.network` may name; None: every public host.
        quota: What each user may use, where nothing else is set in the database; None: as much as there is.
        memory_mb: What the code of one conversation may have; None: as much as an interpreter's may.

    Raises:
        ConfigError: The database or the folder cannot be used, or an allowed host is none.
    """

    def __init__(self, url: str = "", *, home: Path | None = None, defaults: Options | None = None,
                 model: Callable[[str], Model] | None = None, sandbox: str = "auto", idle_seconds: float = 900.0,
                 max_live: int = 64, max_per_user: int = 2000, max_running: int | None = None,
                 tools_allowed: Sequence[str] = (), models_offered: Sequence[str] = (), any_model: bool = True,
                 hosts_allowed: Sequence[str] | None = None, quota: Quota | None = None,
                 memory_mb: int | None = None) -> None:
        home, self.defaults = home or _default_home(), defaults or Options()
        offered = tuple(dict.fromkeys(filter(None, (self.defaults.model, *models_offered))))
        try:
            powers = Powers(offered, any_model, tuple(tools_allowed),
                            None if hosts_allowed is None else tuple(hosts_allowed))
        except ValueError as error:
            raise ConfigError(str(error)) from None
        super().__init__(open_store(url, home), home, model=model or _configured, sandbox=sandbox,
                         idle_seconds=idle_seconds, max_live=max_live, max_running=max_running, powers=powers,
                         quota=quota or Quota(), memory_mb=memory_mb)
        self._max_per_user = max_per_user

    @property
    def tools_allowed(self) -> tuple[str, ...]:
        """What `Options.tools` may name."""
        return self.powers.tools

    @property
    def models_offered(self) -> tuple[str, ...]:
        """Models to choose from."""
        return self.powers.models

    def begin_with(self, model: str) -> None:
        """Have new conversations with another model from now on; it is offered, too."""
        self.defaults = replace(self.defaults, model=model)
        self.powers = replace(self.powers, models=tuple(dict.fromkeys((model, *self.powers.models))))

    def create(self, owner: str, options: Options | None = None, *, title: str = "") -> Summary:
        """A new one.

        Raises:
            LimitReached: The owner has as many as may be.
            ChatRefused: The options name something that is not allowed.
            ConfigError: Their model cannot be had.
        """
        options = options or self.defaults
        self._judge(options, self.defaults)
        if self._store.count(owner) >= self._max_per_user:
            raise LimitReached(f"there are {self._max_per_user} conversations, as many as may be; delete some")
        return self._store.create(owner, title, options)

    def _judge(self, options: Options, before: Options) -> None:
        """See that a conversation may and can be had so: told now, not with its first message."""
        self.powers.judge(options)
        if options.model and options.model != before.model:
            self._model(options.model)

    def find(self, owner: str, *, search: str = "", limit: int = 50, before: float | None = None) -> list[Summary]:
        """An owner's, the pinned first, then the latest; `search` looks through titles and messages.

        Args:
            before: Only those whose `updated` is less, and that are not pinned.
        """
        return self._store.find(owner, search=search[:200], limit=max(1, min(limit, 500)), before=before)

    def summary(self, key: str, owner: str) -> Summary:
        """One as a list shows it.

        Raises:
            NotFound: There is none; so do all that take a conversation.
        """
        return self._store.summary(key, owner)

    def update(self, key: str, owner: str, *, title: str | None = None, pinned: bool | None = None,
               options: Options | None = None) -> Summary:
        """Rename it, pin it, or have it go on in another way.

        Raises:
            ChatBusy: Options cannot be changed while something runs.
            ChatRefused, ConfigError: As for `create`.
        """
        before = self._store.summary(key, owner).options
        values: dict[str, Any] = {}
        if title is not None:
            values["title"] = " ".join(title.split())
        if pinned is not None:
            values["pinned"] = pinned
        if options is not None:
            self._judge(options, before)
            with self._alone(key, owner):
                self._to_sleep(key)
                self._store.update(key, options=options)
        if values:
            self._store.update(key, **values)
        if values or options is not None:
            self._news.tell(key)
        return self._store.summary(key, owner)

    def delete(self, key: str, owner: str) -> None:
        """Remove it, with its files and all its branches; what runs is stopped."""
        with self._alone(key, owner):
            self.stop(key, owner)
            self._to_sleep(key)
            self._store.delete(key)
            shutil.rmtree(self._folder(key), ignore_errors=True)
            with self._lock:
                self._turns.pop(key, None)
        self._news.tell(key)


def open_store(url: str = "", home: Path | None = None) -> Store:
    """The database of `Chats` alone, for who wants no conversation of it: a server may have it open.

    Raises:
        ConfigError: It or its folder cannot be used.
    """
    home = home or _default_home()
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot keep conversations in {home}: {error.strerror}") from None
    return Store(url or f"sqlite:///{home / 'chats.db'}")


def forget(store: Store, owner: str, home: Path | None = None) -> int:
    """Remove all conversations of a user's who is gone, with their files; how many there were."""
    n_removed = 0
    while found := store.find(owner):
        for one in found:
            store.delete(one.id)
            shutil.rmtree((home or _default_home()) / "conversations" / one.id, ignore_errors=True)
        n_removed += len(found)
    return n_removed


def _default_home() -> Path:
    base = os.environ.get("XDG_DATA_HOME", "")
    return Path(base if base.startswith("/") else Path.home() / ".local" / "share", "codeact")


def _configured(name: str) -> Model:
    from codeact.settings import create_model, settle

    return create_model(settle(model=name, whence="this conversation"))
