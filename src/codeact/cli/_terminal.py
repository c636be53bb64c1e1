"""Show a rollout to a person, as it happens: words, code, output, figures; with colour where `rich` is installed.

`Terminal` is an observer: it gets events and writes. Text of models and cells is stripped of control characters, so
that it can neither move the cursor nor talk to the terminal.
"""

import os
import re
from pathlib import Path
from typing import Any, Literal, Protocol, TextIO

from codeact.actions import CodeAction, Malformed, Say
from codeact.cli._files import FIGURES, Shelf
from codeact.cli._reply import Kind, Reply
from codeact.cli._session import in_flags
from codeact.cli._wrap import Wrap
from codeact.events import Code, Display, Event, Output, Text
from codeact.interpreter.output import image_name
from codeact.trajectory import Turn

__all__ = ["Paint", "PlainPaint", "Terminal", "paint_for", "shown"]

Style = Literal["words", "code", "answer", "output", "error", "note", "reasoning", "title", "margin"]

_CONTROL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_MARGINS: dict[Style, str] = {"code": "  │ ", "output": "    ", "error": "    ", "note": "    "}
_WRAPPED: tuple[Style, ...] = ("words", "answer", "reasoning")
_MAX_LINES = 100
"""Shown of one cell's output; the model is shown less."""
_HEAD, _TAIL = 6, 4
"""Lines of a long traceback."""


class Paint(Protocol):
    """Puts text on a screen."""

    def write(self, text: str, style: Style) -> None:
        """Write text where the cursor is; code comes in whole lines."""


