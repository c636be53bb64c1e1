"""`sys.stdout`, `sys.stderr` and `sys.stdin` of a kernel. worker.py installs them.

Descriptors 1 and 2 are one pipe to the host, so that prints, C code and child processes keep their true order. What
else must be known (which text is stderr, where a display stands, how much was left out) is marked in the same pipe:

    \\0 codeact: <nonce> <kind> <number> \\0

A flood is cut here, at the source: past `max_bytes` a cell's text is not written any more; its last bytes are kept and
sent when the cell ends. Child processes write to the pipe directly; the host cuts those.

Code in the kernel can forge a mark. It can only spoil its own output that way.
"""

from __future__ import annotations

import io
import os
import sys
from typing import Any, Callable, Optional

__all__ = ["Marks", "Output", "Stdin", "install_stdin"]

TAIL_BYTES = 64 << 10


class Marks:
    """Writes to the output pipe, with marks in it; counts what a cell has written.

    Args:
        fd: The pipe.
        nonce: Hexadecimal, known to the host.
        max_bytes: Of text a cell; what is over is dropped, but for the last `TAIL_BYTES`.
    """

    def __init__(self, fd: int, nonce: str, max_bytes: int):
        self.fd, self.nonce, self.max_bytes = fd, nonce, max_bytes
        self.start()

    def start(self) -> None:
        """A cell begins."""
        self.left = self.max_bytes
        self.dropped = 0
        self.tail = bytearray()

    def mark(self, kind: str, number: int = 0) -> bytes:
        return b"\0codeact:%s%s%d\0" % (self.nonce.encode(), kind.encode(), number)

    def write(self, data: bytes, is_error: bool) -> None:
        size = len(data)
        if size > self.left:
            data, rest = data[:self.left], data[self.left:]
            self.dropped += len(rest)
            self.tail += rest[-TAIL_BYTES:]
            if len(self.tail) > 2 * TAIL_BYTES:
                del self.tail[:-TAIL_BYTES]
        self.left -= len(data)
        if data:
            # One write: up to a page, no other process's text can come in between
            self._write(self.mark("e") + data + self.mark("o") if is_error else data)

    def display(self, number: int) -> None:
        """A rich output belongs here; its content goes over the socket."""
        self._write(self.mark("d", number))

    def finish(self) -> None:
        """A cell ends: what was left out, and its last bytes."""
        if self.dropped:
            tail = bytes(self.tail[-TAIL_BYTES:])
            self._write(self.mark("x", self.dropped - len(tail)) + tail)

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self.fd, view):]


class _Raw(io.RawIOBase):
    """The bottom of a text stream: counts, marks, writes."""

    def __init__(self, marks: Marks, is_error: bool):
        self._marks, self._is_error = marks, is_error

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        raw = bytes(data)
        self._marks.write(raw, self._is_error)
        return len(raw)

    def fileno(self) -> int:
        return 2 if self._is_error else 1


class Output:
    """The pair of output streams; puts them back when a cell closed or replaced them."""

    def __init__(self, marks: Marks):
        self.marks = marks
        self._pipe = os.dup(marks.fd)
        os.set_inheritable(self._pipe, False)
        self._identity = os.fstat(self._pipe)[1:3]
        self.stdout = self._stream(False)
        self.stderr = self._stream(True)
        self.install()

    def _stream(self, is_error: bool) -> io.TextIOWrapper:
        raw: Any = _Raw(self.marks, is_error)
        return io.TextIOWrapper(raw, "utf-8", "backslashreplace", line_buffering=True)

    def install(self) -> None:
        """Before a cell: our streams in place, the pipe behind descriptors 1 and 2, and something behind 0."""
        try:
            os.fstat(0)
        except OSError:
            os.open(os.devnull, os.O_RDONLY)   # takes the lowest number free, which is 0
        for fd in (1, 2):
            try:
                if os.fstat(fd)[1:3] == self._identity:
                    continue
            except OSError:
                pass
            os.dup2(self._pipe, fd)
        if self.stdout.closed:
            self.stdout = self._stream(False)
        if self.stderr.closed:
            self.stderr = self._stream(True)
        sys.stdout = self.stdout
        sys.stderr = self.stderr
        setattr(sys, "__stdout__", self.stdout)
        setattr(sys, "__stderr__", self.stderr)

    def flush(self) -> None:
        """Everything written so far is in the pipe, whatever `sys.stdout` is by now."""
        for stream in (self.stdout, self.stderr):
            try:
                stream.flush()
            except (ValueError, OSError):
                pass

    def move(self, fd: int) -> None:
        """In a fork: write to another pipe from now on."""
        os.dup2(fd, self._pipe, inheritable=False)
        self._identity = os.fstat(self._pipe)[1:3]
        self.install()


Ask = Callable[[str, bool], Optional[str]]
"""Prompt, hide what is typed -> a line without its end, or None when nobody answers."""

ADVICE = "nobody can type here: put the value into the code, or ask the user in a message instead"


class Stdin(io.TextIOBase):
    """Standard input: each line is asked of the host, and EOFError says what to do where nobody answers."""

    encoding = "utf-8"

    def __init__(self, ask: Ask):
        self._ask = ask

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        return 0

    def readline(self, size: Any = -1) -> str:   # type: ignore[override]
        line = self._ask("", False)
        if line is None:
            raise EOFError(ADVICE)
        return line + "\n"

    def read(self, size: Any = -1) -> str:
        return self.readline()


def install_stdin(ask: Ask) -> None:
    """`sys.stdin`, `input` and `getpass.getpass` ask the host."""
    import builtins

    def input(prompt: object = "", /) -> str:   # noqa: A001
        line = ask(str(prompt), False)
        if line is None:
            raise EOFError(ADVICE)
        return line

    def getpass(prompt: str = "Password: ", stream: object = None) -> str:
        line = ask(prompt, True)
        if line is None:
            raise EOFError(ADVICE)
        return line

    input.__module__ = "builtins"
    input.__qualname__ = "input"
    builtins.input = input
    stdin: Any = Stdin(ask)
    sys.stdin = stdin
    setattr(sys, "__stdin__", stdin)
    if "getpass" in sys.modules:
        sys.modules["getpass"].getpass = getpass   # type: ignore[attr-defined]
