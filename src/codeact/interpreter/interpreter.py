"""The interpreter a user holds: real Python behind walls, whose state lives from cell to cell.

`Environment.step` calls `run` once for each code action; `codeact exec` once for each entry. What runs the cells is a
back-end (backend.py has the contract): `codeact/backends/local.py` unless another one is named.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from codeact import plugins
from codeact.errors import InterpreterBusy, InterpreterGone
from codeact.interpreter.access import NetworkRequest
from codeact.interpreter.backend import Backend, OnInput, OnOutput, Request
from codeact.interpreter.history import Checkpoint
from codeact.interpreter.limits import Limits
from codeact.interpreter.report import report
from codeact.interpreter.result import ExecutionResult
from codeact.interpreter.settings import DEFAULT_IMPORTS
from codeact.interpreter.style import Style
from codeact.interpreter.style import style as style_named
from codeact.tools.calls import Approve
from codeact.tools.toolbox import Toolbox

__all__ = ["Interpreter"]


class Interpreter:
    """A Python session behind walls. A context manager; not for two threads at once (`interrupt` excepted).

    Args:
        tools: Functions of the host that cells can call by name.
        limits: What the session may use.
        workspace: A folder of the user's to work in; None gives the session a fresh one, removed at the end.
        read: Further folders it may read.
        network: "none"; "all" for what this machine can reach; or the only hosts that can be, as
            ["api.example.com", "*.example.org:443"]: through an HTTP proxy on the host, public addresses only
            (`network.AllowList` says what an entry may be). `network_log` tells what was asked for.
        sandbox: "auto" takes the strongest walls that work here; "namespaces", "landlock", "landlock-narrow" or "none"
            (no walls at all) take just these.
        packages: "none"; "allow" lets cells install with `%pip install name`; or packages to install at the start, as
            ["einops>=0.7"], with "*" among them where cells may install more. Wheels, from the index that pip is
            configured with; they are this session's alone and go with it. No Python is changed.
        index_url: Another index of packages.
        python: Path of another Python (3.9 or later) to run cells with; nothing needs to be installed there.
        preload: A Python file whose names every session begins with (helpers that run inside the walls).
        imports: Modules imported ahead, so that every session has them at once.
        style: How results are put to a model: "default", "mint", "m3tooleval", "chat", or a `Style`.
        on_output: Called with each piece of output as it comes.
        on_input: Asked (prompt, hidden) when a cell reads standard input; without it a cell gets EOFError.
        approve: Asked (tool's name, arguments) before a tool marked `needs_approval` runs.
        backend: What runs the cells: "local", or another one of `codeact/backends/`.

    Raises:
        PackageError: Packages cannot be installed.
        SandboxUnavailable: The walls asked for cannot be raised here.
        InterpreterGone: The Python does not start.
        ValueError, FileNotFoundError: An argument makes no sense.
        ConfigError: There is no such back-end, or it cannot do what is asked.
    """

    def __init__(self, tools: Iterable[Callable[..., Any]] = (), limits: Limits | None = None, *,
                 workspace: str | Path | None = None, read: str | Path | Sequence[str | Path] = (),
                 network: Literal["none", "all"] | Sequence[str] = "none", sandbox: str | int = "auto",
                 packages: Literal["none", "allow"] | Sequence[str] = "none", index_url: str | None = None,
                 python: str | None = None, preload: str | Path | None = None, imports: Sequence[str] = DEFAULT_IMPORTS,
                 style: str | Style = "default", on_output: OnOutput | None = None, on_input: OnInput | None = None,
                 approve: Approve | None = None,
                 backend: str = "local"):
        if isinstance(network, str) and network not in ("none", "all"):
            raise ValueError(f"network={network!r}: it is 'none' or 'all', or a list of hosts: [{network!r}]")
        if not isinstance(limits, Limits | None):
            raise TypeError(f"limits={limits!r}: it is a Limits, such as Limits(memory_mb=1024)")
        self.limits = limits or Limits()
        self.style = style_named(style)
        self._toolbox = tools if isinstance(tools, Toolbox) else Toolbox(tools)
        self._on_output = on_output
        self._busy = threading.Lock()
        self._number = 0
        self._closed = False
        self._owner = os.getpid()
        self._backend: Backend = plugins.create("backends", backend, request=Request(
            toolbox=self._toolbox, limits=self.limits, workspace=workspace,
            read=tuple([read] if isinstance(read, (str, Path)) else read),
            network=network if isinstance(network, str) else tuple(network), sandbox=sandbox,
            python=python, preload=Path(preload).read_text() if preload is not None else None, imports=tuple(imports),
            packages=packages if isinstance(packages, str) else tuple(packages), index_url=index_url,
            on_input=on_input, approve=approve))

    # What a user calls ------------------------------------------------------------------------------------------------

    @property
    def level(self) -> int:
        """Which walls stand: 3, 2, 1, or 0 for none."""
        return self._backend.level

    @property
    def tools(self) -> Toolbox:
        """What cells can call."""
        return self._toolbox

    @property
    def workspace(self) -> Path:
        """The session's folder, as the host sees it; the same path inside."""
        return self._backend.workspace

    @property
    def network_log(self) -> tuple[NetworkRequest, ...]:
        """What cells asked of the network where it is held to a list, allowed or not: the latest thousand requests."""
        return tuple(getattr(self._backend, "network_log", ()))   # of back-ends that can hold one

    @property
    def packages(self) -> dict[str, str]:
        """What was installed for this session, with versions."""
        return dict(getattr(self._backend, "packages", {}))   # of back-ends that can install any

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
        with self._exclusive():
            self._number += 1
            seconds = timeout or self.limits.wall_seconds
            ran = self._backend.run(code, self._number, seconds=seconds, on_output=on_output or self._on_output)
        if ran.outcome.fault is not None:
            raise ran.outcome.fault
        return report(ran.outcome, self.style, number=self._number, level=self.level, seconds=seconds,
                      files=ran.files, lost=ran.lost)

    def interrupt(self) -> None:
        """Stop the running cell, from another thread; its variables stay. Nothing happens when none runs."""
        self._backend.interrupt()

    def checkpoint(self, name: str | None = None) -> Checkpoint:
        """Mark the state of now, to `restore` later. Variables only: files stay as they are.

        Args:
            name: Keep it until the end under this name; without one, the last sixteen are held ready.

        Raises:
            InterpreterGone: The interpreter is closed.
        """
        with self._exclusive():
            return self._backend.checkpoint(name)

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
                named = self._backend.checkpoints
                if mark not in named:
                    raise KeyError(f"no checkpoint is named {mark!r}; there are: {', '.join(named) or 'none'}")
                mark = named[mark]
            return self._backend.restore(mark)

    @property
    def checkpoints(self) -> dict[str, Checkpoint]:
        """The named ones."""
        return self._backend.checkpoints

    def reset(self) -> None:
        """Begin again with no variables; files and named checkpoints stay."""
        with self._exclusive():
            self._backend.reset()

    def close(self) -> None:
        """End every process of the session; a fresh workspace is removed with it."""
        if self._closed:
            return
        self._closed = True
        if self._owner != os.getpid():
            return   # a forked child of the program: the session is its parent's
        if self._busy.locked():
            self._backend.interrupt()
        self._backend.close()

    def __enter__(self) -> Interpreter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if not getattr(self, "_closed", True) and hasattr(self, "_backend") and not sys.is_finalizing():
            self.close()

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"level {self.level}"
        return f"<Interpreter {state}, {self._number} cells, workspace {self.workspace}>"

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        if not self._busy.acquire(blocking=False):
            raise InterpreterBusy("a cell is running in this interpreter; wait for it, or interrupt() it")
        try:
            if self._closed:
                raise InterpreterGone("this interpreter is closed; make a new one")
            if self._owner != os.getpid():
                raise InterpreterGone("this interpreter belongs to the process that forked this one; make a new one")
            yield
        finally:
            self._busy.release()
