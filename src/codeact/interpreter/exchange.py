"""One connection of a session to the proxy: its request is read, judged and done, or answered with the reason why not.

proxy.py starts one `serve` for each connection. The list is asked first, then the name is looked up once and its
addresses are checked, then one of those is connected to: by number, never by name.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from codeact.addresses import Refused, Unresolved
from codeact.interpreter.access import NetworkAccess, Record
from codeact.interpreter.http1 import MAX_HEAD_BYTES, BadRequest, Request, parse, response
from codeact.interpreter.relay import Crossed, origin_answer, send_body, tunnel

__all__ = ["Connection", "serve"]

log = logging.getLogger("codeact.network")

HEAD_SECONDS = 10.0
"""For the whole head of a request to come."""
LOOKUP_SECONDS = 20.0
CONNECT_SECONDS = 10.0
"""For each address."""
IDLE_SECONDS = 300.0
"""Without a byte in either direction."""
LINGER_SECONDS, LINGER_BYTES = 2.0, 1 << 20
"""What still comes from a client that has got its answer is read, as closing at once could lose the answer."""

LookUp = Callable[[str, int], Awaitable[list[str]]]
"""`addresses.resolve`, without blocking."""


@dataclass(eq=False)
class Connection:
    """One client's connection, and where it led."""

    client: socket.socket
    access: NetworkAccess
    replayed: bool
    """Made while a state was being brought back: to be refused, however late its request comes."""
    latest: float
    """When a byte last crossed, by the loop's clock."""
    task: asyncio.Task[None] | None = None
    upstream: socket.socket | None = None


class Answer(Exception):
    """What the client is told instead of being connected.

    Args:
        reason: For the first line, which is all that clients show of an answer to CONNECT.
        text: The rest.
    """

    def __init__(self, status: int, reason: str, text: str = ""):
        super().__init__(reason)
        self.status, self.reason, self.text = status, reason, text or reason


async def serve(connection: Connection, look_up: LookUp) -> None:
    """Serve a connection to its end; however that comes, its sockets are closed."""
    try:
        reader, writer = await asyncio.open_connection(sock=connection.client, limit=MAX_HEAD_BYTES)
    except BaseException:
        connection.client.close()
        raise
    _flush_all(writer)
    try:
        try:
            await _request(connection, look_up, reader, writer)
        except Answer as answer:
            writer.write(response(answer.status, answer.reason, answer.text))
        async with asyncio.timeout(LINGER_SECONDS):
            await _linger(reader, writer)
    except OSError:   # TimeoutError is one
        pass          # the client is gone, or will not end
    except Exception:
        log.exception("a session's connection failed")
    finally:
        writer.transport.abort()


async def _request(connection: Connection, look_up: LookUp, reader: asyncio.StreamReader,
                   writer: asyncio.StreamWriter) -> None:
    """Read a request, judge it, do it.

    Raises:
        Answer: It is not done; the client is to be told so.
    """
    access = connection.access
    request = await _read(reader, access)
    if request is None:
        return
    record = access.asked(request.method, request.host, request.port)
    access.activity += 1
    if connection.replayed or access.is_suspended:
        raise _refused(access, record, "a cell is being run again to restore its variables, and must not act on the "
                                       "network a second time")
    if not access.rules.allows(request.host, request.port):
        raise _refused(access, record, "it is not on the list")
    connection.upstream = await _connect(access, record, look_up)
    try:
        origin_reader, origin_writer = await asyncio.open_connection(sock=connection.upstream, limit=2 * MAX_HEAD_BYTES)
    except BaseException:
        connection.upstream.close()
        raise
    _flush_all(origin_writer)
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(IDLE_SECONDS) as idle:
            def crossed(n_sent: int, n_received: int) -> None:
                record.sent += n_sent
                record.received += n_received
                access.activity += 1
                connection.latest = loop.time()
                idle.reschedule(connection.latest + IDLE_SECONDS)

            if request.is_tunnel:
                await tunnel(reader, writer, origin_reader, origin_writer, crossed)
            else:
                await _plain(request, reader, writer, origin_reader, origin_writer, crossed)
    except TimeoutError:
        record.reason = f"nothing was said for {IDLE_SECONDS:g} s"
        if not record.received and not request.is_tunnel:
            raise Answer(504, record.reason) from None
    except Answer as answer:
        record.reason = answer.reason
        raise
    finally:
        origin_writer.transport.abort()


