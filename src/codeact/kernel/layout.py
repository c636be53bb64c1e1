"""Text in lines: groups of parts that stand on one line together, or each on its own. pretty.py prints values with it.

A writer is told texts, places where a line may break, and which of them belong together. At the end each group that
does not fit into what is left of its line has every break of its own made a new line, from the outside in.

Source: Oppen, "Pretty Printing", TOPLAS 1980, with groups that break as a whole.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any, Iterator, List, Union

from .guard import keep_builtins

__all__ = ["MAX_CHARS", "WIDTH", "Full", "Writer"]

keep_builtins(globals())

WIDTH = 79
MAX_CHARS = 1 << 20
"""Longest text of one value: what a model or a person could want to see of it is far below."""


class Full(Exception):
    """There is text enough."""


class _Group:
    """Parts that stand on one line together, or have every break of theirs made a new line."""

    __slots__ = ("indent", "parts", "flat", "hard")

    def __init__(self, indent: int):
        self.indent = indent
        self.parts: List[Union[str, "_Break", "_Group", None]] = []      # None: a new line in any case
        self.flat = 0       # columns on one line
        self.hard = False   # holds a new line


class _Break:
    __slots__ = ("text",)

    def __init__(self, text: str):
        self.text = text


class Writer:
    """Collects texts, breaks and groups.

    Raises:
        Full: From any method that takes text, once it is longer than `MAX_CHARS`.
    """

    def __init__(self, width: int = WIDTH):
        self.max_width = width
        self._open = [_Group(0)]
        self._size = 0

    def text(self, text: str) -> None:
        group = self._open[-1]
        group.parts.append(text)
        group.flat += len(text)
        self._size += len(text)
        if self._size > MAX_CHARS:
            raise Full

    def breakable(self, sep: str = " ") -> None:
        """Either `sep` or, where the group does not fit, a new line."""
        group = self._open[-1]
        group.parts.append(_Break(sep))
        group.flat += len(sep)

    def break_(self) -> None:
        """A new line in any case; the groups around it do not stay on one line."""
        self._open[-1].parts.append(None)
        for group in self._open:
            group.hard = True

    def begin_group(self, indent: int = 0, open: str = "") -> None:
        if open:
            self.text(open)
        self._open.append(_Group(indent))

    def end_group(self, dedent: int = 0, close: str = "") -> None:
        group = self._open.pop()
        self._open[-1].parts.append(group)
        self._open[-1].flat += group.flat
        if close:
            self.text(close)

    @contextmanager
    def group(self, indent: int = 0, open: str = "", close: str = "") -> Iterator[None]:
        self.begin_group(indent, open)
        yield
        self.end_group(indent, close)

    def abandon(self) -> None:
        """Close what is open after text enough."""
        while len(self._open) > 1:
            self.end_group()

    def finish(self) -> str:
        lines = _Layout(self.max_width)
        root = self._open[0]
        lines.group(root, 0, 0, broken=root.hard or root.flat > self.max_width)
        return "".join(lines.out)


class _Layout:
    """Turns groups into text; `column` is where the next character goes."""

    def __init__(self, width: int):
        self.width = width
        self.out: List[str] = []
        self.column = 0

    def group(self, group: _Group, indent: int, trailing: int, broken: bool) -> None:
        """Write a group; `trailing` columns of text follow it on its last line."""
        indent += group.indent
        parts = group.parts
        for i, part in enumerate(parts):
            if isinstance(part, str):
                self._write(part)
            elif isinstance(part, _Group):
                after = _text_after(parts, i, trailing)
                fits = not part.hard and self.column + part.flat + after <= self.width
                self.group(part, indent, after, broken and not fits)
            elif part is None or broken:
                self.out.append("\n" + " " * indent)
                self.column = indent
            else:
                self._write(part.text)

    def _write(self, text: str) -> None:
        self.out.append(text)
        self.column += len(text)


def _text_after(parts: List[Any], i: int, trailing: int) -> int:
    """Columns between a part and the next place where a line may end."""
    columns = 0
    for part in parts[i + 1:]:
        if not isinstance(part, str):
            return columns
        columns += len(part)
    return columns + trailing
