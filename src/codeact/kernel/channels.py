"""Many connections over one stream of bytes, descriptors included: for a kernel that no socket can be handed to.

A relay stands at both ends, in the container (relay.py) and beside the host (interpreter/container.py); both run
`Channels`. Each socket or pipe is a numbered channel. A descriptor that arrives on one with a frame becomes a channel
of its own: the other end makes a socket or pipe in its place and hands that over with the same bytes. So host, zygote,
keeper and worker speak the kernel protocol unchanged and know nothing of this.

    <u8 kind> <u32 channel> <u32 length> <payload>
    1 DATA: bytes of the channel      2 GIVE: (<u8 sort> <u32 channel>)...: what goes with its next bytes
    3 CREDIT: `length` more bytes may be sent      4 CLOSE: the channel is over; later messages of it are passed over

Flow control: at most `WINDOW` bytes of a channel are on their way or waiting at the far end, so a flood on one fills no
memory and stops no other. Order: what a worker prints before it says something on its socket is delivered before that,
as without a relay; should nobody read the print for `STALL_SECONDS`, the socket goes on alone.

What comes from the other end may be hostile: numbers, lengths and credits are checked, and a rule broken ends all.
"""

from __future__ import annotations

import fcntl
import os
import select
import socket
import stat
import struct
import time
from array import array
from typing import Dict, List, Tuple

from .channel import WINDOW, Channel, close, lying, pair

__all__ = ["WINDOW", "Channels", "RelayError"]

MAX_CHANNELS = 500
"""With descriptors that wait to be handed on: of both the host has perhaps a thousand for all it does."""
MAX_PAYLOAD = 1 << 16
MAX_GIVEN = 4
STALL_SECONDS = 0.5
_OUTBOX = 1 << 20
"""Bytes waiting for the stream, above which no channel is read."""
_OUTBOX_MOST = 256 << 20
"""Bytes waiting for the stream, above which the other end is taken to read nothing on purpose: it can have us answer
what it sends (each channel it opens and that is over costs a CLOSE) without ever taking the answers."""

DATA, GIVE, CREDIT, CLOSE = 1, 2, 3, 4
SOCKET, WRITER, WATCH = 1, 2, 3
"""Sorts of descriptors: a socket; the write end of a pipe; anything else, of which only the end is told (a pidfd)."""

_HEADER = struct.Struct("<BII")
_GIVEN = struct.Struct("<BI")
_RIGHTS_BYTES = socket.CMSG_SPACE(4 * MAX_GIVEN)
_NOW = int(socket.MSG_DONTWAIT)
_RECEIVE = _NOW | int(socket.MSG_CMSG_CLOEXEC)
_SEND = _NOW | int(socket.MSG_NOSIGNAL)


class RelayError(Exception):
    """The other end broke a rule, or is gone."""


