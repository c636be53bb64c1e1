"""A cell runner for tests, and the process as it was afterwards."""

from __future__ import annotations

import builtins
import inspect  # noqa: F401  (loaded before the first session, so that it can be put back)
import linecache
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot

from codeact.kernel.repl import Repl


class Cells:
    """Runs cells and keeps what they showed."""

    def __init__(self) -> None:
        self.displayed: list[dict[str, Any]] = []
        self.repl = Repl(lambda kind, bundle, meta: self.displayed.append(bundle))
        self.number = 0

    def run(self, code: str) -> dict[str, Any]:
        self.number += 1
        return self.repl.run(code, self.number)

    def value(self, code: str) -> str:
        """The text of the last expression's value; "" for none. The cell must not fail."""
        result = self.run(code)
        assert result["error"] is None, result["error"]["traceback"]
        return "" if result["value"] is None else result["value"]["text/plain"]

    def error(self, code: str) -> dict[str, Any]:
        result = self.run(code)
        assert result["status"] == "error"
        return result["error"]

    def __getitem__(self, name: str) -> Any:
        return self.repl.namespace[name]


@contextmanager
def session() -> Iterator[Cells]:
    """One session; builtins, modules, streams, hooks and the source cache are put back behind it."""
    shared, modules, finders = dict(vars(builtins)), dict(sys.modules), list(sys.meta_path)
    streams = sys.stdout, sys.stderr, sys.stdin, sys.displayhook, sys.excepthook
    getfile = sys.modules["inspect"].getfile
    pyplot = sys.modules.get("matplotlib.pyplot")
    show = pyplot.show, pyplot.Figure.show
    limit = sys.getrecursionlimit()
    cells = Cells()
    try:
        yield cells
    finally:
        loop = cells.repl.loop._loop
        if loop is not None and not loop.is_closed():
            import asyncio

            for task in asyncio.all_tasks(loop):
                task.cancel()
            loop.run_until_complete(asyncio.sleep(0))
            loop.close()
            asyncio.set_event_loop(None)
        cells.repl.close()
        space = vars(builtins)
        space.update(shared)
        for name in set(space) - set(shared):
            del space[name]
        sys.modules["__main__"] = modules["__main__"]
        for name in ("IPython", "IPython.display"):
            if name not in modules:
                sys.modules.pop(name, None)
        sys.meta_path[:] = finders
        sys.stdout, sys.stderr, sys.stdin, sys.displayhook, sys.excepthook = streams
        sys.modules["inspect"].getfile = getfile
        pyplot.show, pyplot.Figure.show = show
        sys.setrecursionlimit(limit)
        for name in [name for name in linecache.cache if name.startswith("<cell ")]:
            del linecache.cache[name]
