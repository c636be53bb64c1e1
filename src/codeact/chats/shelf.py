"""What there is of a conversation, and what can be taken along: entries, variables, files, exports, a link to share."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterator
from typing import Any

from codeact.chats import files
from codeact.chats.awake import AT_WORK, Awake
from codeact.chats.document import KINDS, document
from codeact.chats.rebuilding import rebuilt
from codeact.chats.settling import loose_ends
from codeact.chats.values import Entry, FileInfo, Summary, TurnView
from codeact.chats.views import UNDER_WAY, turn_views
from codeact.errors import ChatBusy, ChatRefused, NotFound
from codeact.export import markdown, notebook
from codeact.export.parts import title

__all__ = ["Shelf"]

_LOOK_SECONDS = 20.0


class Shelf(Awake):
    """Conversations that can be looked at."""

    def turns(self, key: str, owner: str, *, before: int | None = None, limit: int = 30) -> list[TurnView]:
        """Turns, oldest first: the last ones, or those below number `before`; those too that came to no end, or run."""
        summary = self._store.summary(key, owner)
        found = self._store.turns(key, before=before, limit=max(1, min(limit, 200)))
        return turn_views([*found, *(self._under_way(summary) if before is None else ())])

    def _under_way(self, summary: Summary) -> list[Entry]:
        """What there is of a turn that runs, as if it had been cut here."""
        if summary.state not in AT_WORK:
            return []
        ends = loose_ends(self._store, summary.id, summary.branch, summary.n_turns, UNDER_WAY)
        seq = max((one.seq for one in self._store.unsettled(summary.id, summary.branch)), default=0)
        return [Entry(seq, kind, data, time.time(), summary.branch, turn) for kind, data, turn in ends if kind == "cut"]

    def shown(self, key: str, owner: str, *, before: int | None = None, limit: int = 30) -> list[Entry]:
        """As `turns`, but the entries themselves: messages, turns, and the user's own cells among them."""
        self._store.summary(key, owner)
        return self._store.turns(key, before=before, limit=max(1, min(limit, 200)))

    def entries(self, key: str, owner: str, *, after: int = 0, limit: int = 1000) -> list[Entry]:
        """Entries of the current branch with numbers above `after`."""
        self._store.summary(key, owner)
        return self._store.entries(key, after=after, limit=max(1, min(limit, 5000)))

    def follow(self, key: str, owner: str, after: int, *, timeout: float = 15.0) -> list[Entry]:
        """As `entries`, but waits until there is one; empty when the time is up."""
        until = time.monotonic() + timeout
        while True:
            n_told = self._news.n_told
            if found := self.entries(key, owner, after=after):
                return found
            left = until - time.monotonic()
            if left <= 0 or self._closed.is_set():
                return []
            self._news.wait(n_told, min(left, _LOOK_SECONDS))

    def watch(self, watcher: Callable[[str], object]) -> Callable[[], None]:
        """Have somebody called with a conversation's key whenever something of it was stored; "" is of any.

        It is called in the thread that stored it, and must be quick. Gives what ends it.
        """
        return self._news.watch(watcher)

    def variables(self, key: str, owner: str) -> list[dict[str, Any]]:
        """What the interpreter holds: name, type, shape, bytes, preview.

        Raises:
            ChatBusy: Something runs.
        """
        with self._alone(key, owner) as summary:
            live = self._live(summary)
            if live.is_running:
                raise ChatBusy("variables can be looked at when nothing runs")
            found = live.agent.interpreter.variables()  # type: ignore[attr-defined]
        return [{"name": one.name, "type": one.type, "shape": one.shape and list(one.shape), "length": one.length,
                 "n_bytes": one.size, "preview": one.preview} for one in found]

    # Files ------------------------------------------------------------------------------------------------------------

    def files(self, key: str, owner: str) -> list[FileInfo]:
        """The workspace's files, the latest first."""
        self._store.summary(key, owner)
        folder = self._workspace(key)
        return files.listed(folder) if folder.exists() else []

    def read_file(self, key: str, owner: str, name: str) -> bytes:
        """One of them; see `files.read`."""
        self._store.summary(key, owner)
        folder = self._workspace(key)
        if not folder.exists():
            raise NotFound(f"there is no file {name[:200]!r}")
        return files.read(folder, name)

    def upload(self, key: str, owner: str, name: str, data: bytes) -> FileInfo:
        """Put one there; see `files.write`.

        Raises:
            LimitReached: Its owner has no room for it.
        """
        self._store.summary(key, owner)
        folder = self._workspace(key)
        with self.meter.adding(key, owner, len(data), self._awake_of(owner)):
            folder.mkdir(parents=True, exist_ok=True)
            return files.write(folder, name, data)

    def remove_file(self, key: str, owner: str, name: str) -> None:
        """Take one away; see `files.remove`."""
        self._store.summary(key, owner)
        folder = self._workspace(key)
        if not folder.exists():
            raise NotFound(f"there is no file {name[:200]!r}")
        files.remove(folder, name)
        self.meter.measure(key)

    def archive(self, key: str, owner: str) -> Iterator[bytes]:
        """All of them as a zip, piece by piece."""
        self._store.summary(key, owner)
        folder = self._workspace(key)
        folder.mkdir(parents=True, exist_ok=True)
        return files.archived(folder)

    def export(self, key: str, owner: str, kind: str) -> tuple[str, bytes]:
        """The current branch as a file: its name and its bytes.

        Args:
            kind: ipynb or md: all that was said and done, what came to no end marked; jsonl: the trajectory, which
                has finished turns.
        """
        summary = self._store.summary(key, owner)
        if kind not in ("ipynb", "md", "jsonl"):
            raise ChatRefused(f"{kind!r} is no kind of export; there are ipynb, md and jsonl")
        found = [*self._store.all_of(key, KINDS), *self._under_way(summary)]
        if not (summary.n_turns if kind == "jsonl" else found):
            raise ChatRefused("there is nothing to export yet")
        if kind == "jsonl":
            data = "".join(f"{line}\n" for line in rebuilt(self._store, key).lines()).encode()
        else:
            head = title({"model": summary.options.model})
            if kind == "md":
                data = markdown.from_parts(document(found), head, folder=None)[0].encode()
            else:
                data = json.dumps(notebook.from_parts(document(found), head), indent=1).encode() + b"\n"
        name = "".join(one if one.isalnum() or one in "-_" else "-" for one in summary.title)[:40].strip("-")
        return f"{name or 'conversation'}.{kind}", data

    # Shared -----------------------------------------------------------------------------------------------------------

    def share(self, key: str, owner: str) -> str:
        """A token that lets anybody read it, until it is taken back; the same if there is one."""
        summary = self._store.summary(key, owner)
        token = summary.shared or secrets.token_urlsafe(24)
        self._store.update(key, shared=token)
        return token

    def unshare(self, key: str, owner: str) -> None:
        """Take the link back."""
        self._store.summary(key, owner)
        self._store.update(key, shared=None)

    def shared(self, token: str) -> Summary:
        """What a link leads to.

        Raises:
            NotFound: Nothing.
        """
        return self._store.by_share(token)

    def shared_turns(self, token: str, *, before: int | None = None, limit: int = 30) -> list[Entry]:
        """Its turns, as `shown` gives them."""
        return self._store.turns(self._store.by_share(token).id, before=before, limit=max(1, min(limit, 200)))
