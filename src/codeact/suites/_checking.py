"""Is a model's answer the expected value? By value, element by element, in the form that was asked for.

Numbers are equal whatever their spelling (5, 5.0), truth values are no numbers, a list is as long as it should be and
in its order. Text is compared as it stands, but for blanks and quotes around it. What a model wrote is data and
hostile: it is never run, and reading it is bounded in length and depth, so that `agrees` always answers.
"""

import ast
import json
import math
import warnings
from collections.abc import Mapping
from typing import Any

__all__ = ["agrees", "read_value", "same"]

_MAX_DEPTH = 20


def agrees(expected: Any, answer: str) -> bool:
    """Whether the text of an answer is the expected value; never raises.

    Args:
        expected: Plain values: text, numbers, truth values, None, lists, tuples, dicts.
    """
    # An answer may be spelled at length, not without end
    if len(answer) > 1000 + 8 * len(repr(expected)):
        return False
    text = answer.strip()
    if isinstance(expected, str):
        return text == expected or _unquoted(text) == expected
    bare = text if isinstance(expected, list | tuple | dict) else _unquoted(text)
    try:
        return same(expected, read_value(bare))
    except ValueError:
        return False


def _unquoted(text: str) -> str:
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "'\"`":
        return text[1:-1].strip()
    return text


def read_value(text: str) -> Any:
    """The value that a text spells, in JSON or as Python writes it.

    Raises:
        ValueError: It spells none, or is nested too deep.
    """
    depth = deepest = 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        deepest = max(deepest, depth)
    if deepest > _MAX_DEPTH:
        raise ValueError("nested too deep")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        with warnings.catch_warnings(action="ignore"):
            return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise ValueError(f"no value: {error}") from None


def same(expected: Any, given: Any) -> bool:
    """Whether two values are the same: types by kind (a list may be given as a tuple), numbers to nine digits."""
    if isinstance(expected, bool) or expected is None or isinstance(expected, str):
        return type(given) is type(expected) and bool(given == expected)
    if isinstance(expected, int | float):
        if isinstance(given, bool) or not isinstance(given, int | float):
            return False
        if isinstance(expected, int) and isinstance(given, int):
            return expected == given
        try:
            return math.isclose(expected, given, rel_tol=1e-9, abs_tol=1e-12)
        except OverflowError:
            return False
    if isinstance(expected, list | tuple):
        return isinstance(given, list | tuple) and len(given) == len(expected) and all(map(same, expected, given))
    if isinstance(expected, Mapping):
        return isinstance(given, Mapping) and given.keys() == expected.keys() and all(
            same(value, given[key]) for key, value in expected.items())
    return False
