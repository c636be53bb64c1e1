"""The session's variables for the host's program: the kernel's table, checked. Backends call `checked`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from codeact.interpreter.outcome import Outcome

__all__ = ["ANSWER_SECONDS", "Variable", "checked"]

ANSWER_SECONDS = 10.0
"""For the whole table; the kernel itself spends at most two on code of the user's."""

MAX_ROWS = 1000
MAX_TEXT = 200
MAX_PREVIEW = 80


@dataclass(frozen=True)
class Variable:
    """One variable of a session. What is not cheaply known is None."""

    name: str
    type: str
    """As the user knows it: "DataFrame", "int", "function", "class"."""
    shape: tuple[int, ...] | None
    """Of arrays and tables."""
    length: int | None
    """Of texts and containers."""
    size: int | None
    """Bytes, contents of containers left out."""
    preview: str
    """At most 80 characters, on one line."""


def checked(outcome: Outcome) -> list[Variable] | None:
    """The table in a kernel's answer; None where there is none. Rows that make no sense are left out.

    Past 1000 variables the last row is named "..." and says how many are missing.
    """
    text = (outcome.value or {}).get("application/json")
    if outcome.dead or not isinstance(text, str):
        return None
    try:
        table = json.loads(text)
    except (ValueError, RecursionError):
        return None
    rows = table.get("rows") if isinstance(table, dict) else None
    if not isinstance(rows, list):
        return None
    found = [variable for row in rows[:MAX_ROWS] if (variable := _variable(row)) is not None]
    more = table.get("more")
    if type(more) is int and more > 0:
        found.append(Variable("...", "", None, None, None, f"{more} more variables"))
    return found


def _variable(row: Any) -> Variable | None:
    if not isinstance(row, list) or len(row) != 6:
        return None
    name, kind, shape, length, size, preview = row
    if not all(isinstance(text, str) for text in (name, kind, preview)):
        return None
    if shape is not None and not (isinstance(shape, list) and len(shape) <= 64 and all(map(_is_count, shape))):
        return None
    if any(count is not None and not _is_count(count) for count in (length, size)):
        return None
    return Variable(_line(name, MAX_TEXT), _line(kind, MAX_TEXT), None if shape is None else tuple(shape), length, size,
                    _line(preview, MAX_PREVIEW))


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 63


def _line(text: str, width: int) -> str:
    """A terminal shows this: no control characters, and no half of a character."""
    return "".join(char if char.isprintable() else "?" for char in text[:width])
