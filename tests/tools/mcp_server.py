"""Servers for test_mcp.py, written with the official SDK: `python mcp_server.py MODE`, over stdio, or HTTP with a port."""

from __future__ import annotations

import os
import sys
import threading
from typing import Literal

import anyio
from mcp.server.mcpserver import Image, MCPServer
from mcp.types import ToolAnnotations
from pydantic import BaseModel

server = MCPServer("Weather Station", instructions="Ask for the weather.")
READ_ONLY = ToolAnnotations(read_only_hint=True)
PNG = b"\x89PNG\r\n\x1a\n" + bytes(16)


class Forecast(BaseModel):
    city: str
    degrees: float
    days: list[int]


@server.tool(annotations=READ_ONLY)
def forecast(city: str, days: int = 3, unit: Literal["C", "F"] = "C", notes: list[str] | None = None) -> Forecast:
    """The weather to come.

    Made from the city's name alone.
    """
    return Forecast(city=city, degrees=20.5, days=list(range(days)))


@server.tool()
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@server.tool(structured_output=False)
def as_json() -> str:
    """Text that happens to be JSON."""
    return '{"a": 1}'


@server.tool(structured_output=False)
def picture() -> Image:
    """A picture."""
    return Image(data=PNG, format="png")


@server.tool(structured_output=False)
def both() -> list[str | Image]:
    """Words and a picture."""
    return ["look", Image(data=PNG, format="png")]


@server.tool()
def fail(why: str) -> str:
    """Fail."""
    raise ValueError(why)


@server.tool()
def environment() -> dict[str, str]:
    """All variables of the environment."""
    return dict(os.environ)


@server.tool()
def pid() -> int:
    """The number of the process."""
    return os.getpid()


@server.tool()
def crash() -> str:
    """End at once."""
    print("out of coffee", file=sys.stderr, flush=True)
    os._exit(3)


waiting = 0
all_there = anyio.Event()


@server.tool()
async def meet(n: int) -> int:
    """Wait until n calls wait."""
    global waiting
    waiting += 1
    if waiting >= n:
        all_there.set()
    await all_there.wait()
    return waiting


@server.tool()
async def never() -> str:
    """No answer."""
    await anyio.sleep_forever()
    return ""


def class_(from_: str) -> str:
    return from_


if __name__ == "__main__":
    mode = sys.argv[1]
    if mode == "stdio":
        server.run("stdio")
    elif mode == "http":
        import uvicorn

        token = os.environ.get("TEST_TOKEN", "")

        app = server.streamable_http_app()

        async def guarded(scope, receive, send):
            if scope["type"] == "http" and token and dict(scope["headers"]).get(b"authorization") != f"Bearer {token}".encode():
                await send({"type": "http.response.start", "status": 401, "headers": []})
                await send({"type": "http.response.body", "body": b""})
            else:
                await app(scope, receive, send)

        import socket

        listener = socket.create_server(("127.0.0.1", 0))
        print(listener.getsockname()[1], flush=True)
        threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()   # ends with the test
        uvicorn.Server(uvicorn.Config(guarded, log_level="error")).run([listener])
