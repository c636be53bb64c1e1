"""How answers are spelled: JSON that bears whatever a cell has written, and streams of server-sent events.

What comes out of a cell may hold halves of characters (lone surrogates), which UTF-8 cannot spell; JSON in ASCII can.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from codeact.events import Event
from codeact.interpreter.result import ExecutionResult
from codeact.server.faults import Fault
from codeact.trajectory import plain

__all__ = ["EventStream", "Json", "cancel_when_gone", "error", "result_as_json"]

KEEP_ALIVE_SECONDS = 15.0
"""Between two comments in a stream while nothing happens: what stands between may close a silent one."""


class Json(JSONResponse):
    """JSON in ASCII."""

    def render(self, content: Any) -> bytes:
        """The body."""
        return json.dumps(content, allow_nan=False).encode("ascii")


def error(fault: Fault) -> Json:
    """The answer to a request that cannot be done."""
    return Json(fault.body(), fault.status, {"www-authenticate": "Bearer"} if fault.status == 401 else None)


def result_as_json(result: ExecutionResult, note: str) -> dict[str, Any]:
    """A result, spelled as plain JSON values; bytes as events spell them."""
    failure = result.error and {"name": result.error.name, "message": result.error.message,
                                "traceback": result.error.traceback}
    return {
        "type": "result", "text": f"{note}\n{result.text}" if note else result.text, "status": result.status,
        "error": failure, "outputs": [plain(bundle) for bundle in result.outputs], "files": result.files,
        "stdout": result.stdout, "stderr": result.stderr, "number": result.number, "seconds": result.seconds,
        "level": result.level, "restored": result.restored, "lost": result.lost, "hint": result.hint,
        "note": note}


class EventStream(Response):
    """Events of a cell as they come, then its result.

    Args:
        run: Runs the cell; what it hands to its argument is sent. Cancelled when the client goes away.
        done: Called at the end, however it comes.
    """

    media_type = "text/event-stream"

    def __init__(self, run: Callable[[Callable[[Event], None]], Awaitable[dict[str, Any]]],
                 done: Callable[[], None]):
        super().__init__(headers={"x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._run, self._done = run, done

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            # What a cell may show is bounded, so this is too
            put, take = anyio.create_memory_object_stream[bytes](float("inf"))
            async with anyio.create_task_group() as group:
                group.start_soon(self._produce, put)
                group.start_soon(cancel_when_gone, receive, group.cancel_scope)
                await _forward(take, send)
                group.cancel_scope.cancel()
        finally:
            self._done()

    async def _produce(self, put: MemoryObjectSendStream[bytes]) -> None:
        loop = asyncio.get_running_loop()

        def offer(event: Event) -> None:
            with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):   # the client has gone
                put.send_nowait(_spell(event.to_json()))

        def observe(event: Event) -> None:
            # In the cell's thread. What is handed to the loop here runs before it is told that the cell has ended
            loop.call_soon_threadsafe(offer, event)

        with put:
            last = await self._run(observe)
            put.send_nowait(_spell(last))


async def _forward(take: MemoryObjectReceiveStream[bytes], send: Send) -> None:
    with take:
        while True:
            piece = b": still running\n\n"
            with anyio.move_on_after(KEEP_ALIVE_SECONDS):
                try:
                    piece = await take.receive()
                except anyio.EndOfStream:
                    break
            await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def cancel_when_gone(receive: Receive, scope: anyio.CancelScope) -> None:
    """Cancel a scope when the client closes its connection; the request's body must have been read."""
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


def _spell(data: dict[str, Any]) -> bytes:
    return f"event: {data['type']}\ndata: {json.dumps(data)}\n\n".encode("ascii")
