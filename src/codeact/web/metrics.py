"""Whether the server is well, and numbers for who watches it (Prometheus)."""

from __future__ import annotations

from fastapi import FastAPI, Request, Response

from codeact.chats.chats import Chats
from codeact.server.faults import Fault
from codeact.web.gate import Policy
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


def mount(app: FastAPI, chats: Chats, policy: Policy) -> None:
    """Add both."""
    several = policy.accounts or policy.header is not None

    @app.get("/healthz", include_in_schema=False)
    async def healthy() -> Response:
        await in_thread(chats.store.ping)  # a database that is gone is not healthy
        return Response("ok\n", media_type="text/plain")

    @app.get("/metrics", include_in_schema=False)
    async def metrics(request: Request) -> Response:
        from prometheus_client.exposition import CONTENT_TYPE_LATEST

        if several and request.state.owner not in policy.watchers:   # they tell of what the others do
            raise Fault(403, "not_a_watcher", "these numbers are of all users: who runs the server names those who may "
                        "read them with codeact serve --metrics NAME")
        return Response(await in_thread(_spelled, chats), media_type=CONTENT_TYPE_LATEST)


def _spelled(chats: Chats) -> bytes:
    from prometheus_client import CollectorRegistry, Gauge, generate_latest

    registry = CollectorRegistry()
    for name, value in chats.stats().items():
        Gauge(f"codeact_{name}", _TOLD.get(name, name), registry=registry).set(value)
    return bytes(generate_latest(registry))
