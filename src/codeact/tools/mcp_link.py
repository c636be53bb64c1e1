"""The connection to one server of the Model Context Protocol, on the event loop that async tools run on.

A task of its own enters and leaves the SDK's client, as the SDK wants both in one task; calls come from other tasks of
the loop. `close` ends it and the server's program, and so does the end of this program.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import weakref
from collections.abc import Mapping
from concurrent.futures import TimeoutError as NotInTime
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from codeact.errors import ConfigError
from codeact.tools import background
from codeact.tools.schemas import tidy

if TYPE_CHECKING:
    from mcp import Client
    from mcp_types import CallToolResult
    from mcp_types import Tool as ServerTool

__all__ = ["Link", "McpError", "Target", "shown"]

MAX_TOOLS = 500
MAX_PAGES = 50
CLOSE_SECONDS = 15.0
TAIL_BYTES = 600
"""Of what a program writes to stderr, for the message when it fails."""


class McpError(RuntimeError):
    """A server could not do what a call asked; the message is the server's own, or says why it did not answer."""


McpError.__module__ = "codeact.tools.mcp"   # as people know it


@dataclass(frozen=True)
class Target:
    """Which server."""

    command: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    cwd: str | None = None
    url: str = field(default="", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    sse: bool = False


def shown(target: Target) -> str:
    """For messages: without arguments, and without what of an address may be secret."""
    return os.path.basename(target.command[0]) if target.command else str(urlsplit(target.url).hostname)


class Link:
    """One server.

    Args:
        timeout: Seconds for a call.
    """

    def __init__(self, target: Target, *, timeout: float):
        self.target, self.timeout = target, timeout
        self._client: Client | None = None
        self._stop: asyncio.Event | None = None
        self._task: asyncio.Task[None] | None = None
        self._turn: asyncio.Lock | None = None
        self._tail = b""
        self._start_seconds = 60.0
        self._closed = False
        self._owner = os.getpid()

    # From any thread --------------------------------------------------------------------------------------------------

    def start(self, seconds: float) -> tuple[list[ServerTool], str | None, str | None]:
        """Start it; its tools, its name, and what it says about itself.

        Raises:
            ConfigError: It cannot be started.
        """
        self._start_seconds = seconds
        _links.add(self)
        future = asyncio.run_coroutine_threadsafe(self._introduce(), background.loop())
        try:
            return future.result()
        except McpError as error:
            raise ConfigError(str(error)) from None
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        """End it; later calls fail. May be called again."""
        if self._closed or self._owner != os.getpid():
            return
        self._closed = True
        loop = background.loop()
        if asyncio._get_running_loop() is loop:   # from a finalizer: it must not wait for itself
            self._ending = loop.create_task(self._end())
            return
        with suppress(NotInTime):
            asyncio.run_coroutine_threadsafe(self._end(), loop).result(CLOSE_SECONDS)

    async def call(self, name: str, arguments: dict[str, Any]) -> CallToolResult:
        """Call a tool; from any event loop.

        Raises:
            McpError: It did not answer, or answered with an error of the protocol.
            TimeoutError: It took too long.
        """
        loop = background.loop()
        if asyncio.get_running_loop() is loop:
            return await self._call(name, arguments)
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._call(name, arguments), loop))

    # On the loop ------------------------------------------------------------------------------------------------------

    async def _introduce(self) -> tuple[list[ServerTool], str | None, str | None]:
        try:
            async with asyncio.timeout(self._start_seconds):
                client = await self._connected()
                tools: list[ServerTool] = []
                cursor = None
                for _ in range(MAX_PAGES):
                    page = await client.list_tools(cursor=cursor)
                    tools += page.tools
                    cursor = page.next_cursor
                    if cursor is None or len(tools) >= MAX_TOOLS:
                        break
                info = client.server_info
                return tools[:MAX_TOOLS], info.name if info else None, client.instructions
        except TimeoutError:
            raise McpError(f"the server {shown(self.target)} was not ready within {self._start_seconds:g} seconds"
                           f"{self._last_words()}") from None
        except McpError:
            raise
        except Exception as error:
            raise McpError(f"the server {shown(self.target)} cannot be used: {_reason(error)}"
                           f"{self._last_words()}") from None

    async def _call(self, name: str, arguments: dict[str, Any]) -> CallToolResult:
        from mcp import MCPError

        try:
            async with asyncio.timeout(self.timeout):
                client = await self._connected()
                return await client.call_tool(name, arguments)
        except TimeoutError:
            raise TimeoutError(f"the server {shown(self.target)} did not answer within {self.timeout:g} "
                               "seconds") from None
        except McpError:
            raise
        except MCPError as error:
            if _is_over(error):
                await self._end()
                raise McpError(f"the connection to the server {shown(self.target)} has ended, and whether this call "
                               f"was done is not known; the next one begins anew{self._last_words()}") from None
            raise McpError(tidy(error.message, 8000) or "the server refused the call") from None
        except Exception as error:
            raise McpError(f"the answer of the server {shown(self.target)} cannot be used: {_reason(error)}") from None

    async def _connected(self) -> Client:
        if self._owner != os.getpid():
            raise McpError(f"the server {shown(self.target)} belongs to the process that forked this one")
        self._turn = self._turn or asyncio.Lock()
        async with self._turn:
            if self._closed:
                raise McpError(f"the server {shown(self.target)} was closed")
            if self._client is None:
                loop = asyncio.get_running_loop()
                ready: asyncio.Future[Client] = loop.create_future()
                self._stop = asyncio.Event()
                self._task = loop.create_task(self._live(ready, self._stop))
                try:
                    async with asyncio.timeout(self._start_seconds):
                        self._client = await ready
                except BaseException as error:
                    self._task.cancel()
                    await asyncio.wait([self._task])
                    if isinstance(error, Exception) and not isinstance(error, TimeoutError):
                        done = "started" if self.target.command else "reached"
                        raise McpError(f"the server {shown(self.target)} cannot be {done}: {_reason(error)}"
                                       f"{self._last_words()}") from None
                    raise
            return self._client

    async def _live(self, ready: asyncio.Future[Client], stop: asyncio.Event) -> None:
        """From the connection's beginning to its end, in one task."""
        from mcp import Client
        from mcp_types import Implementation

        try:
            async with AsyncExitStack() as stack:
                transport = await self._transport(stack)
                client = Client(transport, cache=None, client_info=Implementation(name="codeact", version=_version()))
                await stack.enter_async_context(client)
                if not ready.done():
                    ready.set_result(client)
                await stop.wait()
        except Exception as error:   # after the start: the next call notices by itself
            if not ready.done():
                ready.set_exception(error)
        finally:
            ready.cancel()

    async def _transport(self, stack: AsyncExitStack) -> Any:
        if self.target.command:
            from mcp import StdioServerParameters
            from mcp.client.stdio import stdio_client

            program, *words = self.target.command
            parameters = StdioServerParameters(command=program, args=words, env=dict(self.target.env),
                                               cwd=self.target.cwd, encoding_error_handler="replace")
            return stdio_client(parameters, errlog=self._listen(stack))
        if self.target.sse:
            from mcp.client.sse import sse_client

            return sse_client(self.target.url, headers=dict(self.target.headers))
        import httpx2
        from mcp.client.streamable_http import streamable_http_client

        patience = httpx2.Timeout(30.0, read=self.timeout + 30)
        http = httpx2.AsyncClient(headers=dict(self.target.headers), timeout=patience)
        return streamable_http_client(self.target.url, http_client=await stack.enter_async_context(http))

    def _listen(self, stack: AsyncExitStack) -> Any:
        """Where a program's stderr goes: its last words are kept, for the case that it fails."""
        loop = asyncio.get_running_loop()
        end, into = os.pipe()
        os.set_blocking(end, False)
        self._tail = b""

        def hear() -> None:
            with suppress(BlockingIOError):
                heard = os.read(end, 1 << 16)
                if not heard:
                    loop.remove_reader(end)
                self._tail = (self._tail + heard)[-TAIL_BYTES:]

        def leave() -> None:
            loop.remove_reader(end)
            hear()
            os.close(end)

        loop.add_reader(end, hear)
        stack.callback(leave)
        return stack.enter_context(os.fdopen(into, "w"))

    async def _end(self) -> None:
        """Leave the client; waits until the program is gone."""
        task, self._task, self._client = self._task, None, None
        if task is None or self._stop is None:
            return
        self._stop.set()
        done, _ = await asyncio.wait([task], timeout=CLOSE_SECONDS)
        if not done:
            task.cancel()

    def _last_words(self) -> str:
        said = tidy(self._tail.decode("utf-8", "replace"), TAIL_BYTES).strip()
        return f". It said last: {said}" if said else ""


def _is_over(error: Any) -> bool:
    """Whether a connection has ended, rather than a call failed."""
    from mcp_types import CONNECTION_CLOSED

    return bool(error.error.code == CONNECTION_CLOSED or error.error.message == "Session terminated")


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("codeact")
    except PackageNotFoundError:   # run from its source
        return "0"


def _reason(error: BaseException) -> str:
    """The first cause in words; task groups wrap it."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return " ".join(f"{type(error).__name__}: {tidy(str(error), 300)}".split())


# A line that a server should not have written is worth a message in the log, and no traceback in a terminal
logging.getLogger("mcp").addHandler(logging.NullHandler())

_links: weakref.WeakSet[Link] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    for link in list(_links):
        link.close()
