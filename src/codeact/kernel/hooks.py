"""Runs something right after a module has been imported for the first time, without importing it before.

`Repl` uses it for the few libraries it has to know about (`matplotlib.pyplot`, `inspect`, `IPython.display`): a cell
that imports one and uses it at once finds it prepared, and a session that never does pays nothing.
"""

from __future__ import annotations

import sys
from typing import Any, Callable, Dict, Optional, Set

from .guard import keep_builtins

__all__ = ["ImportHooks"]

keep_builtins(globals())

Action = Callable[[Any], None]


class ImportHooks:
    """A finder on `sys.meta_path` that finds nothing itself but wraps the loaders of a few modules."""

    def __init__(self) -> None:
        self._actions: Dict[str, Action] = {}
        self._busy: Set[str] = set()

    def install(self) -> None:
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)

    def remove(self) -> None:
        if self in sys.meta_path:
            sys.meta_path.remove(self)  

    def after(self, name: str, action: Action) -> None:
        """Call `action(module)` once the module is there; at once if it is. A failure of the action is ignored."""
        module = sys.modules.get(name)
        if module is not None:
            _attempt(action, module)
        self._actions[name] = action

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Optional[Any]:
        """Called by the import system for each module that is not loaded yet."""
        action = self._actions.get(name)
        if action is None or name in self._busy:
            return None
        self._busy.add(name)
        try:
            for finder in list(sys.meta_path):
                find = None if finder is self else getattr(finder, "find_spec", None)
                spec = None if find is None else find(name, path, target)
                if spec is not None:
                    if hasattr(spec.loader, "exec_module"):
                        spec.loader = _Loader(spec, action)
                    return spec
            return None
        finally:
            self._busy.discard(name)


class _Loader:
    """Loads as the true loader does, then runs the action and steps aside."""

    def __init__(self, spec: Any, action: Action):
        self._spec, self._true, self._action = spec, spec.loader, action

    def create_module(self, spec: Any) -> Any:
        return self._true.create_module(spec)

    def exec_module(self, module: Any) -> None:
        self._spec.loader = module.__loader__ = self._true
        self._true.exec_module(module)
        _attempt(self._action, module)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._true, name)


def _attempt(action: Action, module: Any) -> None:
    try:
        action(module)
    except Exception:       # an unknown version of a library must not break its import
        pass
