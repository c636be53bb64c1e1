"""The project's own API over conversations, under `/api/v1`: JSON, and server-sent events that can be taken up again.

Every route does what a method of `chats.Chats` does; its faults become a status and `{"error": code, "message": ...}`.
"""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Annotated, Any, TypeVar

import anyio.to_thread
from fastapi import APIRouter, FastAPI, Path, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from codeact.chats.chats import Chats
from codeact.chats.values import Options
from codeact.errors import (
    ChatBusy,
    ChatRefused,
    CodeActError,
    ConfigError,
    InterpreterError,
    LimitReached,
    ModelError,
    NotFound,
)
from codeact.messages import Image
from codeact.web.following import follow

__all__ = ["mount"]

T = TypeVar("T")
Key = Annotated[str, Path(max_length=64)]
_STATUS: tuple[tuple[type[CodeActError], int, str], ...] = (
    (NotFound, 404, "not_found"),
    (ChatBusy, 409, "busy"),
    (LimitReached, 429, "limit_reached"),
    (ChatRefused, 422, "refused"),
    (ConfigError, 422, "not_configured"),
    (ModelError, 502, "model_failed"),
    (InterpreterError, 503, "interpreter_failed"),
    (CodeActError, 500, "failed"),
)


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NewConversation(_Body):
    """What a conversation begins with."""

    title: str = Field("", max_length=200)
    options: dict[str, Any] | None = None


class Changes(_Body):
    """What is to be another way; what is left out stays."""

    title: str | None = Field(None, max_length=200)
    pinned: bool | None = None
    options: dict[str, Any] | None = None


class Picture(_Body):
    """PNG, JPEG, GIF or WebP."""

    base64: str = Field(max_length=28_000_000)


class NewMessage(_Body):
    """What the user says."""

    text: str = Field("", max_length=2_000_000)
    images: list[Picture] = Field(default_factory=list, max_length=20)
    files: list[str] = Field(default_factory=list, max_length=100)
    """Names of uploads that go with it."""


class Cell(_Body):
    """Code of the user's own."""

    code: str = Field(max_length=2_000_000)


class Edit(_Body):
    """Another cell, or another message, in place of a turn's; one of the two."""

    turn: int = Field(ge=0, le=10_000_000)
    code: str | None = Field(None, max_length=2_000_000)
    text: str | None = Field(None, max_length=2_000_000)


class Approval(_Body):
    """Leave for a call, or none."""

    granted: bool


class At(_Body):
    """A place in the conversation."""

    turn: int = Field(ge=0, le=10_000_000)


class To(_Body):
    """A branch."""

    branch: str = Field(max_length=64)


class Back(_Body):
    """How many messages are taken back."""

    n: int = Field(1, ge=1, le=10_000)


