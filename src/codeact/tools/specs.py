"""From what a user writes to tools: functions as they are, and text that names a built-in tool or a server.

    web_fetch                        a file of codeact/tools/builtin/, without argument
    files:/some/dir                  one with an argument
    mcp:npx some-server --flag       a server of the Model Context Protocol, as a command
    mcp:https://example.com/mcp      ... at an address
    mcp:github=npx some-server       ... under another name
    mcp:servers.json                 every server of such a file
    ./mytools.py                     the functions of a file of the user's (`own.py`)
    ./mytools.py:exchange            ... one of them
    my_package.my_tools:exchange     the same of a module that Python finds

Text starts programs and loads modules, so it must come from whoever may run code here anyway: flags, configuration,
never a model.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from codeact import plugins
from codeact.errors import ConfigError, UnknownPlugin
from codeact.tools import own
from codeact.tools.module import ToolModule
from codeact.tools.tool import Tool

__all__ = ["available", "resolve"]


def available() -> list[str]:
    """What text can name."""
    return sorted([*plugins.available("tools"), "mcp"])


def resolve(tool: str | Callable[..., Any] | ToolModule) -> list[Tool[..., Any] | ToolModule]:
    """The tools that one entry of `tools=[...]` stands for.

    A module that comes of text may have started a program: close it in the end (a `Toolbox` does).

    Raises:
        ConfigError: There is nothing of this name, which the message says with what there is; or it cannot be had.
        TypeError: It is no function.
        ValueError: Its name is none that a cell could write.
    """
    if isinstance(tool, Tool | ToolModule):
        return [tool]
    if not isinstance(tool, str):
        return [Tool(tool)]
    name, colon, argument = tool.partition(":")
    if name == "mcp":
        from codeact.tools import mcp

        return list(mcp.servers(argument))
    try:
        made = own.make(name, argument if colon else None) if own.is_file(name) or "." in name else \
            plugins.create("tools", tool)
    except UnknownPlugin:
        raise ConfigError(f"there is no tool {name!r}; there are: {', '.join(available())} (as \"files:DIR\", "
                          "\"mcp:COMMAND\", \"mcp:URL\"), a file of yours (\"./mytools.py\", "
                          "\"./mytools.py:FUNCTION\"), a module by its dotted path (\"package.module\"), and in Python "
                          f"a function{_perhaps(name)}") from None
    parts = made if isinstance(made, list | tuple) else [made]
    return [part if isinstance(part, Tool | ToolModule) else Tool(part) for part in parts]


def _perhaps(name: str) -> str:
    """Of a module that lies here as a file, how it is named."""
    return f"; did you mean \"./{name}.py\"?" if name and os.path.isfile(f"{name}.py") else ""
