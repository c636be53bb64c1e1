"""Keeps the process usable whatever a cell did to its builtins, streams, trace function or `__main__`.

`Repl` calls `Guard.enter` before and `Guard.leave` after every cell, and `Guard.repair`. The kernel's own modules run
on `BUILTINS`, a private copy taken at start (`keep_builtins(globals())` at their top), so that a cell which deletes
`len` cannot stop the code that puts it back.

What this does not protect against: a cell that overwrites the standard library's modules, or this one, on purpose.
Safety comes from the walls; this is about accidents.
"""

from __future__ import annotations

import builtins
import sys
from types import ModuleType
from typing import Any, Dict, Tuple

__all__ = ["Guard", "keep_builtins"]

BUILTINS: Dict[str, Any] = dict(vars(builtins))
"""Builtins for the kernel's own code."""


def keep_builtins(module_globals: Dict[str, Any]) -> None:
    """Let the functions that a module defines after this call look builtins up in our copy."""
    module_globals["__builtins__"] = BUILTINS


keep_builtins(globals())

_SHARED = vars(builtins)
_MISSING = object()
_LEAST_RECURSION = 1000     # CPython's default; below it our own code may fail


class Guard:
    """What must be as it was.

    Args:
        main: The module that stands in `sys.modules["__main__"]`.
    """

    def __init__(self, main: ModuleType):
        self._main = main
        self._modules = sys.modules
        self._pristine = dict(_SHARED)
        self._before: Tuple[Any, ...] = ()

    def enter(self) -> None:
        """Before a cell: note what to put back."""
        self._before = (sys.stdout, sys.stderr, sys.stdin, sys.displayhook, sys.excepthook, sys.gettrace(),
                        sys.getprofile())

    def leave(self) -> None:
        """After a cell: streams, hooks and trace functions that it replaced last only as long as the cell."""
        if sys.gettrace() is not self._before[5]:
            sys.settrace(self._before[5])
        if sys.getprofile() is not self._before[6]:
            sys.setprofile(self._before[6])
        sys.stdout, sys.stderr, sys.stdin, sys.displayhook, sys.excepthook = self._before[:5]

    def repair(self, *, whole: bool = True) -> None:
        """Put missing builtins, `__main__` and the stack's room back.

        A builtin that was replaced stays replaced, unless a function was made into something that cannot be called.

        Args:
            whole: Look at each builtin, which writes to the pages of all; otherwise only whether one is missing.
        """
        try:
            intact = _SHARED == self._pristine if whole else len(_SHARED) >= len(self._pristine)
        except BaseException:       # an __eq__ of the user's
            intact = False
        if not intact:
            for name, value in self._pristine.items():
                now = _SHARED.get(name, _MISSING)
                if now is _MISSING or (callable(value) and not callable(now)):
                    _SHARED[name] = value
        if sys.modules is not self._modules:
            sys.modules = self._modules
        if self._modules.get("__main__") is not self._main:
            self._modules["__main__"] = self._main
        namespace = self._main.__dict__
        if namespace.get("__builtins__") is not builtins:
            namespace["__builtins__"] = builtins
        if namespace.get("__name__") != "__main__":
            namespace["__name__"] = "__main__"
        if sys.getrecursionlimit() < _LEAST_RECURSION:
            sys.setrecursionlimit(_LEAST_RECURSION)
