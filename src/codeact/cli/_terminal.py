"""Show a rollout to a person, as it happens: words, code, output, tool calls, tables, figures.

`Terminal` is an observer: it is handed events and writes to a sheet: a `LiveSheet` where standard output is a terminal
and `rich` is installed, else a `PlainSheet`. What a model or a cell wrote is cleaned there of all that a terminal
obeys.
"""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

from codeact.actions import CodeAction, Malformed, Say, ToolCall
from codeact.cli._files import FIGURES, Shelf
from codeact.cli._inline import inline
from codeact.cli._session import in_flags
from codeact.cli._sheet import PlainSheet, Sheet, Style
from codeact.cli._tables import table_in
from codeact.events import Approval, Code, Display, Ended, Event, Note, Output, Started, Text, ToolCalled
from codeact.formats._streaming import Kind, Reply
from codeact.interpreter.output import image_name
from codeact.trajectory import Turn

__all__ = ["Terminal", "called", "can_move", "sheet_for", "shown"]

_MAX_LINES = 100
"""Shown of one cell's output; the model is shown less."""
_HEAD, _TAIL = 6, 4
"""Lines of a long traceback."""
_MAX_CALL = 200
_MAX_IGNORED = 160


def can_move(file: TextIO) -> bool:
    """Whether it is a terminal whose cursor can be moved."""
    return file.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "", "unknown")


def sheet_for(file: TextIO) -> Sheet:
    """A live one where that can be, else plain text."""
    if can_move(file):
        try:
            from codeact.cli._live import LiveSheet

            return LiveSheet(file)
        except ImportError:   # without rich
            pass
    return PlainSheet(file, shutil.get_terminal_size().columns if file.isatty() else None)