def mount(app: FastAPI, chats: Chats) -> None:
    """Add the routes, and what makes answers of faults."""
    api = APIRouter(prefix="/api/v1")

    async def do(work: Callable[[], T]) -> T:
        return await anyio.to_thread.run_sync(work)

    @api.get("/conversations")
    async def conversations(
        request: Request,
        search: Annotated[str, Query(max_length=200)] = "",
        limit: Annotated[int, Query(ge=1, le=500)] = 50,
        before: float | None = None,
    ) -> Any:
        """The user's, the pinned first, then the latest."""
        found = await do(lambda: chats.find(_owner(request), search=search, limit=limit, before=before))
        return _answer([one.to_json() for one in found])

    @api.post("/conversations", status_code=201)
    async def create(request: Request, body: NewConversation) -> Any:
        """A new one."""

        def work() -> Any:
            options = None if body.options is None else Options.from_json({**chats.defaults.to_json(), **body.options})
            return chats.create(_owner(request), options, title=body.title).to_json()

        return _answer(await do(work), 201)

    @api.get("/conversations/{key}")
    async def conversation(request: Request, key: Key) -> Any:
        """One, without what was said."""
        return _answer((await do(lambda: chats.summary(key, _owner(request)))).to_json())

    @api.patch("/conversations/{key}")
    async def change(request: Request, key: Key, body: Changes) -> Any:
        """Rename it, pin it, change its options (those that are given)."""

        def work() -> Any:
            options = None
            if body.options is not None:
                now = chats.summary(key, _owner(request)).options.to_json()
                options = Options.from_json({**now, **body.options})
            return chats.update(key, _owner(request), title=body.title, pinned=body.pinned, options=options).to_json()

        return _answer(await do(work))

    @api.delete("/conversations/{key}", status_code=204)
    async def delete(request: Request, key: Key) -> Response:
        """Remove it, with its files; what runs is stopped."""
        await do(lambda: chats.delete(key, _owner(request)))
        return Response(status_code=204)

    @api.post("/conversations/{key}/messages", status_code=202)
    async def send(request: Request, key: Key, body: NewMessage) -> Any:
        """Say something; the answer has the number after which what comes of it stands among the events."""

        def work() -> int:
            images = [Image.of(_decoded(one.base64)) for one in body.images]
            return chats.send(key, _owner(request), body.text, images=images, attached=body.files)

        return _answer({"seq": await do(work)}, 202)

    @api.get("/conversations/{key}/turns")
    async def turns(
        request: Request,
        key: Key,
        before: Annotated[int | None, Query(ge=0, le=10_000_000)] = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 30,
    ) -> Any:
        """Finished turns, oldest first: the last ones, or those below a number."""
        found = await do(lambda: chats.turns(key, _owner(request), before=before, limit=limit))
        return _answer([one.to_json() for one in found])

    @api.get("/conversations/{key}/events")
    async def events(
        request: Request, key: Key, after: Annotated[int, Query(ge=0, le=2**62)] = 0, stream: bool = True
    ) -> Response:
        """What is stored after a number: as server-sent events, each with its number as `id`, or as a list.

        A client that was cut off sends the last number as `Last-Event-ID` and misses nothing.
        """
        owner = _owner(request)
        await do(lambda: chats.summary(key, owner))
        last = request.headers.get("last-event-id", "")
        start = int(last) if last.isascii() and last.isdigit() and len(last) < 19 else after
        if not stream:
            return _answer([one.to_json() for one in await do(lambda: chats.entries(key, owner, after=start))])

        async def lines() -> AsyncIterator[str]:
            try:
                async for found in follow(chats, key, owner, start):
                    if not found:
                        yield ": nothing new\n\n"
                    for one in found:
                        yield f"id: {one.seq}\nevent: {one.kind}\ndata: {json.dumps(one.to_json())}\n\n"
            except NotFound:  # it was deleted
                return

        return StreamingResponse(lines(), media_type="text/event-stream", headers={"x-accel-buffering": "no"})

    @api.post("/conversations/{key}/stop")
    async def stop(request: Request, key: Key) -> Any:
        """Stop whatever runs; answered when it has stopped."""
        return _answer({"stopped": await do(lambda: chats.stop(key, _owner(request)))})

    @api.post("/conversations/{key}/approvals/{call}")
    async def approve(request: Request, key: Key, call: Key, body: Approval) -> Any:
        """Let a tool run that waits for leave, or not."""
        await do(lambda: chats.approve(key, _owner(request), call, body.granted))
        return _answer({"granted": body.granted})

    @api.post("/conversations/{key}/cells", status_code=202)
    async def cell(request: Request, key: Key, body: Cell) -> Any:
        """Run a cell of one's own in the conversation's interpreter."""
        return _answer({"seq": await do(lambda: chats.run_cell(key, _owner(request), body.code))}, 202)

    @api.post("/conversations/{key}/edit", status_code=202)
    async def edit(request: Request, key: Key, body: Edit) -> Any:
        """Change a turn's cell, or the message that began it, and go on from there on a branch."""
        if (body.code is None) == (body.text is None):
            raise ChatRefused("give `code` or `text`, one of the two")
        if body.code is not None:
            work = partial(chats.edit, key, _owner(request), body.turn, body.code)
        else:
            work = partial(chats.edit_message, key, _owner(request), body.turn, body.text or "")
        return _answer({"branch": await do(work)}, 202)

    @api.get("/conversations/{key}/branches")
    async def branches(request: Request, key: Key) -> Any:
        """All ways it went."""
        return _answer([one.to_json() for one in await do(lambda: chats.branches(key, _owner(request)))])

    @api.post("/conversations/{key}/branches", status_code=201)
    async def branch(request: Request, key: Key, body: At) -> Any:
        """Go on from after so many turns on a branch of its own."""
        return _answer({"branch": await do(lambda: chats.branch(key, _owner(request), body.turn))}, 201)

    @api.post("/conversations/{key}/switch")
    async def switch(request: Request, key: Key, body: To) -> Any:
        """Go on with another branch."""
        await do(lambda: chats.switch(key, _owner(request), body.branch))
        return _answer({"branch": body.branch})

    @api.post("/conversations/{key}/undo")
    async def undo(request: Request, key: Key, body: Back) -> Any:
        """Take the last messages back; they stay on their branch."""
        await do(lambda: chats.undo(key, _owner(request), body.n))
        return _answer((await do(lambda: chats.summary(key, _owner(request)))).to_json())

    @api.post("/conversations/{key}/retry", status_code=202)
    async def retry(request: Request, key: Key) -> Any:
        """Have the last message done again."""
        return _answer({"seq": await do(lambda: chats.retry(key, _owner(request)))}, 202)

    @api.get("/conversations/{key}/variables")
    async def variables(request: Request, key: Key) -> Any:
        """What the interpreter holds."""
        return _answer(await do(lambda: chats.variables(key, _owner(request))))

    @api.get("/conversations/{key}/files")
    async def files(request: Request, key: Key) -> Any:
        """The workspace's files."""
        return _answer([one.to_json() for one in await do(lambda: chats.files(key, _owner(request)))])

    @api.get("/conversations/{key}/files.zip")
    async def archive(request: Request, key: Key) -> Response:
        """All of them."""
        parts: Iterator[bytes] = await do(lambda: chats.archive(key, _owner(request)))
        return StreamingResponse(parts, media_type="application/zip", headers=_download("workspace.zip"))

    @api.get("/conversations/{key}/files/{name:path}")
    async def file(request: Request, key: Key, name: str) -> Response:
        """One of them, as a download: what a cell wrote is never shown as a page of this server's."""
        data = await do(lambda: chats.read_file(key, _owner(request), name))
        return Response(data, media_type="application/octet-stream", headers=_download(name.rpartition("/")[2]))

    @api.put("/conversations/{key}/files/{name:path}", status_code=201)
    async def upload(request: Request, key: Key, name: str) -> Any:
        """Put one there: the body is its bytes; folders in its name are left off."""
        data = await request.body()
        return _answer((await do(lambda: chats.upload(key, _owner(request), name, data))).to_json(), 201)

    @api.get("/conversations/{key}/export/{kind}")
    async def export(request: Request, key: Key, kind: str) -> Response:
        """The current branch as ipynb, md or jsonl."""
        name, data = await do(lambda: chats.export(key, _owner(request), kind))
        return Response(data, media_type="application/octet-stream", headers=_download(name))

    @api.post("/conversations/{key}/share")
    async def share(request: Request, key: Key) -> Any:
        """A link by which anybody can read it."""
        return _answer({"path": f"/s/{await do(lambda: chats.share(key, _owner(request)))}"})

    @api.delete("/conversations/{key}/share", status_code=204)
    async def unshare(request: Request, key: Key) -> Response:
        """Take the link back."""
        await do(lambda: chats.unshare(key, _owner(request)))
        return Response(status_code=204)

    app.include_router(api)

    @app.exception_handler(CodeActError)
    async def foreseen(request: Request, error: CodeActError) -> Response:
        status, code = next((status, code) for kind, status, code in _STATUS if isinstance(error, kind))
        return _answer({"error": code, "message": str(error)}, status)

    @app.exception_handler(RequestValidationError)
    async def malformed(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first.get("loc", ()))
        return _answer(
            {"error": "invalid", "message": f"{where}: {first.get('msg', 'not as it should be')}"[:500]}, 422
        )

    @app.exception_handler(HTTPException)
    async def other(request: Request, error: HTTPException) -> Response:
        code = {404: "unknown_path", 405: "wrong_method"}.get(error.status_code, "refused")
        return _answer({"error": code, "message": str(error.detail)}, error.status_code)


def _owner(request: Request) -> str:
    return str(request.state.owner)


def _answer(content: Any, status: int = 200) -> JSONResponse:
    return JSONResponse(content, status)


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise ChatRefused("a picture is not in base64") from None


def _download(name: str) -> dict[str, str]:
    from urllib.parse import quote

    return {"content-disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}"}
