"""Whether the server is well, and numbers for who watches it (Prometheus)."""

from __future__ import annotations

from fastapi import FastAPI, Response

from codeact.chats.chats import Chats
from codeact.web.threads import in_thread

__all__ = ["mount"]

_TOLD = {
    "conversations": "Conversations in the database",
    "turns": "Turns in the database",
    "prompt_tokens": "Tokens read by models",
    "completion_tokens": "Tokens written by models",
    "cost": "US dollars, as far as servers tell",
    "live": "Interpreters that are awake",
    "running": "Conversations in which something runs",
    "evictions": "Interpreters put to sleep",
    "restores": "Interpreters brought back",
}


def mount(app: FastAPI, chats: Chats) -> None:
    """Add both."""

    @app.get("/healthz", include_in_schema=False)
    async def healthy() -> Response:
        await in_thread(chats.store.ping)  # a database that is gone is not healthy
        return Response("ok\n", media_type="text/plain")

    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        from prometheus_client.exposition import CONTENT_TYPE_LATEST

        return Response(await in_thread(_spelled, chats), media_type=CONTENT_TYPE_LATEST)


def _spelled(chats: Chats) -> bytes:
    from prometheus_client import CollectorRegistry, Gauge, generate_latest

    registry = CollectorRegistry()
    for name, value in chats.stats().items():
        Gauge(f"codeact_{name}", _TOLD.get(name, name), registry=registry).set(value)
    return bytes(generate_latest(registry))