async def _plain(request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter,
                 origin_reader: asyncio.StreamReader, origin_writer: asyncio.StreamWriter, crossed: Crossed) -> None:
    head = request.head()
    crossed(len(head), 0)
    origin_writer.write(head)
    body = asyncio.create_task(send_body(request, reader, writer, origin_writer, crossed))
    try:
        complaint = await origin_answer(origin_reader, writer, crossed)
    finally:
        body.cancel()
        failed = (await asyncio.gather(body, return_exceptions=True))[0]
    if complaint:
        raise Answer(400, str(failed)) if isinstance(failed, BadRequest) else Answer(502, complaint)


async def _read(reader: asyncio.StreamReader, access: NetworkAccess) -> Request | None:
    """The request of a new connection; None where nothing came."""
    try:
        async with asyncio.timeout(HEAD_SECONDS):
            return parse(await reader.readuntil(b"\r\n\r\n"))
    except asyncio.IncompleteReadError:
        return None
    except TimeoutError:
        status, reason = 408, f"no whole request came within {HEAD_SECONDS:g} s"
    except asyncio.LimitOverrunError:
        status, reason = 431, f"the head of a request may have {MAX_HEAD_BYTES} bytes"
    except BadRequest as error:
        status, reason = 400, str(error)
    access.decided(access.asked("", "", 0), reason)
    raise Answer(status, reason, f"{reason}\nThis is an HTTP proxy. {_allowed(access)}")


async def _connect(access: NetworkAccess, record: Record, look_up: LookUp) -> socket.socket:
    """A connection to a checked address of the host that is asked for."""
    host, port = record.host, record.port
    try:
        async with asyncio.timeout(LOOKUP_SECONDS):
            addresses = await look_up(host, port)
    except Refused as error:
        raise _refused(access, record, str(error)) from None
    except (Unresolved, TimeoutError) as error:
        reason = str(error) or f"{host} did not resolve within {LOOKUP_SECONDS:g} s"
        access.decided(record, reason, allowed=True)
        raise Answer(502, reason) from None
    loop, reason = asyncio.get_running_loop(), ""
    for address in addresses:
        sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
        sock.setblocking(False)
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await loop.sock_connect(sock, (address, port))
        except OSError as error:
            sock.close()
            reason = f"cannot connect to {host}:{port} at {address} ({error.strerror or 'no answer'})"
        except BaseException:
            sock.close()
            raise
        else:
            record.address = address
            access.decided(record, allowed=True)
            return sock
    access.decided(record, reason, allowed=True)
    raise Answer(502, reason)


def _refused(access: NetworkAccess, record: Record, reason: str) -> Answer:
    access.decided(record, reason)
    place = f"{record.host}:{record.port}"
    return Answer(403, f"{place} refused: {reason}. {_allowed(access)}",
                  f"{place} cannot be reached from this session: {reason}.\n{_allowed(access)}\nNothing else can be "
                  "reached, by no other way either. The user decides about the list.")


def _allowed(access: NetworkAccess) -> str:
    return f"Allowed hosts: {access.rules}"


def _flush_all(writer: asyncio.StreamWriter) -> None:
    """Let `drain` wait until the system has taken everything: what is closed then loses nothing."""
    writer.transport.set_write_buffer_limits(high=0)


async def _linger(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()
    left = LINGER_BYTES
    while left > 0 and (data := await reader.read(1 << 16)):
        left -= len(data)
