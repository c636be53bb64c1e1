"""Servers of the Model Context Protocol as modules of tools: `github.search_issues(query="crash")`.

    github = mcp.connect("npx -y some-server", env={"TOKEN": token})      a program, spoken to over stdin and stdout
    docs = mcp.connect("https://example.com/mcp", headers={"Authorization": "Bearer ..."})
    Interpreter([github, docs]); github.close()

Tools get typed signatures and docstrings made of what the server says of them (schemas.py). Structured results are
Python values, text is str (JSON in it stays text), images and other blobs are bytes, several parts are a list; what a
server reports as an error is raised as `McpError`. A server is started and asked for its tools once; one that has died
is started again by the next call, while the call that it died on is not repeated. Changes of its list are seen by the
next `connect`.

A server's program runs on the host with the user's rights: it is the user's choice. It gets the environment that is
given here and a few harmless variables (HOME, PATH, ...), no keys of ours. What it says is data: names, schemas and
texts are bounded and cleaned of control characters. Not protected against: descriptions and results that talk a model
into something; a program that sends lines without end; annotations that lie about what a tool changes.

Source: modelcontextprotocol.io, through the official SDK (extra `mcp`).
"""

from __future__ import annotations

import builtins
import inspect
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from codeact.errors import ConfigError, MissingExtra
from codeact.tools.mcp_link import Link, McpError, Target, shown
from codeact.tools.mcp_results import value_of
from codeact.tools.module import ToolModule
from codeact.tools.schemas import arguments_of, identifier, returns_of, tidy
from codeact.tools.tool import Tool

if TYPE_CHECKING:
    from mcp_types import Tool as ServerTool

__all__ = ["McpError", "connect", "servers"]

Approval = Literal["never", "writes", "always"]

MAX_DOC = 4000
_TAKEN = {*dir(builtins), *sys.stdlib_module_names, "display", "get_ipython", "In", "Out", "np", "pd", "plt",
          "search_tools", "mcp"}
"""What a server must not be called in a namespace, whatever it says its name is."""


def connect(target: str | Sequence[str], *, name: str | None = None, env: Mapping[str, str] | None = None,
            cwd: str | Path | None = None, headers: Mapping[str, str] | None = None, sse: bool = False,
            approval: Approval = "never", timeout: float = 120.0, start_timeout: float = 60.0) -> ToolModule:
    """Start or reach a server, and give its tools.

    Args:
        target: A command, as text or as a list of words; or an address that begins with http:// or https://.
        name: Of the module; by default what the server says it is called.
        env: Further environment variables for the command, which sees none of this program's but HOME, PATH and such.
        cwd: Where the command runs.
        headers: Sent with each request to an address; tokens go here, and nowhere else.
        sse: The address speaks the older transport of server-sent events.
        approval: Which calls `approve` is asked about: "writes", those of tools that the server does not call
            read-only.
        timeout: Seconds for a call.
        start_timeout: Seconds for the start.

    Returns:
        To be closed in the end, which ends the command and all it has started.

    Raises:
        ConfigError: It cannot be started or reached, or the arguments contradict one another.
        MissingExtra: The package `mcp` is not installed.
        ValueError: `name` is none that a cell could write, or one of Python's own.
    """
    try:
        import mcp  # noqa: F401
    except ImportError:
        raise MissingExtra("mcp", "mcp", "a server of tools") from None
    if approval not in ("never", "writes", "always"):
        raise ConfigError(f"approval={approval!r}: it is 'never', 'writes' or 'always'")
    link = Link(_target(target, env, cwd, headers, sse), timeout=timeout)
    try:
        tools, server_name, instructions = link.start(start_timeout)
        chosen = name if name is not None else _module_name(server_name or shown(link.target))
        functions: dict[str, Tool[..., Any]] = {}
        for one in tools:
            short = identifier(one.name, functions)
            functions[short] = _tool(link, one, short, approval)
        return ToolModule(chosen, functions.values(), tidy(instructions, MAX_DOC), close=link.close)
    except BaseException:
        link.close()
        raise


