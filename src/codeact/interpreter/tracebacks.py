"""Lays a failure out as the notebooks of the paper's interpreters did: each frame with the lines around it.

`style.Style` uses it for traceback "notebook". Works on the data that the kernel sent (`Failure.chain`), which is never
trusted: what is not of the expected shape is left out. Source is parsed, not run.

    ---------------------------------------------------------------------------
    ZeroDivisionError                         Traceback (most recent call last)
    Cell In[1], line 4
          1 def f(x):
          2     return 1/x
    ----> 4 f(0)
    ...
    ZeroDivisionError: division by zero

Source: the observations in MINT's records (IPython 8.12, no colours).
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from codeact.interpreter.output import Failure

__all__ = ["notebook_traceback"]

WIDTH = 75
_AROUND = 2         # statements, or their parts, shown before and after a frame's own
_MAX_PARSED = 50_000    # characters of source; hostile text is not worth more of the host's time
_MAX_LINES = 6      # of one statement that is not the frame's own
_CELL = re.compile(r"<cell (\d+)>")
_LINKS = {
    "cause": "The above exception was the direct cause of the following exception:",
    "context": "During handling of the above exception, another exception occurred:",
}


def notebook_traceback(failure: Failure) -> str:
    """The text for one failure, ending in a new line."""
    chain = list(_mappings(failure.chain))
    last = chain[-1] if chain else {}
    if failure.name == "SystemExit":
        return f"An exception has occurred, use %tb to see the full traceback.\n\nSystemExit: {failure.message}\n\n"
    if isinstance(last.get("syntax"), Mapping):
        return _syntax_error(last)
    parts = ["-" * WIDTH + "\n"]
    for error in chain or ({"name": failure.name, "message": failure.message},):
        name, message = str(error.get("name", "")), str(error.get("message", ""))
        if error is last:
            name, message = failure.name, failure.message       # the host may know better: an interrupt was a timeout
        title = "Traceback (most recent call last)"
        parts.append(name + title.rjust(max(WIDTH - len(name), len(title) + 1)) + "\n")
        parts.extend(_frame(frame) + "\n" for frame in _mappings(error.get("frames")))
        parts.append(f"{name}: {message}\n")
        link = _LINKS.get(str(error.get("link")))
        if link:
            parts.append(f"\n{link}\n\n")
    return "".join(parts)


def _mappings(value: object) -> Iterator[Mapping[str, Any]]:
    return (one for one in value if isinstance(one, Mapping)) if isinstance(value, list | tuple) else iter(())


def _syntax_error(error: Mapping[str, Any]) -> str:
    """A cell that cannot be read has no frames; code that another cell read at run time has."""
    syntax = error["syntax"]
    frames = list(_mappings(error.get("frames")))
    parts = ["Traceback (most recent call last):\n\n"] if frames else []
    for frame in frames:
        parts.append(f"  {_place(frame.get('file'), frame.get('line'))}\n    {_own_line(frame).strip()}\n\n")
    parts.append(f"  {_place(syntax.get('file'), syntax.get('line'))}\n")
    text, offset = syntax.get("text"), syntax.get("offset")
    if isinstance(text, str):
        parts.append(f"    {text.strip()}\n")
        if isinstance(offset, int) and 0 < offset < 10_000:
            before = text[:offset - 1].lstrip()
            parts.append("    " + "".join(char if char.isspace() else " " for char in before) + "^\n")
    parts.append(f"{error.get('name')}: {error.get('message')}\n\n")
    return "".join(parts)


def _place(file: object, line: object) -> str:
    cell = _CELL.fullmatch(str(file))
    return f"Cell In[{cell.group(1)}], line {line}" if cell else f"File {file}:{line}"


def _own_line(frame: Mapping[str, Any]) -> str:
    first, lines = _source(frame)
    at = _whole(frame.get("line")) - first
    return lines[at] if 0 <= at < len(lines) else ""


def _frame(frame: Mapping[str, Any]) -> str:
    function = str(frame.get("function") or "")
    head = _place(frame.get("file"), frame.get("line")) + (f", in {function}" if function else "")
    first, lines = _source(frame)
    own = _whole(frame.get("line"))
    text = [head]
    if lines and 0 <= own - first < len(lines):
        shown = _shown_lines(lines, own - first + 1, inside=bool(function))
        margin = _margin([lines[n - 1] for n in shown if n])
        for n in shown:
            if not n:
                text.append("   (...)")
                continue
            number = str(n + first - 1)
            label = "-" * (5 - len(number)) + "> " + number if n == own - first + 1 else number.rjust(7)
            text.append(f"{label} {lines[n - 1][margin:]}")
    text.append("")
    repeats = _whole(frame.get("repeats"))
    if repeats:
        name = function.partition("(")[0] or "<module>"
        text.append(f"    [... skipping similar frames: {name} at line {own} ({repeats} times)]\n")
    return "\n".join(text)


def _source(frame: Mapping[str, Any]) -> tuple[int, list[str]]:
    source = frame.get("source")
    lines = source.get("lines") if isinstance(source, Mapping) else None
    if not isinstance(lines, list):
        return 0, []
    return _whole(source.get("first")) if isinstance(source, Mapping) else 0, [str(line) for line in lines]


def _whole(value: object) -> int:
    return value if type(value) is int else 0


def _margin(lines: Sequence[str]) -> int:
    return min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)


def _shown_lines(lines: list[str], own: int, *, inside: bool) -> list[int]:
    """Numbers of the lines to show, from 1; 0 stands for lines left out."""
    pieces = _pieces(lines, own, inside=inside)
    at = next((i for i, (start, stop) in enumerate(pieces) if start <= own < stop), None)
    if at is None:
        return [own]
    shown: list[int] = []
    for i in range(max(0, at - _AROUND), min(len(pieces), at + _AROUND + 1)):
        numbers = list(range(*pieces[i]))
        if i != at and len(numbers) > _MAX_LINES:
            numbers = numbers[:_MAX_LINES // 2] + [0] + numbers[-(_MAX_LINES // 2 - 1):]
        shown += numbers
    return shown


def _pieces(lines: list[str], own: int, *, inside: bool) -> list[tuple[int, int]]:
    """The ranges of lines of the statements around a line, within its function; headers count for themselves."""
    tree, above = _parse(lines)
    if tree is None:
        return [(n, n + 1) for n, line in enumerate(lines, 1) if line.strip()]
    scope: ast.AST = tree
    start, stop = 1, len(lines) + 1
    if inside:
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                first, last = _range(node)
                if first + above <= own < last + above and first + above >= start:
                    scope, start, stop = node, first + above, last + above
    ranges = [(a + above, b + above) for a, b in _split(scope, start - above, stop - above)]
    return [trimmed for trimmed in (_without_blank_ends(lines, a, b) for a, b in ranges) if trimmed[0] < trimmed[1]]


def _parse(lines: list[str]) -> tuple[ast.Module | None, int]:
    """The tree of a part of a file, and how many lines at its start had to be left out to read it."""
    text = textwrap.dedent("\n".join(lines))
    if len(text) > _MAX_PARSED:
        return None, 0
    try:
        return ast.parse(text), 0
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None, 0


def _range(node: ast.stmt | ast.ExceptHandler | ast.match_case) -> tuple[int, int]:
    """First line, decorators included, and the line after the last."""
    if isinstance(node, ast.match_case):
        return node.pattern.lineno, _range(node.body[-1])[1]
    first = min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", ()))])
    return first, (node.end_lineno or node.lineno) + 1


def _split(node: ast.AST, start: int, stop: int) -> Iterator[tuple[int, int]]:
    """Cut the lines of a node at the statements in it; what stands between them is a piece too."""
    for _, children in ast.iter_fields(node):
        if not isinstance(children, list):
            continue
        for child in children:
            if isinstance(child, ast.stmt | ast.ExceptHandler | ast.match_case):
                first, last = _range(child)
                if last <= start:       # shares a line with the one before
                    continue
                if start < first:
                    yield start, first
                yield from _split(child, max(first, start), last)
                start = last
    if start < stop:
        yield start, stop


def _without_blank_ends(lines: list[str], start: int, stop: int) -> tuple[int, int]:
    while start < stop and not lines[start - 1].strip():
        start += 1
    while start < stop and not lines[stop - 2].strip():
        stop -= 1
    return start, stop
