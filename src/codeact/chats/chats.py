"""All conversations of a server: made, found, woken, put to sleep. The front of this package.

Methods are synchronous and may be called from any thread. `owner` is a user's name; a conversation of somebody else's
is one that is not there. What changes where a conversation stands makes a branch, so that nothing is ever lost: an
edited cell, a message said in another way, an undo.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from codeact import plugins
from codeact.actions import CodeAction, ToolCall, action_from_json
from codeact.agent import of_cell
from codeact.chats import files
from codeact.chats.live import Live, rebuilt
from codeact.chats.store import Store
from codeact.chats.values import Branch, Entry, FileInfo, Options, Summary, TurnView
from codeact.chats.views import turn_views
from codeact.errors import ChatBusy, ChatRefused, CodeActError, ConfigError, LimitReached, NotFound
from codeact.events import Note
from codeact.messages import Image
from codeact.protocols import Model
from codeact.recording import Recorder, is_free
from codeact.resuming import state_path

__all__ = ["Chats", "open_store"]

_log = logging.getLogger(__name__)

_MAX_TEXT_CHARS = 2_000_000
_MAX_IMAGES = 20
_MAX_IMAGE_BYTES = 20 << 20
_MAX_ATTACHED = 100
_TITLE_CHARS = 60
_LOOK_SECONDS = 20.0
_BUSY = "something runs in this conversation: wait for it, or stop it"
_CHANGED = "[I changed your cell and ran it in the interpreter, as shown. Go on from its result.]"


class Chats:
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

    Raises:
        ConfigError: The database or the folder cannot be used.
    """

    def __init__(self, url: str = "", *, home: Path | None = None, defaults: Options | None = None,
                 model: Callable[[str], Model] | None = None, sandbox: str = "auto", idle_seconds: float = 900.0,
                 max_live: int = 64, max_per_user: int = 2000, max_running: int | None = None,
                 tools_allowed: Sequence[str] = (), models_offered: Sequence[str] = (), any_model: bool = True) -> None:
        self.home = home or _default_home()
        self._store = open_store(url, self.home)
        self.defaults = defaults or Options()
        self._model, self._sandbox = model or _configured, sandbox
        self._idle_seconds, self._max_live, self._max_per_user = idle_seconds, max_live, max_per_user
        self._max_running, self.any_model = max_running, any_model
        self.tools_allowed = tuple(tools_allowed)
        self.models_offered = tuple(dict.fromkeys(filter(None, (self.defaults.model, *models_offered))))
        self._lives: dict[str, Live] = {}
        self._turns: dict[str, threading.RLock] = {}
        self._lock = threading.Lock()
        self._news = threading.Condition()
        self._watchers: list[Callable[[str], object]] = []
        self._counts = {"evictions": 0.0, "restores": 0.0}
        self._closed, self._look = threading.Event(), threading.Event()
        for left in self._store.running():
            # Else it is another server's on the same database, which has it awake or its files elsewhere.
            if self._folder(left.id).exists() and is_free(self._folder(left.id) / f"{left.branch}.jsonl"):
                self._store.add(left.id, [("interrupted", {"why": "the server ended"}, None)], state="interrupted")
        threading.Thread(target=self._look_after, name="codeact-chats", daemon=True).start()

    # Conversations ----------------------------------------------------------------------------------------------------

    def create(self, owner: str, options: Options | None = None, *, title: str = "") -> Summary:
        """A new one.

        Raises:
            LimitReached: The owner has as many as may be.
            ChatRefused: The options name a tool that is not allowed.
        """
        options = options or self.defaults
        self.judge(options)
        if self._store.count(owner) >= self._max_per_user:
            raise LimitReached(f"there are {self._max_per_user} conversations, as many as may be; delete some")
        return self._store.create(owner, title, options)

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
        """
        self._store.summary(key, owner)
        values: dict[str, Any] = {}
        if title is not None:
            values["title"] = " ".join(title.split())
        if pinned is not None:
            values["pinned"] = pinned
        if options is not None:
            self.judge(options)
            with self._alone(key, owner):
                self._to_sleep(key)
                self._store.update(key, options=options)
        if values:
            self._store.update(key, **values)
        if values or options is not None:
            self._tell(key)
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
        self._tell(key)

    # Talk -------------------------------------------------------------------------------------------------------------

    def send(self, key: str, owner: str, text: str, *, images: Sequence[Image] = (),
             attached: Sequence[str] = ()) -> int:
        """Say something; the agent works on it in a thread.

        Args:
            attached: Files that were uploaded with it, by name.

        Returns:
            The number of its entry: what follows comes after it.

        Raises:
            ChatBusy: Something runs.
            ChatRefused: There is nothing in it, or too much.
            ConfigError: The model cannot be had.
        """
        if not text.strip() and not images:
            raise ChatRefused("there is nothing in the message")
        if len(text) > _MAX_TEXT_CHARS or len(images) > _MAX_IMAGES or len(attached) > _MAX_ATTACHED:
            raise ChatRefused(f"a message may have {_MAX_TEXT_CHARS:,} characters, {_MAX_IMAGES} pictures and "
                              f"{_MAX_ATTACHED} files")
        if sum(len(image.data) for image in images) > _MAX_IMAGE_BYTES:
            raise ChatRefused(f"the pictures of a message may have {_MAX_IMAGE_BYTES >> 20} MiB together")
        said = {"text": text, "images": [image.to_json() for image in images], "files": list(attached)}
        with self._alone(key, owner) as summary:
            self._check_running(key, owner)
            live = self._live(summary)
            seq = live.begin(("user", said, summary.n_turns), live.task(_asked(said), tuple(images)))
            if not summary.title:
                self._store.update(key, title=_title(text))
        return seq

    def stop(self, key: str, owner: str) -> bool:
        """Stop whatever runs: the model's reply, a cell, a tool; gives when it has. Whether something ran."""
        self._store.summary(key, owner)
        live = self._lives.get(key)
        return live.stop() if live else False

    def wait(self, key: str, owner: str, seconds: float | None = None) -> bool:
        """Wait until nothing runs; whether that came about."""
        self._store.summary(key, owner)
        live = self._lives.get(key)
        return live.wait(seconds) if live else True

    def approve(self, key: str, owner: str, call: str, granted: bool) -> None:
        """Answer what a running cell asks leave for.

        Raises:
            NotFound: Nobody waits for that.
        """
        self._store.summary(key, owner)
        live = self._lives.get(key)
        if live is None or not live.answer(call, granted):
            raise NotFound("nobody waits for this answer any more")

    def run_cell(self, key: str, owner: str, code: str) -> int:
        """Run a cell of the user's own; the model is told of it with the next message."""
        _judge_code(code)
        with self._alone(key, owner) as summary:
            self._check_running(key, owner)
            live = self._live(summary)
            return live.begin(("cell", {"code": code}, summary.n_turns), live.cell(code))

    # Ways it went -----------------------------------------------------------------------------------------------------

    def edit(self, key: str, owner: str, turn: int, code: str) -> str:
        """Change the cell of a turn and go on from there, on a branch: it runs with the state of that moment.

        Returns:
            The branch.
        """
        _judge_code(code)
        with self._alone(key, owner) as summary:
            if not 0 <= turn < summary.n_turns:
                raise ChatRefused(f"there is no turn {turn}: there are {summary.n_turns}")
            self._check_running(key, owner)
            said = self._store.said_at(key, turn)
            at_seq = said.seq - 1 if said else None
            branch = self._branch(summary, turn, at_seq, f"edited: {code.strip().splitlines()[0]}")
            live = self._live(self._store.summary(key, owner))
            if said is not None:
                self._store.add(key, [("user", said.data, turn)])
            text, pictures = (_asked(said.data), _images(said)) if said is not None else (_CHANGED, ())
            live.begin(("cell", {"code": code}, turn), live.cell(code, live.task(text, pictures)))
        return branch

    def edit_message(self, key: str, owner: str, turn: int, text: str) -> str:
        """Say the message that began a turn in another way, on a branch; gives the branch."""
        if not text.strip() or len(text) > _MAX_TEXT_CHARS:   # judged before there is a branch for it
            raise ChatRefused("there is nothing in the message" if not text.strip() else "the message is too long")
        with self._alone(key, owner) as summary:
            if (said := self._store.said_at(key, turn)) is None:
                raise ChatRefused(f"no message began turn {turn}")
            self._check_running(key, owner)
            branch = self._branch(summary, turn, said.seq - 1, f"said anew: {_title(text)}")
            self.send(key, owner, text, images=_images(said), attached=said.data.get("files", ()))
        return branch

    def retry(self, key: str, owner: str) -> int:
        """Have the last message done again, on a branch; gives the number of its entry."""
        with self._alone(key, owner) as summary:
            last = self._last_said(key, 1)
            self._check_running(key, owner)
            self._branch(summary, last.turn or 0, last.seq - 1, "done again")
            return self.send(key, owner, last.data["text"], images=_images(last), attached=last.data.get("files", ()))

    def undo(self, key: str, owner: str, n: int = 1) -> None:
        """Take back the last messages and all that was done on them; they stay on their branch."""
        with self._alone(key, owner) as summary:
            last = self._last_said(key, n)
            self._branch(summary, last.turn or 0, last.seq - 1, f"before: {_title(last.data['text'])}")

    def branch(self, key: str, owner: str, turn: int, *, label: str = "") -> str:
        """Go on from after so many turns on a branch of its own, with the interpreter's state of that moment.

        Files are not put back; they are the same for all branches.

        Raises:
            ChatBusy: Something runs.
            ChatRefused: There are not so many turns.
        """
        with self._alone(key, owner) as summary:
            if not 0 <= turn <= summary.n_turns:
                raise ChatRefused(f"there is no turn {turn}: there are {summary.n_turns}")
            return self._branch(summary, turn, None, label)

    def _branch(self, summary: Summary, turn: int, at_seq: int | None, label: str) -> str:
        key = summary.id
        live = self._live(summary)
        if live.is_running:
            raise ChatBusy(_BUSY)
        trajectory = live.agent.trajectory
        if at_seq is None:
            at_seq = self._store.end_of(key, turn)
        n_cells, aside = self._cells_around(key, turn, at_seq)
        new = self._store.branch(key, turn, at_seq, label)
        path = live.file(new)
        if turn and trajectory is not None:
            trajectory.cut(turn).save(path)
            try:
                if n_cells:
                    live.agent.interpreter.undo(n_cells)  # type: ignore[attr-defined]
                live.agent.interpreter.save(state_path(path, turn))  # type: ignore[attr-defined]
            except (CodeActError, OSError, ValueError):
                pass   # its cells are run again when it is woken
        if aside:
            with Recorder(path) as recorder:
                for told in aside:
                    recorder.write(Note(told).to_json())
        self._to_sleep(key)
        self._store.add(key, [("branched", {"branch": new, "from_branch": summary.branch, "at_turn": turn}, None)])
        self._tell(key)
        return new

    def branches(self, key: str, owner: str) -> list[Branch]:
        """All ways it went, oldest first."""
        self._store.summary(key, owner)
        return self._store.branches(key)

    def switch(self, key: str, owner: str, branch: str) -> None:
        """Go on with another branch, as it was left.

        Raises:
            ChatBusy: Something runs.
        """
        with self._alone(key, owner):
            self._to_sleep(key)
            self._store.switch(key, branch)
        self._tell(key)

    # What there is ----------------------------------------------------------------------------------------------------

    def turns(self, key: str, owner: str, *, before: int | None = None, limit: int = 30) -> list[TurnView]:
        """Finished turns, oldest first: the last ones, or those below number `before`."""
        self._store.summary(key, owner)
        return turn_views(self._store.turns(key, before=before, limit=max(1, min(limit, 200))))

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
            # Counted before looking, so that what comes between looking and waiting is not missed.
            with self._news:
                seen = self._n_told
            if found := self.entries(key, owner, after=after):
                return found
            with self._news:
                left = until - time.monotonic()
                if left <= 0 or self._closed.is_set():
                    return []
                if self._n_told == seen:
                    self._news.wait(min(left, _LOOK_SECONDS))

    def watch(self, watcher: Callable[[str], object]) -> Callable[[], None]:
        """Have somebody called with a conversation's key whenever something of it was stored; "" is of any.

        It is called in the thread that stored it, and must be quick. Gives what ends it.
        """
        with self._news:
            self._watchers.append(watcher)

        def end() -> None:
            with self._news:
                self._watchers.remove(watcher)

        return end

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
        """Put one there; see `files.write`."""
        self._store.summary(key, owner)
        folder = self._workspace(key)
        folder.mkdir(parents=True, exist_ok=True)
        return files.write(folder, name, data)

    def archive(self, key: str, owner: str) -> Iterator[bytes]:
        """All of them as a zip, piece by piece."""
        self._store.summary(key, owner)
        folder = self._workspace(key)
        folder.mkdir(parents=True, exist_ok=True)
        return files.archived(folder)

    def export(self, key: str, owner: str, kind: str) -> tuple[str, bytes]:
        """The current branch as a file: its name and its bytes.

        Args:
            kind: ipynb, md or jsonl.
        """
        from codeact.export import markdown, notebook

        summary = self._store.summary(key, owner)
        if kind not in ("ipynb", "md", "jsonl"):
            raise ChatRefused(f"{kind!r} is no kind of export; there are ipynb, md and jsonl")
        if not summary.n_turns:
            raise ChatRefused("there is nothing to export yet")
        trajectory = rebuilt(self._store, key)
        path = self._folder(key) / f"export-{secrets.token_hex(4)}.{kind}"
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            if kind == "jsonl":
                trajectory.save(path)
            elif kind == "ipynb":
                notebook.save(trajectory, path)
            else:
                for figure in markdown.save(trajectory, path):
                    figure.unlink()
            data = path.read_bytes()
        finally:
            path.unlink(missing_ok=True)
            shutil.rmtree(path.with_name(f"{path.stem}_files"), ignore_errors=True)
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

    # The whole --------------------------------------------------------------------------------------------------------

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
        self._tell()

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

    # ------------------------------------------------------------------------------------------------------------------

    _n_told = 0

    def _tell(self, key: str = "") -> None:
        with self._news:
            self._n_told += 1
            self._news.notify_all()
            watchers = list(self._watchers)
        for watcher in watchers:
            try:
                watcher(key)
            except Exception as error:   # who watches must not end what is watched
                _log.warning("a watcher of conversations failed: %s", error)

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
        self._caught_up(live)
        with self._lock:
            self._lives[summary.id] = live
        return live

    def _told_of(self, key: str) -> None:
        live = self._lives.get(key)
        if len(self._lives) > self._max_live and live is not None and not live.is_at_work:
            self._look.set()
        self._tell(key)

    def _caught_up(self, live: Live) -> None:
        """Entries for what the agent's file has and the database has not: the server died between the two."""
        n_known = self._store.n_turns(live.key)
        trajectory = live.agent.trajectory
        missing = trajectory.turns[n_known:] if trajectory else ()
        items: list[tuple[str, dict[str, Any], int | None]] = [
            ("turn", turn.to_json(), n_known + n) for n, turn in enumerate(missing)]
        if live.lost:
            items.append(("restored", {"lost": list(live.lost)}, None))
        if items:
            self._store.add(live.key, items)
            self._tell(live.key)

    def _to_sleep(self, key: str) -> None:
        """End the conversation's agent; the next message wakes another.

        Raises:
            ChatBusy: Something runs.
        """
        live = self._lives.get(key)
        if live is not None and live.is_running:
            raise ChatBusy(_BUSY)
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

    def _last_said(self, key: str, n: int) -> Entry:
        said = list(self._store.all_of(key, ("user",)))
        if not 1 <= n <= len(said):
            raise ChatRefused("there is nothing to take back" if not said else f"there are {len(said)} messages")
        return said[-n]

    def _cells_around(self, key: str, turn: int, at_seq: int) -> tuple[int, list[str]]:
        """Cells that ran after an entry, and what is to be told of the user's own between the last turn and it."""
        n, own = 0, list[list[str]]()
        for entry in self._store.all_of(key, ("turn", "cell", "cell_done")):
            if entry.seq > at_seq:
                n += entry.kind == "cell" or (
                    entry.kind == "turn" and isinstance(action_from_json(entry.data["action"]), CodeAction | ToolCall)
                    and entry.data["observation"].get("status") != "none")
            elif entry.turn == turn and entry.kind == "cell":
                own.append([entry.data["code"], ""])
            elif entry.turn == turn and entry.kind == "cell_done" and own:
                own[-1][1] = entry.data["text"]
        return n, [of_cell(code, result) for code, result in own]


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


def _default_home() -> Path:
    base = os.environ.get("XDG_DATA_HOME", "")
    return Path(base if base.startswith("/") else Path.home() / ".local" / "share", "codeact")


def _configured(name: str) -> Model:
    import argparse

    from codeact.settings import create_model, settle

    return create_model(settle(argparse.Namespace(model=name)))


def _title(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= _TITLE_CHARS else f"{words[:_TITLE_CHARS].rsplit(' ', 1)[0]}..."


def _images(said: Entry) -> tuple[Image, ...]:
    return tuple(map(Image.from_json, said.data.get("images", ())))


def _asked(said: Mapping[str, Any]) -> str:
    """What the model is told of a message."""
    names = said.get("files", ())
    return str(said["text"]) if not names else f"{said['text']}\n\n[files from the user: {', '.join(names)}]"


def _judge_code(code: str) -> None:
    if not code.strip() or len(code) > _MAX_TEXT_CHARS:
        raise ChatRefused("there is no code in the cell" if not code.strip() else "the cell is too long")

