"""Frames between the host and a kernel: 8-byte prefix, JSON header, binary tail.

    <u32 header length> <u32 tail length> <header: one JSON object> <tail: the buffers, one after another>

The header names its buffers' lengths in `"sizes"`, so that bytes never become base64. Both sides use this file: the
host imports it as `codeact.kernel.wire`, the kernel as part of the folder it was started from.

The host treats everything read here as hostile: lengths are checked before anything is allocated, the header is plain
JSON of limited depth, and a frame that breaks a rule raises `ProtocolError`, after which the connection is not used
again. Nothing is ever unpickled or evaluated. What this does not protect against: a well-formed frame that lies; its
reader must check each field it uses.

Source: docs/kernel_protocol.md.
"""

from __future__ import annotations

import json
import select
import socket
import struct
import time
from array import array
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

__all__ = ["MAX_BUFFERS", "MAX_DEPTH", "MAX_FDS", "MAX_HEADER_BYTES", "MAX_TAIL_BYTES", "PROTOCOL_VERSION",
           "Connection", "Frame", "ProtocolError", "pack_frame", "unpack_header"]

PROTOCOL_VERSION = 2
MAX_HEADER_BYTES = 16 << 20
MAX_TAIL_BYTES = 512 << 20
MAX_BUFFERS = 4096
MAX_DEPTH = 128
"""Of JSON's containers; a tool call's arguments take up to three for each of their own (values.py)."""
MAX_FDS = 4

_PREFIX = struct.Struct("<II")
_encoder = json.JSONEncoder(separators=(",", ":"), check_circular=False)
_decode = json.JSONDecoder().decode
_scan = json.JSONDecoder().scan_once   # type: ignore[attr-defined]
# `encode` makes its C part anew for each header, which takes as long as the header itself
_make = getattr(json.encoder, "c_make_encoder", None)
_chunks = _make and _make(None, _encoder.default, json.encoder.encode_basestring_ascii, None, ":", ",",
                          False, False, True)
