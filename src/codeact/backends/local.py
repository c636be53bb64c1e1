"""Cells in processes of this machine, behind the strongest walls that work here: the back-end used unless told.

supervisor.py starts sessions, cell.py runs one cell, history.py keeps states and goes back to them; here these are
brought together: what happens before a cell, after it, and after a death.
"""

from __future__ import annotations

import logging
import threading
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codeact.errors import InterpreterGone
from codeact.interpreter import supervisor
from codeact.interpreter.access import NetworkRequest
from codeact.interpreter.backend import OnOutput, Ran, Request
from codeact.interpreter.cell import CellRunner
from codeact.interpreter.gateway import Gateway
from codeact.interpreter.history import Checkpoint, History
from codeact.interpreter.journal import Entry, HostAnswers, fingerprint
from codeact.interpreter.mirror import Mirror
from codeact.interpreter.network import AllowList
from codeact.interpreter.outcome import Outcome
from codeact.interpreter.requirements import policy
from codeact.interpreter.settings import Settings, python_program, user_folder
from codeact.interpreter.tend import tend
from codeact.interpreter.watch import Watch
from codeact.kernel.wire import ProtocolError
from codeact.tools.calls import Calls

if TYPE_CHECKING:
    from codeact.interpreter.package_calls import PackageCalls
    from codeact.interpreter.packages import Packages

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
        may_install, self._named = policy(request.packages)
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
            read=tuple(user_folder(path, "read") for path in request.read), packages=may_install)
        self._packages = self._packages_for(request)
        self._tending = threading.Lock()
        """Held by whoever speaks to the session: this thread, or the one that looks after what cells leave behind."""
        self._cpu_before: float | None = None
        """Processor time when what runs between cells was first looked at."""
        self._killed_between = False
        self._closed = False
        self._begin()

    def _begin(self) -> None:
        self._session = supervisor.open_session(self._settings)
        session = self._session
        try:
            self._watch = Watch(session.workspace)
            mirror = Mirror(session.workspace, session.base / "mirror") \
                if self._settings.workspace is None and session.base is not None else None
            self._mirror = mirror
            self._history = History(session, self.limits, mirror,
                                    network=self._settings.network != "none" or self._settings.proxied)
            self._runner = CellRunner(session, self.limits, self._history.alive, self._watch.used_bytes,
                                      self._history.take)
            if self._packages is not None and self._named and session.base is not None:
                self._packages.install_at_start(self._named, session.base, session.level)
            self._open_worker()
            self._serve_network()
            if mirror is not None:
                mirror.touched(self._watch.take()[1])
        except BaseException:
            session.close()
            raise

    def _packages_for(self, request: Request) -> Packages | None:
        if request.index_url is not None and not self._settings.packages:
            raise ValueError("index_url=... says where packages come from; packages=... says which, or 'allow'")
        if not self._settings.packages:
            return None
        from codeact.interpreter.indexes import checked_url
        from codeact.interpreter.packages import Packages  # few sessions want any

        url = None if request.index_url is None else checked_url(request.index_url)
        return Packages(self._settings, url, self.limits.packages_mb, LocalBackend)

    def _package_calls(self) -> PackageCalls | None:
        """For one cell, where cells may install."""
        base = self._session.base
        if self._packages is None or self._settings.packages != "allow" or base is None:
            return None
        from codeact.interpreter.package_calls import PackageCalls

        return PackageCalls(self._packages, base, self._session.level)

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
            return self._go_to(mark.entries, rewind=False)

    @property
    def checkpoints(self) -> dict[str, Checkpoint]:
        return dict(self._history.named)

    @property
    def network_log(self) -> tuple[NetworkRequest, ...]:
        """What was asked of the network where it is held to a list, the latest last."""
        return self._gateway.access.log if self._gateway is not None else ()

    @property
    def packages(self) -> dict[str, str]:
        """What was installed for the session: name -> version."""
        return dict(self._packages.installed) if self._packages is not None else {}

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
            if self._packages is not None:
                self._packages.close()
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
        session, limits, frozen = self._session, self.limits, self._history.alive()
        usage = session.wait_usage(frozen, (limits.memory_mb or 1 << 20) << 10, seconds=1.0)
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
            self._killed_between = True
            return False
        return True

    def _run(self, code: str, number: int, seconds: float | None, on_output: OnOutput | None) -> Ran:
        if self._mirror is not None:
            self._mirror.touched(self._watch.take()[1])   # what happened since the last cell is not this one's doing
        else:
            self._watch.take()
        crossed = self._gateway.access.activity if self._gateway is not None else 0
        answers = HostAnswers(Calls(self._toolbox, self._approve), self._on_input, self._package_calls())
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
        found_dead = not self._runner.is_alive()
        if found_dead:
            lost = self._go_to(tuple(self._history.entries))
        outcome = self._runner.run(header, answers, seconds=seconds, on_output=on_output)
        if found_dead:
            outcome.before = "The process ended after the last cell and was started again; " + (
                "; ".join(lost) or "all variables are back") + "."
        elif self._killed_between:
            outcome.before = "What earlier cells had left running went over the session's limits and was killed."
        self._killed_between = False
        return outcome

    def _go_to(self, entries: tuple[Entry, ...], *, rewind: bool = True) -> list[str]:
        """Bring a state back; where the session itself is gone, in a new one on the same workspace."""
        with self._gateway.suspended() if self._gateway is not None else nullcontext():
            return self._bring_back(entries, rewind)

    def _bring_back(self, entries: tuple[Entry, ...], rewind: bool) -> list[str]:
        try:
            lost = self._history.go_to(entries, self._runner, self._open_worker, rewind=rewind)
        except InterpreterGone:
            lost = self._new_session(entries)
        touched = self._watch.take()[1]
        if self._mirror is not None:
            self._mirror.touched(touched)
        if not self._history.alive() or lost:
            self._history.freeze()
        return lost

    def _new_session(self, entries: tuple[Entry, ...]) -> list[str]:
        old = self._session
        base, old.base = old.base, None
        old.close()
        self._history.close()
        self._session = supervisor.open_session(self._settings, base=base)
        self._runner.session = self._history.session = self._session
        self._serve_network()
        return self._history.go_to(entries, self._runner, self._open_worker, rewind=True)


def create(*, request: Request) -> LocalBackend:
    """This back-end, for `plugins`."""
    return LocalBackend(request)
