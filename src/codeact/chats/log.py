"""What happens in a run, on its way into the store: text is put together for a moment, then stored, then told.

`RunLog` is an observer. Whoever follows is woken after an entry is committed, never before; what a page has shown is in
the database.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from codeact.chats.said import asked
from codeact.chats.settling import loose_ends, why_it_ended
from codeact.chats.store import Item, Store
from codeact.events import Approval, Ended, Event, Output, Started, Text
from codeact.trajectory import Turn

__all__ = ["RunLog"]

_TOGETHER_SECONDS = 0.05
_MAX_OUTPUT_CHARS = 1_000_000
"""Of one turn's pieces of output; the turn itself has what the model was shown."""

_log = logging.getLogger(__name__)

class RunLog:
    """The entries of one run.

    Args:
        store: Where they go.
        key: The conversation.
        branch: Its branch, whatever becomes the current one meanwhile.
        n_turns: Turns the branch has already.
        told: Called after each commit.
        holder: Who holds the conversation meanwhile.
    """

    def __init__(self, store: Store, key: str, branch: str, n_turns: int, told: Callable[[], object],
                 holder: str) -> None:
        self._store, self._key, self._branch, self._told, self._holder = store, key, branch, told, holder
        self.n_turns = n_turns
        self.ended = False
        """Whether the agent is done, and only the run's own end is left."""
        self._lock = threading.Lock()
        self._waiting: list[Item] = []
        self._text: list[str] = []
        self._of: tuple[str, str] | None = None
        """Kind and channel of the text that is put together."""
        self._room = _MAX_OUTPUT_CHARS
        self._due: float | None = None
        self._said = ""
        """What the user said last, as the model is told of it."""
        self._over = threading.Event()
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._flush_now_and_then, name="codeact-chat-log", daemon=True)
        self._thread.start()

    def __call__(self, event: Event) -> None:
        """Take what happens."""
        match event:
            case Text(text, channel):
                self._more(("text", channel), text)
            case Output(text, stream):
                shown = text[: self._room]
                self._room -= len(shown)
                if shown:
                    self._more(("output", stream), shown)
            case Turn():
                self.put("turn", event.to_json(), self.n_turns)
                self.n_turns += 1
                self._room = _MAX_OUTPUT_CHARS
            case Started(trajectory) if not trajectory.turns:
                self.put("started", trajectory.head())
            case Started(trajectory):
                reply = trajectory.turns[-1].reply
                if reply is not None and reply.content != self._said:   # what else the model is told is nowhere else
                    self.put("told", {"text": reply.content})
            case Approval():   # told by who asks
                pass
            case Ended():
                self.settle(why_it_ended(event.stop))
                self.ended = True
                self.put("ended", {"stop": event.stop})
            case _:
                data = event.to_json()
                self.put(data["type"], data)

    def put(self, kind: str, data: Mapping[str, Any], turn: int | None = None, *, state: str | None = None) -> int:
        """Store an entry at once, with what waits before it; its number.

        Args:
            turn: The number of the turn it is of; else of the one that is under way, or would come.
        """
        if kind == "user":
            self._said = asked(data)
        with self._lock:
            self._close_text()
            held = kind in ("turn", "cell_done")   # it has what waits
            items = [*([] if held else self._waiting), (kind, data, self.n_turns if turn is None else turn)]
            seq = self._store.add(self._key, items, state=state, branch=self._branch, holder=self._holder)[-1].seq
            self._waiting = []
        self._told()
        return seq

    def settle(self, why: str) -> None:
        """Make one entry of what came to no end, if anything did.

        Args:
            why: Why not, in words.
        """
        self._flush()
        if ends := loose_ends(self._store, self._key, self._branch, self.n_turns, why):
            self._store.add(self._key, ends, branch=self._branch, holder=self._holder)
            self._told()

    def close(self) -> None:
        """Store what is left."""
        self._over.set()
        self._wake.set()
        self._thread.join()
        self._flush()

    def _more(self, of: tuple[str, str], text: str) -> None:
        with self._lock:
            if self._of != of:
                self._close_text()
                self._of = of
            self._text.append(text)
            if self._due is None:
                self._due = time.monotonic() + _TOGETHER_SECONDS
                self._wake.set()

    def _close_text(self) -> None:
        if self._of and self._text:
            kind, channel = self._of
            name = "channel" if kind == "text" else "stream"
            self._waiting.append((kind, {"type": kind, "text": "".join(self._text), name: channel}, None))
        self._text, self._of, self._due = [], None, None

    def _flush(self) -> None:
        with self._lock:
            self._close_text()
            if not self._waiting:
                return
            self._store.add(self._key, self._waiting, branch=self._branch, holder=self._holder)
            self._waiting = []
        self._told()

    def _flush_now_and_then(self) -> None:
        while not self._over.is_set():
            self._wake.wait()
            self._wake.clear()
            if self._over.wait(_TOGETHER_SECONDS):
                return
            try:
                self._flush()
            except Exception as error:   # what waits is stored with what comes next
                _log.warning("a conversation's entries were not stored yet: %s", error)
