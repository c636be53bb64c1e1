"""Bytes between a session's client and an origin, once proxy.py has decided that they may cross.

A tunnel is passed on as it is. Of a plain request just its own body goes out, framed anew, and whatever comes after it
on that connection goes nowhere; the answer comes back with `Connection: close`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from codeact.interpreter.http1 import BadRequest, Request, parse_chunk_size

__all__ = ["Crossed", "origin_answer", "send_body", "tunnel"]

Crossed = Callable[[int, int], None]
"""Told of bytes that have crossed: sent, received."""

_PIECE = 1 << 16
MAX_TRAILER_LINES = 100
MAX_INTERIM_ANSWERS = 20
OF_THIS_CONNECTION = (b"connection:", b"keep-alive:", b"proxy-connection:")


async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, origin_reader: asyncio.StreamReader,
                 origin_writer: asyncio.StreamWriter, crossed: Crossed) -> None:
    """Say that the tunnel stands, and pass bytes both ways until both sides have ended."""
    writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")

    async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter, sends: bool) -> None:
        try:
            while data := await source.read(_PIECE):
                crossed(len(data) if sends else 0, 0 if sends else len(data))
                sink.write(data)
                await sink.drain()
            sink.write_eof()
        except OSError:   # one side is gone: so is the tunnel
            writer.transport.abort()
            origin_writer.transport.abort()

    async with asyncio.TaskGroup() as both:
        both.create_task(copy(reader, origin_writer, True))
        both.create_task(copy(origin_reader, writer, False))


async def send_body(request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter,
                    origin: asyncio.StreamWriter, crossed: Crossed) -> None:
    """Pass on the body of a request, and not a byte more. When it fails the origin's connection is given up.

    Raises:
        BadRequest: The body is malformed, or ends too soon.
    """
    if request.expects:
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    try:
        if request.length is None:
            await _send_chunks(reader, origin, crossed)
        else:
            await _send_bytes(request.length, reader, origin, crossed)
    except BaseException:
        origin.transport.abort()
        raise


async def _send_bytes(left: int, reader: asyncio.StreamReader, origin: asyncio.StreamWriter, crossed: Crossed) -> None:
    while left:
        data = await reader.read(min(left, _PIECE))
        if not data:
            raise BadRequest("the body ended too soon")
        left -= len(data)
        crossed(len(data), 0)
        origin.write(data)
        await origin.drain()


async def _send_chunks(reader: asyncio.StreamReader, origin: asyncio.StreamWriter, crossed: Crossed) -> None:
    while size := parse_chunk_size(await _line(reader)):
        origin.write(b"%x\r\n" % size)
        await _send_bytes(size, reader, origin, crossed)
        if await _line(reader) != b"\r\n":
            raise BadRequest("a chunk is malformed")
        origin.write(b"\r\n")
    for _ in range(MAX_TRAILER_LINES):   # trailers are dropped
        if await _line(reader) == b"\r\n":
            origin.write(b"0\r\n\r\n")
            await origin.drain()
            return
    raise BadRequest("there are too many trailers")


async def _line(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\r\n")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        raise BadRequest("the body ended too soon, or has a line that is too long") from None


async def origin_answer(origin: asyncio.StreamReader, writer: asyncio.StreamWriter, crossed: Crossed) -> str:
    """Pass on what the origin answers, until it closes; why there was no answer, empty when there was one."""
    for _ in range(MAX_INTERIM_ANSWERS):
        try:
            head = await origin.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError):
            return "the host closed the connection without an answer"
        crossed(0, len(head))
        if not head.startswith(b"HTTP/1."):
            return "the host's answer is no HTTP/1"
        interim = head[8:10] == b" 1" and head[9:12] != b"101"
        writer.write(head if interim else _closing(head))
        await writer.drain()
        if not interim:
            break
    try:
        while data := await origin.read(_PIECE):
            crossed(0, len(data))
            writer.write(data)
            await writer.drain()
    except OSError:
        writer.transport.abort()   # cut off: what came must not look whole
    return ""


def _closing(head: bytes) -> bytes:
    """An answer's head that says this connection ends with it."""
    lines = [line for line in head[:-4].split(b"\r\n") if not line.lower().startswith(OF_THIS_CONNECTION)]
    return b"\r\n".join([*lines, b"Connection: close", b"", b""])
