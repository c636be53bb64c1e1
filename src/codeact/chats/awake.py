"""Which conversations are awake: woken by who is alone with them, put to sleep when they rest, ended with the server.

What every other part of `Chats` stands on. A conversation that is awake has an agent (`live.py`).
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from codeact.chats.holding import Holding
from codeact.chats.live import Live
from codeact.chats.meter import Meter, Metered
from codeact.chats.news import News
from codeact.chats.powers import Powers
from codeact.chats.quota import Quota
from codeact.chats.settling import after_a_crash, missing_turns
from codeact.chats.store import Store
from codeact.chats.values import Summary
from codeact.errors import ChatBusy, ChatRefused, ConfigError, LimitReached
from codeact.protocols import Model
from codeact.recording import is_free

__all__ = ["AT_WORK", "BUSY", "Awake"]

_log = logging.getLogger(__name__)

_LOOK_SECONDS = 20.0
_SLACK_BYTES = 64 << 20
AT_WORK = ("running", "waiting")
BUSY = "something runs in this conversation: wait for it, or stop it"


class Awake:
    """Conversations that are awake, in a database and a folder; the arguments are those of `Chats`."""

    def __init__(self, store: Store, home: Path, *, model: Callable[[str], Model], sandbox: str, idle_seconds: float,
                 max_live: int, max_running: int | None, powers: Powers, quota: Quota, memory_mb: int | None) -> None:
        self._store, self.home = store, home
        self._model, self._sandbox, self._memory_mb = model, sandbox, memory_mb
        self._idle_seconds, self._max_live = idle_seconds, max_live
        self._max_running = max_running
        self.powers = powers
        self.meter = Meter(store, quota, home / "conversations")
        self._lives: dict[str, Live] = {}
        self._turns: dict[str, threading.RLock] = {}
        self._lock = threading.Lock()
        self._news = News()
        self._counts = {"evictions": 0.0, "restores": 0.0}
        self._closed, self._look = threading.Event(), threading.Event()
        self._holding = Holding(store, self._give_up, place=home)
        for left in self._store.running():
            # Else it is another server's on the same database, which has it awake or its files elsewhere.
            if self._folder(left.id).exists() and self._holding.is_left(left.id):
                try:
                    if self._settle(left):
                        self._store.release(left.id)
                except Exception as error:   # one that is damaged must not keep the others from being had
                    _log.warning("what was left of conversation %s was not settled: %s", left.id, error)
        threading.Thread(target=self._look_after, name="codeact-chats", daemon=True).start()

    def model_for(self, owner: str) -> Callable[[str], Model]:
        """What makes the model of a name for a user: it may be asked, and what it uses is counted.

        Its fault is `ChatRefused` where the server does not offer the model: a name can be a module to import.
        """

        def make(name: str) -> Model:
            self.powers.judge_model(name)
            return Metered(self._model(name), self.meter, owner, name)

        return make

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
            self._close(live)
        self._news.tell()

    def close(self) -> None:
        """As `rest`, for good."""
        if self._closed.is_set():
            return
        self._closed.set()
        self._look.set()
        self.rest()
        self._holding.close()
        self._store.close()

    @property
    def is_closed(self) -> bool:
        """Whether it is over."""
        return self._closed.is_set()

    def _folder(self, key: str) -> Path:
        return self.home / "conversations" / key

    def _workspace(self, key: str) -> Path:
        return self._folder(key) / "workspace"

    def _check_limits(self, key: str, owner: str, *, asks: bool = True) -> None:
        """See that its owner may begin something in a conversation; to be called by who is alone with it.

        Args:
            asks: Whether a model is asked.

        Raises:
            LimitReached: Not now.
        """
        with self._lock:
            others = [live for live in self._lives.values() if live.owner == owner and live.key != key]
        n_running = sum(live.is_at_work for live in others)
        if self._max_running is not None and n_running >= self._max_running:
            raise LimitReached(f"something runs in {n_running} of your conversations already, as many as may be; wait "
                               "for one of them, or stop it")
        if asks:
            self.meter.check_spending(owner)
        room = self.meter.room(owner, self._awake_of(owner))
        live = self._lives.get(key)
        if room is not None and live is not None and not live.is_running and live.room > room + _SLACK_BYTES:
            self._to_sleep(key)   # it wakes with what is left now

    def _awake_of(self, owner: str) -> list[str]:
        with self._lock:
            return [live.key for live in self._lives.values() if live.owner == owner]

    def used(self, owner: str) -> dict[str, Any]:
        """What a user may use and has used: `Meter.told`."""
        return self.meter.told(owner, self._awake_of(owner))

    @contextlib.contextmanager
    def _alone(self, key: str, owner: str) -> Iterator[Summary]:
        """The conversation as it is, while nobody else begins something in it, wakes it, or leads it elsewhere.

        Raises:
            ChatElsewhere: Another server of the database is at work on it.
        """
        self._store.summary(key, owner)
        with self._lock:
            turn = self._turns.setdefault(key, threading.RLock())
        with turn, self._holding.held(key):
            summary = self._store.summary(key, owner)   # somebody may have deleted it meanwhile
            yield self._store.summary(key, owner) if self._settle(summary) else summary

    def _give_up(self, key: str) -> None:
        """Another server has it now, or somebody there wants it to stop."""
        if (live := self._lives.get(key)) is not None:
            live.cancel()

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
        self.powers.judge(summary.options)   # what is allowed may have changed since
        was_there = self._folder(summary.id).exists()
        try:
            room = self.meter.room(summary.owner, self._awake_of(summary.owner))
        except LimitReached:   # it may be looked at all the same
            room = 0
        live = Live(self._store, summary, self._folder(summary.id), model=self.model_for(summary.owner),
                    told=lambda: self._told_of(summary.id), sandbox=self._sandbox, hosts=self.powers.hosts,
                    memory_mb=self._memory_mb, room=room, holding=self._holding)
        self._counts["restores"] += was_there
        if summary.state in AT_WORK:   # its program has gone, or this one could not open its file
            after_a_crash(self._store, summary, live.file())
        self._caught_up(live)
        with self._lock:
            self._lives[summary.id] = live
        return live

    def _settle(self, left: Summary) -> bool:
        """Mark as interrupted what a program left running that has gone; whether there was something."""
        path = self._folder(left.id) / f"{left.branch}.jsonl"
        live = self._lives.get(left.id)
        rests = live is not None and not live.is_at_work   # it has the file open, and what ran was another server's
        if left.state not in AT_WORK or not (rests or is_free(path)):
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
            self._close(live)

    def _close(self, live: Live) -> None:
        live.close()
        try:
            self.meter.measure(live.key)
        except Exception as error:   # a database that is gone keeps nothing from its end
            _log.warning("what a conversation has on disk was not stored: %s", error)

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
