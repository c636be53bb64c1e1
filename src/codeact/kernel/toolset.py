"""The tools of a session, put where its cells find them: functions, modules of functions, and `search_tools`.

A spec named `github.search_issues` is the function `search_issues` of a module `github`: in the namespace under that
name, and in `sys.modules`, so that `from github import search_issues` is what it says. Where a package of this name is
installed, `import` goes on to mean that one, as other packages may rely on it; the tools are in the namespace alone.

`search_tools` is there where the host says so: where there are too many tools for a prompt to tell of each in full.

Source: docs/kernel_protocol.md.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any, Awaitable, Callable, Dict, List, Optional, Sequence

from .stubs import Call, Spec, make_stub

__all__ = ["define", "undefine"]

SEARCH = "search_tools"
MAX_DOC_CHARS = 120


class _Tools(ModuleType):
    """A module of tools."""

    def __init__(self, name: str, doc: Optional[str]):
        super().__init__(name, doc)
        self.__all__: List[str] = []


def define(namespace: Dict[str, Any], header: Dict[str, Any], call_for: Callable[[Spec], Call],
           call_async: Optional[Callable[..., Awaitable[Any]]] = None) -> List[str]:
    """Define what an `open` frame names.

    Args:
        namespace: The session's.
        header: Its `tools`, `modules` and `search`.
        call_for: What a stub of this spec is to ask.
        call_async: As for `make_stub`.

    Returns:
        The names given in the namespace.
    """
    docs = header.get("modules") or {}
    modules: Dict[str, _Tools] = {}
    for name in docs:
        modules[name] = _Tools(name, docs[name] or None)
    stubs: Dict[str, Any] = {}
    for spec in header.get("tools") or ():
        stub = stubs[spec["name"]] = make_stub(spec, call_for(spec), call_async)
        module, dot, name = spec["name"].rpartition(".")
        if dot:
            setattr(modules[module], name, stub)
            modules[module].__all__.append(name)
        else:
            namespace[name] = stub
    for name, made in modules.items():
        namespace[name] = made
        if not _is_installed(name):
            sys.modules[name] = made
    given = [name for name in stubs if "." not in name] + list(modules)
    if header.get("search") and SEARCH not in given:
        namespace[SEARCH] = _search(stubs)
        given.append(SEARCH)
    return given


def undefine(namespace: Dict[str, Any], names: Sequence[str]) -> None:
    """Take back what `define` gave."""
    for name in names:
        given = namespace.pop(name, None)
        if isinstance(given, _Tools) and sys.modules.get(name) is given:
            del sys.modules[name]


def _is_installed(name: str) -> bool:
    if name in sys.modules:
        return not isinstance(sys.modules[name], _Tools)
    from importlib.util import find_spec  # few sessions have modules of tools

    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):   # a finder of somebody's
        return False


def _search(stubs: Dict[str, Any]) -> Callable[..., List[str]]:
    def search_tools(query: str, limit: int = 10) -> List[str]:
        """Find tools by words of their names and descriptions; `help(tool)` tells all about one.

        Returns lines `name(arguments): what it does`, the best first.
        """
        words = str(query).lower().replace(".", " ").replace("_", " ").split()
        ranked = sorted(((_score(words, name, stub), -place) for place, (name, stub) in enumerate(stubs.items())),
                        reverse=True)
        found = list(stubs.items())
        return [_line(*found[-place]) for score, place in ranked[:max(0, limit)] if score or not words]

    search_tools.__module__ = "__main__"
    search_tools.__qualname__ = SEARCH
    return search_tools


def _score(words: Sequence[str], name: str, stub: Any) -> int:
    """A word of a name counts most, then a part of one, then the description."""
    name = name.lower()
    parts = name.replace(".", " ").replace("_", " ").split()
    doc = (stub.__doc__ or "").lower()
    return sum(8 if word in parts else 4 if word in name else 1 if word in doc else 0 for word in words)


def _line(name: str, stub: Any) -> str:
    told = " ".join((stub.__doc__ or "").strip().split("\n", 1)[0].split())
    if len(told) > MAX_DOC_CHARS:
        told = told[:MAX_DOC_CHARS - 3] + "..."
    return "%s%s%s" % (name, stub.__signature__, ": " + told if told else "")