class Channels:
    """One end of the stream.

    Args:
        read_fd, write_fd: The stream; not closed here.
        first: The first number this end gives: 1 beside the host, 2 in the container.
    """

    def __init__(self, read_fd: int, write_fd: int, *, first: int):
        self._in, self._to = read_fd, write_fd
        os.set_blocking(read_fd, False)
        os.set_blocking(write_fd, False)
        self._buffer = bytearray()
        self._outbox = bytearray()
        self._channels: Dict[int, Channel] = {}
        self._next, self._parity, self._highest = first, first & 1, 0

    def add(self, number: int, sock: socket.socket) -> None:
        """A channel both ends know from the start; the socket is owned from now on."""
        self._channels[number] = Channel(number, sock.detach(), sock=True, reads=True)
        self._next = max(self._next, number + 2) if number & 1 == self._parity else self._next
        self._highest = max(self._highest, number) if number & 1 != self._parity else self._highest

    def serve(self) -> None:
        """Until the stream ends, or channel 1 does. Raises nothing but RelayError, where a rule was broken."""
        try:
            while 1 in self._channels and self._step():
                pass
            self._say_the_last()
        except OSError as error:
            raise RelayError(str(error)) from None
        finally:
            for channel in self._channels.values():
                close(channel)
            self._channels.clear()

    def _step(self) -> bool:
        poll = select.poll()
        poll.register(self._in, select.POLLIN)
        if self._outbox:
            if self._to == self._in:
                poll.modify(self._in, select.POLLIN | select.POLLOUT)
            else:
                poll.register(self._to, select.POLLOUT)
        room = len(self._outbox) < _OUTBOX
        by_fd: Dict[int, Channel] = {}
        waits = False
        for channel in list(self._channels.values()):
            self._release(channel)
            if channel.fd < 0:
                continue
            waits = waits or channel.held is not None or bool(channel.out)
            wanted = select.POLLIN if channel.reads and room and channel.credit > 0 and channel.held is None else 0
            if channel.out and self._may_write(channel):
                wanted |= select.POLLOUT
            if wanted or not channel.reads:   # of a pipe's write end: whether its reader has gone
                poll.register(channel.fd, wanted)
                by_fd[channel.fd] = channel
        ready = dict(poll.poll(STALL_SECONDS * 1000 / 4 if waits else None))
        if self._outbox and (self._to in ready):
            self._flush()
        for fd, events in ready.items():
            found = by_fd.get(fd)
            if found is None or found.fd != fd:
                continue
            if events & select.POLLOUT and found.out:
                self._write(found)
            if found.fd == fd and events & (select.POLLIN | select.POLLHUP | select.POLLERR):
                self._read(found)
        return self._in not in ready or self._take_in()

    # From this side ---------------------------------------------------------------------------------------------------

    def _read(self, channel: Channel) -> None:
        if channel.watches or not channel.reads:
            self._end(channel)
            return
        if channel.held is not None or channel.credit <= 0:
            return
        size = min(channel.credit, MAX_PAYLOAD)
        fds: List[int] = []
        try:
            if channel.socket is not None:
                data, messages, _, _ = channel.socket.recvmsg(size, _RIGHTS_BYTES, _RECEIVE)
                for level, kind, body in messages:
                    if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                        fds.extend(memoryview(body[:len(body) // 4 * 4]).cast("i"))
            else:
                data = os.read(channel.fd, size)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        channel.read_bytes += len(data)
        channel.moved = time.monotonic()
        if channel.before is not None and channel.before.fd >= 0 and channel.before.reads:
            channel.held = data, fds
            channel.due = channel.before.read_bytes + lying(channel.before.fd)
            channel.before.moved = channel.moved
        elif data:
            self._send(channel, data, fds)
        else:
            self._end(channel)

    def _release(self, channel: Channel) -> None:
        """Send what was held back, if what comes before it has been sent."""
        before = channel.before
        if channel.held is None or before is None:
            return
        if before.fd >= 0 and before.read_bytes < channel.due and time.monotonic() - before.moved < STALL_SECONDS:
            return
        (data, fds), channel.held = channel.held, None
        if data:
            self._send(channel, data, fds)
        else:
            self._end(channel)

    def _send(self, channel: Channel, data: bytes, fds: List[int]) -> None:
        if fds:
            given = [self._give(fd) for fd in fds[:MAX_GIVEN]]
            for fd in fds[MAX_GIVEN:]:
                os.close(fd)
            pair([one for one, _ in given])
            self._post(GIVE, channel.number, b"".join(_GIVEN.pack(sort, one.number) for one, sort in given))
        channel.credit -= len(data)
        self._post(DATA, channel.number, data)

    def _give(self, fd: int) -> Tuple[Channel, int]:
        """A channel for a descriptor that was handed to this end."""
        if len(self._channels) >= MAX_CHANNELS:
            os.close(fd)
            raise RelayError("more than %d channels at once" % MAX_CHANNELS)
        number, self._next = self._next, self._next + 2
        mode = os.fstat(fd).st_mode
        if stat.S_ISSOCK(mode):
            channel, sort = Channel(number, fd, sock=True, reads=True), SOCKET
        elif stat.S_ISFIFO(mode) and fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_WRONLY:
            os.set_blocking(fd, False)
            channel, sort = Channel(number, fd, sock=False, reads=False), WRITER
        else:
            channel, sort = Channel(number, fd, sock=False, reads=True, watches=True), WATCH
        self._channels[number] = channel
        return channel, sort

    def _end(self, channel: Channel) -> None:
        """This side's descriptor is over."""
        self._post(CLOSE, channel.number)
        self._forget(channel)

    def _forget(self, channel: Channel) -> None:
        self._channels.pop(channel.number, None)
        close(channel)

    def _post(self, kind: int, number: int, payload: bytes = b"", length: int = 0) -> None:
        if len(self._outbox) > _OUTBOX_MOST:
            raise RelayError("the other end does not read what it is told")
        self._outbox += _HEADER.pack(kind, number, length or len(payload)) + payload
        if len(self._outbox) < 2 * MAX_PAYLOAD:
            self._flush()

    def _say_the_last(self) -> None:
        poll = select.poll()
        poll.register(self._to, select.POLLOUT)
        deadline = time.monotonic() + 1.0
        while self._outbox and time.monotonic() < deadline:
            poll.poll(100)
            self._flush()

    def _flush(self) -> None:
        try:
            while self._outbox:
                del self._outbox[:os.write(self._to, self._outbox[:MAX_PAYLOAD])]
        except (BlockingIOError, InterruptedError):
            pass

    # From the other end -----------------------------------------------------------------------------------------------

    def _take_in(self) -> bool:
        """Read the stream; False at its end."""
        try:
            data = os.read(self._in, 4 * MAX_PAYLOAD)
        except (BlockingIOError, InterruptedError):
            return True
        if not data:
            return False
        self._buffer += data
        at = 0
        while len(self._buffer) - at >= _HEADER.size:
            kind, number, length = _HEADER.unpack_from(self._buffer, at)
            body = length if kind in (DATA, GIVE) else 0
            if kind not in (DATA, GIVE, CREDIT, CLOSE) or body > MAX_PAYLOAD:
                raise RelayError("a message that makes no sense")
            if len(self._buffer) - at < _HEADER.size + body:
                break
            at += _HEADER.size
            self._understand(kind, number, length, bytes(memoryview(self._buffer)[at:at + body]))
            at += body
        del self._buffer[:at]
        return True

    def _understand(self, kind: int, number: int, length: int, payload: bytes) -> None:
        channel = self._channels.get(number)
        if channel is None:
            known = number < self._next if number & 1 == self._parity else number <= self._highest
            if not known:
                raise RelayError("a channel nobody opened")
            if kind == GIVE:
                for given, _ in self._receive(payload):   # its bytes have no reader any more
                    os.close(given)
            return
        if kind == DATA:
            channel.received += len(payload)
            channel.unacknowledged += len(payload)
            if not payload or channel.waiting + len(payload) > WINDOW or channel.ending or channel.watches:
                raise RelayError("more bytes than there is room for, or none")
            channel.put(payload, channel.before.received if channel.before else 0)
            if channel.before is not None:
                channel.before.moved = max(channel.before.moved, time.monotonic() - STALL_SECONDS / 2)
            if self._may_write(channel):
                self._write(channel)
        elif kind == GIVE:
            if channel.socket is None or len(channel.given) + len(payload) // _GIVEN.size > MAX_GIVEN:
                raise RelayError("descriptors for what cannot carry them")
            fds = [fd for fd, _ in self._receive(payload)]
            channel.given += fds
            channel.lent += len(fds)
        elif kind == CREDIT:
            channel.credit += length
            if not 0 < channel.credit <= WINDOW:
                raise RelayError("credit for what was never sent")
        elif channel.out:
            channel.ending = True
        else:
            self._forget(channel)

    def _receive(self, payload: bytes) -> List[Tuple[int, Channel]]:
        """Make what was given at the other end: descriptors to hand on, and our channels to them."""
        lent = sum(channel.lent for channel in self._channels.values())
        if len(payload) % _GIVEN.size or len(self._channels) + lent + MAX_GIVEN > MAX_CHANNELS:
            raise RelayError("too many descriptors, or none at all")
        made: List[Tuple[int, Channel]] = []
        wanted = list(_GIVEN.iter_unpack(payload))
        for sort, number in wanted:   # all, before anything is made
            if number & 1 == self._parity or number <= self._highest or sort not in (SOCKET, WRITER, WATCH):
                raise RelayError("a channel that is not the other end's to open, or of no known sort")
            self._highest = number
        try:
            for sort, number in wanted:
                handed, self._channels[number] = _make(sort, number)
                made.append((handed, self._channels[number]))
        except OSError:   # no descriptor is left
            for handed, _ in made:
                os.close(handed)
            raise
        pair([channel for _, channel in made])
        return made

    def _may_write(self, channel: Channel) -> bool:
        """Whether the first of what waits may be written: what was printed before it has been, or nobody reads that."""
        before = channel.before
        if before is None or before.fd < 0 or not channel.out or before.written >= channel.out[0][2]:
            return True
        return time.monotonic() - before.moved >= STALL_SECONDS

    def _write(self, channel: Channel) -> None:
        try:
            while channel.out and self._may_write(channel):
                item = channel.out[0]
                if channel.socket is not None:
                    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", item[1]))] if item[1] else []
                    sent = channel.socket.sendmsg([item[0]], rights, _SEND)
                else:
                    sent = os.write(channel.fd, item[0])
                channel.wrote(sent)
        except (BlockingIOError, InterruptedError):
            pass
        except OSError:
            self._end(channel)   # its reader has gone
            return
        done = channel.unacknowledged - channel.waiting
        if done >= WINDOW // 2:
            channel.unacknowledged -= done
            self._post(CREDIT, channel.number, length=done)
        if channel.ending and not channel.out:
            self._forget(channel)


def _make(sort: int, number: int) -> Tuple[int, Channel]:
    """A descriptor to hand on, and our channel to it."""
    if sort == SOCKET:
        ours, theirs = socket.socketpair()
        return theirs.detach(), Channel(number, ours.detach(), sock=True, reads=True)
    reader, writer = os.pipe()
    keep, handed = (reader, writer) if sort == WRITER else (writer, reader)
    os.set_blocking(keep, False)
    return handed, Channel(number, keep, sock=False, reads=sort == WRITER)
