"""A group of tools that cells see as a Python module: `github.search_issues(...)`, `from github import search_issues`.

    Interpreter([ToolModule("github", [search_issues, open_issue], doc="Issues of our repositories.")])

A tool of a module is called by its full name, `github.search_issues`, wherever names of tools are asked for: prompts,
approvals, events. An MCP server is such a module (mcp.py).

In a session the module stands in the namespace under its name, and `import` gives it too, unless a package of this
name is installed for cells: then `import` means that package, which other packages may rely on, and the tools are
reached through the namespace alone. Names of the standard library are refused.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from codeact.tools.tool import Tool, checked_name

__all__ = ["ToolModule"]


class ToolModule:
    """Tools under one name.

    Args:
        name: The module's, an identifier.
        tools: Functions or tools, each named without the module.
        doc: What `help(module)` begins with.
        close: Called once by whoever ends what stands behind the tools; None where nothing does.

    Raises:
        TypeError: Something is no function.
        ValueError: Two have the same name, or a name is none that a cell could write or is one of the standard library.
    """

    def __init__(self, name: str, tools: Iterable[Callable[..., Any]], doc: str = "",
                 close: Callable[[], None] | None = None):
        if not isinstance(name, str):
            raise TypeError(f"the name of a module of tools is a str, not {type(name).__name__}")
        self.name, self.doc, self._close = checked_name(name), doc, close
        if "." in name or name in sys.stdlib_module_names:
            what = "one of Python's own modules" if "." not in name else "two names"
            raise ValueError(f"a module of tools cannot be named {name!r}, which is {what}: take another name")
        self._tools: dict[str, Tool[..., Any]] = {}
        for item in tools:
            tool = item if isinstance(item, Tool) else Tool(item)
            short = tool.name.rpartition(".")[2]
            if short.startswith("__"):
                raise ValueError(f"{short!r} is a name of Python's own in a module; take another one: "
                                 f"tool(function, name=\"...\")")
            if short in self._tools:
                raise ValueError(f"two tools of the module {name!r} are named {short!r}; rename one: "
                                 f"tool(function, name=\"...\")")
            self._tools[short] = Tool(tool.function, name=f"{name}.{short}", needs_approval=tool.needs_approval)

    def close(self) -> None:
        """End what stands behind the tools, a server say; they fail from now on. May be called again."""
        close, self._close = self._close, None
        if close is not None:
            close()

    def __enter__(self) -> ToolModule:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Tool[..., Any]]:
        return iter(self._tools.values())

    def __len__(self) -> int:
        return len(self._tools)

    def __getattr__(self, name: str) -> Tool[..., Any]:
        """On the host too, `github.search_issues(...)` runs the tool."""
        if not name.startswith("_") and name in self._tools:
            return self._tools[name]
        raise AttributeError(f"the module of tools {self.__dict__.get('name')!r} has no tool {name!r}")

    def __repr__(self) -> str:
        return f"<tools of {self.name}: {', '.join(self._tools) or 'none'}>"
