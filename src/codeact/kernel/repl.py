"""Runs cells in this process: the heart of a kernel, without processes, walls or sockets.

worker.py makes one `Repl` a session and calls `run` for each code action. A cell is a module's worth of Python whose
last expression is its value; top-level `await`, magics, figures and rich values work as in a notebook. Whatever a cell
does, `run` returns a plain dict.

This is no wall: cells share the process with this code and can change it. Accidents are repaired (guard.py), malice is
the business of walls/.
"""

from __future__ import annotations

import _ast
import _thread
import builtins
import sys
from types import CodeType, ModuleType
from typing import Any, Callable, Dict, List, Optional, Tuple

from . import figures, frames, notebook
from .commands import Commands
from .display import Displayer, bundle, flush_streams
from .guard import Guard, keep_builtins
from .hooks import ImportHooks
from .loop import Loop
from .purity import is_pure
from .sources import Sources

__all__ = ["Exit", "Repl"]

keep_builtins(globals())

Emit = Callable[[str, Dict[str, Any], Dict[str, Any]], None]

_TREE_ONLY = 0x400              # ast.PyCF_ONLY_AST, without importing ast
_TOP_LEVEL_AWAIT = 0x2000       # ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
_COROUTINE = 0x80               # inspect.CO_COROUTINE
_FUTURES = 0x1FF0000            # flags of __future__ features: they hold for the cells that follow, as in a terminal
_KEPT_VALUES = 30               # in Out: more would keep every large table of a session alive
_NEEDS_LOOP = ("create_task(", "ensure_future(", "get_running_loop(", "TaskGroup(")


