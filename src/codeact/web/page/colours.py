"""Code in colours, in time by its length: what reads a language with regular expressions can be made to take hours.

All of this is done in the server's event loop, and the code comes from anybody's cell or from a model.
"""

from __future__ import annotations

from functools import lru_cache

from pygments import highlight  # type: ignore[import-untyped]
from pygments.formatters import HtmlFormatter  # type: ignore[import-untyped]
from pygments.lexer import inherit  # type: ignore[import-untyped]
from pygments.lexers import PythonLexer, get_lexer_by_name  # type: ignore[import-untyped]
from pygments.token import Whitespace  # type: ignore[import-untyped]
from pygments.util import ClassNotFound  # type: ignore[import-untyped]

__all__ = ["block", "python", "style_sheet"]

MAX_OTHERS = 4000
"""Characters of all languages but `_QUICK` in one text: twice as many take four times as long."""
_QUICK = frozenset((
    "bash", "css", "diff", "docker", "go", "json", "julia", "php", "r", "ruby", "rust", "scala", "sh", "sql", "swift",
    "tex", "toml"))
"""Tried with 40,000 characters of many kinds."""
_PYTHON = frozenset(("python", "py", "python3", "py3", "ipython"))
_FORMAT = HtmlFormatter(cssclass="codehilite")


class _Python(PythonLexer):  # type: ignore[misc]
    """Where many lines are blank but for spaces, the rule for docstrings looks through all of them at each."""

    tokens = {"root": [(r"[^\S\n]+\n", Whitespace), inherit]}


@lru_cache(maxsize=1)
def style_sheet() -> str:
    """Light and dark."""
    light = HtmlFormatter(nobackground=True, style="xcode").get_style_defs(".codehilite")
    dark = HtmlFormatter(nobackground=True, style="github-dark").get_style_defs(".body--dark .codehilite")
    return f"{light}\n{dark}"


def python(code: str) -> str:
    """Python as HTML."""
    return str(highlight(code, _Python(stripnl=False), _FORMAT))


def block(code: str, language: str, room: int = MAX_OTHERS) -> tuple[str | None, int]:
    """Code of a language that somebody named, as HTML.

    Args:
        room: How many characters of a language that may take long are left to be read.

    Returns:
        The HTML, None where it is not to be had in colours; and the room that is left.
    """
    name = language.lower()
    if name in _PYTHON:
        return python(code), room
    if name not in _QUICK:
        if len(code) > room:
            return None, room
        room -= len(code)
    try:
        lexer = get_lexer_by_name(name, stripnl=False)
    except ClassNotFound:
        return None, room
    return str(highlight(code, lexer, _FORMAT)), room
