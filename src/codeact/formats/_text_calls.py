"""One call of a tool in text: as the paper writes it, with commas, or as Python does."""

import ast
import json
import re
import warnings
from typing import Any

from codeact.actions import ToolCall
from codeact.formats._calls import NAME, call_of, shown
from codeact.formats._json_calls import REACT, call_in_json
from codeact.formats._python import plain_quotes
from codeact.formats._values import literal, plain, value_of

__all__ = ["call_in_text", "starts_call", "text_of"]

_MAX_TEXT_CHARS = 200_000
_MAX_ARGUMENTS = 1000


def call_in_text(text: str) -> tuple[ToolCall, str]:
    """The call in `tool, 1, key="x"` or `tool(1, key="x")`, and what follows it.

    Raises:
        ValueError: It cannot be read; worded for the model.
    """
    text = text.strip()
    if len(text) > _MAX_TEXT_CHARS:
        raise ValueError("the call in it is too long")
    if REACT.match(text):
        return call_in_json(text)
    name = NAME.match(text)
    if not name:
        raise ValueError("it does not begin with the name of a tool")
    after = text[name.end() :].lstrip(" \t")
    if after.startswith("("):
        return _called(text)
    line, _, rest = after.partition("\n")
    pieces, broken = _pieces(line)
    if broken and rest:
        pieces, broken = _pieces(after)
        rest = ""
    if broken:
        raise ValueError("a quote or a bracket in it is not closed")
    if pieces[0].strip():
        raise ValueError("after the name of the tool there is no comma")
    return _listed(name[0], pieces[1:]), rest.strip()


def _called(text: str) -> tuple[ToolCall, str]:
    """`tool(1, key="x")`, the first of several."""
    for tried in (text, plain_quotes(text)):
        lines = tried.split("\n")
        for candidate, rest in ((tried, ""), (lines[0], "\n".join(lines[1:]))):
            try:
                with warnings.catch_warnings(action="ignore"):
                    body = ast.parse(candidate).body
            except (SyntaxError, ValueError, MemoryError, RecursionError):
                continue
            if isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Call):
                after = "\n".join(candidate.split("\n")[body[0].end_lineno or 1 :])
                try:
                    return _of_node(body[0].value), f"{after}\n{rest}".strip()
                except RecursionError:
                    raise ValueError("an argument in it is nested too deep") from None
            raise ValueError("it is no call of one tool")
    raise ValueError("the call in it cannot be read: a quote or a bracket is missing, or text stands without quotes")


def _of_node(node: ast.Call) -> ToolCall:
    if any(given.arg is None for given in node.keywords) or any(isinstance(item, ast.Starred) for item in node.args):
        raise ValueError("arguments must be written out one by one")
    named = {given.arg: value_of(given.value) for given in node.keywords}
    return call_of(ast.unparse(node.func), [value_of(item) for item in node.args], named)


def _listed(name: str, pieces: list[str]) -> ToolCall:
    """`tool, 1, key: x`: a piece that is no value is text, as the paper writes it."""
    if len(pieces) > _MAX_ARGUMENTS:
        raise ValueError("the call in it has too many arguments")
    positional: list[Any] = []
    named: dict[str, Any] = {}
    for piece in map(str.strip, pieces if not pieces or pieces[-1].strip() else pieces[:-1]):
        if not piece:
            raise ValueError("an argument in it is empty")
        keyed = re.match(r"([^\W\d]\w*)[ \t]*(?:=(?!=)|:(?=\s|\Z))\s*", piece)
        if keyed:
            if keyed[1] in named:
                raise ValueError(f"the argument {keyed[1]} is given twice")
            if keyed.end() == len(piece):
                raise ValueError(f"the argument {keyed[1]} has no value")
            named[keyed[1]] = _piece(piece[keyed.end() :])
        elif named:
            raise ValueError("an argument without a name follows one with a name; put text that holds commas in quotes")
        else:
            positional.append(_piece(piece))
    return call_of(name, positional, named)


def _piece(text: str) -> Any:
    for tried in (text, plain_quotes(text)):
        try:
            return literal(tried)
        except ValueError as error:
            if tried[0] + tried[-1] in ("{}", "[]"):
                raise
            if tried[0] in "'\"":
                raise ValueError(f"{shown(text)} is no text in quotes") from error
    return text


def _pieces(text: str) -> tuple[list[str], bool]:
    """Split at commas outside of quotes and brackets; and whether one of those is left open.

    A quote counts where a value begins; elsewhere it is an apostrophe.
    """
    pieces, begun, position, depth = [], 0, 0, 0
    at_start, quote = True, ""
    while position < len(text):
        character = text[position]
        if quote:
            if character == "\\":
                position += 1
            elif text.startswith(quote, position):
                position += len(quote) - 1
                quote = ""
        elif character in "\"'" and at_start:
            quote = character * 3 if text.startswith(character * 3, position) else character
            position += len(quote) - 1
        elif character in "([{":
            depth += 1
        elif character in ")]}":
            depth = max(0, depth - 1)
        elif character == "," and not depth:
            pieces.append(text[begun:position])
            begun = position + 1
        if not character.isspace():
            at_start = character in ",=:([{"
        position += 1
    pieces.append(text[begun:])
    return pieces, bool(quote) or depth > 0


def starts_call(text: str) -> bool:
    """Whether a text without marks looks like a call by its first line: `tool(...)` or `tool, ...`."""
    first = text.strip().split("\n", 1)[0]
    return re.match(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*[ \t]{0,3}(?:\(.*\)\Z|\(\Z|,)", first[:2000]) is not None


def text_of(call: ToolCall) -> str:
    """The call as text, its values as Python writes them.

    Raises:
        ValueError: A value in it has no JSON.
    """
    given = [_written(value) for value in plain(call.positional)]
    named = [f"{key}={_written(value)}" for key, value in plain(call.arguments).items()]
    return ", ".join([call.name, *given, *named])


def _written(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) and value.isprintable() else repr(value)
