"""A live session: its processes, its history, its files, and what happens before a cell, after it, and after a death.

supervisor.py starts sessions, cell.py runs one cell, history.py keeps states and goes back to them; here these are
brought together. `codeact/backends/local.py` makes a back-end of it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from codeact.errors import InterpreterGone
from codeact.interpreter import supervisor
from codeact.interpreter.backend import OnOutput, Ran, Request
from codeact.interpreter.beside import Beside
from codeact.interpreter.cell import CellRunner
from codeact.interpreter.folders import Base
from codeact.interpreter.hints import hint
from codeact.interpreter.history import History, cells_named
from codeact.interpreter.journal import Entry, HostAnswers, ReplayAnswers, fingerprint
from codeact.interpreter.leftovers import IDLE_SECONDS, Leftovers
from codeact.interpreter.mirror import Mirror, Store
from codeact.interpreter.outcome import Outcome
from codeact.interpreter.requirements import policy
from codeact.interpreter.session import Session
from codeact.interpreter.settings import Settings, python_program, user_folder
from codeact.interpreter.tend import LOOK_SECONDS, tend
from codeact.interpreter.watch import MAX_CHANGED
from codeact.kernel.wire import ProtocolError
from codeact.tools.calls import Calls

if TYPE_CHECKING:
    from codeact.interpreter.gateway import Gateway
    from codeact.interpreter.package_calls import PackageCalls
    from codeact.interpreter.packages import Packages
    from codeact.interpreter.pending import Pending

__all__ = ["LiveSession"]

log = logging.getLogger("codeact.interpreter")

INTERRUPT_AGAIN_SECONDS = 0.5
"""Who closes a session while a cell runs interrupts it so often."""
ATTEMPTS = 3
"""To bring a state back where sessions are killed while it is brought back."""
NOTHING = Entry("", 0, 0.0, "", replayable=False, pure=False, files=False)


class LiveSession:
    """A session and its history.

    Args:
        request: What is wanted.

    Raises:
        SandboxUnavailable: The walls asked for cannot be raised here.
        InterpreterGone: The Python does not start.
        ValueError, FileNotFoundError: An argument makes no sense.
    """

    def __init__(self, request: Request):
        may_install, named = policy(request.packages)
        self._gateway: Gateway | None = None
        if not isinstance(request.network, str) and request.network:
            from codeact.interpreter.gateway import Gateway  # few sessions have a list
            from codeact.interpreter.network import AllowList

            self._gateway = Gateway(AllowList(request.network))
        self.limits = request.limits
        self._toolbox, self._preload = request.toolbox, request.preload
        self._on_input, self._approve = request.on_input, request.approve
        self._settings = replace(self._settle(request), packages=may_install)
        self._packages = self._packages_for(request)
        self._pending: Pending | None = None
        if request.mode == "copy" and self._settings.workspace is not None:
            from codeact.interpreter.pending import Pending

            self._pending = Pending(self._settings.workspace, keep=request.keep_changes)
            self._settings = replace(self._settings, pending=self._pending)
        self._own_state()
        with self._or_closed():
            self._holds(self._pending, self._gateway, self._packages)
            self._open(named)

    def _settle(self, request: Request) -> Settings:
        """What kind of session this is; docker.py has another."""
        return Settings(
            python=python_program(request.python), imports=request.imports, sandbox=request.sandbox,
            network="all" if request.network == "all" else "none", proxied=self._gateway is not None,
            limits=request.limits,
            workspace=user_folder(request.workspace, "workspace") if request.workspace is not None else None,
            read=tuple(user_folder(path, "read") for path in request.read))

    def _open_session(self, base: Base | None = None, space: str = supervisor.SPACE) -> Session:
        """Start one; `base` is our folder of a session that is gone, to be taken over with the workspace `space`."""
        return supervisor.open_session(self._settings, base, space)

    def _own_state(self) -> None:
        """What a branch does not share."""
        self._tending = threading.Lock()
        """Held by whoever speaks to the session: this thread, or the one that looks after what cells leave behind."""
        self._leftovers = Leftovers(self.limits)
        self._news = ""
        """What the model is told with its next result."""
        self._closed = False
        self._held = ExitStack()
        """Ends what this session holds, also where it was made only in part."""

    def _holds(self, *shared: Pending | Gateway | Packages | None) -> None:
        """Have these closed in the end."""
        for one in shared:
            if one is not None:
                self._held.callback(one.close)

    @contextmanager
    def _or_closed(self) -> Iterator[None]:
        """While it is made: where that fails, nothing is left of it."""
        try:
            yield
        except BaseException:
            self._closed = True
            self._held.close()
            raise

    def _open(self, named: Sequence[str]) -> None:
        self._begin(named)
        if self._mirror is not None:
            self._mirror.touched(self._watch.take()[1])
            self._history.first_files = self._mirror.keep()

    def _begin(self, named: Sequence[str] = ()) -> None:
        """With processes of its own, and no history yet."""
        session = self._open_session()
        self._held.callback(session.close)
        mirror = None
        if self._settings.workspace is None and session.base is not None:
            mirror = Mirror(session.workspace, Store(session.base.path / "mirror"))
        self._attach(session, mirror, History(session, self.limits, mirror, network=self._has_network()))
        if self._packages is not None and named and session.base is not None:
            self._packages.install_at_start(named, session.base.path, session.level)
        self._open_worker()
        self._serve_network()

    def _packages_for(self, request: Request) -> Packages | None:
        if request.index_url is not None and not self._settings.packages:
            raise ValueError("index_url=... says where packages come from; packages=... says which, or 'allow'")
        if not self._settings.packages:
            return None
        from codeact.interpreter.indexes import checked_url
        from codeact.interpreter.packages import Packages  # few sessions want any

        url = None if request.index_url is None else checked_url(request.index_url)
        start: Any = type(self)
        return Packages(self._settings, url, self.limits.packages_mb, start)

    def _package_calls(self) -> PackageCalls | None:
        """For one cell, where cells may install."""
        base = self._session.base
        if self._packages is None or self._settings.packages != "allow" or base is None:
            return None
        from codeact.interpreter.package_calls import PackageCalls

        return PackageCalls(self._packages, base.path, self._session.level)

    def _has_network(self) -> bool:
        return self._settings.network != "none" or self._settings.proxied

    def _is_walled_off(self) -> bool:
        """Whether cells have no network because it is kept from them."""
        return self._session.level > 0 and not self._has_network()

    def _attach(self, session: Session, mirror: Mirror | None, history: History) -> None:
        self._session, self._mirror, self._history = session, mirror, history
        if session.base is not None:
            self._held.callback(session.base.give_up, session.workspace)
        self._held.callback(lambda: self._session.close())
        self._held.callback(history.copies.close)
        self._watch = self._pending.watch() if self._pending is not None else session.take_watch()
        self._held.callback(lambda: self._watch.close())
        self._beside = Beside(lambda: self._session)
        self._held.callback(self._beside.close)
        self._runner = CellRunner(session, self.limits, self._disk_bytes, history.copies.take)
        self._held.callback(self._runner.close)

    def _disk_bytes(self) -> int:
        return self._watch.used_bytes() + self._beside.used_bytes()

    def _serve_network(self) -> None:
        if self._gateway is not None and self._session.listener is not None:
            listener, self._session.listener = self._session.listener, None
            self._gateway.serve(listener)

    def _open_worker(self) -> None:
        """Give a worker that begins anew its tools and helpers.

        Raises:
            InterpreterGone: It ends instead.
            ValueError: The helper file fails.
        """
        if not len(self._toolbox) and self._preload is None:
            return
        running = self._session.running
        assert running is not None
        try:
            told = self._toolbox.told()
            running.connection.send({"t": "open", "tools": told["tools"], "modules": told["modules"],
                                     "search": told["search"], "preload": self._preload}, timeout=30)
            frame = running.connection.receive(timeout=60)
            deadline = time.monotonic() + 60
            while frame is not None and frame[0]["t"] != "opened":   # what the helpers displayed
                if time.monotonic() > deadline:
                    raise TimeoutError("it goes on talking")
                frame = running.connection.receive(timeout=60)
        except (OSError, ProtocolError) as error:
            raise InterpreterGone(f"the kernel did not take its tools ({error})") from None
        if frame is None:
            raise InterpreterGone("the kernel ended while it took its tools")
        failed = frame[0].get("error")
        if isinstance(failed, dict):
            raise ValueError(f"the preload file fails:\n{failed.get('traceback')}")

    def close(self) -> None:
        """End every process of the session."""
        self._closed = True
        while not self._tending.acquire(timeout=INTERRUPT_AGAIN_SECONDS):
            self._runner.interrupt()   # once may be too early: the cell is about to begin
        try:
            self._held.close()
        finally:
            self._tending.release()

    # Cells ------------------------------------------------------------------------------------------------------------

    def run(self, code: str, number: int, *, seconds: float | None, on_output: OnOutput | None) -> Ran:
        """See `Backend.run`."""
        with self._tending:
            return self._run(code, number, seconds, on_output)

    def _run(self, code: str, number: int, seconds: float | None, on_output: OnOutput | None) -> Ran:
        self._notice_files()
        self._leftovers.cell_begins()
        crossed = self._gateway.access.activity if self._gateway is not None else 0
        calls = Calls(self._toolbox, self._approve, self._runner.tell if on_output is not None else None)
        answers = HostAnswers(calls, self._on_input, self._package_calls())
        stopped = self._revive()
        header = {"t": "run", "n": number, "code": code}
        outcome = self._runner.run(header, answers, seconds=seconds, on_output=on_output, stopped=stopped)
        if not outcome.taken:   # the worker died in just this moment, and ran nothing
            self._revive()
            outcome = self._runner.run(header, answers, seconds=seconds, on_output=on_output)
        outcome.before, self._news = self._news, ""
        files, touched = self._watch.take()
        if touched and self._mirror is not None:
            self._mirror.touched(touched)
        advice = self._untold() if self._watch.untold else ""
        if self._pending is not None:
            self._pending.note(touched)
        lost: list[str] = []
        if outcome.dead:
            lost = self._go_to(tuple(self._history.entries)) if not self._closed else []
        else:
            pure = outcome.pure and not touched
            self._history.ran(Entry(
                code, number, outcome.kernel_seconds, "" if pure else fingerprint(outcome, code), pure=pure,
                replayable=outcome.status in ("ok", "error") and answers.complete, files=bool(touched),
                calls=answers.calls, inputs=answers.inputs, touched=frozenset(touched),
                answer_bytes=answers.bytes if answers.complete else 0,
                network=self._gateway is not None and self._gateway.access.activity != crossed))
        self._leftovers.cell_ended(pure=outcome.pure)
        tend(self, doubtful=self._leftovers.only_doubt)
        return Ran(outcome, files, lost, advice or hint(
            outcome, self.limits, walled_off=self._is_walled_off() and not answers.tool_failed))

    def _ask(self, header: dict[str, Any], *, seconds: float, buffers: Sequence[bytes] = ()) -> Outcome:
        """Something other than a cell; a worker that is lost over it is brought back."""
        self._revive()
        outcome = self._runner.run(header, ReplayAnswers(NOTHING), seconds=seconds, buffers=buffers)
        if outcome.dead and not self._closed:
            lost = self._go_to(tuple(self._history.entries))
            if lost:
                self._tell("The process was started again; " + "; ".join(lost) + ".")
        if outcome.fault is not None:
            raise outcome.fault
        return outcome

    def _untold(self) -> str:
        """A cell changed more files than are told by name: what that means, for the model."""
        self._watch.untold = False
        if self._mirror is None:
            return f"It changed more than {MAX_CHANGED:,} files; no more are named."
        self._mirror.touched_more()
        return f"It changed more than {MAX_CHANGED:,} files; no more are named, nor undone when this cell is."

    def _tell(self, news: str) -> None:
        self._news = f"{self._news} {news}".strip()

    def _notice_files(self) -> None:
        """What changed between the cells is no cell's doing."""
        touched = self._watch.take()[1]
        if self._watch.untold:
            self._untold()
        if self._mirror is not None and (touched or self._mirror.is_behind):
            self._mirror.touched(touched, by_cells=False)

    # States -----------------------------------------------------------------------------------------------------------

    def _revive(self) -> bool:
        """Bring a worker back that died since the last cell, or does not answer; whether the user would not wait."""
        stopped = False
        if not (self._runner.is_alive() and self._is_settled()):
            stopped = self._runner.stop_asked
            lost = self._go_to(tuple(self._history.entries))
            self._tell("The process ended after the last cell and was started again; "
                       + ("; ".join(lost) or "all variables are back") + ".")
        return stopped

    def _is_settled(self) -> bool:
        """Whether the copy asked for after the last cell has come: before this one changes the files it goes with."""
        try:
            if not self._history.copies.is_settled:
                self._history.copies.settle(self._runner)
            return True
        except (OSError, ProtocolError):
            return False

    def _go_to(self, entries: tuple[Entry, ...], *, rewind: bool = True, files: bool = False) -> list[str]:
        """Bring a state back; where the session itself is gone, in a new one on the same workspace."""
        if self._closed:
            raise InterpreterGone("this interpreter is closed; make a new one")
        with self._gateway.suspended() if self._gateway is not None else nullcontext():
            try:
                lost = self._history.go_to(entries, self._runner, self._open_worker, rewind=rewind, files=files)
            except InterpreterGone:
                lost = self._go_to_anew(entries, files)
            touched = self._watch.take()[1]
            if self._mirror is not None:
                self._mirror.touched(touched)
            if not self._history.copies.alive() or lost:
                self._history.copies.freeze(self._history.entries)
            return lost

    def _go_to_anew(self, entries: tuple[Entry, ...], files: bool) -> list[str]:
        """In a new session, or another one where that is killed too."""
        try:
            for left in reversed(range(ATTEMPTS)):
                self._new_session()
                with suppress(InterpreterGone) if left else nullcontext():
                    return self._history.go_to(entries, self._runner, self._open_worker, rewind=True, files=files)
        except BaseException:
            self._history.entries = list(entries)   # it may come back the next time
            raise
        return []

    def _new_session(self) -> None:
        old = self._session
        if self._pending is not None:
            self._watch.close()   # it looks into the session that is gone
        self._session = self._open_session(old.base, old.workspace.name)
        old.close()
        self._history.copies.close()
        self._runner.session = self._session
        self._history.move(self._session)
        self._serve_network()
        if self._pending is not None:
            self._watch = self._pending.watch()

    # Between cells ----------------------------------------------------------------------------------------------------

    def look_after(self) -> float | None:
        """Hold what was left running to the limits. Called by tend.py; in how many seconds to look again, None: not."""
        if not self._tending.acquire(blocking=False):
            return LOOK_SECONDS   # a cell runs, and is watched
        try:
            if early := self._leftovers.too_early():
                return early
            # A worker that died is brought back when it is next needed; what it said meanwhile is taken now
            return self._hold_to_limits() if not self._closed and self._runner.is_alive() else None
        finally:
            self._tending.release()

    def _hold_to_limits(self) -> float | None:
        usage = self._session.wait_usage((self.limits.memory_mb or 1 << 20) << 10, seconds=1.0)
        if usage is None:
            return IDLE_SECONDS   # no time for an answer, or gone, as is seen then
        found = self._leftovers.judge(usage, self._disk_bytes())
        if found == "none":
            return None
        if found == "over":
            log.warning("what a cell left running went over the session's limits and was killed")
            self._kill_what_runs()
        return IDLE_SECONDS if self._leftovers.was_idle else LOOK_SECONDS

    def _kill_what_runs(self) -> None:
        """Go back without what cells left running, and so without running again those that left it."""
        kills = self._leftovers.kills
        held, suspects = self._history.suspects(2 ** kills)   # more each time it does not help
        if not suspects and kills:   # what goes on are copies, which should sleep
            self._history.copies.close()
            held, suspects = self._history.suspects(2 ** kills)
        killed = "It was there again, and was killed again" if kills else \
            "What earlier cells had left running went over the session's limits and was killed"
        self._leftovers.kills += 1
        self._leftovers.forget()
        lost = self._go_to(held)
        if suspects:
            lost.append(f"{cells_named(suspects)}, run again, would leave it running again: what was done to variables "
                        "there is lost")
        self._tell(killed + (f" ({'; '.join(lost)})." if lost else "."))
