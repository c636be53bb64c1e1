"""The tools of a session, by name. `Interpreter(tools=...)` makes one; `calls.py` looks calls up in it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from codeact.tools.module import ToolModule
from codeact.tools.specs import resolve
from codeact.tools.tool import Tool

__all__ = ["Toolbox"]


class Toolbox:
    """Tools by name, in the order given.

    Functions become tools; a `ToolModule` adds all of its own; text names built-in tools and servers ("web_fetch",
    "mcp:npx some-server", see `specs.resolve`). What text has started is ended with the last interpreter that holds the
    toolbox; a module that was given stays its giver's to close.

    Raises:
        TypeError: Something is no function, or an annotation cannot be resolved.
        ValueError: Two have the same name, or a name is none that a cell could write.
        ConfigError: Text names nothing there is, or a server does not start.
    """

    def __init__(self, tools: Iterable[Callable[..., Any] | ToolModule | str] = ()):
        if callable(tools) or isinstance(tools, (str, ToolModule)):
            raise TypeError("tools is a list: tools=[...]")
        self._tools: dict[str, Tool[..., Any]] = {}
        self._modules: dict[str, str] = {}
        self._opened: list[ToolModule] = []
        self._holders = 0
        self._lock = threading.Lock()
        try:
            for item in tools:
                parts = resolve(item)
                if isinstance(item, str):
                    self._opened += [part for part in parts if isinstance(part, ToolModule)]
                for part in parts:
                    self._add(part)
            self._told = {"tools": [tool.spec() for tool in self], "modules": dict(self._modules), "search": False}
            if len(self):
                from codeact.protocols import MANY_TOOLS  # a cold start without tools is quicker without it

                self._told["search"] = len(self) > MANY_TOOLS
        except BaseException:
            self.close()
            raise

    def _add(self, part: Tool[..., Any] | ToolModule) -> None:
        top = part.name.partition(".")[0]
        taken = {name.partition(".")[0] for name in self._tools} | set(self._modules)
        if top in taken:
            advice = "name a server's module as in \"mcp:NAME=COMMAND\"" if isinstance(part, ToolModule) else \
                "rename one: tool(function, name=\"...\")"
            raise ValueError(f"two tools are named {top!r}; {advice}")
        if isinstance(part, ToolModule):
            self._modules[part.name] = part.doc
        elif "." in part.name:
            raise ValueError(f"the tool {part.name!r} is of a module: give the whole ToolModule")
        for tool in part if isinstance(part, ToolModule) else [part]:
            self._tools[tool.name] = tool

    def told(self) -> dict[str, Any]:
        """What a kernel is told: `tools` (`Tool.spec` of each), `modules` with docstrings, and whether to `search`."""
        return self._told

    def hold(self) -> Toolbox:
        """Another interpreter uses it, until `release`."""
        with self._lock:
            self._holders += 1
        return self

    def release(self) -> None:
        """An interpreter that used it is closed; with the last one, what text had started is ended."""
        with self._lock:
            self._holders -= 1
            last = self._holders <= 0
        if last:
            self.close()

    def close(self) -> None:
        """End what text had started, servers say: their tools fail from now on."""
        opened, self._opened = self._opened, []
        for module in opened:
            module.close()

    def __enter__(self) -> Toolbox:
        return self.hold()

    def __exit__(self, *_: object) -> None:
        self.release()

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
