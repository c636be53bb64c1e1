"""What the parts of a live sheet look like while they grow: Markdown by blocks, code by lines, output line by line.

A part is fed text and gives back lines of two kinds: those that are ready and will not change any more, and the tail,
which may. Text comes cleaned. Nothing here writes.
"""

import re
from typing import Protocol

from markdown_it import MarkdownIt
from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import Heading, Markdown
from rich.segment import Segment
from rich.syntax import Syntax
from rich.text import Text

from codeact.cli._sheet import MARGINS, Style

__all__ = ["LOOKS", "Part", "part_for"]

LOOKS = {
    "error": "red", "fault": "red", "said": "none", "note": "dim italic", "reasoning": "dim italic",
    "title": "cyan", "tool": "magenta", "margin": "dim", "output": "none",
    "status": "dim", "status.mark": "cyan", "status.hint": "dim italic", "status.question": "bold yellow",
    "markdown.code": "cyan", "markdown.code_block": "none", "markdown.block_quote": "dim",
    "markdown.h1": "bold underline", "markdown.h2": "bold", "markdown.h3": "bold",
    "markdown.item.bullet": "cyan", "markdown.item.number": "cyan",
}  # fmt: skip
"""Colours by name, on top of rich's."""

_MAX_BLOCK = 8_000
"""Characters of a block of Markdown that are laid out again with each piece; a longer one is cut."""
_MAX_CONTEXT = 20_000
"""Characters of code that a line is highlighted in the light of."""
_MAX_LINE = 2_000
"""Characters of a line of output that are shown."""
_FENCE = re.compile(r"^ {0,3}(```+|~~~+)", re.M)


class Part(Protocol):
    """A part as it grows."""

    def feed(self, text: str) -> None:
        """The next piece."""

    def ready(self, width: int, *, last: bool) -> list[Text]:
        """Lines that will not change, each given once; with `last`, all that is left."""

    def tail(self, width: int) -> list[Text]:
        """Lines that may yet change."""


def part_for(style: Style, console: Console) -> Part:
    """A new part of a style."""
    if style in ("words", "answer"):
        return MarkdownPart(console)
    if style == "code":
        return CodePart()
    return LinesPart(style)


class MarkdownPart:
    """Blocks that are over are laid out for good; the last one again with each piece."""

    def __init__(self, console: Console) -> None:
        self._console, self._text, self._begun = console, "", False
        self._laid: tuple[str, int, list[Text]] = ("", 0, [])

    def feed(self, text: str) -> None:
        """See `Part`."""
        self._text += text

    def ready(self, width: int, *, last: bool) -> list[Text]:
        """See `Part`."""
        end = len(self._text) if last else _end_of_blocks(self._text)
        block, self._text = self._text[:end], self._text[end:]
        if not block.strip():
            return []
        lines = [*([Text()] if self._begun else []), *self._lay(block, width)]
        self._begun = True
        return lines

    def tail(self, width: int) -> list[Text]:
        """See `Part`."""
        if not self._text.strip():
            return []
        if self._laid[:2] != (self._text, width):
            self._laid = (self._text, width, self._lay(self._text, width))
        return [line.copy() for line in ([Text()] if self._begun else []) + self._laid[2]]

    def _lay(self, text: str, width: int) -> list[Text]:
        options = self._console.options.update(width=width, height=None)
        try:
            lines = self._console.render_lines(_Markdown(_with_breaks(text)), options, pad=False)
        except Exception:   # a model's text can be anything, and must not end a run because of how it looks
            return [Text(line) for line in text.rstrip("\n").split("\n")]
        laid = [_line_of(segments) for segments in lines]
        while laid and not laid[-1].plain:
            laid.pop()
        while laid and not laid[0].plain:
            laid.pop(0)
        # Never nothing: a fence that was only opened, quotes without end
        return laid or [Text(line) for line in text.strip("\n")[:_MAX_LINE].split("\n")]


class CodePart:
    """Whole lines are highlighted for good."""

    def __init__(self) -> None:
        self._syntax = Syntax("", "python", theme="ansi_dark", background_color="default")
        self._before = self._text = ""

    def feed(self, text: str) -> None:
        """See `Part`."""
        self._text += text

    def ready(self, width: int, *, last: bool) -> list[Text]:
        """See `Part`."""
        end = len(self._text) if last else self._text.rfind("\n") + 1
        if not end or (last and not self._text.strip()):
            return []
        piece, self._text = self._text[:end], self._text[end:]
        lines = self._lines(piece.rstrip("\n") if last else piece[:-1], width)
        # Highlighted in its context, as a line may stand inside a long string.
        self._before = self._before + piece if len(self._before) < _MAX_CONTEXT else piece
        return lines

    def tail(self, width: int) -> list[Text]:
        """See `Part`."""
        return self._lines(self._text, width) if self._text.strip() else []

    def _lines(self, piece: str, width: int) -> list[Text]:
        whole = self._syntax.highlight(self._before + piece)
        piece_lines = whole[len(self._before) : len(self._before) + len(piece)].split("\n", allow_blank=True)
        return [line for one in piece_lines for line in _folded(one, "code", width)]


