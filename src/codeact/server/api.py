"""The routes of the service: what each request does with a session.

`POST /execute` answers as the engine of the paper's chat did, so that its clients work; all else is ours. A request
that uses a session claims it first, in the event loop, so that a second one is told at once; what takes time runs in
threads, of which there is one for each session that can be live, and others for what is quick: a thousand waiting
cells keep nobody from being listed, interrupted or deleted. A client that goes away while its cell runs stops the
cell; the variables set so far are kept.

Who may call these, guard.py decides; what they do to sessions is in sessions.py. Nothing that a client sends chooses
walls, network, limits or folders: those are of the command line.

Source: POST /execute after xingyaoww/code-act scripts/chat/code_execution/api.py. Differs: figures are named in the
text, not spelled out as base64 in it; idle sessions come back with their variables.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from urllib.parse import quote

import anyio
import anyio.to_thread
from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response, StreamingResponse
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException

from codeact import __version__
from codeact.environments._watch import CellWatch
from codeact.errors import CodeActError, InterpreterGone
from codeact.events import Code as CodeEvent
from codeact.events import Event, ignore
from codeact.interpreter import transfer
from codeact.interpreter.awaiting import run_in_thread
from codeact.interpreter.interpreter import Interpreter
from codeact.interpreter.result import ExecutionResult
from codeact.server import models
from codeact.server.answers import EventStream, Json, cancel_when_gone, error, result_as_json
from codeact.server.faults import Fault, fault_of
from codeact.server.guard import Guard
from codeact.server.session import Session
from codeact.server.sessions import Sessions
from codeact.server.states import add_states

__all__ = ["MAX_JSON_BYTES", "MAX_UPLOAD_BYTES", "create_app"]

log = logging.getLogger("codeact.server")

T = TypeVar("T")

MAX_JSON_BYTES = 4 << 20
MAX_UPLOAD_BYTES = 256 << 20
MAX_FILES = 10_000
"""In one listing."""
SPOOL_BYTES = 1 << 20
"""Of an upload that are held in memory; the rest waits on disk."""
PIECE_SECONDS = 30.0
"""Between two pieces of an upload."""
LOOK_SECONDS = 30.0
"""Between two looks for idle sessions, at most."""

ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": models.ErrorAnswer, "description": what} for status, what in {
        400: "The request cannot be read.", 401: "The token is missing or wrong.",
        403: "The request comes from a web page, or under a wrong name.", 404: "There is no such thing.",
        409: "It cannot be done now, or not at all.", 410: "The session has ended by itself.",
        413: "The body is too long.", 415: "The body is of another type.",
        422: "The body has the wrong fields.", 429: "There are too many sessions.",
        503: "No session can be started here, or the service is ending."}.items()}

EVENT = {"type": "object", "required": ["event", "data"], "properties": {
    "event": {"enum": ["code", "output", "display", "tool_called", "approval", "result", "error"]},
    "data": {"type": "string", "contentMediaType": "application/json",
             "description": "An event as `codeact --json` prints it; at the end a result or an error, as they are "
                            "answered without streaming, with their `type`."}}}


def create_app(sessions: Sessions, *, token: str | None, host: str = "127.0.0.1", max_json: int = MAX_JSON_BYTES,
               max_upload: int = MAX_UPLOAD_BYTES) -> Guard:
    """The service, as an ASGI application; its end is the end of every session.

    Args:
        sessions: Where they live.
        token: Wanted of every request; None wants none.
        host: The address served.
        max_json: Bytes of a body of JSON.
        max_upload: Bytes of an uploaded file.
    """
    service = _Service(sessions, max_upload)
    app = FastAPI(title="codeact", version=__version__, docs_url=None, redoc_url=None, lifespan=service.lifespan,
                  description="Python behind walls, in sessions whose variables live from cell to cell.",
                  responses=ERRORS, dependencies=[Depends(HTTPBearer(auto_error=False))])
    for kind in (CodeActError, ValueError, OSError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, _on_error)
    service.add_routes(app)
    return Guard(app, token=token, host=host, max_json=max_json, max_upload=max_upload)


class _Service:
    def __init__(self, sessions: Sessions, max_upload: int):
        self.sessions = sessions
        self.max_upload = max_upload
        # One thread for each claim there can be, so that none waits for another
        self._threads = ThreadPoolExecutor(max(64, 2 * sessions.max_live), thread_name_prefix="codeact-session")

    @asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._put_idle_away)
                yield
                group.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(self.sessions.close)
            self._threads.shutdown(wait=False)

    async def _put_idle_away(self) -> None:
        while True:
            await anyio.sleep(min(LOOK_SECONDS, self.sessions.idle_seconds / 4))
            await anyio.to_thread.run_sync(self.sessions.put_idle_away)

    async def _work(self, session: Session, work: Callable[[Interpreter], T]) -> T:
        """Do something with a claimed session, in a thread."""

        def with_interpreter() -> T:
            try:
                return work(self.sessions.ready(session))
            except InterpreterGone:
                self.sessions.drop(session)
                raise

        return await run_in_thread(with_interpreter, interrupt=session.interrupt, executor=self._threads)

    async def _use(self, id: str, work: Callable[[Interpreter], T]) -> T:
        session = self.sessions.get(id)
        with session.claimed():
            return await self._work(session, work)

    async def _run(self, session: Session, code: str, timeout: float | None,
                   observe: Callable[[Event], None] = ignore) -> tuple[ExecutionResult, str]:
        """Run a cell in a claimed session: its result, and what the service has to say."""

        def run(py: Interpreter) -> tuple[ExecutionResult, str]:
            observe(CodeEvent(code))
            watch = CellWatch(observe)
            session.is_running = True
            try:
                result = py.run(code, timeout=timeout, on_output=watch)
            finally:
                session.is_running = False
            watch.end(result)
            note, session.note = session.note, ""
            return result, note

        return await self._work(session, run)

    async def _run_for(self, request: Request, session: Session, code: str,
                       timeout: float | None) -> tuple[ExecutionResult, str]:
        """The same, for as long as the client waits for it."""
        done: tuple[ExecutionResult, str] | Exception | None = None
        async with anyio.create_task_group() as group:
            group.start_soon(cancel_when_gone, request.receive, group.cancel_scope)
            try:
                done = await self._run(session, code, timeout)
            except Exception as failure:   # not out of the group, which would wrap it
                done = failure
            group.cancel_scope.cancel()
        if done is None:
            raise Fault(400, "client_gone", "the client went away, and its cell was stopped")
        if isinstance(done, Exception):
            raise done
        return done

    def add_routes(self, app: FastAPI) -> None:
        """Give the application its routes."""
        sessions = self.sessions

        @app.get("/health", summary="Whether the service is there")
        async def health() -> Response:
            return Json({"status": "ok", "version": __version__})

        @app.post("/execute", response_model=models.ExecuteAnswer,
                  summary="Run code in a conversation's session, which is made if need be")
        async def execute(body: models.Execute, request: Request) -> Response:
            session = sessions.claim(body.convid, style="chat", known=True)
            try:
                result, note = await self._run_for(request, session, body.code, None)
                return Json({"result": f"{note}\n{result.text}" if note else result.text,
                             "new_kernel_created": session.began_anew})
            finally:
                session.release()

        @app.post("/sessions", status_code=201, response_model=models.SessionAnswer, summary="Make a session")
        async def create(body: models.NewSession) -> Response:
            session = sessions.claim(body.id, style=body.style)
            try:
                await self._work(session, lambda py: None)
            finally:
                session.release()
            return Json(_spelled(session), 201)

        @app.get("/sessions", response_model=models.SessionsAnswer, summary="List the sessions")
        async def list_sessions() -> Response:
            return Json({"sessions": [_spelled(session) for session in sessions.all()]})

        @app.get("/sessions/{id}", response_model=models.SessionAnswer, summary="Say what a session is doing")
        async def show(id: str) -> Response:
            return Json(_spelled(sessions.get(id)))

        @app.delete("/sessions/{id}", status_code=204, summary="End a session, whatever it is doing")
        async def delete(id: str) -> Response:
            await anyio.to_thread.run_sync(sessions.delete, id)
            return Response(status_code=204)

        @app.post("/sessions/{id}/run", response_model=models.ResultAnswer, summary="Run a cell", responses={
            200: {"content": {"text/event-stream": {"schema": EVENT}}}})
        async def run(id: str, body: models.Code, request: Request) -> Response:
            session = sessions.get(id)
            session.claim()
            keep = False
            try:
                if body.stream:
                    await self._work(session, lambda py: None)   # what fails now has a status of its own
                    keep = True
                    return EventStream(self._streamed(session, body), session.release)
                result, note = await self._run_for(request, session, body.code, body.timeout)
                return Json(result_as_json(result, note))
            finally:
                if not keep:
                    session.release()

        @app.post("/sessions/{id}/interrupt", response_model=models.InterruptAnswer,
                  summary="Stop the running cell; its variables stay")
        async def interrupt(id: str) -> Response:
            session = sessions.get(id)
            return Json({"interrupted": await anyio.to_thread.run_sync(session.stop)})

        @app.post("/sessions/{id}/reset", response_model=models.SessionAnswer,
                  summary="Begin again with no variables; files stay")
        async def reset(id: str) -> Response:
            await self._use(id, Interpreter.reset)
            return Json(_spelled(sessions.get(id)))

        @app.post("/sessions/{id}/branch", status_code=201, response_model=models.SessionAnswer,
                  summary="Make a second session with the state of this one")
        async def branch(id: str, body: models.Branch) -> Response:
            session = sessions.get(id)
            with session.claimed():
                twin = await self._work(session, lambda py: sessions.branch(session, body.id))
            return Json(_spelled(twin), 201)

        add_states(app, self._use)
        self._add_files(app)

    def _add_files(self, app: FastAPI) -> None:
        bytes_of_file = {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}

        @app.get("/sessions/{id}/files", response_model=models.FilesAnswer, summary="List the files of the workspace")
        async def list_files(id: str) -> Response:
            found = await self._use(id, lambda py: transfer.listing(py.workspace, max_files=MAX_FILES + 1))
            return Json({"files": [{"path": entry.path, "size": entry.size} for entry in found[:MAX_FILES]],
                         "complete": len(found) <= MAX_FILES})

        @app.get("/sessions/{id}/files/{path:path}", summary="Download a file", response_class=Response,
                 responses={200: bytes_of_file})
        async def download(id: str, path: str) -> Response:
            file = await self._use(id, lambda py: transfer.take(py.workspace, path))

            async def pieces() -> AsyncIterator[bytes]:
                with file:
                    while piece := await anyio.to_thread.run_sync(file.read, transfer.PIECE):
                        yield piece

            name = quote(path.rpartition("/")[2].encode("utf-8", "replace"), safe="")
            return StreamingResponse(pieces(), media_type="application/octet-stream", headers={
                "content-disposition": f"attachment; filename*=UTF-8''{name}"})

        @app.put("/sessions/{id}/files/{path:path}", status_code=201, response_model=models.FileAnswer,
                 summary="Upload a file; an existing one is replaced", openapi_extra={
                     "requestBody": {"required": True, **bytes_of_file}})
        async def upload(id: str, path: str, request: Request) -> Response:
            self.sessions.get(id)
            with tempfile.SpooledTemporaryFile(SPOOL_BYTES) as spool:
                pieces = request.stream()
                while (piece := await _next(pieces)) is not None:
                    await anyio.to_thread.run_sync(spool.write, piece)
                spool.seek(0)
                size = await self._use(id, lambda py: transfer.put(py.workspace, path, spool,
                                                                   max_bytes=self.max_upload))
            return Json({"path": path, "size": size}, 201)

    def _streamed(self, session: Session, body: models.Code) -> Callable[[Callable[[Event], None]], Any]:
        async def run(observe: Callable[[Event], None]) -> dict[str, Any]:
            try:
                return result_as_json(*await self._run(session, body.code, body.timeout, observe))
            except Exception as failure:
                return {"type": "error", **_told(failure).body()}

        return run


async def _next(pieces: AsyncIterator[bytes]) -> bytes | None:
    """The next piece of an upload; None at its end."""
    try:
        with anyio.fail_after(PIECE_SECONDS):
            return await anext(pieces, None)
    except TimeoutError:
        raise Fault(408, "too_slow", f"nothing came for {PIECE_SECONDS:g} seconds; send the file again") from None


def _spelled(session: Session) -> dict[str, Any]:
    py = session.py
    return {"id": session.id, "state": session.state, "style": session.style,
            "level": py.level if py is not None else None, "created": session.created, "used": session.used}


async def _on_error(request: Request, failure: Exception) -> Response:
    return error(_told(failure))


def _told(failure: Exception) -> Fault:
    """What a client is told of an exception."""
    if isinstance(failure, RequestValidationError):
        wrong = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}"[:200] for item in failure.errors()[:5])
        return Fault(422, "invalid", f"{wrong}; GET /openapi.json says what this request takes")
    if isinstance(failure, HTTPException):
        known: Fault | None = getattr(failure, "fault", None)
        codes = {400: "bad_request", 404: "unknown_path", 405: "wrong_method"}
        return known or Fault(failure.status_code, codes.get(failure.status_code, "refused"),
                              f"{failure.detail}; GET /openapi.json says which requests there are")
    fault = fault_of(failure)
    if fault is None:
        log.error("a request failed", exc_info=failure)
        return Fault(500, "failed", "the service made a mistake, which its log tells; other sessions are not touched")
    return fault
