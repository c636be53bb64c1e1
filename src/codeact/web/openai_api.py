"""OpenAI's Chat Completions API, behind which the agent stands: any client of that API is a front end.

`model` is `codeact/NAME`, where NAME is a model as `--model` takes it. Code and results come as Markdown in the reply,
as the agent works; the words that end it follow. A client sends the whole conversation each time: the one that is gone
on with is found by what was said before (or by `metadata.conversation`), so that its variables are there.

Source: platform.openai.com/docs/api-reference/chat, the fields that clients use.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import anyio.to_thread
from fastapi import FastAPI, Request
from fastapi.responses import Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from codeact.chats.chats import Chats
from codeact.chats.values import Entry, Summary
from codeact.errors import ChatRefused, CodeActError, NotFound
from codeact.messages import Image
from codeact.server.answers import Json
from codeact.web.faults import fault_of, spelled
from codeact.web.following import follow
from codeact.web.threads import in_thread

__all__ = ["mount"]

_PREFIX = "codeact/"
_MAX_KNOWN = 10_000
_MAX_SHOWN_CHARS = 20_000
_DATA_URL = re.compile(r"data:image/[a-z]+;base64,([A-Za-z0-9+/=\s]+)\Z")


class Said(BaseModel):
    """One message of a client's."""

    model_config = ConfigDict(extra="allow")
    role: str
    content: str | list[dict[str, Any]] | None = None


class Asked(BaseModel):
    """A request; fields that make no sense for an agent are passed over."""

    model_config = ConfigDict(extra="allow")
    model: str = Field(max_length=500)
    messages: list[Said] = Field(min_length=1, max_length=10_000)
    stream: bool = False
    stream_options: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    user: str | None = None


class _Known:
    """Which conversation a history belongs to, and where in it: key, branch, number of turns."""

    def __init__(self) -> None:
        self._of: dict[str, tuple[str, str, int]] = {}

    def get(self, owner: str, messages: Sequence[Said]) -> tuple[str, str, int] | None:
        return self._of.get(_fingerprint(owner, messages))

    def put(self, owner: str, messages: Sequence[Said], summary: Summary) -> None:
        if len(self._of) >= _MAX_KNOWN:
            self._of.pop(next(iter(self._of)))
        self._of[_fingerprint(owner, messages)] = (summary.id, summary.branch, summary.n_turns)


def mount(app: FastAPI, chats: Chats) -> None:
    """Add the routes."""
    known = _Known()

    @app.get("/v1/models", include_in_schema=False)
    async def models() -> Any:
        names = chats.models_offered or ("model",)
        return {
            "object": "list",
            "data": [
                {"id": f"{_PREFIX}{name}", "object": "model", "created": 0, "owned_by": "codeact"} for name in names
            ],
        }

    @app.post("/v1/chat/completions", include_in_schema=False)
    async def complete(request: Request) -> Response:
        owner = str(request.state.owner)
        try:
            asked = Asked.model_validate_json(await request.body())
            key, after = await anyio.to_thread.run_sync(lambda: _begun(chats, known, owner, asked))
        except ValidationError as error:
            first = error.errors()[0]
            return _failed(400, f"{'.'.join(map(str, first['loc']))}: {first['msg']}", "invalid_request_error")
        except CodeActError as error:
            fault = fault_of(error)
            return Json(spelled(fault, request.url.path), 400 if fault.status == 422 else fault.status)
        made = _Reply(asked, key)
        if asked.stream:
            return StreamingResponse(
                _streamed(chats, known, owner, asked, key, after, made, request), media_type="text/event-stream"
            )
        async for _ in _pieces(chats, owner, key, after, made, request):
            pass
        await in_thread(_remember, chats, known, owner, asked, made)
        if made.error:
            return _failed(502, made.error, "api_error")
        return Json(made.whole())


class _Reply:
    """A reply as it grows."""

    def __init__(self, asked: Asked, key: str) -> None:
        self.id, self.model, self.key = f"chatcmpl-{secrets.token_hex(12)}", asked.model, key
        self.text = self.error = ""
        self.finish = "stop"
        self.usage = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}

    def take(self, entry: Entry) -> str:
        """What an entry adds to the text."""
        match entry.kind:
            case "turn":
                usage = entry.data["completion"].get("usage", {})
                for name in ("prompt_tokens", "completion_tokens"):
                    self.usage[name] += usage.get(name, 0)
                self.usage["total_tokens"] = self.usage["prompt_tokens"] + self.usage["completion_tokens"]
                piece = _markdown(entry.data)
            case "approval":
                piece = f"\n\n*{entry.data['tool']} waits for leave, which only the page or the API can give.*\n\n"
            case "error":
                self.error, piece = entry.data["message"], ""
            case "ended" if entry.data["stop"] != "answer":
                self.finish, piece = "length", f"\n\n*[ended: {entry.data['stop'].replace('_', ' ')}]*"
            case _:
                piece = ""
        self.text += piece
        return piece

    def whole(self) -> dict[str, Any]:
        choice = {"index": 0, "message": {"role": "assistant", "content": self.text}, "finish_reason": self.finish}
        return {
            "id": self.id,
            "object": "chat.completion",
            "created": int(time.time()),
            "model": self.model,
            "choices": [choice],
            "usage": self.usage,
            "metadata": {"conversation": self.key},
        }

    def chunk(self, delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": self.model,
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        }


