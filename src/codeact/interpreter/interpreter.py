"""The interpreter a user holds: real Python behind walls, whose state lives from cell to cell.

`Environment.step` calls `run` once for each code action; `codeact exec` once for each entry. What it stands on:
supervisor.py starts sessions, cell.py runs one cell, history.py keeps states and goes back to them.
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from codeact.errors import InterpreterBusy, InterpreterGone
from codeact.interpreter import supervisor
from codeact.interpreter.cell import CellRunner
from codeact.interpreter.history import Checkpoint, History
from codeact.interpreter.journal import Entry, HostAnswers, fingerprint
from codeact.interpreter.limits import Limits
from codeact.interpreter.mirror import Mirror
from codeact.interpreter.outcome import Outcome
from codeact.interpreter.output import Display, Text
from codeact.interpreter.report import report
from codeact.interpreter.result import ExecutionResult
from codeact.interpreter.style import Style
from codeact.interpreter.style import style as style_named
from codeact.interpreter.supervisor import DEFAULT_IMPORTS, Settings
from codeact.interpreter.tend import tend
from codeact.interpreter.watch import Watch
from codeact.kernel.wire import ProtocolError
from codeact.tools.calls import Approve, Calls
from codeact.tools.toolbox import Toolbox

__all__ = ["Interpreter"]

log = logging.getLogger("codeact.interpreter")

OnOutput = Callable[["Text | Display"], None]
OnInput = Callable[[str, bool], "str | None"]


class Interpreter:
    """A Python session behind walls. A context manager; not for two threads at once (`interrupt` excepted).

    Args:
        tools: Functions of the host that cells can call by name.
        limits: What the session may use.
        workspace: A folder of the user's to work in; None gives the session a fresh one, removed at the end.
        read: Further folders it may read.
        network: "none", or "all" for what this machine can reach.
        sandbox: "auto" takes the strongest walls that work here; "namespaces", "landlock", "landlock-narrow" or "none"
            (no walls at all) take just these.
        python: Path of another Python (3.9 or later) to run cells with; nothing needs to be installed there.
        preload: A Python file whose names every session begins with (helpers that run inside the walls).
        imports: Modules imported ahead, so that every session has them at once.
        style: How results are put to a model: "default", "mint", "m3tooleval", "chat", or a `Style`.
        on_output: Called with each piece of output as it comes.
        on_input: Asked (prompt, hidden) when a cell reads standard input; without it a cell gets EOFError.
        approve: Asked (tool's name, arguments) before a tool marked `needs_approval` runs.

    Raises:
        SandboxUnavailable: The walls asked for cannot be raised here.
        InterpreterGone: The Python does not start.
        ValueError, FileNotFoundError: An argument makes no sense.
    """

    def __init__(self, tools: Iterable[Callable[..., Any]] = (), limits: Limits | None = None, *,
                 workspace: str | Path | None = None, read: str | Path | Sequence[str | Path] = (),
                 network: Literal["none", "all"] = "none", sandbox: str | int = "auto", python: str | None = None,
                 preload: str | Path | None = None, imports: Sequence[str] = DEFAULT_IMPORTS,
                 style: str | Style = "default", on_output: OnOutput | None = None, on_input: OnInput | None = None,
                 approve: Approve | None = None):
        if network not in ("none", "all"):
            raise ValueError(f"network={network!r}: it is 'none' or 'all'")
        if not isinstance(limits, Limits | None):
            raise TypeError(f"limits={limits!r}: it is a Limits, such as Limits(memory_mb=1024)")
        self.limits = limits or Limits()
        self.style = style_named(style)
        self._toolbox = tools if isinstance(tools, Toolbox) else Toolbox(tools)
        self._preload = Path(preload).read_text() if preload is not None else None
        self._settings = Settings(
            python=_python(python), imports=tuple(imports), sandbox=sandbox, network=network, limits=self.limits,
            workspace=_folder(workspace, "workspace") if workspace is not None else None,
            read=tuple(_folder(path, "read") for path in ([read] if isinstance(read, (str, Path)) else read)))
        self._on_output, self._on_input, self._approve = on_output, on_input, approve
        self._busy = threading.Lock()
        self._tending = threading.Lock()
        """Held by whoever speaks to the session: this thread, or the one that looks after what cells leave behind."""
        self._cpu_before: float | None = None
        """Processor time when what runs between cells was first looked at."""
        self._killed_between = False
        self._number = 0
        self._closed = False
        self._owner = os.getpid()
        self._begin()

    def _begin(self) -> None:
        self._session = supervisor.open_session(self._settings)
        session = self._session
        try:
            self._watch = Watch(session.workspace)
            mirror = Mirror(session.workspace, session.base / "mirror") \
                if self._settings.workspace is None and session.base is not None else None
            self._mirror = mirror
            self._history = History(session, self.limits, mirror, network=self._settings.network != "none")
            self._runner = CellRunner(session, self.limits, self._history.alive, self._watch.used_bytes,
                                      self._history.take)
            self._open_worker()
            if mirror is not None:
                mirror.touched(self._watch.take()[1])
        except BaseException:
            session.close()
            raise

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

    # What a user calls ------------------------------------------------------------------------------------------------

    @property
    def level(self) -> int:
        """Which walls stand: 3, 2, 1, or 0 for none."""
        return self._session.level

    @property
    def tools(self) -> Toolbox:
        """What cells can call."""
        return self._toolbox

    @property
    def workspace(self) -> Path:
        """The session's folder, as the host sees it; the same path inside."""
        return self._session.workspace

    def run(self, code: str, *, timeout: float | None = None, on_output: OnOutput | None = None) -> ExecutionResult:
        """Run one cell and wait; variables stay for the next cell.

        Args:
            timeout: Seconds of wall clock, `limits.wall_seconds` by default. On expiry the cell is interrupted and the
                kernel lives; what does not obey within a second is killed, and the state of before this cell is back.
            on_output: As for the interpreter, for this cell.

        Returns:
            Output, last value and error. A traceback is a result, not an exception; so is a kernel's death.

        Raises:
            InterpreterGone: The kernel is gone and could not be started again.
            InterpreterBusy: Another cell is running.
            KeyboardInterrupt: This program was interrupted; the cell was too, and its variables are kept. The same goes
                for whatever a callback raises.
        """
        if not isinstance(code, str):
            raise TypeError(f"code is a str, not {type(code).__name__}")
        if timeout is not None and not timeout > 0:
            raise ValueError(f"timeout={timeout!r}: it is a positive number of seconds")
        if not self._busy.acquire(blocking=False):
            raise InterpreterBusy("a cell is running in this interpreter; wait for it, or interrupt() it")
        try:
            with self._tending:
                self._check_open()
                return self._run(code, timeout or self.limits.wall_seconds, on_output or self._on_output)
        finally:
            self._busy.release()

    def interrupt(self) -> None:
        """Stop the running cell, from another thread; its variables stay. Nothing happens when none runs."""
        self._runner.interrupt()

    def checkpoint(self, name: str | None = None) -> Checkpoint:
        """Mark the state of now, to `restore` later. Variables only: files stay as they are.

        Args:
            name: Keep it until the end under this name; without one, the last sixteen are held ready.

        Raises:
            InterpreterGone: The interpreter is closed.
        """
        with self._exclusive():
            return self._history.checkpoint(name, self._runner)

    def restore(self, mark: Checkpoint | str) -> list[str]:
        """Go back to a marked state.

        Args:
            mark: From `checkpoint`, or its name.

        Returns:
            What could not be brought back, in words; empty when all was.

        Raises:
            KeyError: No checkpoint has this name.
            InterpreterGone: No kernel can be started.
        """
        with self._exclusive():
            if isinstance(mark, str):
                if mark not in self._history.named:
                    raise KeyError(f"no checkpoint is named {mark!r}; there are: "
                                   f"{', '.join(self._history.named) or 'none'}")
                mark = self._history.named[mark]
            return self._go_to(mark.entries, rewind=False)

    @property
    def checkpoints(self) -> dict[str, Checkpoint]:
        """The named ones."""
        return dict(self._history.named)

    def reset(self) -> None:
        """Begin again with no variables; files and named checkpoints stay."""
        with self._exclusive():
            self._go_to((), rewind=False)

    def close(self) -> None:
        """End every process of the session; a fresh workspace is removed with it."""
        if self._closed:
            return
        self._closed = True
        if self._owner != os.getpid():
            return   # a forked child of the program: the session is its parent's
        if self._busy.locked():
            self._runner.interrupt()
        with self._tending:
            self._close()

    def _close(self) -> None:
        self._watch.close()
        self._history.close()
        self._session.close()
        self._runner.close()

    def __enter__(self) -> Interpreter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if not getattr(self, "_closed", True) and hasattr(self, "_runner") and not sys.is_finalizing():
            self.close()

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"level {self.level}"
        return f"<Interpreter {state}, {self._number} cells, workspace {self.workspace}>"

    # How it is done ---------------------------------------------------------------------------------------------------

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        if not self._busy.acquire(blocking=False):
            raise InterpreterBusy("a cell is running in this interpreter; wait for it, or interrupt() it")
        try:
            with self._tending:
                self._check_open()
                yield
        finally:
            self._busy.release()

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

    def _check_open(self) -> None:
        if self._closed:
            raise InterpreterGone("this interpreter is closed; make a new one")
        if self._owner != os.getpid():
            raise InterpreterGone("this interpreter belongs to the process that forked this one; make a new one")

    def _run(self, code: str, seconds: float | None, on_output: OnOutput | None) -> ExecutionResult:
        self._number += 1
        if self._mirror is not None:
            self._mirror.touched(self._watch.take()[1])   # what happened since the last cell is not this one's doing
        else:
            self._watch.take()
        answers = HostAnswers(Calls(self._toolbox, self._approve), self._on_input)
        outcome = self._attempt({"t": "run", "n": self._number, "code": code}, answers, seconds, on_output)
        files, touched = self._watch.take()
        if self._mirror is not None:
            self._mirror.touched(touched)
        lost: list[str] = []
        if outcome.dead:
            lost = self._go_to(tuple(self._history.entries))
        else:
            pure = outcome.pure and not touched
            self._history.ran(Entry(
                code, self._number, outcome.kernel_seconds, "" if pure else fingerprint(outcome), pure=pure,
                replayable=outcome.status in ("ok", "error") and answers.complete, files=bool(touched),
                calls=answers.calls, inputs=answers.inputs))
        if not outcome.pure:
            tend(self)
        if outcome.fault is not None:
            raise outcome.fault
        return report(outcome, self.style, number=self._number, level=self.level, seconds=seconds, files=files,
                      lost=lost)

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
        return self._history.go_to(entries, self._runner, self._open_worker, rewind=True)


def _folder(path: str | Path, argument: str) -> Path:
    folder = Path(path).expanduser().resolve()
    if not folder.is_dir():
        raise FileNotFoundError(f"{argument}={str(path)!r}: there is no such folder")
    if folder == Path(folder.anchor):
        raise ValueError(f"{argument}={str(path)!r}: the root of the file system would open everything")
    return folder


def _python(python: str | None) -> str:
    if python is None:
        return sys.executable
    found = shutil.which(str(Path(python).expanduser()))
    if found is None:
        raise FileNotFoundError(f"python={python!r}: there is no such program")
    return str(Path(found).absolute())