class LinesPart:
    """Lines as they are, with a margin; a carriage return goes back in its line, as progress bars do."""

    def __init__(self, style: Style) -> None:
        self._style: Style = style
        self._lines: list[str] = []
        self._open = ""
        self._blank = 0

    def feed(self, text: str) -> None:
        """See `Part`."""
        for piece in re.split(r"(\n)", text):
            if piece == "\n":
                self._lines.append(self._open)
                self._open = ""
                continue
            # What a carriage return goes back over is seen until something is written there.
            open_, *others = (self._open + piece).split("\r")
            shown = [other for other in others if other]
            self._open = (shown[-1] if shown else open_) + ("\r" if piece.endswith("\r") else "")
            if len(self._open) > 2 * _MAX_LINE:
                self._open = self._open[: 2 * _MAX_LINE]

    def ready(self, width: int, *, last: bool) -> list[Text]:
        """See `Part`."""
        lines, self._lines = self._lines, []
        if last and self._open.strip():
            lines.append(self._open)
            self._open = ""
        laid = []
        for line in lines:
            line = line.rstrip("\r")
            if not line.strip():
                self._blank += 1   # shown when something follows
                continue
            laid += [Text()] * self._blank
            self._blank = 0
            laid += self._lay(line, width)
        return laid

    def tail(self, width: int) -> list[Text]:
        """See `Part`."""
        line = self._open.rstrip("\r")
        return [*[Text()] * self._blank, *self._lay(line, width)] if line.strip() else []

    def _lay(self, line: str, width: int) -> list[Text]:
        if len(line) > _MAX_LINE:
            line = f"{line[:_MAX_LINE]} ... {len(line) - _MAX_LINE:,} more characters"
        return _folded(Text(line.expandtabs(8), self._style), self._style, width)


def _folded(line: Text, style: Style, width: int) -> list[Text]:
    """A line with its margin, broken where the terminal ends; words stay whole where they are words."""
    margin = MARGINS.get(style, "")
    room = max(10, width - len(margin))
    line.rstrip()
    if style in ("reasoning", "note", "title", "said", "fault"):
        parts = list(line.wrap(_CONSOLE, room, overflow="fold"))
    else:
        parts = _cut(line, room)
    return [Text.assemble((margin if part.plain else margin.rstrip(), "margin"), part) for part in parts]


def _cut(line: Text, room: int) -> list[Text]:
    """Pieces of at most so many columns."""
    parts = []
    while line.cell_len > room:
        end, used = 0, 0
        while end < len(line.plain) and (used := used + Text(line.plain[end]).cell_len) <= room:
            end += 1
        head, line = line.divide([max(1, end)])
        parts.append(head)
    return [*parts, line]


_CONSOLE = Console(file=None, width=80, force_terminal=False)
"""`Text.wrap` wants one, for its tabs."""


def _line_of(segments: list[Segment]) -> Text:
    line = Text.assemble(*[(segment.text, segment.style or "") for segment in segments if not segment.control])
    line.rstrip()
    return line


def _end_of_blocks(text: str) -> int:
    """Where the last block begins that may still grow: after a blank line, not in a fence or an item of a list."""
    end, fence, start = 0, "", 0
    lines = text.splitlines(keepends=True)
    for number, line in enumerate(lines):
        if found := _FENCE.match(line):
            if not fence:
                fence = found[1]
            elif found[1].startswith(fence) and not line.strip().strip("`~"):
                fence = ""
        follows = lines[number + 1] if number + 1 < len(lines) else ""
        start += len(line)
        if not fence and not line.strip() and follows[:1].strip():
            end = start
    if not end and len(text) > _MAX_BLOCK:
        end = text.rfind("\n") + 1 or len(text)
    return end


def _with_breaks(text: str) -> str:
    """Lines stay lines: models write them as they want them read. In a fence all is as it stands."""
    pieces, fence = [], False
    for line in text.split("\n"):
        fence ^= bool(_FENCE.match(line))
        pieces.append(line if fence or not line.strip() or _FENCE.match(line) else f"{line}  ")
    return "\n".join(pieces)


class _Heading(Heading):
    """At the left, without a frame."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        self.text.justify = "left"
        yield self.text


class _Markdown(Markdown):
    elements = {**Markdown.elements, "heading_open": _Heading}

    def __init__(self, text: str) -> None:
        super().__init__("", code_theme="ansi_dark", hyperlinks=False)
        # As rich does it, but for HTML, which it would leave out: `list<int>` is meant to be read
        parser = MarkdownIt("commonmark", {"html": False}).enable("strikethrough").enable("table")
        self.markup, self.parsed = text, parser.parse(text)
