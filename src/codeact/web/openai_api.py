"""OpenAI's Chat Completions API, behind which the agent stands: any client of that API is a front end.

`model` is `codeact/NAME`, where NAME is a model as `--model` takes it, or `codeact/model` for the server's own. The
reply tells the agent's work as it goes on (`openai_text.py`); which conversation a request belongs to, says
`openai_identity.py`. A client that goes away stops what runs.

Source: platform.openai.com/docs/api-reference/chat, the fields that clients use.
"""

from __future__ import annotations

import base64
import json
import re
import secrets
import time
from collections.abc import AsyncIterator
from typing import Any

import anyio
from fastapi import FastAPI, Request
from fastapi.responses import Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from codeact.chats.chats import Chats
from codeact.chats.values import Entry
from codeact.errors import ChatError, ChatRefused, CodeActError
from codeact.messages import Image
from codeact.server.answers import Json
from codeact.server.faults import Fault
from codeact.web import openai_identity
from codeact.web.faults import fault_of, spelled
from codeact.web.following import follow
from codeact.web.openai_identity import Said
from codeact.web.openai_text import Text
from codeact.web.threads import in_slow_thread, in_thread

__all__ = ["mount"]

_PREFIX = "codeact/"
_ANY = "model"
_BEAT_SECONDS, _QUIET_BEATS = 1.0, 15
_WORDY = ("code", "native")
"""Formats with words around their actions."""
_DATA_URL = re.compile(r"data:image/[a-z]+;base64,([A-Za-z0-9+/=\s]+)\Z")


class Message(BaseModel):
    """One message of a client's."""

    model_config = ConfigDict(extra="allow")
    role: str
    content: str | list[dict[str, Any]] | None = None


class Asked(BaseModel):
    """A request; fields that make no sense for an agent are passed over."""

    model_config = ConfigDict(extra="allow")
    model: str = Field(max_length=500)
    messages: list[Message] = Field(min_length=1, max_length=10_000)
    stream: bool = False
    stream_options: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None


def mount(app: FastAPI, chats: Chats) -> None:
    """Add the routes."""

    @app.get("/v1/models", include_in_schema=False)
    async def models() -> Response:
        names = chats.models_offered or (_ANY,)
        return Json({"object": "list", "data": [_model(name) for name in names]})

    @app.get("/v1/models/{name:path}", include_in_schema=False)
    async def model(name: str) -> Response:
        if name.removeprefix(_PREFIX) not in (*chats.models_offered, _ANY):
            return Json(spelled(Fault(404, "model_not_found", f"there is no model {name[:200]!r}"), "/v1/"), 404)
        return Json(_model(name.removeprefix(_PREFIX)))

    @app.post("/v1/chat/completions", include_in_schema=False)
    async def complete(request: Request) -> Response:
        owner = str(request.state.owner)
        try:
            asked = Asked.model_validate_json(await request.body())
            run = _Run(chats, owner, asked, await in_thread(_said, asked))
            await in_slow_thread(run.begin, _name(request, asked))
        except ValidationError as error:
            first = error.errors()[0]
            return _refused(Fault(400, "invalid", f"{'.'.join(map(str, first['loc']))}: {first['msg']}"))
        except CodeActError as error:
            return _refused(fault_of(error))
        headers = {"x-conversation-id": run.key, "x-accel-buffering": "no"}
        if asked.stream:
            return StreamingResponse(run.lines(request), media_type="text/event-stream", headers=headers)
        async for _ in run.pieces(request):
            pass
        return _refused(run.failure) if run.failure else Json(run.whole(), headers=headers)


