"""The right verdict on an answer: values are compared, not their spelling.

What the prompt asks for is the bare value as Python prints it. Beyond that, what cannot be mistaken is taken too:

- numbers by value: `1480`, `1480.0`, `1.48e3`; a difference of one part in 10**9 is rounding. No unit, currency sign or
  thousands separator: the prompt rules them out, and `1,110` in a list would be two numbers. Where the task asks for so
  many decimals, the value rounded to these is right as well as the whole one;
- text to the letter, case included; quotes and blanks around it do not count;
- truth values in any case;
- lists and tuples element by element, in order, in any brackets or none; dictionaries by item, in any order.
"""

import ast
import math
import re
import warnings
from typing import Any

__all__ = ["agrees"]

_MAX_CHARS = 10_000
"""Longer ones are wrong: no answer of the suite is near it."""
_TOLERANCE = 1e-9
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_WORDS = {"true": True, "false": False}
_BRACKETS = ("[]", "()", "{}")


def agrees(expected: Any, answer: str, *, decimals: int | None = None) -> bool:
    """Whether an answer has the expected value; never raises.

    Args:
        decimals: How many the task asks for in a number; None: it does not say.
    """
    if len(answer) > _MAX_CHARS:
        return False
    return _text_agrees(expected, answer) or (decimals is not None and _rounds_to(expected, _bare(answer), decimals))


def _rounds_to(expected: Any, text: str, decimals: int) -> bool:
    """Whether it is the expected number with no more decimals than these; a half may go either way."""
    if not isinstance(expected, float) or not _NUMBER.fullmatch(text):
        return False
    value = float(text)
    return value == round(value, decimals) and abs(value - expected) <= 0.5 * 10.0**-decimals * (1 + _TOLERANCE)


def _text_agrees(expected: Any, answer: str) -> bool:
    text = _bare(answer)
    match expected:
        case bool():
            return _WORDS.get(text.casefold()) is expected
        case int() | float():
            return _number_agrees(expected, text)
        case str():
            return expected.strip() in (answer.strip(), text)
        case list() | tuple():
            found = _literal(text)
            if isinstance(found, list | tuple):
                return len(found) == len(expected) and all(map(_value_agrees, expected, found))
            pieces = _pieces(text)
            return len(pieces) == len(expected) and all(map(_text_agrees, expected, pieces))
        case dict():
            found = _literal(text)
            if isinstance(found, dict):
                return _value_agrees(expected, found)
            items = [piece.partition(":") for piece in _pieces(text)]
            named = {_bare(key): value for key, _, value in items}
            same_keys = len(items) == len(expected) and named.keys() == expected.keys()
            return same_keys and all(_text_agrees(expected[key], named[key]) for key in named)
    return False


def _value_agrees(expected: Any, value: Any) -> bool:
    """The same for what was read as a literal; text in it may hold any value."""
    match value:
        case str():
            return _text_agrees(expected, value)
        case bool():
            return value is expected
        case int() | float():
            return isinstance(expected, int | float) and not isinstance(expected, bool) and _close(expected, value)
        case list() | tuple() if isinstance(expected, list | tuple):
            return len(value) == len(expected) and all(map(_value_agrees, expected, value))
        case dict() if isinstance(expected, dict):
            return value.keys() == expected.keys() and all(_value_agrees(expected[key], value[key]) for key in value)
    return False


def _number_agrees(expected: float, text: str) -> bool:
    found = _NUMBER.fullmatch(text)
    return found is not None and _close(expected, float(text))


def _close(expected: float, value: float) -> bool:
    try:
        return value == expected or math.isclose(value, expected, rel_tol=_TOLERANCE)
    except OverflowError:  # a whole number that no float can hold
        return False


def _bare(text: str) -> str:
    """Without blanks around it, and without a pair of quotes."""
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        text = text[1:-1].strip()
    return text


def _literal(text: str) -> Any:
    """The value of a literal of Python; None if it is none."""
    try:
        with warnings.catch_warnings(action="ignore"):
            return ast.literal_eval(text)
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
        return None


def _pieces(text: str) -> list[str]:
    """What stands between commas, brackets around all of it left out."""
    if text[:1] + text[-1:] in _BRACKETS:
        text = text[1:-1]
    return text.split(",") if text.strip() else []