class Repl:
    """One session's state.

    Args:
        emit: Called as `emit("display", bundle, meta)` for every rich output, in order with what is printed.
        request_input: Answers `input(prompt)` in cells; None leaves `input` as it is.
        namespace: Where variables live; None for a fresh `__main__`.
    """

    def __init__(self, emit: Emit, request_input: Optional[Callable[[str], str]] = None,
                 namespace: Optional[Dict[str, Any]] = None):
        self.module = ModuleType("__main__")
        self.module.__doc__ = None
        self.namespace: Dict[str, Any] = self.module.__dict__ if namespace is None else namespace
        self.display = Displayer(emit)
        self.sources = Sources()
        self.loop = Loop()
        self._cell = ""
        self._flags = 0
        self._out: Dict[int, Any] = {}
        self._in: List[str] = [""]
        self._unders: Tuple[Any, Any, Any] = ("", "", "")
        self._install(request_input)
        self.guard = Guard(self.module)
        self.guard.repair()
        self._intact = self._pure = True
        """Nothing has run since the guard last repaired; nothing has that could break a builtin."""
        hidden = list(self.namespace)
        self.commands = Commands(self.namespace, self._execute_part, self.display, hidden)

    def _install(self, request_input: Optional[Callable[[str], str]]) -> None:
        """What cells find without importing it, and what must know about certain libraries."""
        vars(builtins).update(display=self.display, exit=Exit(), quit=Exit())     # site's exit would close stdin
        if request_input is not None:
            ask = request_input

            def input(prompt: object = "", /) -> str:
                """Read a line from the user."""
                flush_streams()
                return ask(str(prompt))

            builtins.input = input
        self.namespace.update({"__name__": "__main__", "__builtins__": builtins, "In": self._in, "Out": self._out,
                               "get_ipython": self._get_ipython, "_": "", "__": "", "___": ""})
        self.hooks = ImportHooks()
        self.hooks.after("inspect", self.sources.patch_inspect)
        self.hooks.after("matplotlib.pyplot", figures.patch_pyplot(self.display.emit))
        self.hooks.after("IPython.display", notebook.patch(self.display))
        self.hooks.install()
        self.stand_in = notebook.StandIn(self.display)
        self.stand_in.install()

    def _get_ipython(self) -> Commands:
        """The notebook's extras: magics, shell commands."""
        return self.commands

    # Running --------------------------------------------------------------------------------------------------------

    def run(self, code: str, number: int) -> Dict[str, Any]:
        """Run a cell to its end.

        Args:
            number: Of the cell: its file name is `<cell number>`, its value `Out[number]`.

        Returns:
            `status` "ok" or "error"; `value`, the last expression's bundle or None; `error`, None or a dict as made by
            `frames.describe`; `pure`, whether running it again surely gives the same. Never raises.
        """
        try:
            return self._run(code, number)
        except BaseException as error:      # an interrupt between two lines of ours, or no memory left for them
            return {"status": "error", "value": None, "error": frames.last_resort(error), "pure": False}

    def _run(self, code: str, number: int) -> Dict[str, Any]:
        self._cell = cell = "<cell %d>" % number
        shown: Optional[Dict[str, Any]] = None
        failure: Optional[BaseException] = None
        pure = False
        if not self._intact or _thread._count():   # tasks, or threads, have been at work meanwhile
            self.guard.repair()
        self._intact = self._pure = False
        self.guard.enter()
        try:
            self.sources.remember(cell, code)
            self._in.append(code)
            self.namespace.pop("__warningregistry__", None)     # line 1 of this cell is not line 1 of the last
            try:
                value, pure = self._execute(code)
                if value is not None:
                    self._keep(value, number)
                    shown = bundle(value)
            except BaseException as error:
                failure = error
            if "matplotlib.pyplot" in sys.modules:
                try:
                    figures.show_open(self.display.emit)
                except BaseException as error:
                    failure = failure or error
        finally:
            flush_streams()
            self.guard.leave()
            self._pure = pure
            if not pure:
                self.tidy()
        if failure is None:
            return {"status": "ok", "value": shown, "error": None, "pure": pure}
        self.sources.restore()
        return {"status": "error", "value": shown, "error": frames.describe(failure), "pure": False}

    def tidy(self) -> None:
        """Repair what a cell may have broken. `run` leaves it undone after a pure one, for when nobody waits."""
        self.guard.repair(whole=not self._pure)
        self._intact = self._pure = True

    def rehearse(self) -> None:
        """Run a cell nobody will know of: the first real one is then as quick as the second."""
        self.run("print(1+1)\n1+1", 0)
        self._in.pop()
        self._out.clear()
        self.namespace.pop("_0", None)
        self.namespace.update({"_": "", "__": "", "___": ""})
        self._unders = ("", "", "")

    def _execute(self, code: str) -> Tuple[Any, bool]:
        """Run the text of a cell; the value to show, and whether it is pure."""
        tree, text = self._parse(code)
        pure = is_pure(tree, self.namespace)
        body: List[Any] = tree.body
        value = None
        last = body[-1] if body else None
        wants_loop = not pure and any(word in text for word in _NEEDS_LOOP) and _calls_at_top(body)
        if type(last) is _ast.Expr:
            body.pop()
        else:
            last = None
        first = self._compile(tree, "exec") if body else None
        second = self._compile(_ast.Expression(last.value), "eval") if last is not None else None
        if first is not None:
            self._evaluate(first, wants_loop)
        if second is not None:
            value = self._evaluate(second, wants_loop)
            if ";" in text and _is_silenced(text, last):
                value = None
        return value, pure

    def _execute_part(self, code: str) -> Any:
        """Run text on behalf of a magic in the running cell."""
        return self._execute(code)[0]

    def _parse(self, code: str) -> Tuple[Any, str]:
        """The syntax tree of a cell, and the Python text it was read from."""
        flags = self._flags | _TREE_ONLY | _TOP_LEVEL_AWAIT
        try:
            return compile(code, self._cell, "exec", flags, True), code
        except (SyntaxError, ValueError) as error:
            problem = error
        from .magics import translate

        python = translate(code)
        if python is None:
            raise problem
        self.namespace["get_ipython"] = self._get_ipython
        return compile(python, self._cell, "exec", flags, True), python

    def _compile(self, tree: Any, mode: str) -> CodeType:
        code: CodeType = compile(tree, self._cell, mode, self._flags | _TOP_LEVEL_AWAIT, True)
        self._flags |= code.co_flags & _FUTURES
        return code

    def _evaluate(self, code: CodeType, wants_loop: bool) -> Any:
        if code.co_flags & _COROUTINE:
            return self.loop.run(eval(code, self.namespace))
        if wants_loop:
            return self.loop.run(_inside(code, self.namespace))
        if "get_event_loop" in code.co_names and "asyncio" in sys.modules:
            self.loop.get()
        return eval(code, self.namespace)

    def _keep(self, value: Any, number: int) -> None:
        """Remember a cell's value as `_`, `_n` and `Out[n]`; a `_` of the user's own is left alone."""
        if value is self._out:
            return
        names = self.namespace
        mine = self._unders
        if names.get("_", mine[0]) is mine[0]:
            names["_"], names["__"], names["___"] = self._unders = (value, mine[0], mine[1])
        self._out[number] = names["_%d" % number] = value
        if len(self._out) > _KEPT_VALUES:
            oldest = next(iter(self._out))
            del self._out[oldest]
            names.pop("_%d" % oldest, None)

    # Between cells --------------------------------------------------------------------------------------------------

    def is_busy(self) -> bool:
        """Whether asyncio tasks of earlier cells are waiting to go on."""
        return self.loop.is_busy()

    def run_pending(self, until_readable_fd: int) -> None:
        """Let those tasks go on until there is something to read. Raises nothing but KeyboardInterrupt."""
        self.guard.repair()
        self._intact = self._pure = False
        try:
            self.loop.run_until_readable(until_readable_fd)
        except KeyboardInterrupt:
            raise
        except BaseException:       # SystemExit in a task: the task is over, the session is not
            pass
        finally:
            flush_streams()

    # Another session's state -----------------------------------------------------------------------------------------

    @property
    def flags(self) -> int:
        """The `__future__` features that hold for the cells to come."""
        return self._flags

    def began_with(self, texts: List[str], flags: int) -> None:
        """Take cells that ran elsewhere for our own: `In`, and the `__future__` features."""
        self._in[:] = ["", *texts]
        self._flags |= flags & _FUTURES

    def after_fork(self) -> None:
        """In a forked child, before it runs anything: give up what it shares with its parent."""
        self.loop.after_fork()

    def close(self) -> None:
        """Take back what was put into the import system; for programs that go on without a session."""
        self.hooks.remove()
        self.stand_in.remove()


