"""A `Repl` that is a guest in somebody's process: what it changes for a cell, it puts back when the cell is over.

Used by inprocess.py. A kernel owns its process; here streams, builtins, `__main__`, `inspect.getfile`, pyplot's `show`
and IPython's `display` belong to the program around, which finds them as they were after each cell. While one runs they
are changed for every thread of the process.
"""

from __future__ import annotations

import asyncio
import builtins
import concurrent.futures
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from codeact.kernel import figures, notebook
from codeact.kernel.hooks import ImportHooks
from codeact.kernel.loop import Loop
from codeact.kernel.repl import Exit, Repl

__all__ = ["Guest"]

_MISSING = object()
_DISPLAY_NAMES = ("display", "clear_output", "publish_display_data", "update_display")


class Guest(Repl):
    """One session's state, in a namespace of the program's or one of its own.

    Args:
        emit: As for `Repl`.
        namespace: Of the program's; None for a fresh one. In one of the program's, `In`, `Out` and `_` are left alone.
    """

    def __init__(self, emit: Callable[[str, dict[str, Any], dict[str, Any]], None], namespace: dict[str, Any] | None):
        self._own = namespace is None
        self._undo: list[tuple[Any, str, Any]] = []
        self._main = sys.modules["__main__"]
        limit = sys.getrecursionlimit()
        super().__init__(emit, None, namespace)
        sys.modules["__main__"] = self._main
        sys.setrecursionlimit(limit)
        if namespace is self._main.__dict__:
            self.module = self.guard._main = self._main
        self.loop = self._loops = GuestLoop()

    def _install(self, request_input: object) -> None:
        """Nothing yet: `enter` does it for each cell."""
        self.hooks = ImportHooks()
        if self._own:
            self.namespace.update({"__name__": "__main__", "__builtins__": builtins, "In": self._in, "Out": self._out,
                                   "get_ipython": self._get_ipython, "_": "", "__": "", "___": ""})

    def _keep(self, value: Any, number: int) -> None:
        if self._own:
            super()._keep(value, number)

    def close(self) -> None:
        """End the session's event loop, with what still runs on it."""
        self._loops.close()

    # Around a cell ----------------------------------------------------------------------------------------------------

    def enter(self, stdout: Any, stderr: Any, stdin: Any, ask: Callable[[object], str],
              getpass: Callable[..., str]) -> None:
        """Change the process for a cell: its streams, and who answers `input` and `getpass`."""
        self._main = sys.modules["__main__"]
        for name, value in (("stdout", stdout), ("stderr", stderr), ("stdin", stdin)):
            self._set(sys, name, value)
        for name, function in (("display", self.display), ("exit", Exit()), ("quit", Exit()), ("input", ask)):
            self._set(builtins, name, function)
        if "getpass" in sys.modules:
            self._set(sys.modules["getpass"], "getpass", getpass)
        if not self._own:
            self._remember(self.namespace, "get_ipython")
        self.hooks.install()
        self.hooks.after("inspect", self._on_inspect)
        self.hooks.after("matplotlib.pyplot", self._on_pyplot)
        self.hooks.after("IPython.display", self._on_ipython)

    def leave(self) -> None:
        """Put everything back."""
        self.hooks.remove()
        sys.modules["__main__"] = self._main
        while self._undo:
            owner, name, value = self._undo.pop()
            if isinstance(owner, dict):
                owner.pop(name, None)
                if value is not _MISSING:
                    owner[name] = value
            elif value is not _MISSING:
                setattr(owner, name, value)
            elif name in vars(owner):
                delattr(owner, name)

    def _remember(self, owner: Any, name: str) -> None:
        value = owner.get(name, _MISSING) if isinstance(owner, dict) else vars(owner).get(name, _MISSING)
        self._undo.append((owner, name, value))

    def _set(self, owner: Any, name: str, value: Any) -> None:
        self._remember(owner, name)
        setattr(owner, name, value)

    def _on_inspect(self, module: Any) -> None:
        self._remember(module, "getfile")
        self.sources.patch_inspect(module)

    def _on_pyplot(self, module: Any) -> None:
        self._remember(module, "show")
        self._remember(module.Figure, "show")
        figures.patch_pyplot(self.display.emit)(module)

    def _on_ipython(self, module: Any) -> None:
        others = [sys.modules.get(f"IPython.core.{name}") for name in ("display_functions", "display")]
        for place in (module, *others):
            for name in _DISPLAY_NAMES:
                if place is not None and hasattr(place, name):
                    self._remember(place, name)
        notebook.patch(self.display)(module)


class GuestLoop(Loop):
    """The event loop of a session; in a thread of its own where one runs in this thread already, as in notebooks."""

    def close(self) -> None:
        """Cancel what waits and close the loop."""
        if self._loop is None or self._loop.is_closed():
            return
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.call_soon(self._loop.stop)
        self._loop.run_forever()
        self._loop.close()
        asyncio.set_event_loop(None)

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        if asyncio._get_running_loop() is None:
            return super().run(coroutine)
        done: concurrent.futures.Future[Any] = concurrent.futures.Future()
        loop = asyncio.new_event_loop()
        task = loop.create_task(coroutine)

        def work() -> None:
            asyncio.set_event_loop(loop)
            try:
                done.set_result(loop.run_until_complete(task))
            except BaseException as error:
                done.set_exception(error)
            finally:
                loop.close()

        threading.Thread(target=work, name="codeact-await", daemon=True).start()
        try:
            return done.result()
        except BaseException:
            if not done.done():
                loop.call_soon_threadsafe(task.cancel)
            raise
