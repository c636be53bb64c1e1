"""Holds users to their quotas: what they keep on disk, and what the models cost that work for them.

A model that is asked for somebody is a `Metered` one: it is not asked when nothing is left, and what it used is
written down. So a limit may be passed by one reply for each conversation that works at once, and not by more. What is
on disk is looked at before something begins; a cell's own limit is what is left then.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from codeact.chats.quota import Quota, Rate
from codeact.chats.store import Store
from codeact.errors import LimitReached
from codeact.events import Event, Observer, Text
from codeact.messages import Completion, Message, Usage
from codeact.protocols import Model, NativeTool, Stopper

__all__ = ["Meter", "Metered", "size_of"]

_MB = 1 << 20
_LEAST_BYTES = 1024
"""What a file counts at least: a great many empty ones fill a disk too."""
_CHARS_PER_TOKEN = 4
_ASK = "or ask whoever keeps the server for more"


class Meter:
    """The quotas of a server's users.

    Args:
        quota: Of those for whom nothing else is set in the database.
        folders: Where the folders of conversations lie, by key.
    """

    def __init__(self, store: Store, quota: Quota, folders: Path) -> None:
        self._store, self._quota, self._folders = store, quota, folders
        self._prices: dict[str, float] = {}
        """Dollars a token, by model, as it was last."""
        self._adding: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def quota(self, owner: str) -> Quota:
        """What a user may use."""
        return Quota.read(self._store.quota_of(owner), self._quota)

    def told(self, owner: str, awake: Sequence[str] = ()) -> dict[str, Any]:
        """What a user may use and has used, as plain JSON values."""
        quota = self.quota(owner)
        tokens = self._store.spent(owner, quota.tokens or Rate(1))[0]
        cost = self._store.spent(owner, quota.cost or Rate(1))[1]
        return {
            "disk": {"limit": quota.disk, "used": round(self.used(owner, awake) / _MB, 3), "per": None},
            "cost": {"limit": quota.cost and quota.cost.amount, "used": cost, "per": (quota.cost or Rate(1)).per},
            "tokens": {"limit": quota.tokens and quota.tokens.amount, "used": tokens,
                       "per": (quota.tokens or Rate(1)).per},
        }

    # Models -----------------------------------------------------------------------------------------------------------

    def check_spending(self, owner: str) -> None:
        """See that a model may be asked.

        Raises:
            LimitReached: What there was is used up.
        """
        quota, now = self.quota(owner), time.time()
        if quota.tokens and (used := self._store.spent(owner, quota.tokens)[0]) >= quota.tokens.amount:
            raise LimitReached(f"this {quota.tokens.per}'s {quota.tokens.amount:,.0f} tokens are used up ({used:,}); "
                               f"go on from {quota.tokens.again(now)}, {_ASK}")
        if quota.cost and (cost := self._store.spent(owner, quota.cost)[1]) >= quota.cost.amount:
            raise LimitReached(f"this {quota.cost.per}'s {quota.cost.amount:,.2f} dollars are spent ({cost:,.2f}); "
                               f"go on from {quota.cost.again(now)}, {_ASK}")

    def spend(self, owner: str, usage: Usage, model: str) -> None:
        """Write down what a model used."""
        n_tokens = usage.prompt_tokens + usage.completion_tokens
        if usage.cost and n_tokens:
            with self._lock:
                self._prices[model] = usage.cost / n_tokens
        if n_tokens or usage.cost:
            self._store.spend(owner, n_tokens, usage.cost)

    def spend_about(self, owner: str, n_chars: int, model: str) -> None:
        """Write down what a reply that was broken off used: nobody says, so by its length and the last price."""
        n_tokens = n_chars // _CHARS_PER_TOKEN
        with self._lock:
            price = self._prices.get(model, 0.0)
        self._store.spend(owner, n_tokens, n_tokens * price)

    # Disk -------------------------------------------------------------------------------------------------------------

    def used(self, owner: str, awake: Sequence[str] = ()) -> int:
        """Bytes that a user's conversations have on disk; those that are awake are looked at anew."""
        total = 0
        for key, known in self._store.sizes(owner).items():
            if key in awake:
                total += size_of(self._folders / key)
            else:
                total += self.measure(key) if known is None else known
        return total

    def measure(self, key: str) -> int:
        """Look what a conversation has on disk, and write it down."""
        found = size_of(self._folders / key)
        self._store.update(key, n_bytes=found)
        return found

    @contextlib.contextmanager
    def adding(self, key: str, owner: str, n_bytes: int, awake: Sequence[str] = ()) -> Iterator[None]:
        """While a file is added to a conversation: one of a user's at a time, so that many at once are no way around.

        Raises:
            LimitReached: There is no room for it.
        """
        with self._lock:
            lock = self._adding.setdefault(owner, threading.Lock())
        with lock:
            self.room(owner, awake, more=n_bytes)
            yield
            self.measure(key)

    def room(self, owner: str, awake: Sequence[str] = (), *, more: int = 0) -> int | None:
        """Bytes that are left; None: there is no limit.

        Args:
            more: Bytes that are about to be added.

        Raises:
            LimitReached: Nothing is, or not so much.
        """
        if (limit := self.quota(owner).disk) is None:
            return None
        used = self.used(owner, awake)
        left = round(limit * _MB) - used - more
        if left < 0 or (left == 0 and not more):
            what = f", and this has {more / _MB:,.1f}" if more else ""
            raise LimitReached(f"your conversations have {used / _MB:,.1f} MB of files and saved states, and may have "
                               f"{limit:,.15g}{what}; delete files or conversations, {_ASK}")
        return left


class Metered:
    """A model that works for a user, and counts."""

    def __init__(self, model: Model, meter: Meter, owner: str, name: str) -> None:
        self._model, self._meter, self._owner, self._name = model, meter, owner, name

    @property
    def name(self) -> str:
        """As the model within."""
        return str(getattr(self._model, "name", "") or type(self._model).__name__)

    def __getattr__(self, name: str) -> Any:   # what else a model says of itself
        return getattr(self._model, name)

    def complete(self, messages: Sequence[Message], *, stop: Sequence[str], tools: Sequence[NativeTool] = (),
                 observe: Observer, cancel: Stopper) -> Completion:
        """Write the next reply; see `protocols.Model`.

        Raises:
            LimitReached: Nothing is left of what the user may use.
        """
        self._meter.check_spending(self._owner)
        n_written = 0

        def watch(event: Event) -> None:
            nonlocal n_written
            if isinstance(event, Text):
                n_written += len(event.text)
            observe(event)

        try:
            done = self._model.complete(messages, stop=stop, tools=tools, observe=watch, cancel=cancel)
        except BaseException:
            if n_written:
                self._meter.spend_about(self._owner, _length(messages) + n_written, self._name)
            raise
        if done.usage.prompt_tokens or done.usage.completion_tokens or done.usage.cost:
            self._meter.spend(self._owner, done.usage, self._name)
        else:   # a server that does not tell
            self._meter.spend_about(self._owner, _length(messages) + max(n_written, len(done.text)), self._name)
        return done


def size_of(folder: Path) -> int:
    """Bytes that a folder has on disk, with all in it; links are not followed."""
    total = 0
    for where, folders, names in os.walk(folder):
        for name in (*folders, *names):
            try:
                about = os.lstat(os.path.join(where, name))
            except OSError:   # gone since
                continue
            total += max(about.st_blocks * 512, _LEAST_BYTES)
    return total


def _length(messages: Sequence[Message]) -> int:
    return sum(len(one.content) for one in messages)