def servers(spec: str) -> list[ToolModule]:
    """What comes after `mcp:`: a command, an address, `NAME=` and one of these, or a file of servers (mcp_file.py).

    Raises:
        ConfigError: It is none of these, or a server cannot be started.
    """
    spec = spec.strip()
    if not spec:
        raise ConfigError("\"mcp:\" is followed by a command, by an address (http://...), or by a file of servers "
                          "(.json)")
    if spec.endswith(".json") and len(spec.split()) == 1:
        from codeact.tools.mcp_file import read

        return _all([partial(connect, **options, name=_module_name(name)) for name, options in read(Path(spec))])
    name, equals, rest = spec.partition("=")
    if equals and name.isidentifier():
        return [connect(rest.strip(), name=name)]
    return [connect(spec)]


def _all(starts: list[Callable[[], ToolModule]]) -> list[ToolModule]:
    """Start several servers at once; all or none."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(max_workers=8) as pool:
        started = [pool.submit(start) for start in starts]
    failed = [error for one in started if (error := one.exception()) is not None]
    if failed:
        for one in started:
            if one.exception() is None:
                one.result().close()
        raise failed[0]
    return [one.result() for one in started]


def _target(target: str | Sequence[str], env: Mapping[str, str] | None, cwd: str | Path | None,
            headers: Mapping[str, str] | None, sse: bool) -> Target:
    if isinstance(target, str) and target.startswith(("http://", "https://")):
        if env or cwd:
            raise ConfigError("env and cwd are for a command; an address takes headers")
        try:
            if not urlsplit(target).hostname:
                raise ValueError("no host")
        except ValueError:
            raise ConfigError("this is no address of a server: http://HOST[:PORT]/PATH") from None
        return Target(url=target, headers=dict(headers or {}), sse=sse)
    if headers or sse:
        raise ConfigError("headers and sse are for an address (http://...); a command takes env")
    try:
        words = shlex.split(target) if isinstance(target, str) else [str(word) for word in target]
    except ValueError as error:
        raise ConfigError(f"the command of a server cannot be read: {error}") from None
    if not words:
        raise ConfigError("the command of a server is empty")
    return Target(command=tuple(words), env=dict(env or {}), cwd=None if cwd is None else str(cwd))


def _module_name(said: str) -> str:
    """A name for a server's module that hides nothing a cell may want."""
    name = identifier(said).lower()
    return f"{name}_tools" if name in _TAKEN or not name.strip("_0123456789") else name


def _tool(link: Link, told: ServerTool, name: str, approval: Approval) -> Tool[..., Any]:
    arguments = arguments_of(told.input_schema)
    returns, shape, wrapped = returns_of(told.output_schema)

    async def call(*args: Any, **kwargs: Any) -> Any:
        return value_of(await link.call(told.name, arguments.spell(args, kwargs)), wrapped=wrapped)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = _doc(told, arguments.told, shape)
    call.__annotations__ = {one.name: one.annotation for one in arguments.signature.parameters.values()}
    setattr(call, "__signature__", arguments.signature.replace(return_annotation=returns))
    read_only = told.annotations is not None and told.annotations.read_only_hint is True
    return Tool(call, name=name, needs_approval=approval == "always" or (approval == "writes" and not read_only))


def _doc(told: ServerTool, about: Mapping[str, str], returns: str) -> str:
    title = told.title or (told.annotations.title if told.annotations else None)
    text = tidy(inspect.cleandoc(told.description or ""), MAX_DOC) or tidy(title, 200)
    parts = [text]
    if about:
        parts.append("\n".join(["Args:", *(f"    {name}: {what}" for name, what in about.items())]))
    if returns:
        parts.append(f"Returns:\n    {returns}")
    return "\n\n".join(parts)
