"""Cells in processes of this machine, behind the strongest walls that work here: the back-end used unless told.

supervisor.py starts sessions, cell.py runs one cell, history.py keeps states and goes back to them; here these are
brought together: what happens before a cell, after it, and after a death.
"""

from __future__ import annotations

import logging
import tempfile
import threading
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from codeact.errors import InterpreterGone
from codeact.interpreter import supervisor
from codeact.interpreter.access import NetworkRequest
from codeact.interpreter.backend import OnOutput, Ran, Request
from codeact.interpreter.cell import CellRunner
from codeact.interpreter.gateway import Gateway
from codeact.interpreter.history import Checkpoint, History, has_seed, not_put_back
from codeact.interpreter.journal import Entry, HostAnswers, fingerprint
from codeact.interpreter.mirror import Mirror, Store
from codeact.interpreter.network import AllowList
from codeact.interpreter.outcome import Outcome
from codeact.interpreter.session import Frozen, Session
from codeact.interpreter.settings import Settings, give_like, python_program, user_folder
from codeact.interpreter.tend import tend
from codeact.interpreter.watch import Watch
from codeact.kernel.wire import ProtocolError
from codeact.tools.calls import Calls

__all__ = ["LocalBackend", "create"]

log = logging.getLogger("codeact.interpreter")


