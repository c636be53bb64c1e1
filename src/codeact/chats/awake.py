"""Which conversations are awake: woken by who is alone with them, put to sleep when they rest, ended with the server.

What every other part of `Chats` stands on. A conversation that is awake has an agent (`live.py`).
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from codeact import plugins
from codeact.chats.live import Live
from codeact.chats.news import News
from codeact.chats.settling import after_a_crash, missing_turns
from codeact.chats.store import Store
from codeact.chats.values import Options, Summary
from codeact.errors import ChatBusy, ChatRefused, ConfigError, LimitReached
from codeact.protocols import Model
from codeact.recording import is_free

__all__ = ["BUSY", "Awake"]

_log = logging.getLogger(__name__)

_LOOK_SECONDS = 20.0
_AT_WORK = ("running", "waiting")
BUSY = "something runs in this conversation: wait for it, or stop it"


class Awake:
    """Conversations that are awake, in a database and a folder; the arguments are those of `Chats`."""

    def __init__(self, store: Store, home: Path, *, model: Callable[[str], Model], sandbox: str, idle_seconds: float,
                 max_live: int, max_running: int | None, tools_allowed: Sequence[str], models_offered: Sequence[str],
                 any_model: bool) -> None:
        self._store, self.home = store, home
        self._model, self._sandbox = model, sandbox
        self._idle_seconds, self._max_live = idle_seconds, max_live
        self._max_running, self.any_model = max_running, any_model
        self.tools_allowed = tuple(tools_allowed)
        self.models_offered = tuple(dict.fromkeys(filter(None, models_offered)))
        self._lives: dict[str, Live] = {}
        self._turns: dict[str, threading.RLock] = {}
        self._lock = threading.Lock()
        self._news = News()
        self._counts = {"evictions": 0.0, "restores": 0.0}
        self._closed, self._look = threading.Event(), threading.Event()
        for left in self._store.running():
            # Else it is another server's on the same database, which has it awake or its files elsewhere.
            if self._folder(left.id).exists():
                try:
                    self._settle(left)
                except Exception as error:   # one that is damaged must not keep the others from being had
                    _log.warning("what was left of conversation %s was not settled: %s", left.id, error)
        threading.Thread(target=self._look_after, name="codeact-chats", daemon=True).start()

    @property
    def model(self) -> Callable[[str], Model]:
        """What makes the model of a name."""
        return self._model

    @property
    def store(self) -> Store:
        """The database; users and logins are its business."""
        return self._store

    def stats(self) -> dict[str, float]:
        """Numbers for whoever watches the server."""
        with self._lock:
            lives = list(self._lives.values())
        awake = {"live": float(len(lives)), "running": float(sum(live.is_at_work for live in lives))}
        return {**self._store.totals(), **awake, **self._counts}

    def rest(self) -> None:
        """Stop what runs and put all to sleep; who follows is woken."""
        with self._lock:
            lives = list(self._lives.values())
            self._lives.clear()
        for live in lives:   # all at once, then one after another
            live.cancel()
        for live in lives:
            live.close()
        self._news.tell()

    def close(self) -> None:
        """As `rest`, for good."""
        if self._closed.is_set():
            return
        self._closed.set()
        self._look.set()
        self.rest()
        self._store.close()

    @property
    def is_closed(self) -> bool:
        """Whether it is over."""
        return self._closed.is_set()

    def judge(self, options: Options) -> None:
        """Whether conversations may be had so.

        Raises:
            ChatRefused: A tool is not allowed, a model not offered, a format unknown.
        """
        for name in options.tools:
            if name not in self.tools_allowed:
                allowed = ", ".join(self.tools_allowed) or "none"
                raise ChatRefused(f"the tool {name!r} is not allowed by this server; allowed: {allowed}")
        if not self.any_model and options.model and options.model not in self.models_offered:
            offered = ", ".join(self.models_offered) or "none"
            raise ChatRefused(f"the model {options.model!r} is not offered by this server; offered: {offered}")
        if options.format not in (formats := plugins.available("formats")):   # another would be a module to import
            raise ChatRefused(f"there is no format {options.format!r}; there are {', '.join(formats)}")

    # ------------------------------------------------------------------------------------------------------------------

    def _folder(self, key: str) -> Path:
        return self.home / "conversations" / key

    def _workspace(self, key: str) -> Path:
        return self._folder(key) / "workspace"

    def _check_running(self, key: str, owner: str) -> None:
        if self._max_running is None:
            return
        with self._lock:
            others = [live for live in self._lives.values() if live.owner == owner and live.key != key]
        n_running = sum(live.is_at_work for live in others)
        if n_running >= self._max_running:
            raise LimitReached(f"something runs in {n_running} of your conversations already, as many as may be; wait "
                               "for one of them, or stop it")

    @contextlib.contextmanager
    def _alone(self, key: str, owner: str) -> Iterator[Summary]:
        """The conversation as it is, while nobody else begins something in it, wakes it, or leads it elsewhere."""
        self._store.summary(key, owner)
        with self._lock:
            turn = self._turns.setdefault(key, threading.RLock())
        with turn:
            yield self._store.summary(key, owner)   # somebody may have deleted it meanwhile

    def _live(self, summary: Summary) -> Live:
        """The conversation, awake; to be called by who is alone with it."""
        with self._lock:
            live = self._lives.get(summary.id)
        if live is not None and live.is_up_to(summary):
            live.used = time.monotonic()
            return live
        self._to_sleep(summary.id)   # meanwhile it was had on another server
        if self.is_closed:
            raise ChatRefused("the server is about to end: try again when it is there")
        if not summary.options.model:
            raise ConfigError("no model is chosen for this conversation: choose one in its settings")
        self.judge(summary.options)   # what is allowed may have changed since
        was_there = self._folder(summary.id).exists()
        live = Live(self._store, summary, self._folder(summary.id), model=self._model,
                    told=lambda: self._told_of(summary.id), sandbox=self._sandbox)
        self._counts["restores"] += was_there
        if summary.state in _AT_WORK:   # its program has gone, or this one could not open its file
            after_a_crash(self._store, summary, live.file())
        self._caught_up(live)
        with self._lock:
            self._lives[summary.id] = live
        return live

    def _settle(self, left: Summary) -> bool:
        """Mark as interrupted what a program left running that has gone; whether there was something."""
        path = self._folder(left.id) / f"{left.branch}.jsonl"
        if left.state not in _AT_WORK or not is_free(path):
            return False
        after_a_crash(self._store, left, path)
        self._news.tell(left.id)
        return True

    def _told_of(self, key: str) -> None:
        live = self._lives.get(key)
        if len(self._lives) > self._max_live and live is not None and not live.is_at_work:
            self._look.set()
        self._news.tell(key)

    def _caught_up(self, live: Live) -> None:
        """Entries for what the agent's file has and the database has not: the server died between the two."""
        n_known = self._store.n_turns(live.key)
        items = missing_turns(live.agent.trajectory, n_known)
        lost = {"lost": list(live.lost)}
        if live.lost and all(told.data != lost for told in self._store.since_turn(live.key, ("restored",))):
            items.append(("restored", lost, n_known + len(items)))
        if items:
            self._store.add(live.key, items)
            self._news.tell(live.key)

    def _to_sleep(self, key: str) -> None:
        """End the conversation's agent; the next message wakes another.

        Raises:
            ChatBusy: Something runs.
        """
        live = self._lives.get(key)
        if live is not None and live.is_running:
            raise ChatBusy(BUSY)
        with self._lock:
            self._lives.pop(key, None)
        if live is not None:
            live.close()

    def _look_after(self) -> None:
        while not self._closed.is_set():
            self._look.wait(min(_LOOK_SECONDS, max(0.05, self._idle_seconds / 4)))
            self._look.clear()
            now = time.monotonic()
            with self._lock:
                resting = [live for live in self._lives.values() if not live.is_at_work]
            resting.sort(key=lambda live: live.used)
            surplus = len(resting) - self._max_live
            for n, live in enumerate(resting):
                if n < surplus or now - live.used > self._idle_seconds:
                    try:
                        self._evict(live)
                    except Exception as error:   # the others have to be looked after all the same
                        _log.warning("a conversation was not put to sleep: %s", error)

    def _evict(self, live: Live) -> None:
        with self._lock:
            turn = self._turns.get(live.key)
        if turn is None or not turn.acquire(blocking=False):   # somebody is about to need it
            return
        try:
            if self._lives.get(live.key) is live and not live.is_at_work:
                self._counts["evictions"] += 1
                self._to_sleep(live.key)
        finally:
            turn.release()
