"""`codeact mcp`: the interpreter for any agent that speaks the Model Context Protocol (stdin and stdout)."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from typing import TYPE_CHECKING

from codeact.cli._flags import sentence
from codeact.cli._parser import Parser
from codeact.cli._session import add_flags, arguments_of, in_flags, limits_of
from codeact.errors import ConfigError, InterpreterError, MissingExtra

if TYPE_CHECKING:
    from codeact.integrations.mcp_server import Tools

__all__ = ["HELP", "main"]

HELP = "offer the interpreter to other agents, as an MCP server"

OK, USAGE, UNAVAILABLE = 0, 2, 3

_EXAMPLES = """\
An agent starts this by itself, and speaks to it over standard input and output. What many of them take:
  {"mcpServers": {"python": {"command": "codeact", "args": ["mcp", "--workspace", "/path/to/a/folder"]}}}

tools: run_python (variables stay from call to call, figures come back as images), reset, upload, download
exit code: 0 the client has gone, 2 usage, 3 no walls here
"""


def main(argv: list[str]) -> int:
    """Run the verb; `argv` without it. Returns the exit code."""
    parser = Parser(prog="codeact mcp", description=sentence(HELP), epilog=_EXAMPLES)
    add_flags(parser, timeout="60")
    try:
        _serve(parser.parse_args(argv))
        return OK
    except SystemExit as left:   # argparse: 0 after --help, 2 after a wrong flag
        return int(left.code or 0)
    except InterpreterError as error:
        return _fail(error, UNAVAILABLE)
    except (ConfigError, ValueError, OSError) as error:
        return _fail(error, USAGE)


def _fail(reason: object, code: int) -> int:
    print(f"codeact mcp: {in_flags(str(reason))}", file=sys.stderr)
    return code


def _serve(options: argparse.Namespace) -> None:
    try:
        import mcp  # noqa: F401
    except ImportError as error:
        raise MissingExtra(str(error.name), "mcp", "codeact mcp") from None
    import anyio

    from codeact.integrations.mcp_server import Tools, create_server
    from codeact.interpreter.interpreter import Interpreter

    limits = limits_of(options, seconds=60.0)

    async def run() -> None:
        tools = Tools(lambda: Interpreter(limits=limits, **arguments_of(options)))
        _end_on_signals(tools)
        try:
            await create_server(tools).run_stdio_async()
        finally:
            tools.close()

    anyio.run(run)


def _end_on_signals(tools: Tools) -> None:
    """End at once when told to: the thread that waits for standard input cannot be stopped in any other way."""

    def end(signum: int, frame: object) -> None:
        from codeact.interpreter.supervisor import shutdown

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        tools.close()
        shutdown()
        os._exit(128 + signum)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
