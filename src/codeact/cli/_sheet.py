"""Where a rollout is written for a person: parts of different styles, a blank line between.

`Terminal` (`_terminal.py`) knows events and calls a sheet; `PlainSheet` writes to any file, `LiveSheet` (`_live.py`)
to a terminal that can move its cursor. All text of models and cells goes through `harmless` on its way, so that it can
neither move the cursor nor talk to the terminal.
"""

from typing import Literal, Protocol, TextIO

from codeact.cli._control import Cleaner, plain, visible
from codeact.cli._wrap import Wrap

__all__ = ["MARGINS", "PlainSheet", "Sheet", "Style", "counted", "harmless", "spelled"]

Style = Literal["words", "code", "answer", "output", "error", "note", "reasoning", "title", "tool", "said", "fault",
                "margin"]

MARGINS: dict[Style, str] = {"code": "  │ ", "output": "    ", "error": "    ", "note": "    ", "tool": "    "}
"""`said` and `fault` are the program's own words, to which nothing else belongs."""

_WRAPPED: tuple[Style, ...] = ("words", "answer", "reasoning", "said", "fault")
_PLAINER = str.maketrans({"│": "|", "─": "-", "•": "*", "…": "...", "▌": "|"})


def harmless(text: str, style: Style, cleaner: Cleaner, *, returns: bool = False) -> str:
    """A piece of a part as it may be shown.

    Args:
        cleaner: The part's own.
    """
    return visible(text) if style == "code" else plain(cleaner.feed(text), returns=returns)


def counted(number: int, one: str, many: str = "") -> str:
    """A number of things, as "1 turn" or "2 turns"."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def spelled(text: str, file: TextIO) -> str:
    """Text as this file can hold it: what it has no character for becomes a plainer one."""
    encoding = getattr(file, "encoding", None) or "utf-8"
    if not encoding.lower().startswith("utf"):
        text = text.translate(_PLAINER)
    return text.encode(encoding, "replace").decode(encoding)


class Sheet(Protocol):
    """Takes what is shown, from any thread."""

    def write(self, text: str, style: Style) -> None:
        """A piece of a part; a new style begins a new part. Code comes in whole lines."""

    def end_part(self) -> None:
        """What comes next is a new part, also in the same style."""

    def raw(self, sequence: str) -> None:
        """What only a terminal understands: an image. Never text of a model's or a cell's."""

    def phase(self, words: str | None) -> None:
        """What is going on now; None for nothing."""

    def question(self, words: str | None) -> None:
        """The person is asked something, and the cursor waits behind it; None when it is answered."""

    def hint(self, words: str) -> None:
        """What the person can do now; may be called from a signal handler."""

    def finish(self) -> None:
        """Nothing more comes for now; the cursor stands at the beginning of a line."""


class PlainSheet:
    """Text with margins, as it comes.

    Args:
        width: Characters in a line of words; None leaves lines as they are.
    """

    def __init__(self, file: TextIO, width: int | None = None) -> None:
        self._file = file
        self._wrap = Wrap(width)
        self._style: Style | None = None
        self._cleaner = Cleaner()
        self._newlines = 0
        self._finished = False
        """Whether the cursor stands at the beginning of a line, below something."""

    def write(self, text: str, style: Style) -> None:
        """See `Sheet`."""
        if style != self._style:
            self._cleaner.end()
        text = harmless(text, style, self._cleaner)
        if style != self._style:
            text = text.lstrip("\n")
            if not text.strip():
                return
            self._end_words()
            if self._style is not None or self._finished:
                self._print("\n" if self._finished else "\n\n")
            self._finished = False
            self._style, self._newlines = style, 0
            self._print(MARGINS.get(style, ""))
        self._put(self._wrap.feed(text) if style in _WRAPPED else text, style)

    def end_part(self) -> None:
        """See `Sheet`."""
        self._end_words()
        self._style = self._style and "margin"

    def raw(self, sequence: str) -> None:
        """Nobody here understands it."""

    def phase(self, words: str | None) -> None:
        """Whoever reads a file does not wait for it."""

    def question(self, words: str | None) -> None:
        """See `Sheet`."""
        self.finish()
        if words is not None:
            self._print(words + " ")
        else:
            self._print("\n")
            self._finished = False

    def hint(self, words: str) -> None:
        """Nothing is drawn from a signal handler."""

    def finish(self) -> None:
        """See `Sheet`."""
        self._end_words()
        if self._style is not None:
            self._print("\n")
            self._style, self._finished = None, True

    def _put(self, text: str, style: Style) -> None:
        """Write with the margin; newlines wait until something follows, so that no part ends in blank lines."""
        margin = MARGINS.get(style, "")
        for line in text.splitlines(keepends=True):
            body = line.rstrip("\n")
            if body:
                for left in range(self._newlines, 0, -1):
                    self._print("\n" + (margin if left == 1 else margin.rstrip()))
                self._newlines = 0
                self._print(body)
            self._newlines += len(line) - len(body)

    def _end_words(self) -> None:
        if self._style in _WRAPPED:
            self._put(self._wrap.end(), self._style)

    def _print(self, text: str) -> None:
        self._file.write(spelled(text, self._file))
        self._file.flush()
