"""Values of arguments as models write them in text: JSON, or literals of Python; nothing is ever evaluated.

What comes out is plain JSON (text, numbers, true, false, null, lists, objects), so that a call can be kept in a file,
and small enough to be shown and spelled again. Everything else is refused with a `ValueError` that says why.
"""

import ast
import json
import math
import warnings
from collections.abc import Mapping
from typing import Any

__all__ = ["first_object", "literal", "plain", "value_of"]

_MAX_DEPTH = 40
_MAX_INT_BITS = 4096
_MAX_LITERAL_CHARS = 200_000
_WORDS = {"true": True, "false": False, "null": None}
_BRACKETS = {"{": "}", "[": "]", "(": ")"}


def plain(value: Any, depth: int = 0) -> Any:
    """The value as plain JSON: tuples become lists.

    Raises:
        ValueError: It has no JSON of its own, or is too deep.
    """
    if depth > _MAX_DEPTH:
        raise ValueError(f"a value in it is nested more than {_MAX_DEPTH} deep")
    match value:
        case None | bool() | str():
            return value
        case int():
            if value.bit_length() > _MAX_INT_BITS:
                raise ValueError("a number in it is too large")
            return value
        case float():
            if not math.isfinite(value):
                raise ValueError("infinity and NaN are no values that can be passed")
            return value
        case list() | tuple():
            return [plain(item, depth + 1) for item in value]
        case Mapping():
            if not all(isinstance(key, str) for key in value):
                raise ValueError("the keys of an object must be texts in quotes")
            return {key: plain(item, depth + 1) for key, item in value.items()}
    raise ValueError(f"a value of type {type(value).__name__} cannot be passed; use text, numbers, lists and objects")


def literal(text: str) -> Any:
    """A value written in Python or JSON.

    Raises:
        ValueError: It is something else.
    """
    if len(text) > _MAX_LITERAL_CHARS:
        raise ValueError("it is too long")
    try:
        with warnings.catch_warnings(action="ignore"):
            return plain(value_of(ast.parse(text.strip(), mode="eval").body))
    except (SyntaxError, MemoryError, RecursionError):
        raise ValueError(f"{_shown(text)} is no value; put text in quotes") from None


def value_of(node: ast.expr) -> Any:
    """The value of a literal in parsed Python.

    Raises:
        ValueError: It is no literal; nothing is evaluated.
    """
    match node:
        case ast.Constant(value):
            return value
        case ast.Name(name) if name in _WORDS:
            return _WORDS[name]
        case ast.UnaryOp(ast.USub() | ast.UAdd() as sign, ast.Constant(int() | float() as value)):
            return -value if isinstance(sign, ast.USub) else value
        case ast.List(items) | ast.Tuple(items):
            return [value_of(item) for item in items]
        case ast.Dict(keys, values) if None not in keys:
            return {value_of(key): value_of(value) for key, value in zip(keys, values, strict=True) if key}
    raise ValueError(f"{_shown(ast.unparse(node))} is no value; put text in quotes, and compute nothing")


def first_object(text: str, start: int = 0) -> tuple[Any, int]:
    """The JSON object or list that begins at a place, and where it ends; written as in Python, it counts as well.

    Raises:
        ValueError: There is none, or it cannot be read.
    """
    try:
        return json.JSONDecoder(strict=False, parse_constant=_no_constant).raw_decode(text, start)
    except RecursionError:
        raise ValueError(f"a value in it is nested more than {_MAX_DEPTH} deep") from None
    except ValueError as error:
        end = _end_of(text, start)
        if not end:
            raise ValueError(f"it is not complete: {error}") from None
        try:
            return literal(text[start:end]), end
        except (ValueError, TypeError):
            raise ValueError(f"it is no JSON: {error}") from None


def _no_constant(name: str) -> Any:
    raise ValueError("infinity and NaN are no values that can be passed")


def _end_of(text: str, start: int) -> int:
    """Where the bracket that begins at a place is closed; 0 if it is not."""
    open_brackets: list[str] = []
    quote, position = "", start
    while position < len(text):
        character = text[position]
        if quote:
            if character == "\\":
                position += 1
            elif character == quote:
                quote = ""
        elif character in "\"'":
            quote = character
        elif character in _BRACKETS:
            open_brackets.append(_BRACKETS[character])
        elif character in ")]}":
            if not open_brackets or open_brackets.pop() != character:
                return 0
            if not open_brackets:
                return position + 1
        position += 1
    return 0


def _shown(text: str) -> str:
    text = " ".join(text[:80].split())
    return repr(text if len(text) <= 40 else f"{text[:40]}...")