class PlainPaint:
    """Without colour."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, text: str, style: Style) -> None:
        """Write text as it is."""
        self._file.write(text)
        self._file.flush()


class RichPaint:
    """With colour and highlighted code, by `rich`."""

    _STYLES: dict[Style, str] = {
        "answer": "bold",
        "output": "",
        "error": "red",
        "note": "dim italic",
        "reasoning": "dim",
        "title": "cyan",
        "margin": "dim",
    }

    def __init__(self, console: Any) -> None:
        from rich.syntax import Syntax
        from rich.text import Text as RichText

        self._console, self._text = console, RichText
        self._syntax = Syntax("", "python", theme="ansi_dark", background_color="default")
        self._code = ""

    def write(self, text: str, style: Style) -> None:
        """Write text in its style."""
        if style == "code":
            # Highlighted in its context, as a line may stand inside a long string.
            before, self._code = len(self._code), self._code + text
            painted = self._syntax.highlight(self._code)[before : len(self._code)]
        else:
            self._code = self._code if style == "margin" else ""
            painted = self._text(text, self._STYLES.get(style, ""))
        self._console.print(painted, end="", soft_wrap=True)


def paint_for(file: TextIO) -> Paint:
    """Colour if `file` is a terminal and `rich` is installed, else plain text."""
    if file.isatty() and not os.environ.get("NO_COLOR"):
        try:
            from rich.console import Console
        except ImportError:
            pass
        else:
            return RichPaint(Console(file=file, highlight=False, markup=False, emoji=False))
    return PlainPaint(file)


class Terminal:
    """Writes events as they come: parts of different kinds, a blank line between."""

    def __init__(self, paint: Paint, shelf: Shelf, *, with_answer: bool = True, width: int | None = None) -> None:
        """Make one.

        Args:
            shelf: Where figures are saved.
            width: Characters in a line of words; None leaves lines as they are.
            with_answer: Also show the answer; without, the caller prints it where it belongs.
        """
        self._paint, self._shelf, self._with_answer = paint, shelf, with_answer
        self._reply = Reply()
        self._wrap = Wrap(width)
        self._line_of_code = ""
        self._style: Style | None = None
        self._newlines = 0
        self._n_lines, self._cut = 0, False
        self._heard = False
        self._held: list[tuple[Kind, str]] = []
        """What may turn out to be the answer, where the caller prints that."""
        self.saved: list[Path] = []
        """Figures saved so far."""

    def __call__(self, event: Event) -> None:
        """Show one event."""
        match event:
            case Text(text, "reasoning"):
                self.write(text, "reasoning")
            case Text(text):
                self._heard = True
                for kind, segment in self._reply.feed(text):
                    self._say(kind, segment)
            case Code(code):
                self._end_reply()
                self._release()
                if not self._heard:
                    self._say("code", f"{code}\n")
                self._n_lines, self._cut = 0, False
            case Output(text, "error"):
                self.write(in_flags(_shortened(text)), "error")
            case Output(text):
                self._show_output(text)
            case Display(bundle):
                self._show_bundle(dict(bundle))
            case Turn():
                self._end_turn(event)

    def write(self, text: str, style: Style) -> None:
        """Write a piece of a part; a new style begins a new part."""
        text = _CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
        if style != self._style:
            text = text.lstrip("\n")
            if not text.strip():
                return
            self._end_part()
            if self._style is not None:
                self._paint.write("\n\n", "words")
            self._style, self._newlines = style, 0
            self._paint.write(_MARGINS.get(style, ""), "margin")
        self._put(self._wrap.feed(text) if style in _WRAPPED else text, style)

    def _put(self, text: str, style: Style) -> None:
        """Write with the margin; newlines wait until something follows, so that no part ends in blank lines."""
        margin = _MARGINS.get(style, "")
        for line in text.splitlines(keepends=True):
            body = line.rstrip("\n")
            if body:
                for left in range(self._newlines, 0, -1):
                    self._paint.write("\n", style)
                    self._paint.write(margin if left == 1 else margin.rstrip(), "margin")
                self._newlines = 0
                self._paint.write(body, style)
            self._newlines += len(line) - len(body)

    def _end_part(self) -> None:
        if self._style in _WRAPPED:
            self._put(self._wrap.end(), self._style)

    def finish(self) -> None:
        """End the last line."""
        self._end_reply()
        self._release()
        self._end_part()
        if self._style is not None:
            self._paint.write("\n", "words")
            self._style = None

    def _say(self, kind: Kind, text: str) -> None:
        if self._with_answer:
            self._show(kind, text)
        elif self._reply.is_open:
            self._held.append((kind, text))   # if no code is run after it, it is the answer
        elif kind != "answer":
            self._release()
            self._show(kind, text)

    def _release(self) -> None:
        """What was held back is not the answer."""
        held, self._held = self._held, []
        for kind, text in held:
            self._show(kind, text)
        if held:
            self._flush_code()

    def _show(self, kind: Kind, text: str) -> None:
        if kind != "code":
            self._flush_code()
            self.write(text, kind)
            return
        *lines, self._line_of_code = (self._line_of_code + text).split("\n")
        for line in lines:
            self.write(f"{line}\n", "code")

    def _flush_code(self) -> None:
        line, self._line_of_code = self._line_of_code, ""
        if line.strip():
            self.write(f"{line}\n", "code")

    def _end_reply(self) -> None:
        for kind, segment in self._reply.end():
            self._say(kind, segment)
        self._flush_code()

    def _show_output(self, text: str) -> None:
        lines = text.splitlines(keepends=True)
        room = max(_MAX_LINES - self._n_lines, 0)
        self._n_lines += text.count("\n")
        self.write("".join(lines[:room]), "output")
        if len(lines) > room and not self._cut:
            self._cut = True
            self.write("... more output is not shown here\n", "note")

    def _show_bundle(self, bundle: dict[str, str | bytes]) -> None:
        mime = next((mime for mime in FIGURES if mime in bundle), "")
        if not mime:
            self._show_output(f"{bundle.get('text/plain', list(bundle))}\n")
            return
        try:
            path = self._shelf.add_figure(mime, bundle[mime])
        except OSError as error:
            self.write(f"a figure could not be saved: {error}\n", "error")
            return
        self.saved.append(path)
        self.write(f"{image_name(mime, bundle[mime])} saved as {shown(path)}\n", "title")

    def _end_turn(self, turn: Turn) -> None:
        self._end_reply()
        if isinstance(turn.action, Say):
            self._held = []
        self._release()
        self._heard = False
        if isinstance(turn.action, Malformed):
            self.write("[the reply could not be read; the model is shown the right form]\n", "note")
        elif isinstance(turn.action, CodeAction) and turn.action.ignored:
            self.write("[what it wrote after the code was ignored, as the code had not run yet]\n", "note")
        self._end_part()
        # The next part is a new one, also in the same style.
        self._style = self._style and "margin"


def _shortened(traceback: str) -> str:
    """A long traceback without its middle, which is of libraries; the model is shown it all."""
    lines = traceback.splitlines(keepends=True)
    if len(lines) <= _HEAD + _TAIL + 1:
        return traceback
    return "".join([*lines[:_HEAD], f"  ... {len(lines) - _HEAD - _TAIL} lines\n", *lines[-_TAIL:]])


def shown(path: Path) -> str:
    """A path as the user would write it from here."""
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
