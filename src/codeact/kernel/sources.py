"""Remembers the text of every cell, so that tracebacks, `inspect.getsource` and pickled warnings can show it.

A cell's file name is `<cell N>`. `Repl` calls `remember` before it compiles; the standard library finds the lines in
`linecache`, for functions without more ado. Classes need `find_class`, which `Repl` puts into `inspect` once that is
imported, because a class does not know its file.
"""

from __future__ import annotations

import linecache
from typing import Any, Callable, Dict, Optional

from .guard import keep_builtins

__all__ = ["Sources"]

keep_builtins(globals())


class Sources:
    """The cells of a session, by file name."""

    def __init__(self) -> None:
        self._texts: Dict[str, str] = {}

    @property
    def texts(self) -> Dict[str, str]:
        """All of them."""
        return self._texts

    def remember(self, name: str, text: str) -> None:
        self._texts[name] = text
        linecache.cache[name] = (len(text), None, (text + "\n").splitlines(True), name)

    def restore(self) -> None:
        """Put back what a cell that cleared `linecache` took away; called before a traceback is made."""
        for name, text in self._texts.items():
            if name not in linecache.cache:
                self.remember(name, text)

    def patch_inspect(self, inspect: Any) -> None:
        """Teach `inspect.getfile`, on which `getsource` stands, where a cell's classes come from."""
        original: Callable[[Any], str] = inspect.getfile
        if getattr(original, "_knows_cells", False):
            original = original.__wrapped__     # type: ignore[attr-defined]

        def getfile(object: Any) -> str:
            if isinstance(object, type) and object.__module__ == "__main__":
                self.restore()
                found = self._find_class(object)
                if found is not None:
                    return found
            return original(object)

        getfile.__doc__ = original.__doc__
        getfile.__wrapped__ = original      # type: ignore[attr-defined]
        getfile._knows_cells = True         # type: ignore[attr-defined]
        inspect.getfile = getfile

    def _find_class(self, cls: type) -> Optional[str]:
        """The file name of the cell that made a class: that of its methods, else the newest that defines the name."""
        for value in vars(cls).values():
            code = getattr(getattr(value, "__func__", value), "__code__", None)
            if code is not None and code.co_filename in self._texts and _defines(self._texts[code.co_filename], cls):
                return str(code.co_filename)
        for name, text in reversed(list(self._texts.items())):
            if _defines(text, cls):
                return name
        return None


def _defines(text: str, cls: type) -> bool:
    """Whether a cell has a `class` statement of this name."""
    if cls.__name__ not in text:
        return False
    import ast

    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):       # it had a magic
        return ("class %s" % cls.__name__) in text
    return any(isinstance(node, ast.ClassDef) and node.name == cls.__name__ for node in ast.walk(tree))
