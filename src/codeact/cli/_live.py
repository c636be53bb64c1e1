"""A sheet on a terminal that can move its cursor: Markdown and code take shape as they are written, with a status line.

What is finished is printed once and never touched again, so scrolling and copying work as ever. Only what may yet
change, the last block and the status line below it, is drawn anew: a thread does so some twenty times a second. Whoever
calls `write` never waits for the terminal. What such a part looks like is in `_parts.py`.
"""

import os
import threading
import time
from typing import TextIO

from rich.console import Console
from rich.text import Text
from rich.theme import Theme

from codeact.cli._control import Cleaner
from codeact.cli._parts import LOOKS, Part, part_for
from codeact.cli._sheet import Style, harmless, spelled

__all__ = ["LiveSheet"]

_SECONDS_A_FRAME = 0.05
_HINT = "Ctrl-C stops it"
_SPINNER, _PLAIN_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏", "|/-\\"
_HIDE, _SHOW = "\x1b[?25l", "\x1b[?25h"
_BEGIN_FRAME, _END_FRAME = "\x1b[?2026h", "\x1b[?2026l"
"""A terminal that knows these shows a frame at once; the others pass them over."""


class LiveSheet:
    """See `Sheet`."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._console = Console(file=file, highlight=False, markup=False, emoji=False, theme=Theme(LOOKS))
        self._lock = threading.RLock()
        self._part: Part | None = None
        self._style: Style | None = None
        self._cleaner = Cleaner()
        self._done: list[Text | str] = []
        """Lines to be printed for good; a str is a raw sequence."""
        self._begun = False
        """Whether anything was printed, so that a blank line has to stand before the next part."""
        self._drawn: list[int] = []
        """Columns of each line that stands below and is to be drawn anew."""
        self._last: list[Text] = []
        self._phase: str | None = None
        self._since = 0.0
        self._thread: threading.Thread | None = None
        self._stopped = threading.Event()
        unicode = (getattr(file, "encoding", None) or "").lower().startswith("utf")
        self._spinner = _SPINNER if unicode else _PLAIN_SPINNER
        self._question: str | None = None
        self._hint = _HINT

    def write(self, text: str, style: Style) -> None:
        """See `Sheet`."""
        with self._lock:
            if style != self._style:
                self._cleaner.end()
            text = harmless(text, style, self._cleaner, returns=style == "output")
            if style != self._style:
                text = text.lstrip("\n")
                if not text.strip():
                    return
                self._close_part()
                if self._begun:
                    self._done.append(Text())
                self._part, self._style, self._begun = part_for(style, self._console), style, True
            if self._part is not None:
                self._part.feed(text)
            self._start()

    def end_part(self) -> None:
        """See `Sheet`."""
        with self._lock:
            self._close_part()

    def raw(self, sequence: str) -> None:
        """See `Sheet`."""
        if sequence:
            with self._lock:
                self._close_part()
                if self._begun:
                    self._done.append(Text())
                self._done.append(sequence)
                self._begun = True
                self._start()

    def phase(self, words: str | None) -> None:
        """See `Sheet`."""
        if words != self._phase:
            with self._lock:
                self._phase, self._since = words, time.monotonic()
                self._hint = _HINT
                if words is not None:
                    self._start()

    def question(self, words: str | None) -> None:
        """See `Sheet`."""
        self._question = words   # in place of the status line
        if words is not None:
            self._start()
            self._draw()

    def hint(self, words: str) -> None:
        """See `Sheet`."""
        self._hint = words

    def finish(self) -> None:
        """See `Sheet`."""
        with self._lock:
            self._close_part()
            self._phase = self._question = None
            self._hint = _HINT
        if self._thread is not None:
            self._stopped.set()
            self._thread.join()
            self._thread = None
        self._draw()
        with self._lock:
            self._print(_SHOW)

    # Drawing ----------------------------------------------------------------------------------------------------------

    def _close_part(self) -> None:
        if self._part is not None:
            self._done += self._part.ready(self._width, last=True)
        self._part = self._style = None

    def _start(self) -> None:
        if self._thread is None:
            self._stopped.clear()
            self._thread = threading.Thread(target=self._run, name="codeact-screen", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while not self._stopped.wait(_SECONDS_A_FRAME):
            try:
                self._draw()
            except (OSError, ValueError):   # the terminal is gone: whoever writes next is told
                return

    @property
    def _width(self) -> int:
        return max(20, self._size.columns - 1)   # in the last column terminals differ

    @property
    def _size(self) -> os.terminal_size:
        try:
            size = os.get_terminal_size(self._file.fileno())
        except (OSError, ValueError):
            size = os.terminal_size((80, 24))
        return size if size.columns and size.lines else os.terminal_size((80, 24))

    def _draw(self) -> None:
        with self._lock:
            size, width = self._size, self._width
            if self._part is not None:
                self._done += self._part.ready(width, last=False)
            below = self._part.tail(width) if self._part is not None else []
            status = self._status()
            if status is not None:
                below = [*below, *([Text()] if self._begun or below else []), status]
            below = below[-max(1, size.lines - 1):]
            for line in below:
                line.truncate(width, overflow="ellipsis")
            done, self._done = self._done, []
            if not done and below == self._last:
                return
            pieces = [_BEGIN_FRAME + _HIDE, self._erasure(size)]
            pieces += [line if isinstance(line, str) else self._spelled(line, width) for line in done
                       for line in (line, "\n")]
            pieces.append("\n".join(self._spelled(line, width) for line in below))
            self._last, self._drawn = below, [line.cell_len for line in below]
            self._print("".join([*pieces, _END_FRAME]))

    def _erasure(self, size: os.terminal_size) -> str:
        """Go to the beginning of what is drawn anew, and clear it: a terminal that became narrower has broken lines."""
        if not self._drawn:
            return "\r\x1b[J"
        rows = sum(max(1, -(-columns // size.columns)) for columns in self._drawn)
        up = min(rows, size.lines) - 1
        return "\r" + (f"\x1b[{up}A" if up else "") + "\x1b[J"

    def _status(self) -> Text | None:
        if self._question is not None:
            return Text(self._question, "status.question")
        if self._phase is None:
            return None
        seconds = time.monotonic() - self._since
        mark = self._spinner[int(time.monotonic() * 10) % len(self._spinner)]
        return Text.assemble((f"{mark} ", "status.mark"), (f"{self._phase} {clock(seconds)}", "status"),
                             (f"  {self._hint}" if self._hint else "", "status.hint"))

    def _spelled(self, line: Text, width: int) -> str:
        self._console.width = max(width, line.cell_len, 1)
        with self._console.capture() as captured:
            self._console.print(line, end="", soft_wrap=True)
        return captured.get()

    def _print(self, text: str) -> None:
        self._file.write(spelled(text, self._file))
        self._file.flush()


def clock(seconds: float) -> str:
    """A time that goes on, for the eye."""
    if seconds < 60:
        return f"{int(seconds)} s"
    return f"{int(seconds) // 60}:{int(seconds) % 60:02} min"
