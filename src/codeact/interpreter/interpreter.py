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
from typing import TYPE_CHECKING, Any, Literal, cast

from codeact import plugins
from codeact.errors import InterpreterBusy, InterpreterError, InterpreterGone
from codeact.interpreter.backend import Backend, OnInput, OnOutput, Request, Reviewed
from codeact.interpreter.history import Checkpoint
from codeact.interpreter.limits import Limits, check
from codeact.interpreter.report import report
from codeact.interpreter.result import ExecutionResult
from codeact.interpreter.settings import DEFAULT_IMPORTS
from codeact.interpreter.style import Style
from codeact.interpreter.style import style as style_named
from codeact.tools.calls import Approve
from codeact.tools.toolbox import Toolbox

if TYPE_CHECKING:
    from codeact.interpreter.access import NetworkRequest
    from codeact.interpreter.changes import Changes
    from codeact.interpreter.saved import Saved
    from codeact.interpreter.saving import LoadReport, SaveReport
    from codeact.interpreter.variables import Variable
    from codeact.tools.module import ToolModule

__all__ = ["Interpreter"]


DEFAULT_LIMITS = Limits()


class Interpreter:
    """A Python session behind walls. A context manager; not for two threads at once (`interrupt` excepted).

    Args:
        tools: Functions of the host that cells can call by name; whole modules of them (`ToolModule`); and text that
            names built-in tools and servers, as "web_fetch", "files:DIR", "mcp:COMMAND", "mcp:URL".
        limits: What the session may use.
        workspace: A folder of the user's to work in; None gives the session a fresh one, removed at the end.
        mode: What cells do with `workspace`: "live", they change it; "copy", they change an overlay or a copy of it,
            and it stays as it is until `apply`.
        keep_changes: With mode="copy": what is not applied by the end stays for `codeact changes`, `apply` and
            `discard`, and the next such session on the folder goes on with it. Otherwise it is dropped, with a warning
            in the log.
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
        on_output: Called with what a cell shows (`output.Text`, `output.Display`) and with what its tools do
            (`events.ToolCalled`, `events.Approval`), in order, as it comes, in the thread that calls `run`.
        on_input: Asked (prompt, hidden) when a cell reads standard input; without it a cell gets EOFError.
        approve: Asked (tool's name, arguments) before a tool marked `needs_approval` runs; plain or async, in another
            thread. Only True lets it run.
        backend: What runs the cells: "local", or another one of `codeact/backends/` ("docker:IMAGE",
            "jupyter:python3", "inprocess", ...); or a function that makes one of a `Request`, as
            `functools.partial(inprocess.create, namespace=globals())`.

    Raises:
        PackageError: Packages cannot be installed.
        SandboxUnavailable: The walls asked for cannot be raised here.
        InterpreterGone: The Python does not start.
        ValueError, FileNotFoundError: An argument makes no sense.
        ConfigError: There is no such back-end, or it cannot do what is asked.
    """

    def __init__(self, tools: Iterable[Callable[..., Any] | ToolModule | str] = (), limits: Limits | None = None, *,
                 workspace: str | Path | None = None, mode: Literal["live", "copy"] = "live",
                 keep_changes: bool = False, read: str | Path | Sequence[str | Path] = (),
                 network: Literal["none", "all"] | Sequence[str] = "none", sandbox: str | int = "auto",
                 packages: Literal["none", "allow"] | Sequence[str] = "none", index_url: str | None = None,
                 python: str | None = None, preload: str | Path | None = None, imports: Sequence[str] = DEFAULT_IMPORTS,
                 style: str | Style = "default", on_output: OnOutput | None = None, on_input: OnInput | None = None,
                 approve: Approve | None = None,
                 backend: str | Callable[..., Backend] = "local", _saved: Saved | None = None):
        if isinstance(network, str) and network not in ("none", "all"):
            raise ValueError(f"network={network!r}: it is 'none' or 'all', or a list of hosts: [{network!r}]")
        if mode not in ("live", "copy"):
            raise ValueError(f"mode={mode!r}: it is 'live' or 'copy'")
        if mode == "copy" and workspace is None:
            raise ValueError("mode='copy' is for a folder of yours: give workspace=DIR")
        if keep_changes and mode != "copy":
            raise ValueError("keep_changes goes with mode='copy': in a live workspace changes are made at once")
        if not isinstance(limits, Limits | None):
            raise TypeError(f"limits={limits!r}: it is a Limits, such as Limits(memory_mb=1024)")
        self.limits = limits or DEFAULT_LIMITS
        self.style = style_named(style)
        self._on_output = on_output
        self._busy = threading.Lock()
        self._number = _saved.cells if _saved is not None else 0
        self._closed = False
        self._owner = os.getpid()
        helpers = Path(preload).read_text() if preload is not None else None
        self._toolbox = (tools if isinstance(tools, Toolbox) else Toolbox(tools)).hold()
        request = Request(
            toolbox=self._toolbox, limits=self.limits, workspace=workspace, mode=mode, keep_changes=keep_changes,
            read=tuple([read] if isinstance(read, (str, Path)) else read),
            network=network if isinstance(network, str) else tuple(network), sandbox=sandbox,
            python=python, preload=helpers, imports=tuple(imports),
            packages=packages if isinstance(packages, str) else tuple(packages), index_url=index_url,
            on_input=on_input, approve=approve, saved=_saved)
        try:
            self._backend: Backend = backend(request=request) if callable(backend) else \
                plugins.create("backends", backend, request=request)
        except BaseException:
            self._toolbox.release()
            raise

    @classmethod
    def load(cls, path: str | Path, tools: Iterable[Callable[..., Any] | ToolModule | str] = (),
             limits: Limits | None = None, *, told: bool = True, **options: Any) -> Interpreter:
        """Go on with a session that `save` wrote: its files, its variables, the numbers of its cells.

        `loaded` says of each variable whether it was restored, recomputed or lost; the model is told with the first
        result. Where variables have to be recomputed, code of the file runs inside the walls: a file from somebody else
        is like any other code of theirs. Cells that run again ask no tool, and nobody, a second time.

        Args:
            path: The file.
            tools, limits, options: As for `Interpreter`. A session that worked in a folder of yours needs it again as
                `workspace`; another one is loaded without.
            told: Whether the model is told with the first result; else by who calls this, of what `loaded` says.

        Raises:
            FileNotFoundError: There is no such file.
            ConfigError: It is no saved session, is damaged, breaks a limit, or does not fit the arguments.
            Further ones as for `Interpreter`.
        """
        from codeact.interpreter.saved import read

        most = (limits or Limits()).workspace_mb
        saved = read(path, None if most is None else most << 20)
        saved.told = told
        return cls(tools, limits, **options, _saved=saved)

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
        if timeout is not None:
            check(timeout, "timeout=...")
        self._claim()
        try:
            self._number += 1
            seconds = timeout or self.limits.wall_seconds
            ran = self._backend.run(code, self._number, seconds=seconds, on_output=on_output or self._on_output)
        finally:
            self._busy.release()
        if ran.outcome.fault is not None:
            raise ran.outcome.fault
        return report(ran.outcome, self.style, number=self._number, level=self.level, seconds=seconds,
                      files=ran.files, lost=ran.lost, layer=self.layer, hint=ran.hint)

    # The changes to a folder of the user's, with mode="copy" ----------------------------------------------------------

    @property
    def layer(self) -> Literal["overlay", "copy"] | None:
        """How `workspace` is kept as it is: by an overlay over it, or a copy of it; None where cells work in it."""
        return getattr(self._backend, "layer", None)

    @property
    def output_folder(self) -> Path:
        """Where the host finds the files that cells wrote: the workspace, or what holds the changes to it."""
        return getattr(self._backend, "output_folder", None) or self.workspace

    def changes(self) -> Changes:
        """What the session did to the workspace and was not applied; `.diff()` shows it.

        Raises:
            InterpreterError: Cells work in the folder itself; or there is too much of it.
        """
        with self._exclusive():
            return self._reviewed().changes()

    def apply(self, *paths: str, force: bool = False) -> list[str]:
        """Bring changes into the workspace, each file in one step.

        Args:
            paths: Files, or folders with all in them, relative to the workspace; none for everything.
            force: Also over files that changed there meanwhile; the paths have to be named.

        Returns:
            The paths that were applied.

        Raises:
            ChangeConflict: Files changed there meanwhile; nothing was written.
            ValueError: Nothing is changed at a path, or it is no file, link or folder.
            InterpreterError: A file could not be written; those before it were, and applying again goes on.
        """
        with self._exclusive():
            return self._reviewed().apply(paths, force=force)

    def discard(self, *paths: str) -> list[str]:
        """Give changes up: the session sees the files of the workspace again.

        Args:
            paths: As for `apply`.

        Returns:
            The paths that were discarded.
        """
        with self._exclusive():
            return self._reviewed().discard(paths)

    def _reviewed(self) -> Reviewed:
        if not hasattr(self._backend, "changes"):
            raise InterpreterError("this back-end holds no changes back; mode='copy' needs backend='local'")
        return cast(Reviewed, self._backend)

    def interrupt(self) -> None:
        """Stop the running cell, from another thread; its variables stay. Nothing happens when none runs."""
        self._backend.interrupt()

    def checkpoint(self, name: str | None = None) -> Checkpoint:
        """Mark the state of now, to `restore` later: variables, and small files of a workspace of the session's own.

        Files over 4 MiB (64 MiB in all) are part of it only where the file system can share their blocks. A folder of
        the user's is never put back.

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

    def undo(self, n: int = 1) -> list[str]:
        """Go back to before the last `n` cells, files as for `restore`. A cell that ended the process left nothing.

        Args:
            n: More than there are is the beginning.

        Returns:
            What could not be brought back, in words; empty when all was.

        Raises:
            ValueError: `n` is not a number of cells.
            InterpreterGone: No kernel can be started.
        """
        check(n, "undo(n), a number of cells,", whole=True)
        with self._exclusive():
            return self._backend.undo(n)

    def branch(self) -> Interpreter:
        """A second live interpreter that begins with the state of now; from then on neither sees the other's variables.

        It has a folder of its own with copies of the small files (as in a checkpoint); in a folder of the user's both
        work together. It shares this one's walls and has the same tools, limits and style. Either may be closed first.

        Raises:
            InterpreterGone: No kernel can be started.
        """
        with self._exclusive():
            backend = self._backend.branch()
        other = object.__new__(type(self))
        vars(other).update(vars(self))
        other._busy, other._backend = threading.Lock(), backend
        self._toolbox.hold()
        return other

    @property
    def checkpoints(self) -> dict[str, Checkpoint]:
        """The named ones, each with its age and the memory it holds."""
        with self._exclusive():
            return self._backend.checkpoints

    def reset(self) -> None:
        """Begin again with no variables; files and named checkpoints stay."""
        with self._exclusive():
            self._backend.reset()

    def variables(self) -> list[Variable]:
        """What the session holds: name, type, shape or length, bytes, a short preview; in the order they were made.

        Modules, tools and names that begin with `_` are left out. A `__repr__` of the user's own runs under a limit of
        time; where it cannot be stopped, the state of before is brought back and the table is made without it.

        Raises:
            InterpreterBusy: A cell is running.
            InterpreterGone: The kernel is gone and could not be started again.
        """
        with self._exclusive():
            return self._backend.variables()

    def save(self, path: str | Path) -> SaveReport:
        """Write the session to a file that `Interpreter.load` goes on from, in this process or in another one.

        Workspace, journal and the variables that can be stored exactly. Not checkpoints, nor `In`, `Out` and `_`. The
        file holds all that the session held, what tools answered included. A file of that name is replaced in one step.

        Returns:
            Which variables are stored, which come back by running their statement again, and which only by running
            all cells again, if that leads to the same; files left out.

        Raises:
            OSError: The file cannot be written.
            ConfigError: The session is too large for a file.
            InterpreterBusy: A cell is running.
        """
        with self._exclusive():
            return self._backend.save(Path(path), self._number)

    @property
    def loaded(self) -> LoadReport | None:
        """What came back from the file this session was loaded from; None for a new one."""
        return self._backend.loaded

    def close(self) -> None:
        """End every process of the session; a fresh workspace is removed with it."""
        if self._closed:
            return
        self._closed = True
        if self._owner != os.getpid():
            return   # a forked child of the program: the session is its parent's
        if self._busy.locked():
            self._backend.interrupt()
        try:
            self._backend.close()
        finally:
            self._toolbox.release()

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

    def _claim(self) -> None:
        """Be the one who uses the session, until `_busy` is released."""
        if not self._busy.acquire(blocking=False):
            raise InterpreterBusy("a cell is running in this interpreter; wait for it, or interrupt() it")
        gone = ("this interpreter is closed; make a new one" if self._closed else
                "this interpreter belongs to the process that forked this one; make a new one"
                if self._owner != os.getpid() else "")
        if gone:
            self._busy.release()
            raise InterpreterGone(gone)

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        self._claim()
        try:
            yield
        finally:
            self._busy.release()