# Plain numbers: combining the socket module's flags takes longer than the system calls they are for
_WAIT = int(socket.MSG_CMSG_CLOEXEC)
_NOW = int(socket.MSG_CMSG_CLOEXEC | socket.MSG_DONTWAIT)
_SEND = int(socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
_RIGHTS = (int(socket.SOL_SOCKET), int(socket.SCM_RIGHTS))
_READ = 1 << 16
_RIGHTS_BYTES = socket.CMSG_LEN(4 * MAX_FDS)

Frame = Tuple[Dict[str, Any], List[memoryview]]
"""A header and its buffers."""


class ProtocolError(Exception):
    """The other side broke the rules of docs/kernel_protocol.md; the connection cannot be used any more."""


def pack_frame(header: Dict[str, Any], buffers: Sequence[bytes] = ()) -> bytes:
    """Spell one frame.

    Raises:
        ProtocolError: It would be over a limit of this file.
    """
    if buffers:
        header = {**header, "sizes": [len(b) for b in buffers]}
    text = ("".join(_chunks(header, 0)) if _chunks is not None else _encoder.encode(header)).encode("ascii")
    tail = sum(map(len, buffers))
    if len(text) > MAX_HEADER_BYTES or tail > MAX_TAIL_BYTES or len(buffers) > MAX_BUFFERS:
        raise ProtocolError("a message of %d + %d bytes in %d buffers is over the limit of %d + %d bytes in %d"
                            % (len(text), tail, len(buffers), MAX_HEADER_BYTES, MAX_TAIL_BYTES, MAX_BUFFERS))
    if not buffers:
        return _PREFIX.pack(len(text), 0) + text
    return b"".join((_PREFIX.pack(len(text), tail), text, *buffers))


def unpack_header(text: Union[bytes, bytearray]) -> Dict[str, Any]:
    """Parse a header: one JSON object, nested at most `MAX_DEPTH` deep.

    Raises:
        ProtocolError: It is not.
    """
    try:
        plain = text.decode("utf-8")
        header, end = _scan(plain, 0) if plain[:1] == "{" else (None, 0)
        if end != len(plain):
            header = _decode(plain)   # blanks around it, or what to say of it
    except (ValueError, RecursionError, StopIteration) as error:  # the parser keeps itself from overflowing the stack
        raise ProtocolError("header is not JSON: %s" % (
            "it ends too early" if isinstance(error, StopIteration) else error)) from None
    if not isinstance(header, dict) or not isinstance(header.get("t"), str):
        raise ProtocolError("header is not an object with a type")
    if len(text) > MAX_DEPTH and text.count(b"[") + text.count(b"{") > MAX_DEPTH and _deeper_than(MAX_DEPTH, header):
        raise ProtocolError("header nested deeper than %d" % MAX_DEPTH)
    return header


def _deeper_than(limit: int, value: Any) -> bool:
    """Whether containers are nested deeper than this; found level by level, without recursion."""
    level = [value]
    for _ in range(limit):
        level = [item for container in level
                 for item in (container.values() if type(container) is dict else container)
                 if type(item) is dict or type(item) is list]
        if not level:
            return False
    return True


class Connection:
    """One end of a stream socket that carries frames, and descriptors as ancillary data.

    Not locked: one reader and one writer at a time; who shares a connection brings the lock.

    Args:
        sock: A connected AF_UNIX stream socket; owned from now on.
        max_tail: The largest tail accepted from the other side, in bytes.
    """

    def __init__(self, sock: socket.socket, *, max_tail: int = MAX_TAIL_BYTES):
        self.sock = sock
        self.fds: List[int] = []
        """Descriptors received and not yet taken."""
        self._max_tail = max_tail
        self._buffer = bytearray()

    def fileno(self) -> int:
        return self.sock.fileno()

    def send(self, header: Dict[str, Any], buffers: Sequence[bytes] = (), *, fds: Sequence[int] = (),
             timeout: Optional[float] = None) -> None:
        """Send one frame whole.

        Args:
            fds: Descriptors to hand over; they travel with the first byte.
            timeout: Seconds the other side has to take it; None waits for ever.

        Raises:
            OSError: The connection is gone, or (TimeoutError) the other side does not read.
            ProtocolError: The frame is over a limit; nothing was sent.
        """
        data = pack_frame(header, buffers)
        view = memoryview(data)
        if not fds:   # nearly always all of it goes at once
            try:
                sent = self.sock.send(data, _SEND)
                if sent == len(data):
                    return
                view = view[sent:]
            except BlockingIOError:
                pass
        rights = [(*_RIGHTS, array("i", fds))] if fds else []
        deadline = None if timeout is None else time.monotonic() + timeout
        while view:
            try:
                view = view[self.sock.sendmsg([view], rights, _SEND):]
                rights = []
            except BlockingIOError:
                remaining = None if deadline is None else deadline - time.monotonic()
                if remaining is not None and remaining <= 0:
                    raise TimeoutError("the other side does not read") from None
                _wait(self.sock, select.POLLOUT, remaining)

    def receive(self, *, timeout: Optional[float] = None) -> Optional[Frame]:
        """Wait for one frame; None at the end of the stream.

        Raises:
            ProtocolError: A rule is broken, or the stream ends inside a frame.
            TimeoutError: Nothing whole came in `timeout` seconds.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        tried = False
        while True:
            frame = self.take()
            if frame is not None:
                return frame
            if deadline is not None:
                remaining = deadline - time.monotonic()
                # Late means late: one that sends its frame byte by byte must not hold us for ever
                if (remaining < 0 and tried) or not _wait(self.sock, select.POLLIN, max(0.0, remaining)):
                    raise TimeoutError("no answer in %g s" % (timeout or 0.0))
            tried = True
            if not self.fill():
                if self._buffer:
                    raise ProtocolError("the stream ended inside a frame")
                return None

    def wait(self, seconds: float) -> bool:
        """Until there is something to read, or so long; whether there is."""
        return _wait(self.sock, select.POLLIN, seconds)

    def fill(self, *, block: bool = True) -> bool:
        """Read what is there; False at the end of the stream.

        Raises:
            BlockingIOError: Nothing is there, and `block` is false.
        """
        want = _READ
        if len(self._buffer) >= 8:
            header, tail = _PREFIX.unpack_from(self._buffer)
            want = max(_READ, min(8 + header + tail - len(self._buffer), 1 << 20))
        # Not socket.recv_fds: it drops its flags, and leaves descriptors to be inherited
        try:
            data, messages, _, _ = self.sock.recvmsg(want, _RIGHTS_BYTES, _WAIT if block else _NOW)
        except ConnectionResetError:
            return False
        for level, kind, body in messages:
            if (level, kind) == _RIGHTS:
                self.fds.extend(memoryview(body[:len(body) // 4 * 4]).cast("i"))
        if len(self.fds) > 4 * MAX_FDS:
            raise ProtocolError("more descriptors than anyone asked for")
        self._buffer += data
        return bool(data)

    def take(self) -> Optional[Frame]:
        """The next whole frame that has been read, or None.

        Raises:
            ProtocolError: The frame breaks a rule.
        """
        buffer = self._buffer
        if len(buffer) < 8:
            return None
        n_header, n_tail = _PREFIX.unpack_from(buffer)
        if n_header > MAX_HEADER_BYTES or n_tail > self._max_tail:
            raise ProtocolError("a frame of %d + %d bytes is over the limit" % (n_header, n_tail))
        end = 8 + n_header + n_tail
        if len(buffer) < end:
            return None
        header = unpack_header(buffer[8:8 + n_header])
        tail = bytes(memoryview(buffer)[8 + n_header:end]) if n_tail else b""
        del buffer[:end]
        return header, _split(memoryview(tail), header.get("sizes", [])) if n_tail or "sizes" in header else []

    def take_fd(self) -> int:
        """The oldest descriptor received.

        Raises:
            ProtocolError: None came.
        """
        if not self.fds:
            raise ProtocolError("a descriptor was promised and did not come")
        return self.fds.pop(0)

    def close(self) -> None:
        import os

        for fd in self.fds:
            os.close(fd)
        self.fds.clear()
        self.sock.close()


def _split(tail: memoryview, sizes: Any) -> List[memoryview]:
    if not isinstance(sizes, list) or len(sizes) > MAX_BUFFERS:
        raise ProtocolError("sizes is not a short list")
    buffers, start = [], 0
    for size in sizes:
        if type(size) is not int or size < 0 or start + size > len(tail):
            raise ProtocolError("sizes do not fit the tail")
        buffers.append(tail[start:start + size])
        start += size
    if start != len(tail):
        raise ProtocolError("sizes do not fit the tail")
    return buffers


def _wait(sock: socket.socket, events: int, seconds: Optional[float]) -> bool:
    poll = select.poll()
    poll.register(sock, events)
    return bool(poll.poll(None if seconds is None else seconds * 1000))
