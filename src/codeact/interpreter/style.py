"""How a cell's outputs are worded for a model. Wordings are values: each suite sets the style its models learned from.

`Interpreter(style=...)` takes a `Style` or a name in `STYLES`; after each cell it calls `render`. Rich outputs are only
named here (`[image/png 640x480]`); the data itself is delivered beside the text. Text never contains base64.

Source: "mint" and "m3tooleval" follow the paper's two evaluation interpreters, "chat" its Jupyter client
(xingyaoww/mint-bench mint/tools/python_tool.py; xingyaoww/code-act scripts/eval/m3tooleval/tasks/repl.py and
scripts/chat/code_execution/jupyter.py). Differs: chat's images are named, not spelled out as base64.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from codeact.interpreter.output import Bundle, Display, Event, Failure, Note, Text, Value, image_name, without_base64
from codeact.interpreter.tracebacks import WIDTH, notebook_traceback

__all__ = ["STYLES", "Style", "style"]

RULE = "-" * WIDTH


@dataclass(frozen=True)
class Style:
    """One way of putting a cell's outputs into words."""

    name: str
    prefix: str = "Out[{n}]: "
    """Before the last expression's value; `{n}` is the cell's number. A value of several lines begins on the next."""
    empty: str = "[no output]"
    """For a cell that put nothing out."""
    max_chars: int | None = 10_000
    """Longest text, in characters, notes and marks of cutting not counted; None: no limit."""
    cut: Literal["middle", "head"] = "middle"
    """What is kept of a longer text: head and tail, or the head alone."""
    cut_mark: str = "\n[... {left_out:,} of {total:,} characters left out ...]\n"
    """Where the text was cut."""
    stderr: bool = True
    """Whether stderr is shown, in its place among the prints."""
    traceback: Literal["plain", "notebook"] = "plain"
    """As Python prints it, or frame by frame with the lines around."""
    images: bool = True
    """Whether images are named; otherwise displays with an image are not mentioned."""
    fresh_lines: bool = True
    """Whether each output begins on a new line, also when the one before did not end its own."""
    strip: bool = True
    """Whether blanks around the text are taken off."""
    timed_out: str = "the cell was stopped after {seconds:g} seconds"
    """The message of the TimeoutError that a cell ends with whose time is up."""
    kept: str = "The variables set so far are kept."
    """The note under a cell that was stopped and did not take the state with it; "" for none."""
    hints: bool = True
    """Whether a cell that failed at a wall is told what might help."""
    advice: tuple[tuple[str, str], ...] = ()
    """Advice as the library words it, and as it is for who cannot change its arguments, by pairs."""

    def advised(self, words: str) -> str:
        """A hint or an error, with the advice in it that its reader can follow."""
        for of_the_library, ours in self.advice:
            words = words.replace(of_the_library, ours)
        return words

    def render(self, events: Iterable[Event], *, number: int) -> str:
        """Compose what the model sees.

        Args:
            events: The cell's outputs in order.
            number: The n of `Out[n]`.
        """
        notes: list[str] = []
        pieces: list[str] = []
        at_line_start = True
        for event in events:
            if isinstance(event, Note):
                notes.append(event.text)
                continue
            piece = self._piece(event, number)
            if not piece:
                continue
            if self.fresh_lines and not at_line_start and not isinstance(event, Text):
                pieces.append("\n")
            pieces.append(piece)
            at_line_start = piece.endswith("\n")
        body = without_base64("".join(pieces))
        text = self._cut(body) if body or notes else self.empty
        if self.strip:
            text = text.strip()
        return "\n".join(part for part in [text, *notes] if part)

    def _piece(self, event: Event, number: int) -> str:
        """One output's text."""
        if isinstance(event, Text):
            return event.text if self.stderr or event.stream == "stdout" else ""
        if isinstance(event, Display):
            hidden = not self.images and any(mime.startswith("image/") for mime in event.bundle)
            return "" if hidden else _line(self._of_bundle(event.bundle))
        if isinstance(event, Value):
            text = self._of_bundle(event.bundle)
            if not text:
                return ""
            prefix = self.prefix.format(n=number)
            return _line(prefix + ("\n" if prefix and "\n" in text else "") + text)
        if isinstance(event, Failure):
            # A Jupyter kernel's own is laid out so already, and has no `chain` to do it from
            if self.traceback == "notebook" and (event.chain or not event.traceback.startswith(RULE)):
                return notebook_traceback(event)
            return _line(event.traceback or (f"{event.name}: {event.message}" if event.message else event.name))
        return ""

    def _of_bundle(self, bundle: Bundle) -> str:
        """The form a model can read: an image's name, else markdown, plain text, or what there is."""
        images = [image_name(mime, data) for mime, data in bundle.items() if mime.startswith("image/")]
        if images and self.images:
            return images[0]
        for mime in ("text/markdown", "text/plain", "text/latex"):
            text = bundle.get(mime)
            if isinstance(text, str):
                return text
        return ", ".join(f"[{mime}, {len(data):,} characters]" for mime, data in bundle.items())

    def _cut(self, text: str) -> str:
        limit = self.max_chars
        if limit is None or len(text) <= limit:
            return text
        mark = self.cut_mark.format(left_out=len(text) - limit, total=len(text))
        if self.cut == "head":
            return text[:limit] + mark
        head = limit * 3 // 5
        return text[:head] + mark + text[len(text) - (limit - head):]


def _line(text: str) -> str:
    """Text that ends its line."""
    return text if text.endswith("\n") or not text else text + "\n"


_MINT = Style(
    name="mint",
    empty="[Executed Successfully with No Output]",
    max_chars=2_000,
    cut="head",
    cut_mark="...\n[Output Truncated]",
    stderr=False,
    traceback="notebook",
    images=False,
    fresh_lines=False,
    timed_out="Timed out after {seconds:g} seconds.",
    kept="",
    hints=False,
)

STYLES: dict[str, Style] = {
    "default": Style(name="default"),
    "mint": _MINT,
    "m3tooleval": replace(_MINT, name="m3tooleval", strip=False,
                          empty="[Executed Successfully with No Output, Did you forget to print?]"),
    "chat": Style(
        name="chat",
        prefix="",
        empty="[Code executed successfully with no output]",
        max_chars=None,
        traceback="notebook",
        strip=False,
        timed_out="Execution timed out ({seconds:g} seconds).",
        kept="",
        hints=False,
    ),
}
"""Styles by name."""


def style(choice: str | Style) -> Style:
    """A style, itself or by name.

    Raises:
        ValueError: There is none of this name.
    """
    if isinstance(choice, Style):
        return choice
    if choice not in STYLES:
        raise ValueError(f"unknown style {choice!r}; available: {', '.join(STYLES)}")
    return STYLES[choice]
