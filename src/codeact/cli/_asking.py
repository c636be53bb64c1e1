"""Ask the person at the terminal, with one key: whether a tool may be called, whether a file may be replaced.

A tool's question comes from the tool's own thread, while the cell waits and its clock stands still; the rollout's
thread meanwhile draws what else comes. Keys typed before a question was seen never answer it: they are dropped. Ctrl-C
is no.
"""

import os
import select
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from codeact.cli._control import cleaned
from codeact.cli._sheet import Sheet
from codeact.events import Ended, Event, Turn

__all__ = ["Asker", "lines", "quiet"]

_MAX_VALUE = 600


class Asker:
    """Decides about tool calls: by what was said before, or by asking.

    Args:
        sheet: Where questions are put.
        terminal: The descriptor keys are read from; None where nobody is there, and then nothing is allowed.
        yes: Allow everything unasked.
    """

    def __init__(self, sheet: Sheet, terminal: int | None, *, yes: bool = False) -> None:
        self._sheet, self._terminal, self._yes = sheet, terminal, yes
        self._always: set[str] = set()
        self._one = threading.Lock()
        self._refused = self._waiting = False
        self._cell = 0
        """Counts up when questions that stand, or stand in line, are nobody's any more."""
        self._woken, self._wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def __call__(self, tool: str, arguments: Mapping[str, Any]) -> bool:
        """Whether the tool may be called: `approve` of an interpreter."""
        if self._yes or tool in self._always:
            return True
        if self._terminal is None:
            return False
        cell = self._cell
        with self._one:
            if tool in self._always:   # said of another call while this one stood in line
                return True
            if cell != self._cell:
                return False
            values = [f"    {name} = {_shortened(value)}" for name, value in arguments.items()]
            lines = [f"{tool} asks to be run{':' if values else ''}", *values]
            self._sheet.write("".join(f"{line}\n" for line in lines), "tool")
            self._sheet.end_part()
            question = f"Allow it?  y yes   n no   a always, for {tool} in this session"
            key = self._key(question, "yYnNaA\x1b\x04\x03", cell)
            if key in ("a", "A"):
                self._always.add(tool)
            allowed = key in ("y", "Y", "a", "A")
            words = "always, in this session" if key in ("a", "A") else "allowed" if allowed else "refused"
            self._sheet.write(f"{words}\n", "tool")
            return allowed

    def sure(self, question: str) -> bool:
        """Whether the person says yes; no where nobody is there, or at Ctrl-C."""
        if self._terminal is None:
            return False
        try:
            with self._one, quiet():
                return self._key(f"{question}  y yes   n no", "yYnN\x1b\x04\x03", self._cell) in ("y", "Y")
        except KeyboardInterrupt:
            return False

    def refuse(self) -> bool:
        """The question that stands is answered with no; whether there was one. May be called from a signal handler."""
        if not self._waiting:
            return False
        self._refused = True
        os.write(self._wake, b"x")
        return True

    def watch(self, event: Event) -> None:
        """An observer: what a cell that is over still asks is nobody's question."""
        if isinstance(event, Turn | Ended):
            self.withdraw()

    def withdraw(self) -> None:
        """The cell is over: whatever it still asks is answered with no."""
        self._cell += 1
        if self._waiting:
            os.write(self._wake, b"x")

    def close(self) -> None:
        """No more questions."""
        self.withdraw()
        with self._one:
            self._terminal = None
            os.close(self._woken)
            os.close(self._wake)

    def _key(self, question: str, keys: str, cell: int) -> str:
        """Wait for one of some keys; a refusal is "n"."""
        assert self._terminal is not None
        import termios

        termios.tcflush(self._terminal, termios.TCIFLUSH)
        self._sheet.question(cleaned(question))
        self._refused, self._waiting = False, True
        try:
            while cell == self._cell and not self._refused:
                ready, _, _ = select.select([self._terminal, self._woken], [], [])
                if self._woken in ready:
                    os.read(self._woken, 100)
                    continue
                typed = os.read(self._terminal, 64).decode("utf-8", "replace")
                if not typed:   # the terminal is gone
                    return "n"
                if len(typed) == 1 and typed in keys:   # more at once is a paste, or a key with a name
                    return typed
            return "n"
        finally:
            self._waiting = False
            self._sheet.question(None)


@contextmanager
def quiet(wanted: bool = True) -> Iterator[None]:
    """While inside, if that is wanted, keys are neither echoed nor gathered into lines; Ctrl-C still is the signal."""
    with _changed(lambda flags, lines: flags & ~lines if wanted else flags):
        yield


@contextmanager
def lines() -> Iterator[None]:
    """While inside, keys are echoed and gathered into lines, also inside `quiet`."""
    with _changed(lambda flags, lines: flags | lines):
        yield


@contextmanager
def _changed(change: Callable[[int, int], int]) -> Iterator[None]:
    import termios

    try:
        terminal = sys.stdin.fileno()
        before = termios.tcgetattr(terminal)
    except (termios.error, OSError, ValueError, AttributeError):   # no terminal
        yield
        return
    changed = termios.tcgetattr(terminal)
    changed[3] = change(changed[3], termios.ECHO | termios.ICANON)
    termios.tcsetattr(terminal, termios.TCSADRAIN, changed)
    try:
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def _shortened(value: Any) -> str:
    """A value as it is written in Python, all of it unless it is long."""
    text = repr(value)
    return text if len(text) <= _MAX_VALUE else f"{text[:_MAX_VALUE]} ... {len(text) - _MAX_VALUE:,} more characters"