class Exit:
    """`exit()` and `quit()` end the cell, not the session."""

    def __repr__(self) -> str:
        return "Use exit() to end the cell here; the session goes on."

    def __call__(self, code: Any = None) -> None:
        raise SystemExit() if code is None else SystemExit(code)


async def _inside(code: CodeType, namespace: Dict[str, Any]) -> Any:
    """Run a cell that starts tasks without awaiting: it wants a running loop."""
    return eval(code, namespace)


def _calls_at_top(body: List[Any]) -> bool:
    """Whether asyncio is asked for a running loop outside any function, and not through `asyncio.run`."""
    names = {word[:-1] for word in _NEEDS_LOOP}
    found = False
    todo = list(body)
    while todo:
        node = todo.pop()
        if isinstance(node, (_ast.FunctionDef, _ast.AsyncFunctionDef, _ast.Lambda, _ast.ClassDef)):
            continue
        if isinstance(node, _ast.Attribute) and node.attr in ("run", "run_until_complete"):
            return False
        if isinstance(node, _ast.Call):
            name = getattr(node.func, "attr", None) or getattr(node.func, "id", None)
            found = found or name in names
        for field in node._fields:
            value = getattr(node, field, None)
            todo.extend(value if type(value) is list else [value] if isinstance(value, _ast.AST) else [])
        todo = [one for one in todo if isinstance(one, _ast.AST)]
    return found


def _is_silenced(text: str, last: Any) -> bool:
    """Whether a `;` follows the last expression."""
    lines = text.split("\n")
    tail = lines[last.end_lineno - 1].encode()[last.end_col_offset:].decode()
    rest = "\n".join([tail] + lines[last.end_lineno:]).lstrip(" \t\\\n")
    return rest.startswith(";")
