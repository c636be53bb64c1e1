"""Cells in this very process: for notebooks, and for code that has to touch the program's own objects. No walls at all.

    Interpreter(backend="inprocess")                       a fresh namespace
    Interpreter(backend="inprocess:notebook")              the variables of the notebook this runs in
    Interpreter(backend=functools.partial(inprocess.create, namespace=globals()))

Not protected against: anything. A cell can do all that the program can, to the program too: read its memory and keys,
change its modules, end it (`os._exit`, a crash) or never return. `level` is 0 here and in each result, and a warning
goes to the log. Of `Limits` only `wall_seconds` and `output_kb` hold, the first as far as _inprocess_cell.py says.
There are no checkpoints, and output of child processes and C code goes where the program's does. Use
backend="local" for code that is not wholly trusted.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from codeact.backends._inprocess_cell import Cell, Stream
from codeact.backends._inprocess_guest import Guest
from codeact.errors import ConfigError, InterpreterError
from codeact.interpreter.backend import KeepsNoStates, OnOutput, Ran, Request, only_locally
from codeact.interpreter.outcome import Outcome
from codeact.interpreter.settings import user_folder
from codeact.interpreter.variables import Variable, checked
from codeact.interpreter.watch import Watch
from codeact.kernel import toolset
from codeact.kernel.bridge import either
from codeact.kernel.frames import OURS
from codeact.kernel.streams import Stdin
from codeact.kernel.variables import listing

__all__ = ["InProcessBackend", "create"]

log = logging.getLogger("codeact.interpreter")

HERE = str(Path(__file__).resolve().parent / "_inprocess"), __file__
"""What is left out of tracebacks."""



class InProcessBackend(KeepsNoStates):
    """A namespace, and what runs cells in it.

    Args:
        request: What is wanted.
        namespace: Where cells' variables live; None for a fresh one.

    Raises:
        ConfigError: It asks for what only a process of its own can give.
        ValueError: The preload file fails.
    """

    no_states = "a cell in this process changes the process, and that cannot be taken back"

    def __init__(self, request: Request, namespace: dict[str, Any] | None):
        _refuse(request)
        OURS.extend(path for path in HERE if path not in OURS)
        if namespace is not None and not isinstance(namespace, dict):
            raise TypeError(f"namespace is a dict, such as globals(), not {type(namespace).__name__}")
        self._request, self._namespace = request, namespace
        self._cell: Cell | None = None
        self._folder = user_folder(request.workspace, "workspace") if request.workspace is not None else None
        self._watch = Watch(self._folder) if self._folder is not None else None
        log.warning("cells run in this very process, with no walls: they can do all that the program can (level 0)")
        self._begin()

    def _begin(self) -> None:
        self._guest = Guest(self._emit, self._namespace)
        self._tools = toolset.define(self._guest.namespace, self._request.toolbox.told(), lambda spec: (
            either(self._call, self._call_async) if spec.get("async") else self._call))
        self._given: dict[str, Any] = {}
        """Not variables of the user's: tools, and what stands in a fresh namespace."""
        if self._request.preload is not None:
            error = self._run(Cell(self._request, None, None), self._request.preload, 0).error
            if error is not None:
                raise ValueError(f"the preload file fails:\n{error.traceback}")
        names = self._guest.namespace
        given = names if self._namespace is None else self._tools
        self._given = {name: names[name] for name in given if name in names}

    # What cells reach -------------------------------------------------------------------------------------------------

    def _emit(self, kind: str, bundle: dict[str, Any], meta: dict[str, Any]) -> None:
        if self._cell is not None:
            self._cell.display(bundle)

    def _call(self, name: str, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        cell = self._cell
        if cell is None:
            raise RuntimeError("a tool can be called, and input asked for, only while a cell runs")
        return cell.call(name, args, kwargs)

    async def _call_async(self, name: str, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        import asyncio

        return await asyncio.get_running_loop().run_in_executor(None, self._call, name, args, kwargs)

    # The contract -----------------------------------------------------------------------------------------------------

    @property
    def level(self) -> int:
        return 0

    @property
    def workspace(self) -> Path:
        return self._folder or Path.cwd()

    def run(self, code: str, number: int, *, seconds: float | None, on_output: OnOutput | None) -> Ran:
        if self._watch is not None:
            self._watch.take()
        outcome = self._run(Cell(self._request, seconds, on_output), code, number)
        return Ran(outcome, self._watch.take()[0] if self._watch is not None else [])

    def _run(self, cell: Cell, code: str, number: int) -> Any:
        guest = self._guest

        def ask(prompt: object = "", /) -> str:
            """Read a line from the user."""
            return cell.ask(prompt, False)

        def getpass(prompt: str = "Password: ", stream: object = None) -> str:
            return cell.ask(prompt, True)

        before = Path.cwd() if self._folder is not None else None
        stdin = Stdin(lambda prompt, hidden: cell.ask(prompt, hidden))
        guest.enter(Stream("stdout", cell.write), Stream("stderr", cell.write), stdin, ask, getpass)
        self._cell = cell
        try:
            if self._folder is not None:
                os.chdir(self._folder)
            return cell.run(lambda: guest.run(code, number))
        finally:
            self._cell = None
            guest.leave()
            if before is not None:
                os.chdir(before)

    def interrupt(self) -> None:
        cell = self._cell
        if cell is not None:
            cell.stop("interrupted", "interrupted by the user")

    def variables(self) -> list[Variable]:
        """The table, without running any `__repr__` of the user's: nothing here could stop one that hangs."""
        outcome = Outcome()
        table = listing(self._guest.namespace, self._given, own=False)
        outcome.value = {"application/json": json.dumps(table)}
        return checked(outcome) or []

    def reset(self) -> None:
        if self._namespace is not None:
            raise InterpreterError("the namespace is the program's own: codeact does not empty it")
        toolset.undefine(self._guest.namespace, self._tools)
        self._guest.close()
        self._begin()

    def close(self) -> None:
        if self._watch is not None:
            self._watch.close()
        self._guest.close()
        toolset.undefine(self._guest.namespace, self._tools)


def _refuse(request: Request) -> None:
    """What cannot be had in this process.

    Raises:
        ConfigError: Named.
    """
    said, instead = "backend='inprocess'", "backend='local'"
    only_locally(request, said)
    if request.sandbox not in ("auto", "none", 0, "0"):
        raise ConfigError(f"{said} has no walls, so sandbox={request.sandbox!r} cannot be had; leave it out, or use "
                          f"{instead}")
    if request.python is not None:
        raise ConfigError(f"{said} runs cells with this program's Python; python=... goes with {instead}")
    if request.read:
        raise ConfigError(f"{said}: cells may read all that this program may; read=... goes with {instead}")


def _notebook() -> dict[str, Any]:
    """The variables of the notebook, or IPython prompt, that this program is.

    Raises:
        ConfigError: It is none.
    """
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None and hasattr(ipython, "get_ipython") else None
    if shell is None:
        raise ConfigError("backend='inprocess:notebook': this is no notebook and no IPython prompt; 'inprocess' takes "
                          "a fresh namespace, and functools.partial(inprocess.create, namespace=...) any other")
    variables: dict[str, Any] = shell.user_ns
    return variables


def create(argument: str = "", *, request: Request, namespace: dict[str, Any] | None = None) -> InProcessBackend:
    """This back-end, for `plugins`.

    Args:
        argument: "notebook" for the variables of the notebook this runs in.
        namespace: Where variables live; instead of `argument`.
    """
    if argument not in ("", "notebook"):
        raise ConfigError(f"backend='inprocess:{argument}': it is 'inprocess' or 'inprocess:notebook'")
    return InProcessBackend(request, _notebook() if argument else namespace)
