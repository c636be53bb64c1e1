"""The whole server as one ASGI application: the gate, the API, OpenAI's API, the engine, the page."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

from fastapi import FastAPI, Response

from codeact.chats.chats import Chats
from codeact.server.guard import App
from codeact.web import login, openai_api, rest
from codeact.web.gate import Gate, Policy

if TYPE_CHECKING:
    from codeact.server.sessions import Sessions

__all__ = ["create_app"]


def create_app(chats: Chats, policy: Policy, *, engine: Sessions | None = None, page: bool = True) -> App:
    """Put it together.

    Args:
        engine: The code engine's sessions; its API is at `/engine` then, for who has the server's token.
        page: Whether there is a page, and not the APIs alone.
    """
    app = FastAPI(
        title="codeact", version=version("codeact"), docs_url=None, redoc_url=None, openapi_url="/api/openapi.json"
    )
    gate = Gate(app, chats, policy)

    @app.get("/healthz", include_in_schema=False)
    def healthy() -> Response:
        chats.store.totals()  # a database that is gone is not healthy
        return Response("ok\n", media_type="text/plain")

    @app.get("/metrics", include_in_schema=False)
    def metrics() -> Response:
        from prometheus_client.exposition import CONTENT_TYPE_LATEST

        return Response(_metrics(chats), media_type=CONTENT_TYPE_LATEST)

    rest.mount(app, chats)
    openai_api.mount(app, chats)
    login.mount(app, gate, chats.store)
    if engine is not None and policy.token is not None:
        from codeact.server.api import create_app as engine_app

        app.mount("/engine", engine_app(engine, token=policy.token, host=policy.host))
    if page:
        from codeact.web.page import frame

        frame.mount(app, chats)
    return gate


def _metrics(chats: Chats) -> bytes:
    from prometheus_client import CollectorRegistry, Gauge, generate_latest

    registry = CollectorRegistry()
    told = {
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
    for name, value in chats.stats().items():
        Gauge(f"codeact_{name}", told.get(name, name), registry=registry).set(value)
    return bytes(generate_latest(registry))
