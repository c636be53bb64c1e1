"""The whole server as one ASGI application: the gate, the API, OpenAI's API, the code engine's, the page."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from codeact import __version__
from codeact.chats.chats import Chats
from codeact.server import api
from codeact.server.sessions import Sessions
from codeact.web import faults, login, metrics, openai_api, rest
from codeact.web.gate import Gate, Policy

__all__ = ["create_app"]


def create_app(chats: Chats, policy: Policy, *, engine: Sessions | None = None, page: bool = True) -> Gate:
    """Put it together.

    Args:
        engine: The code engine's sessions: its API is at `/engine`, then. It does not tell users apart, so that it is
            for a server of one user alone; they end with the application.
        page: Whether there is a page, and not the APIs alone.
    """
    served = api.create_app(engine, token=policy.token, host=policy.host) if engine is not None else None

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if served is None or not isinstance(served.app, FastAPI):
            yield
            return
        async with served.app.router.lifespan_context(served.app):   # what is mounted has no life of its own
            yield

    app = FastAPI(title="codeact", version=__version__, docs_url=None, redoc_url=None, lifespan=lifespan,
                  openapi_url="/api/openapi.json", description="Conversations with an agent that acts by code.")
    gate = Gate(app, chats, policy)
    faults.handle(app)
    metrics.mount(app, chats, policy)
    rest.mount(app, chats)
    openai_api.mount(app, chats)
    login.mount(app, gate, chats.store)
    if served is not None:
        app.mount("/engine", served)
    faults.end(app, ("/api", "/v1", "/engine"))
    if page:
        from codeact.web.page import frame

        frame.mount(app, chats)
    return gate