class _Run:
    """The agent's work on one request, and the reply that comes of it."""

    def __init__(self, chats: Chats, owner: str, asked: Asked, said: list[Said]) -> None:
        self._chats, self._owner, self._asked, self._said = chats, owner, asked, said
        self._id, self._created = f"chatcmpl-{secrets.token_hex(12)}", int(time.time())
        self.key, self._after = "", 0
        self._finish = "stop"
        self._usage = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
        self.failure: Fault | None = None
        self._text = Text(live=False)

    def begin(self, name: str) -> None:
        """Send the message; in a thread."""
        model = self._asked.model.removeprefix(_PREFIX)
        self.key, self._after = openai_identity.begin(
            self._chats, self._owner, self._said, model="" if model == _ANY else model, name=name)
        self._text = Text(live=self._chats.summary(self.key, self._owner).options.format in _WORDY)

    async def pieces(self, request: Request) -> AsyncIterator[str]:
        """The text as it comes, and an empty one now and then."""
        over = rests = False
        try:
            async for found in follow(self._chats, self.key, self._owner, self._after, beat=_BEAT_SECONDS):
                for entry in found:
                    if piece := self._take(entry):
                        yield piece
                    over |= entry.kind in ("ended", "stopped", "error")
                if over:
                    return
                if not found:
                    if rests:   # since the look before: its end could not be stored, or another server took it over
                        self.failure = Fault(500, "failed", "the run ended, and its end could not be stored; go on "
                                                            "with another message")
                        return
                    if await request.is_disconnected():
                        return
                    rests = await in_thread(self._chats.wait, self.key, self._owner, 0)
                    yield ""
        finally:
            with anyio.CancelScope(shield=True):
                await in_slow_thread(self._end, over)

    def _end(self, over: bool) -> None:
        """Have it settled, and known for what follows."""
        try:
            if not over:
                self._chats.stop(self.key, self._owner)
            openai_identity.remember(self._chats, self._owner, self._said, self._text.whole, self.key)
        except ChatError:   # deleted meanwhile
            pass

    def _take(self, entry: Entry) -> str:
        if entry.kind == "turn":
            usage = entry.data["completion"].get("usage", {})
            for name in ("prompt_tokens", "completion_tokens"):
                self._usage[name] += usage.get(name, 0)
                self._usage["total_tokens"] += usage.get(name, 0)
        elif entry.kind == "error":
            self.failure = Fault(502, "model_failed", entry.data["message"])
        elif entry.kind == "ended" and entry.data["stop"] != "answer":
            self._finish = "length"
        return self._text.take(entry)

    async def lines(self, request: Request) -> AsyncIterator[str]:
        """The reply as OpenAI streams it."""
        yield _line(self._chunk({"role": "assistant", "content": ""}))
        quiet = 0
        async for piece in self.pieces(request):
            quiet = 0 if piece else quiet + 1
            if piece:
                yield _line(self._chunk({"content": piece}))
            elif quiet % _QUIET_BEATS == 0:
                yield ": still at work\n\n"
        if self.failure:
            yield _line(spelled(self.failure, "/v1/"))
        yield _line(self._chunk({}, self._finish))
        if (self._asked.stream_options or {}).get("include_usage"):
            yield _line({**self._chunk({}), "choices": [], "usage": self._usage})
        yield "data: [DONE]\n\n"

    def whole(self) -> dict[str, Any]:
        """The reply in one."""
        message = {"role": "assistant", "content": self._text.whole}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": self._finish}
        return {**self._head("chat.completion"), "choices": [choice], "usage": self._usage,
                "metadata": {"conversation": self.key}}

    def _chunk(self, delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return {**self._head("chat.completion.chunk"), "choices": [choice]}

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self._id, "object": kind, "created": self._created, "model": self._asked.model}


def _name(request: Request, asked: Asked) -> str:
    """What the client calls the conversation, if it does."""
    given = request.headers.get("x-conversation-id") or (asked.metadata or {}).get("conversation") or ""
    return str(given)[:200]


def _said(asked: Asked) -> list[Said]:
    return [Said(one.role, *_parts(one)) for one in asked.messages]


def _parts(message: Message) -> tuple[str, tuple[Image, ...]]:
    """Text and pictures.

    Raises:
        ChatRefused, ConfigError: A picture is an address, or none.
    """
    if not isinstance(message.content, list):
        return message.content or "", ()
    texts, images = [], []
    for part in message.content:
        if part.get("type") == "text" and isinstance(part.get("text"), str):
            texts.append(part["text"])
        elif part.get("type") == "image_url":
            place = part.get("image_url")
            found = _DATA_URL.match(str(place.get("url", "")) if isinstance(place, dict) else "")
            if not found:
                raise ChatRefused("pictures are taken as data: URLs alone; nothing is fetched")
            try:
                images.append(Image.of(base64.b64decode(found[1])))
            except ValueError:
                raise ChatRefused("a picture is not in base64") from None
    return "\n".join(texts), tuple(images)


def _model(name: str) -> dict[str, Any]:
    return {"id": f"{_PREFIX}{name}", "object": "model", "created": 0, "owned_by": "codeact"}


def _refused(fault: Fault) -> Response:
    return Json(spelled(fault, "/v1/"), 400 if fault.status == 422 else fault.status)


def _line(data: Any) -> str:
    return f"data: {json.dumps(data)}\n\n"