class LocalBackend:
    """A session and its history.

    Args:
        request: What is wanted.

    Raises:
        SandboxUnavailable: The walls asked for cannot be raised here.
        InterpreterGone: The Python does not start.
        ValueError, FileNotFoundError: An argument makes no sense.
    """

    def __init__(self, request: Request):
        rules = AllowList(() if isinstance(request.network, str) else request.network)
        self._gateway = Gateway(rules) if rules else None
        self.limits = request.limits
        self._toolbox, self._preload = request.toolbox, request.preload
        self._on_input, self._approve = request.on_input, request.approve
        self._settings = Settings(
            python=python_program(request.python), imports=request.imports, sandbox=request.sandbox,
            network="all" if request.network == "all" else "none", proxied=self._gateway is not None,
            limits=request.limits,
            workspace=user_folder(request.workspace, "workspace") if request.workspace is not None else None,
            read=tuple(user_folder(path, "read") for path in request.read))
        self._start_anew()
        session = self._session = supervisor.open_session(self._settings)
        try:
            mirror = None
            if self._settings.workspace is None and session.base is not None:
                mirror = Mirror(session.workspace, Store(session.base.path / "mirror"))
            self._attach(session, mirror, History(session, self.limits, mirror,
                                                  network=self._settings.network != "none" or self._settings.proxied))
            self._open_worker()
            self._serve_network()
            if mirror is not None:
                mirror.touched(self._watch.take()[1])
                self._history.first_files = mirror.keep()
        except BaseException:
            session.close()
            raise

    def _start_anew(self) -> None:
        self._tending = threading.Lock()
        """Held by whoever speaks to the session: this thread, or the one that looks after what cells leave behind."""
        self._cpu_before: float | None = None
        """Processor time when what runs between cells was first looked at."""
        self._before = ""
        """What the model is to be told with the next cell."""
        self._closed = False

    def _attach(self, session: Session, mirror: Mirror | None, history: History) -> None:
        self._session, self._mirror, self._history = session, mirror, history
        self._watch = Watch(session.workspace)
        self._runner = CellRunner(session, self.limits, self._watch.used_bytes, history.take)

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
            running.connection.send({"t": "open", "tools": self._toolbox.specs(), "preload": self._preload}, timeout=30)
            frame = running.connection.receive(timeout=60)
            while frame is not None and frame[0]["t"] != "opened":   # what the helpers displayed
                frame = running.connection.receive(timeout=60)
        except (OSError, ProtocolError) as error:
            raise InterpreterGone(f"the kernel did not take its tools ({error})") from None
        if frame is None:
            raise InterpreterGone("the kernel ended while it took its tools")
        failed = frame[0].get("error")
        if isinstance(failed, dict):
            raise ValueError(f"the preload file fails:\n{failed.get('traceback')}")

    # The contract -----------------------------------------------------------------------------------------------------

    @property
    def level(self) -> int:
        return self._session.level

    @property
    def workspace(self) -> Path:
        return self._session.workspace

    def run(self, code: str, number: int, *, seconds: float | None, on_output: OnOutput | None) -> Ran:
        with self._tending:
            return self._run(code, number, seconds, on_output)

    def interrupt(self) -> None:
        self._runner.interrupt()

    def checkpoint(self, name: str | None) -> Checkpoint:
        with self._tending:
            return self._history.checkpoint(name, self._runner)

    def restore(self, mark: Checkpoint) -> list[str]:
        with self._tending:
            self._notice_files()
            lost = self._go_to(mark.entries, rewind=False, files=self._mirror is not None)
            if self._mirror is not None and mark.files is not None:
                left = self._mirror.put_back(mark.files)
                lost = [words for words in lost if not left or "too large to be kept" not in words]
                lost += [not_put_back(left)] if left else []
            return lost

    def undo(self, n: int) -> list[str]:
        with self._tending:
            self._notice_files()
            entries = self._history.entries
            return self._go_to(tuple(entries[:max(0, len(entries) - n)]), rewind=False, files=self._mirror is not None)

    def branch(self) -> LocalBackend:
        with self._tending:
            self._notice_files()
            mark = self._history.checkpoint(None, self._runner)
            frozen = next((state.frozen for state in self._history.states if state.entries == mark.entries), None)
            other: LocalBackend = object.__new__(LocalBackend)
            vars(other).update(vars(self))
            other._start_anew()
            other._gateway = self._gateway.share() if self._gateway is not None else None
            if frozen is not None:
                other._share_walls(self, frozen, mark)
            else:
                other._repeat(self, mark)
            return other

    def _share_walls(self, first: LocalBackend, frozen: Frozen, mark: Checkpoint) -> None:
        """Become a branch: a fork of a frozen copy, behind the same walls, with a folder of its own."""
        base, mirror, workspace = first._session.base, None, first.workspace
        if first._mirror is not None and base is not None:
            workspace = Path(tempfile.mkdtemp(prefix="branch-", dir=first.workspace.parent))
            give_like(workspace, first.workspace)
            mirror = Mirror(workspace, first._mirror.store)
            self._tell_left(mirror.put_back(mark.files or {}))
        session = first._session.branch(str(workspace))
        try:
            self._attach(session, mirror, first._history.branch(session, mirror))
            session.resume(frozen, reseed=not has_seed(mark.entries))
        except BaseException:
            session.close()
            raise

    def _repeat(self, first: LocalBackend, mark: Checkpoint) -> None:
        """Become a branch where a fork is unsafe: a session of its own, in which the cells run again."""
        session = supervisor.open_session(self._settings)
        try:
            mirror = None
            if first._mirror is not None and session.base is not None:
                mirror = Mirror(session.workspace, Store(session.base.path / "mirror"))
            self._attach(session, mirror, History(session, self.limits, mirror, network=True))
            self._open_worker()
            lost = self._go_to(mark.entries)
            if mirror is not None:
                self._notice_files()
                self._tell_left(mirror.put_back(mark.files or {}))
        except BaseException:
            session.close()
            raise
        self._before = " ".join(filter(None, [self._before, *lost]))

    def _tell_left(self, left: list[str]) -> None:
        if left:
            self._before = f"This is a branch, in a folder of its own; too large to be copied to it: {', '.join(left)}."

    def _notice_files(self) -> None:
        """What changed between the cells is no cell's doing."""
        touched = self._watch.take()[1]
        if self._mirror is not None:
            self._mirror.touched(touched, by_cells=False)

    @property
    def checkpoints(self) -> dict[str, Checkpoint]:
        with self._tending:
            return self._history.list_named()

    @property
    def network_log(self) -> tuple[NetworkRequest, ...]:
        """What was asked of the network where it is held to a list, the latest last."""
        return self._gateway.access.log if self._gateway is not None else ()

    def reset(self) -> None:
        with self._tending:
            self._go_to((), rewind=False)

    def close(self) -> None:
        with self._tending:
            self._closed = True
            self._watch.close()
            self._history.close()
            if self._gateway is not None:
                self._gateway.close()
            self._session.close()
            self._runner.close()

    # How it is done ---------------------------------------------------------------------------------------------------

    def look_after(self) -> bool:
        """Between cells: hold what was left running to the limits. Called by tend.py; True while something runs."""
        if not self._tending.acquire(blocking=False):
            return True   # a cell runs, and is watched
        try:
            # A worker that died is brought back when it is next needed; what it said meanwhile is taken now
            return not self._closed and self._runner.is_alive() and self._hold_to_limits()
        finally:
            self._tending.release()

    def _hold_to_limits(self) -> bool:
        limits = self.limits
        usage = self._session.wait_usage((limits.memory_mb or 1 << 20) << 10, seconds=1.0)
        if usage is None:
            return False
        if usage["processes"] <= 1 and usage["threads"] <= 1:
            self._cpu_before = None
            return False
        self._cpu_before = usage["cpu_seconds"] if self._cpu_before is None else self._cpu_before
        disk = self._watch.used_bytes() + (usage["nameless_kb"] << 10)
        if ((limits.memory_mb is not None and usage["memory_kb"] > limits.memory_mb << 10)
                or (limits.workspace_mb is not None and disk > limits.workspace_mb << 20)
                or (limits.cpu_seconds is not None
                    and usage["cpu_seconds"] - self._cpu_before > limits.cpu_seconds)):
            log.warning("what a cell left running went over the session's limits and was killed")
            self._go_to(tuple(self._history.entries))
            self._before = "What earlier cells had left running went over the session's limits and was killed."
            return False
        return True

    def _run(self, code: str, number: int, seconds: float | None, on_output: OnOutput | None) -> Ran:
        self._notice_files()
        crossed = self._gateway.access.activity if self._gateway is not None else 0
        answers = HostAnswers(Calls(self._toolbox, self._approve), self._on_input)
        outcome = self._attempt({"t": "run", "n": number, "code": code}, answers, seconds, on_output)
        files, touched = self._watch.take()
        if self._mirror is not None:
            self._mirror.touched(touched)
        lost: list[str] = []
        if outcome.dead:
            lost = self._go_to(tuple(self._history.entries))
        else:
            pure = outcome.pure and not touched
            self._history.ran(Entry(
                code, number, outcome.kernel_seconds, "" if pure else fingerprint(outcome), pure=pure,
                replayable=outcome.status in ("ok", "error") and answers.complete, files=bool(touched),
                calls=answers.calls, inputs=answers.inputs,
                network=self._gateway is not None and self._gateway.access.activity != crossed))
        if not outcome.pure:
            tend(self)
        return Ran(outcome, files, lost)

    def _attempt(self, header: dict[str, Any], answers: HostAnswers, seconds: float | None,
                 on_output: OnOutput | None) -> Outcome:
        """Run a cell; where the worker died since the last one, on a worker brought back first."""
        found_dead = not (self._runner.is_alive() and self._is_settled())
        if found_dead:
            lost = self._go_to(tuple(self._history.entries))
            self._before = " ".join(filter(None, [self._before, "The process ended after the last cell and was started "
                                                  "again; " + ("; ".join(lost) or "all variables are back") + "."]))
        outcome = self._runner.run(header, answers, seconds=seconds, on_output=on_output)
        outcome.before, self._before = self._before, ""
        return outcome

    def _is_settled(self) -> bool:
        """Whether the copy asked for after the last cell has come: before this one changes the files it goes with."""
        try:
            if not self._history.is_settled:
                self._history.settle(self._runner)
            return True
        except (OSError, ProtocolError):
            return False

    def _go_to(self, entries: tuple[Entry, ...], *, rewind: bool = True, files: bool = False) -> list[str]:
        """Bring a state back; where the session itself is gone, in a new one on the same workspace."""
        with self._gateway.suspended() if self._gateway is not None else nullcontext():
            return self._bring_back(entries, rewind, files)

    def _bring_back(self, entries: tuple[Entry, ...], rewind: bool, files: bool) -> list[str]:
        try:
            lost = self._history.go_to(entries, self._runner, self._open_worker, rewind=rewind, files=files)
        except InterpreterGone:
            lost = self._new_session(entries, files)
        touched = self._watch.take()[1]
        if self._mirror is not None:
            self._mirror.touched(touched)
        if not self._history.alive() or lost:
            self._history.freeze()
        return lost

    def _new_session(self, entries: tuple[Entry, ...], files: bool) -> list[str]:
        old = self._session
        self._session = supervisor.open_session(self._settings, old.base, old.workspace.name)
        old.close()
        self._history.close()
        self._runner.session = self._session
        self._history.move(self._session)
        self._serve_network()
        return self._history.go_to(entries, self._runner, self._open_worker, rewind=True, files=files)


def create(*, request: Request) -> LocalBackend:
    """This back-end, for `plugins`."""
    return LocalBackend(request)
