"""Reads a kernel's output pipe: text in order, with the marks of kernel/streams.py taken out.

Bounded whatever the kernel does: past `max_bytes` the middle of a cell's text is dropped, the last `TAIL` bytes stay.
"""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Callable

__all__ = ["Collected", "OutputReader", "Piece"]

TAIL = 64 << 10
READ = 1 << 18
PATIENCE = 64 << 20   # bytes after which a flood is read slowly, so that the pipe itself holds the writer back

_Decoder = codecs.getincrementaldecoder("utf-8")

Piece = tuple[str, str | int]
"""("stdout" | "stderr", text), ("display", number) or ("dropped", bytes left out)."""


class Collected:
    """The text of one cell, as it is kept.

    Args:
        max_bytes: Kept from the beginning.
        on_text: Called with (stream, text) as it comes, until `max_bytes`.
    """

    def __init__(self, max_bytes: int, on_text: Callable[[str, str], None] | None = None):
        self._max, self.on_text = max_bytes, on_text
        self.on_display: Callable[[int], None] | None = None
        """Called where a rich output stands, with its number."""
        self._stream = "stdout"
        self._decoders: dict[str, codecs.IncrementalDecoder] = {}
        self._tail = b""
        self.total = 0
        self.dropped = 0
        self.pieces: list[Piece] = []

    def add(self, stream: str, text: str) -> None:
        """More text of "stdout" or "stderr"; for what comes as text."""
        self._stream = stream
        self._text(text.encode("utf-8", "replace"))

    def display(self, number: int) -> None:
        """The rich output of this number belongs here."""
        self._flush()
        self.pieces.append(("display", number))
        if self.on_display is not None:
            self.on_display(number)

    def _text(self, data: bytes) -> None:
        if not data:
            return
        room = self._max - self.total
        self.total += len(data)
        if room > 0:
            if self._stream not in self._decoders:   # most cells print to one stream or none
                self._decoders[self._stream] = _Decoder("replace")
            text = self._decoders[self._stream].decode(data[:room])
            if text:
                self._append(text)
                if self.on_text is not None:
                    self.on_text(self._stream, text)
            data = data[room:]
        if data:
            self._tail += data
            if len(self._tail) > 2 * TAIL:
                self.dropped += len(self._tail) - TAIL
                self._tail = self._tail[-TAIL:]

    def _append(self, text: str) -> None:
        if self.pieces and self.pieces[-1][0] == self._stream:
            self.pieces[-1] = (self._stream, str(self.pieces[-1][1]) + text)
        else:
            self.pieces.append((self._stream, text))

    def _flush(self) -> None:
        """What is held back of a flood comes before what follows."""
        if self.dropped:
            self.pieces.append(("dropped", self.dropped))
            self.dropped = 0
        if self._tail:
            self._append(self._tail.decode("utf-8", "replace"))
            self._tail = b""

    def finish(self) -> list[Piece]:
        """The cell is over: everything, in order."""
        for name, decoder in self._decoders.items():
            if text := decoder.decode(b"", final=True):
                self.pieces.append((name, text))
        self._flush()
        return self.pieces


class OutputReader(Collected):
    """The text of one cell, from a pipe.

    Args:
        fd: Read end of the pipe, non-blocking.
        nonce: Of the marks.
        max_bytes: Kept from the beginning.
        on_text: Called with (stream, text) as it comes, until `max_bytes`.
    """

    def __init__(self, fd: int, nonce: str, max_bytes: int, on_text: Callable[[str, str], None] | None = None):
        super().__init__(max_bytes, on_text)
        self._fd = fd
        self._nonce = nonce
        self._rest = b""

    @property
    def flooding(self) -> bool:
        """More came than anyone can want: read seldom."""
        return self.total > PATIENCE

    def read(self, most: int = 16 << 20) -> bool:
        """Take what is in the pipe now, at most `most` bytes; False when there was nothing."""
        got = 0
        while got < most:
            try:
                data = os.read(self._fd, READ)
            except BlockingIOError:
                break
            if not data:
                break
            got += len(data)
            self._feed(data)
            if len(data) < 4096:
                break
        return got > 0

    def _feed(self, data: bytes) -> None:
        data = self._rest + data
        self._rest = b""
        position = 0
        prefix = b"\0codeact:" + self._nonce.encode()
        # Nothing in the prefix needs escaping; compiled once a session, re keeps it
        for match in re.finditer(prefix + rb"([eodx])(\d{1,15})\0", data) if prefix in data else ():
            self._text(data[position:match.start()])
            position = match.end()
            kind, number = match.group(1), int(match.group(2))
            if kind == b"e":
                self._stream = "stderr"
            elif kind == b"o":
                self._stream = "stdout"
            elif kind == b"d":
                self.display(number)
            else:
                self._flush()
                self.pieces.append(("dropped", number))
        rest = data[position:]
        # A mark may have come in part: keep it back, if it is short enough to be one
        start = rest.rfind(b"\0")
        if start >= 0 and len(rest) - start < len(prefix) + 18 and _begins(rest[start:], prefix):
            rest, self._rest = rest[:start], rest[start:]
        self._text(rest)

    def finish(self) -> list[Piece]:
        if self._rest:
            rest, self._rest = self._rest, b""
            self._text(rest)
        return super().finish()


def _begins(text: bytes, prefix: bytes) -> bool:
    """Could `text` be the beginning of a mark?"""
    return prefix.startswith(text) or (text.startswith(prefix) and b"\0" not in text[1:])
