"""The tools of a session, by name. `Interpreter(tools=...)` makes one; `calls.py` looks calls up in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from codeact.tools.tool import Tool

__all__ = ["Toolbox"]


class Toolbox:
    """Tools by name, in the order given; plain functions become tools.

    Raises:
        TypeError: Something is no function, or an annotation cannot be resolved.
        ValueError: Two have the same name, or a name is none that a cell could write.
    """

    def __init__(self, tools: Iterable[Callable[..., Any]] = ()):
        if callable(tools):
            raise TypeError("tools is a list of functions: tools=[...]")
        self._tools: dict[str, Tool[..., Any]] = {}
        for item in tools:
            tool = item if isinstance(item, Tool) else Tool(item)
            if tool.name in self._tools:
                raise ValueError(f"two tools are named {tool.name!r}; rename one: tool(function, name=\"...\")")
            self._tools[tool.name] = tool
        self._specs = [tool.spec() for tool in self]

    def specs(self) -> list[dict[str, Any]]:
        """What a kernel is told of each (`Tool.spec`)."""
        return self._specs

    def __getitem__(self, name: str) -> Tool[..., Any]:
        """The tool of this name.

        Raises:
            LookupError: There is none; the message says which there are.
        """
        try:
            return self._tools[name]
        except KeyError:
            raise LookupError(f"unknown tool {name!r:.80}; available: {', '.join(self._tools) or 'none'}") from None

    def __contains__(self, name: object) -> bool:
        return name in self._tools

    def __iter__(self) -> Iterator[Tool[..., Any]]:
        return iter(self._tools.values())

    def __len__(self) -> int:
        return len(self._tools)

    def __repr__(self) -> str:
        return f"Toolbox({', '.join(self._tools)})"
