"""A person at a terminal: types into a program in a pseudo-terminal and sees what its screen shows."""

import os
import sys
import time
from pathlib import Path

import pexpect
import pyte

MARK = "\u203a "
SECONDS = 60
"""Nobody waits so long unless something is broken."""


class Person:
    """Runs `codeact` in a pseudo-terminal; reads the screen as a terminal would show it."""

    def __init__(self, *words: str, columns: int = 90, rows: int = 70, env: dict[str, str] | None = None) -> None:
        given = {**os.environ, "TERM": "xterm-256color", "PROMPT_TOOLKIT_NO_CPR": "1", "LANG": "C.UTF-8",
                 "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])}  # fmt: skip
        for name in ("COLUMNS", "LINES", "TMUX", "NO_COLOR", "CODEACT_IMAGES", "KITTY_WINDOW_ID", "TERM_PROGRAM"):
            given.pop(name, None)
        self.child = pexpect.spawn(sys.executable, ["-m", "codeact", *words], dimensions=(rows, columns), timeout=SECONDS,
                                   env={**given, **(env or {})})  # fmt: skip
        self.screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self.screen)
        self.raw = b""

    @property
    def lines(self) -> list[str]:
        return [line.rstrip() for line in self.screen.display]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def until(self, seen) -> None:
        """Read on until the screen is so."""
        deadline = time.monotonic() + SECONDS
        while not seen():
            assert time.monotonic() < deadline, f"not seen; the screen:\n{self.text}"
            try:
                piece = self.child.read_nonblocking(65536, timeout=SECONDS)
            except pexpect.TIMEOUT:
                raise AssertionError(f"not seen; the screen:\n{self.text}") from None
            except pexpect.EOF:
                assert seen(), f"it ended; the screen:\n{self.text}"
                return
            self.raw += piece
            self._stream.feed(piece)

    def see(self, text: str) -> None:
        """Wait until this stands on the screen."""
        self.until(lambda: text in self.text)

    def prompted(self) -> None:
        """Wait for an empty prompt."""
        self.until(lambda: self.screen.display[self.screen.cursor.y].startswith(MARK) and self.screen.cursor.x == len(MARK))

    def type(self, line: str) -> None:
        """Type a line at the prompt, and see that it was taken."""
        self.prompted()
        self.child.send(line)
        begin = line.split("\n")[0][: self.screen.columns - len(MARK) - 1].rstrip()
        self.until(lambda: f"{MARK}{begin}".rstrip() in self.text and self.screen.cursor.x != len(MARK))
        row = self.screen.cursor.y
        self.child.send("\r")
        self.until(lambda: self.screen.cursor.y > row)

    def say(self, line: str) -> str:
        """Type a line and wait for the next prompt; what was shown in between."""
        self.type(line)
        self.prompted()
        return self.text.rpartition(f"{MARK}{line}"[: self.screen.columns].rstrip())[2]

    def press(self, keys: str) -> None:
        """Send keys as they are."""
        self.child.send(keys)

    def interrupt(self) -> None:
        """Ctrl-C."""
        self.child.sendintr()

    def leave(self) -> int:
        """Ctrl-D at the prompt; the exit code."""
        self.prompted()
        self.child.send("\x04")
        return self.end()

    def end(self) -> int:
        """Wait for the end; the exit code."""
        self.until(lambda: not self.child.isalive() and self._drained())
        self.child.close()
        return self.child.exitstatus

    def _drained(self) -> bool:
        try:
            while True:
                piece = self.child.read_nonblocking(65536, timeout=1)
                self.raw += piece
                self._stream.feed(piece)
        except (pexpect.EOF, pexpect.TIMEOUT):
            return True