async def _pieces(chats: Chats, owner: str, key: str, after: int, made: _Reply, request: Request) -> AsyncIterator[str]:
    """The text as it comes; a client that goes stops what runs."""
    over = False
    try:
        async for found in follow(chats, key, owner, after, beat=1.0):
            for entry in found:
                if piece := made.take(entry):
                    yield piece
                over |= entry.kind in ("ended", "stopped", "error")
            if over:
                await anyio.to_thread.run_sync(lambda: chats.wait(key, owner, 10))
                return
            if not found and await request.is_disconnected():
                return
    finally:
        if not over:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(lambda: chats.stop(key, owner))


async def _streamed(
    chats: Chats, known: _Known, owner: str, asked: Asked, key: str, after: int, made: _Reply, request: Request
) -> AsyncIterator[str]:
    yield _line(made.chunk({"role": "assistant", "content": ""}))
    async for piece in _pieces(chats, owner, key, after, made, request):
        yield _line(made.chunk({"content": piece}))
    if made.error:
        yield _line({"error": {"message": made.error, "type": "api_error", "code": None, "param": None}})
    await in_thread(_remember, chats, known, owner, asked, made)
    yield _line(made.chunk({}, made.finish))
    if (asked.stream_options or {}).get("include_usage"):
        yield _line({**made.chunk({}), "choices": [], "usage": made.usage})
    yield "data: [DONE]\n\n"


def _begun(chats: Chats, known: _Known, owner: str, asked: Asked) -> tuple[str, int]:
    """The conversation that this goes on with, and the number of the entry of its message."""
    *before, last = asked.messages
    if last.role != "user":
        raise ChatRefused("the last message must be the user's")
    text, images = _parts(last)
    name = asked.model.removeprefix(_PREFIX)
    found = known.get(owner, before)
    key = str((asked.metadata or {}).get("conversation", "")) or (found[0] if found else "")
    if key:
        try:
            summary = chats.summary(key, owner)
            if found and found[0] == key and (summary.branch, summary.n_turns) != found[1:]:
                # It went on since, from another window or with other words: this history goes its own way.
                if summary.branch != found[1]:
                    chats.switch(key, owner, found[1])
                if chats.summary(key, owner).n_turns != found[2]:
                    chats.branch(key, owner, found[2])
            if name and name != summary.options.model and name != "model":
                chats.update(key, owner, options=replace(summary.options, model=name))
            return key, chats.send(key, owner, text, images=images)
        except NotFound:
            pass
    instructions = "\n\n".join(_parts(one)[0] for one in before if one.role in ("system", "developer"))
    model = name if name and name != "model" else chats.defaults.model
    key = chats.create(owner, replace(chats.defaults, model=model, instructions=instructions)).id
    earlier = [one for one in before if one.role in ("user", "assistant")]
    if earlier:  # a history that is not known here: the words are all there is of it
        told = "\n\n".join(f"{one.role}: {_parts(one)[0]}" for one in earlier)
        text = f"[The conversation so far, whose variables are not there any more:]\n{told}\n\n[Now:]\n{text}"
    return key, chats.send(key, owner, text, images=images)


def _remember(chats: Chats, known: _Known, owner: str, asked: Asked, made: _Reply) -> None:
    known.put(owner, [*asked.messages, Said(role="assistant", content=made.text)], chats.summary(made.key, owner))


def _parts(said: Said) -> tuple[str, list[Image]]:
    if not isinstance(said.content, list):
        return said.content or "", []
    texts, images = [], []
    for part in said.content:
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
    return "\n".join(texts), images


def _markdown(turn: dict[str, Any] | Any) -> str:
    """A turn as a reply shows it."""
    action, seen = turn["action"], turn["observation"]
    if action["type"] in ("answer", "say"):
        return str(action["text"])
    if action["type"] == "malformed":
        return ""
    code = action.get("code") or f"{action.get('name')}({json.dumps(action.get('arguments', {}))})"
    thought = f"{action['thought']}\n\n" if action.get("thought") else ""
    pictures = "".join(
        f"\n![figure](data:{mime};base64,{data['base64']})\n"
        for bundle in seen.get("outputs", ())
        for mime, data in bundle.items()
        if mime.startswith("image/") and isinstance(data, dict)
    )
    return f"{thought}{_fenced(code, 'python')}\n\n{_fenced(seen['text'][:_MAX_SHOWN_CHARS], 'text')}\n{pictures}\n"


def _fenced(text: str, language: str) -> str:
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def _fingerprint(owner: str, messages: Sequence[Said]) -> str:
    # What the client shows of a reply may be trimmed; the user's words are what tells conversations apart.
    said = [_text_of(one).strip() for one in messages if one.role == "user"]
    last = [_text_of(one).strip()[-200:] for one in messages if one.role == "assistant"][-1:]
    return hashlib.sha256(json.dumps([owner, said, last]).encode()).hexdigest() if said else ""


def _text_of(said: Said) -> str:
    if isinstance(said.content, list):
        return "\n".join(str(part.get("text", "")) for part in said.content)
    return said.content or ""


def _failed(status: int, message: str, kind: str) -> Response:
    return Json({"error": {"message": message, "type": kind, "param": None, "code": None}}, status)


def _line(data: Any) -> str:
    return f"data: {json.dumps(data)}\n\n"
