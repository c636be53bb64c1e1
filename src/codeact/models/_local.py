"""Model servers on this machine: who listens at the ports that Ollama, llama.cpp, LM Studio and vLLM use.

The command line looks when no model is configured. Only 127.0.0.1 is asked, by one GET request without a key, all ports
at once, and half a second is all it takes together. Whoever listens there may be anyone: what is answered is bounded,
read as JSON and used as names to show, and names with control characters are left out. No proxy is used.
"""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["USUAL", "Place", "Server", "find"]

HOST = "127.0.0.1"
_MAX_BYTES = 1 << 20
_MAX_MODELS = 200
_MAX_NAME = 200


@dataclass(frozen=True)
class Place:
    """Where a kind of server usually listens."""

    server: str
    port: int


@dataclass(frozen=True)
class Server:
    """One that was found."""

    server: str
    """Which kind it most likely is, as people call it."""
    base_url: str
    """For an OpenAI-compatible client."""
    models: tuple[str, ...]
    """What it says it has."""


USUAL = (Place("Ollama", 11434), Place("llama.cpp", 8080), Place("LM Studio", 1234), Place("vLLM", 8000))


def find(places: Sequence[Place] | None = None, *, seconds: float = 0.5) -> list[Server]:
    """Look for servers that list models, in the order of `places`; those that take longer are not found.

    Args:
        places: Where to look; else at the `USUAL` ones.
        seconds: For all of it, whatever the servers do.
    """
    places = USUAL if places is None else places
    found: dict[int, Server] = {}
    until = time.monotonic() + seconds

    def look(number: int, place: Place) -> None:
        names = _models(place.port, until)
        if names is not None:
            found[number] = Server(place.server, f"http://{HOST}:{place.port}/v1", names)

    threads = [threading.Thread(target=look, args=one, name="codeact-look", daemon=True) for one in enumerate(places)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    return [server for _, server in sorted(found.copy().items())]


def _models(port: int, until: float) -> tuple[str, ...] | None:
    """The names of the models that a server at this port lists; None if it is none."""
    try:
        with socket.create_connection((HOST, port), timeout=_left(until)) as connection:
            connection.sendall(f"GET /v1/models HTTP/1.1\r\nHost: {HOST}:{port}\r\nAccept: application/json\r\n"
                               "User-Agent: codeact\r\nConnection: close\r\n\r\n".encode("ascii"))
            data = json.loads(_body(_read(connection, until)))
    except (OSError, ValueError, RecursionError, http.client.HTTPException):
        return None
    return _names(data)


def _read(connection: socket.socket, until: float) -> bytes:
    """All that is sent until the other side closes; each wait is as long as there is time for."""
    content = b""
    while len(content) <= _MAX_BYTES:
        connection.settimeout(_left(until))
        piece = connection.recv(65536)
        content += piece
        if not piece or _whole(content):
            return content
    raise ValueError("too long")


def _whole(content: bytes) -> bool:
    """Whether all has come that the head announces: some servers keep the connection open though told not to."""
    head, blank, body = content.partition(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name == b"content-length" and value.strip().isdigit() and len(value) < 12:
            return bool(blank) and len(body) >= int(value)
        if name == b"transfer-encoding" and b"chunked" in value:
            return bool(blank) and body.endswith(b"0\r\n\r\n")
    return False


def _body(content: bytes) -> bytes:
    """The body of an answer that says all is well."""
    response = http.client.HTTPResponse(_Sent(content))  # type: ignore[arg-type]
    response.begin()
    if response.status != 200:
        raise ValueError(f"status {response.status}")
    return response.read(_MAX_BYTES)


class _Sent:
    """Bytes that have come already, for a reader that wants a socket."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def makefile(self, mode: str) -> Any:
        import io

        return io.BytesIO(self._content)


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _names(data: Any) -> tuple[str, ...] | None:
    """The models in `{"data": [{"id": ...}, ...]}`; None if it is not that."""
    listed = data.get("data") if isinstance(data, dict) else None
    if listed is None and isinstance(data, dict) and data.get("object") == "list":
        listed = []   # Ollama without any model
    if not isinstance(listed, list):
        return None
    ids = [one.get("id") for one in listed[:_MAX_MODELS] if isinstance(one, dict)]
    return tuple(dict.fromkeys(name for name in ids if isinstance(name, str) and 0 < len(name) <= _MAX_NAME
                               and name.isprintable() and name.strip() == name))