class Terminal:
    """Writes events as they come.

    Args:
        sheet: Where to.
        shelf: Where figures are saved.
        with_answer: Also show the answer; without, the caller prints it where it belongs.
        images: Show figures in the terminal too, where it can.
    """

    def __init__(self, sheet: Sheet, shelf: Shelf, *, with_answer: bool = True, images: bool = False) -> None:
        self._sheet, self._shelf, self._with_answer, self._images = sheet, shelf, with_answer, images
        self._reply = Reply()
        self._line_of_code = ""
        self._n_lines = 0
        self._heard = self._in_cell = False
        self._held: list[tuple[Kind, str]] = []
        """What may turn out to be the answer, where the caller prints that."""
        self.by_hand = False
        """Whether the model's replies are typed at this terminal."""
        self._decided: dict[str, bool] = {}
        """Tools somebody was asked about, in this cell, and the last answer."""
        self.saved: list[Path] = []
        """Figures saved so far."""

    def __call__(self, event: Event) -> None:
        """Show one event."""
        match event:
            case Started():
                self._await_model()
            case Text(text, "reasoning"):
                self._write_on("the model reasons")
                self.write(text, "reasoning")
            case Text(text, channel):
                self._heard = True
                self._write_on("the model writes")
                for kind, segment in [("code", text)] if channel == "call" else self._reply.feed(text):
                    self._say(kind, segment)   # type: ignore[arg-type]  # mypy widens the literal
            case Code(code):
                self._begin_cell(code)
            case Output(text, "error"):
                self._end_output()
                self.write(in_flags(_shortened(text)), "error")
            case Output(text):
                self._show_output(text)
            case Display(bundle):
                self._show_bundle(dict(bundle))
            case Approval(tool, _, granted):
                if granted is not None:   # before, the question itself is to be seen
                    self._decided[tool] = granted
            case ToolCalled():
                self._show_call(event)
            case Note(text):
                self.write(f"[{text}]\n", "note")
            case Turn():
                self._in_cell = False
                self._end_turn(event)
                self._await_model()
            case Ended():
                self._sheet.phase(None)

    def now(self, words: str) -> None:
        """What goes on in the cell that runs; from any thread. Once the cell is over, nobody is told."""
        if self._in_cell:
            self._sheet.phase(words)

    def write(self, text: str, style: Style) -> None:
        """Write a piece of a part; a new style begins a new part."""
        self._sheet.write(text, style)

    def finish(self) -> None:
        """End the last line."""
        self._end_reply()
        self._release()
        self._end_output()
        self._heard = self._in_cell = False
        self._sheet.phase(None)
        self._sheet.finish()

    def _await_model(self) -> None:
        if self.by_hand:
            self._sheet.finish()   # nothing is to be drawn where somebody types
        else:
            self._sheet.phase("waiting for the model")

    def _write_on(self, words: str) -> None:
        if not self.by_hand:
            self._sheet.phase(words)

    # The model's reply ------------------------------------------------------------------------------------------------

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

    # The cell ---------------------------------------------------------------------------------------------------------

    def _begin_cell(self, code: str) -> None:
        self._end_reply()
        self._release()
        if not self._heard:
            self._say("code", f"{code}\n")
        self._flush_code()
        self.begin_cell()

    def begin_cell(self) -> None:
        """A cell runs whose code needs not be shown."""
        self._n_lines = 0
        self._in_cell = True
        self._decided.clear()
        self._sheet.phase("the code runs")

    def _show_output(self, text: str) -> None:
        lines = text.splitlines(keepends=True)
        room = max(_MAX_LINES - self._n_lines, 0)
        self._n_lines += len(lines) if text.endswith("\n") else len(lines) - 1
        if room:
            self.write("".join(lines[:room]), "output")

    def _end_output(self) -> None:
        """Say how much of it was not shown."""
        if (left := self._n_lines - _MAX_LINES) > 0:
            self.write(f"... {left:,} more line{'s' * (left != 1)} of output\n", "note")
        self._n_lines = 0

    def _show_bundle(self, bundle: dict[str, str | bytes]) -> None:
        mime = next((mime for mime in FIGURES if mime in bundle), "")
        if not mime:
            self._show_output(table_in(bundle) or f"{bundle.get('text/plain', list(bundle))}\n")
            return
        content = bundle[mime]
        try:
            path = self._shelf.add_figure(mime, content)
        except OSError as error:
            self.write(f"a figure could not be saved: {error}\n", "error")
            return
        self.saved.append(path)
        if self._images and isinstance(content, bytes):
            self._sheet.raw(inline(mime, content, os.environ, shutil.get_terminal_size().columns))
        self.write(f"{image_name(mime, content)} saved as {shown(path)}\n", "title")

    def _show_call(self, event: ToolCalled) -> None:
        decided = self._decided.pop(event.tool, None)
        if decided is False and event.error:
            return   # whoever refused it knows
        ended = f" failed: {event.error}" if event.error else ""
        # The time that somebody took to decide says nothing of the tool.
        took = f" ({event.seconds:.1f} s)" if event.seconds >= 0.1 and decided is None else ""
        self.write(f"> {called(event.tool, event.arguments)}{took}{ended}\n", "tool")

    def _end_turn(self, turn: Turn) -> None:
        self._end_reply()
        if isinstance(turn.action, Say):
            self._held = []
        self._release()
        self._end_output()
        self._heard = False
        if isinstance(turn.action, Malformed):
            self.write("[the reply could not be read; the model is shown the right form]\n", "note")
        elif isinstance(turn.action, CodeAction | ToolCall) and turn.action.ignored:
            start = " ".join(turn.action.ignored[: 4 * _MAX_IGNORED].split())
            start = start if len(start) <= _MAX_IGNORED else start[:_MAX_IGNORED] + "..."
            self.write(f"[ignored, as it was written before the code had run: {start}]\n", "note")
        self._sheet.end_part()


def called(tool: str, arguments: Mapping[str, str]) -> str:
    """A call of a tool on one line, as short as the eye wants it."""
    given = ", ".join(f"{name}={value}" for name, value in arguments.items())
    call = " ".join(f"{tool}({given})".split())
    return call if len(call) <= _MAX_CALL else f"{call[:_MAX_CALL]}...)"


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
