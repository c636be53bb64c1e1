"""The project's own API over conversations, under `/api/v1`: JSON, and server-sent events that can be taken up again.

Every route does what a method of `chats.Chats` does; its faults become a status and `{"error": code, "message": ...}`
(`faults.py`). What a cell or a model wrote is data in all answers, and a file is a download.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from functools import partial
from typing import Annotated, Any, TypeVar
from urllib.parse import quote

from fastapi import APIRouter, Depends, FastAPI, Path, Query, Request
from fastapi.responses import Response, StreamingResponse
from fastapi.security import HTTPBearer

from codeact.chats.chats import Chats
from codeact.chats.values import Options
from codeact.chats.views import turn_views
from codeact.errors import ChatRefused, NotFound
from codeact.messages import Image
from codeact.server.answers import Json
from codeact.web import models
from codeact.web.following import follow
from codeact.web.threads import in_slow_thread, in_thread

__all__ = ["mount"]

T = TypeVar("T")
Key = Annotated[str, Path(max_length=64)]
Token = Annotated[str, Path(max_length=64)]
Turn = Annotated[int | None, Query(ge=0, le=10_000_000, description="turns with a lower number; they count from 0")]
Limit = Annotated[int, Query(ge=1, le=200)]

ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": models.ErrorAnswer, "description": what}
    for status, what in {
        400: "The request cannot be read.",
        401: "The token is missing or wrong.",
        403: "The request comes from another site's page, or under a wrong name.",
        404: "There is no such thing, or it is somebody else's.",
        405: "This cannot be done with that.",
        408: "The body did not come in time.",
        409: "Something runs in the conversation: wait for it, or stop it.",
        413: "The body is too long.",
        422: "The body has the wrong fields, or what it asks for makes no sense.",
        429: "Too many requests, conversations, or things that run.",
    }.items()
}
_EVENT = {
    "type": "object",
    "description": "Server-sent events: `id` is the number, `event` the kind, `data` the entry as JSON.",
    "properties": {"id": {"type": "string"}, "event": {"type": "string"}, "data": {"type": "string"}},
}
_STREAM = {"content": {"text/event-stream": {"schema": _EVENT}}}
_BYTES = {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}
_ZIP = {"content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}}}


def mount(app: FastAPI, chats: Chats) -> None:
    """Add the routes."""
    api = APIRouter(prefix="/api/v1", responses=ERRORS, dependencies=[Depends(HTTPBearer(auto_error=False))])

    async def do(work: Callable[[], T]) -> T:
        return await in_thread(work)

    async def do_slowly(work: Callable[[], T]) -> T:
        return await in_slow_thread(work)

    @api.get("/me", response_model=models.MeAnswer)
    async def me(request: Request) -> Any:
        """Who one is, what one may use and has used: MB on disk; dollars and tokens of models by day or month."""
        owner = _owner(request)
        return _answer({"owner": owner, **await do(lambda: chats.used(owner))})

    @api.delete("/me/logins", status_code=204)
    async def log_out(request: Request) -> Response:
        """End all of one's logins and keys, the one that this came with included."""
        owner = _owner(request)
        await do(lambda: chats.store.end_logins(owner))
        return Response(status_code=204)

    @api.get("/conversations", response_model=list[models.ConversationAnswer])
    async def conversations(
        request: Request,
        search: Annotated[str, Query(max_length=200)] = "",
        limit: Annotated[int, Query(ge=1, le=500)] = 50,
        before: Annotated[float | None, Query(ge=0, allow_inf_nan=False)] = None,
    ) -> Any:
        """The user's, the pinned first, then the latest."""
        found = await do(lambda: chats.find(_owner(request), search=search, limit=limit, before=before))
        return _answer([one.to_json() for one in found])

    @api.post("/conversations", status_code=201, response_model=models.ConversationAnswer)
    async def create(request: Request, body: models.NewConversation) -> Any:
        """A new one."""

        def work() -> Any:
            options = None if body.options is None else Options.from_json({**chats.defaults.to_json(), **body.options})
            return chats.create(_owner(request), options, title=body.title).to_json()

        return _answer(await (do_slowly if body.options else do)(work), 201)

    @api.get("/conversations/{key}", response_model=models.ConversationAnswer)
    async def conversation(request: Request, key: Key) -> Any:
        """One, without what was said."""
        return _answer((await do(lambda: chats.summary(key, _owner(request)))).to_json())

    @api.patch("/conversations/{key}", response_model=models.ConversationAnswer)
    async def change(request: Request, key: Key, body: models.Changes) -> Any:
        """Rename it, pin it, change its options (those that are given)."""

        def work() -> Any:
            options = None
            if body.options is not None:
                now = chats.summary(key, _owner(request)).options.to_json()
                options = Options.from_json({**now, **body.options})
            return chats.update(key, _owner(request), title=body.title, pinned=body.pinned, options=options).to_json()

        return _answer(await do_slowly(work))

    @api.delete("/conversations/{key}", status_code=204)
    async def delete(request: Request, key: Key) -> Response:
        """Remove it, with its files; what runs is stopped."""
        await do_slowly(lambda: chats.delete(key, _owner(request)))
        return Response(status_code=204)

    @api.post("/conversations/{key}/messages", status_code=202, response_model=models.BegunAnswer)
    async def send(request: Request, key: Key, body: models.NewMessage) -> Any:
        """Say something; the answer has the number after which what comes of it stands among the events."""

        def work() -> int:
            images = [Image.of(_decoded(one.base64)) for one in body.images]
            return chats.send(key, _owner(request), body.text, images=images, attached=body.files)

        return _answer({"seq": await do_slowly(work)}, 202)

    @api.get("/conversations/{key}/turns", response_model=list[models.TurnAnswer])
    async def turns(
        request: Request,
        key: Key,
        before: Turn = None,
        limit: Limit = 30,
    ) -> Any:
        """Turns of the current branch, oldest first: the last ones, or those below a number.

        Those that came to no end, or run, are marked.
        """
        found = await do(lambda: chats.turns(key, _owner(request), before=before, limit=limit))
        return _answer([one.to_json() for one in found])

    @api.get("/conversations/{key}/events", response_model=list[models.EntryAnswer], responses={200: _STREAM})
    async def events(
        request: Request, key: Key, after: Annotated[int, Query(ge=0, le=2**62)] = 0, stream: bool = True
    ) -> Response:
        """What is stored after a number, of the current branch: as server-sent events, or as a list.

        Each event has its number as `id`: who was cut off sends the last one as `Last-Event-ID` and misses nothing.
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
                        yield f"id: {one.seq}\nevent: {one.kind}\ndata: {_spelled(one.to_json())}\n\n"
            except NotFound:  # it was deleted
                return

        return StreamingResponse(lines(), media_type="text/event-stream", headers={"x-accel-buffering": "no"})

    @api.post("/conversations/{key}/stop", response_model=models.StoppedAnswer)
    async def stop(request: Request, key: Key) -> Any:
        """Stop whatever runs; answered when it has stopped."""
        return _answer({"stopped": await do_slowly(lambda: chats.stop(key, _owner(request)))})

    @api.post("/conversations/{key}/approvals/{call}", response_model=models.ApprovalAnswer)
    async def approve(request: Request, key: Key, call: Key, body: models.Approval) -> Any:
        """Let a tool run that waits for leave, or not."""
        await do(lambda: chats.approve(key, _owner(request), call, body.granted))
        return _answer({"granted": body.granted})

    @api.post("/conversations/{key}/cells", status_code=202, response_model=models.BegunAnswer)
    async def cell(request: Request, key: Key, body: models.Cell) -> Any:
        """Run a cell of one's own in the conversation's interpreter."""
        return _answer({"seq": await do_slowly(lambda: chats.run_cell(key, _owner(request), body.code))}, 202)

    @api.post("/conversations/{key}/edit", status_code=202, response_model=models.OnBranchAnswer)
    async def edit(request: Request, key: Key, body: models.Edit) -> Any:
        """Change a turn's cell, or the message that began it, and go on from there on a branch of its own.

        It becomes the current one, with the turns before that one and the interpreter as it was then; the old branch
        stays as it is.
        """
        if (body.code is None) == (body.text is None):
            raise ChatRefused("give `code` or `text`, one of the two")
        if body.code is not None:
            work = partial(chats.edit, key, _owner(request), body.turn, body.code)
        else:
            work = partial(chats.edit_message, key, _owner(request), body.turn, body.text or "")
        return _answer({"branch": await do_slowly(work)}, 202)

    @api.get("/conversations/{key}/branches", response_model=list[models.BranchAnswer])
    async def branches(request: Request, key: Key) -> Any:
        """All ways it went, oldest first; one of them is the current one, which the other routes are about."""
        return _answer([one.to_json() for one in await do(lambda: chats.branches(key, _owner(request)))])

    @api.post("/conversations/{key}/branches", status_code=201, response_model=models.OnBranchAnswer)
    async def branch(request: Request, key: Key, body: models.At) -> Any:
        """Go on from after so many turns on a branch of its own, which becomes the current one.

        It has the interpreter as it was then. Files are the same for all branches.
        """
        return _answer({"branch": await do_slowly(lambda: chats.branch(key, _owner(request), body.turn))}, 201)

    @api.post("/conversations/{key}/switch", response_model=models.OnBranchAnswer)
    async def switch(request: Request, key: Key, body: models.To) -> Any:
        """Go on with another branch, as it was left."""
        await do_slowly(lambda: chats.switch(key, _owner(request), body.branch))
        return _answer({"branch": body.branch})

    @api.post("/conversations/{key}/undo", response_model=models.ConversationAnswer)
    async def undo(request: Request, key: Key, body: models.Back) -> Any:
        """Take the last messages back, with what they did to the variables; they stay on the branch they were on.

        What goes on is another branch: the conversation's `branch`, in the answer.
        """
        await do_slowly(lambda: chats.undo(key, _owner(request), body.n))
        return _answer((await do(lambda: chats.summary(key, _owner(request)))).to_json())

    @api.post("/conversations/{key}/retry", status_code=202, response_model=models.BegunAnswer)
    async def retry(request: Request, key: Key) -> Any:
        """Have the last message done again, on a branch that becomes the current one."""
        return _answer({"seq": await do_slowly(lambda: chats.retry(key, _owner(request)))}, 202)

    @api.get("/conversations/{key}/variables", response_model=list[models.VariableAnswer])
    async def variables(request: Request, key: Key) -> Any:
        """What the interpreter holds."""
        return _answer(await do_slowly(lambda: chats.variables(key, _owner(request))))

    @api.get("/conversations/{key}/files", response_model=list[models.FileAnswer])
    async def files(request: Request, key: Key) -> Any:
        """The workspace's files."""
        return _answer([one.to_json() for one in await do(lambda: chats.files(key, _owner(request)))])

    @api.get("/conversations/{key}/files.zip", response_class=Response, responses={200: _ZIP})
    async def archive(request: Request, key: Key) -> Response:
        """All of them."""
        parts: Iterator[bytes] = await do(lambda: chats.archive(key, _owner(request)))
        return StreamingResponse(parts, media_type="application/zip", headers=_download("workspace.zip"))

    @api.get("/conversations/{key}/files/{name:path}", response_class=Response, responses={200: _BYTES})
    async def file(request: Request, key: Key, name: str) -> Response:
        """One of them, as a download: what a cell wrote is never shown as a page of this server's."""
        data = await do(lambda: chats.read_file(key, _owner(request), name))
        return Response(data, media_type="application/octet-stream", headers=_download(name.rpartition("/")[2]))

    @api.delete("/conversations/{key}/files/{name:path}", status_code=204)
    async def remove(request: Request, key: Key, name: str) -> Response:
        """Take one away."""
        await do(lambda: chats.remove_file(key, _owner(request), name))
        return Response(status_code=204)

    @api.put(
        "/conversations/{key}/files/{name:path}",
        status_code=201,
        response_model=models.FileAnswer,
        openapi_extra={"requestBody": {"required": True, **_BYTES}},
    )
    async def upload(request: Request, key: Key, name: str) -> Any:
        """Put one there: the body is its bytes; folders in its name are left off; the answer has its name."""
        data = await request.body()
        return _answer((await do(lambda: chats.upload(key, _owner(request), name, data))).to_json(), 201)

    @api.get("/conversations/{key}/export/{kind}", response_class=Response, responses={200: _BYTES})
    async def export(request: Request, key: Key, kind: str) -> Response:
        """The current branch as ipynb, md or jsonl."""
        name, data = await do(lambda: chats.export(key, _owner(request), kind))
        return Response(data, media_type="application/octet-stream", headers=_download(name))

    @api.post("/conversations/{key}/share", response_model=models.ShareAnswer)
    async def share(request: Request, key: Key) -> Any:
        """A link by which anybody can read it."""
        token = await do(lambda: chats.share(key, _owner(request)))
        return _answer({"token": token, "path": f"/s/{token}"})

    @api.delete("/conversations/{key}/share", status_code=204)
    async def unshare(request: Request, key: Key) -> Response:
        """Take the link back."""
        await do(lambda: chats.unshare(key, _owner(request)))
        return Response(status_code=204)

    @api.get("/shared/{token}", response_model=models.SharedAnswer)
    async def shared(token: Token) -> Any:
        """What a link leads to; it needs no other token."""
        found = await do(lambda: chats.shared(token))
        return _answer({"title": found.title, "updated": found.updated, "n_turns": found.n_turns})

    @api.get("/shared/{token}/turns", response_model=list[models.TurnAnswer])
    async def shared_turns(token: Token, before: Turn = None, limit: Limit = 30) -> Any:
        """Its turns, as those of one's own."""
        found = await do(lambda: turn_views(chats.shared_turns(token, before=before, limit=limit)))
        return _answer([one.to_json() for one in found])

    app.include_router(api)


def _owner(request: Request) -> str:
    return str(request.state.owner)


def _answer(content: Any, status: int = 200) -> Response:
    try:
        return Json(content, status)
    except ValueError:  # what a cell showed may hold numbers that JSON has not
        return Json(_plain(content), status)


def _spelled(data: Any) -> str:
    try:
        return json.dumps(data, allow_nan=False)
    except ValueError:
        return json.dumps(_plain(data))


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise ChatRefused("a picture is not in base64") from None


def _download(name: str) -> dict[str, str]:
    return {"content-disposition": f"attachment; filename*=UTF-8''{quote(name.encode('utf-8', 'replace'), safe='')}"}
