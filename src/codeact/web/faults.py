"""What a fault is answered with: a status, a code for programs, words for people; under `/v1` as OpenAI spells it."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match

from codeact.chats.advice import in_chat
from codeact.errors import (
    ChatBusy,
    ChatElsewhere,
    ChatRefused,
    CodeActError,
    ConfigError,
    InterpreterError,
    LimitReached,
    ModelError,
    NotFound,
)
from codeact.server.answers import Json
from codeact.server.faults import Fault

__all__ = ["end", "fault_of", "handle", "spelled"]

log = logging.getLogger("codeact.web")

_STATUS: tuple[tuple[type[CodeActError], int, str], ...] = (
    (NotFound, 404, "not_found"),
    (ChatElsewhere, 409, "elsewhere"),
    (ChatBusy, 409, "busy"),
    (LimitReached, 429, "limit_reached"),
    (ChatRefused, 422, "refused"),
    (ConfigError, 422, "not_configured"),
    (ModelError, 502, "model_failed"),
    (InterpreterError, 503, "interpreter_failed"),
)
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_CODES = {400: "bad_request", 404: "unknown_path", 405: "wrong_method"}
_KINDS = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}


def fault_of(error: Exception) -> Fault:
    """What a client is told of an exception."""
    match error:
        case Fault():
            return error
        case RequestValidationError():
            wrong = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}"[:200] for one in error.errors()[:5])
            return Fault(422, "invalid", f"{wrong}; GET /api/openapi.json says what this request takes")
        case HTTPException():
            known: Fault | None = getattr(error, "fault", None)
            return known or Fault(error.status_code, _CODES.get(error.status_code, "refused"), str(error.detail))
        case CodeActError():
            for kind, status, code in _STATUS:
                if isinstance(error, kind):
                    return Fault(status, code, in_chat(str(error)))
    log.error("a request failed", exc_info=error)
    return Fault(500, "failed", "the server made a mistake, which its log tells; no conversation is harmed by it")


def spelled(fault: Fault, path: str) -> dict[str, object]:
    """As the API that was asked spells it."""
    if not path.startswith("/v1/"):
        return dict(fault.body())
    kind = _KINDS.get(fault.status, "invalid_request_error" if fault.status < 500 else "api_error")
    return {"error": {"message": fault.message, "type": kind, "param": None, "code": fault.code}}


def handle(app: FastAPI) -> None:
    """Have the application answer all exceptions so."""

    async def answer(request: Request, error: Exception) -> Response:
        fault = fault_of(error)
        return Json(spelled(fault, request.url.path), fault.status)

    async def gone(request: Request, error: Exception) -> Response:
        return Response(status_code=400)   # nobody reads it: they left while they sent something

    app.add_exception_handler(ClientDisconnect, gone)
    for kind in (CodeActError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, answer)


def end(app: FastAPI, prefixes: Sequence[str]) -> None:
    """Answer what nothing else under these prefixes does; to be mounted last but for the page, which takes all."""

    async def answer(request: Request) -> Response:
        path = request.url.path
        found = [route for route in app.routes if route.matches(request.scope)[0] is Match.PARTIAL]
        raise HTTPException(405, f"{path} does not take {request.method}") if found else \
            HTTPException(404, f"there is nothing at {path}; GET /api/openapi.json lists what there is")

    for prefix in prefixes:
        app.add_route(f"{prefix}/{{rest:path}}", answer, methods=list(_METHODS), include_in_schema=False)
