"""One call of a tool, read out of JSON or out of text.

A call that is read is a name, dotted perhaps, and values: nothing here or later runs what a model wrote in these forms
as code. What cannot be read raises a `ValueError` that is worded for the model.
"""

import ast
import json
import keyword
import re
import warnings
from collections.abc import Mapping
from typing import Any

from codeact.actions import ToolCall
from codeact.formats._python import plain_quotes
from codeact.formats._values import first_object, literal, plain, value_of

__all__ = ["armoured", "call_in_text", "call_of", "calls_in_json", "json_of", "mentions_tool", "starts_call", "text_of"]

_TOOL_KEYS = ("tool", "tool_name", "function", "function_name", "action", "name")
_ARGUMENT_KEYS = ("args", "arguments", "parameters", "kwargs", "params", "input", "action_input", "tool_input")
_SURE_KEYS = ("args", "arguments", "parameters", "kwargs")
_BESIDE = {"thought", "reasoning", "id", "type", "call_id"}
_MAX_TEXT_CHARS = 200_000
_KEY = re.compile(r"[\"'](\w{2,20})[\"']\s{0,5}:")
_STRING = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"", re.S)
_NAME = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")
_REACT = re.compile(r"\s*([\w.]+)[ \t]*\n\s*Action[ \t]?Input[ \t]*:[ \t]*", re.I)


def call_of(name: Any, arguments: Any = None, more: Any = None, thought: str = "") -> ToolCall:
    """A call of what was read: arguments by name, by place, or just one.

    Raises:
        ValueError: The name or the arguments are not usable; worded for the model.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name.strip()):
        raise ValueError(f"{_shown(name)} is no name of a tool")
    if any(keyword.iskeyword(part) for part in name.strip().split(".")):
        raise ValueError(f"{_shown(name)} is no name of a tool")
    if isinstance(arguments, str) and arguments.strip()[:1] in ("{", "["):
        # APIs write the object of arguments as a text.
        try:
            arguments = json.loads(arguments, strict=False)
        except (ValueError, RecursionError):
            pass
    named: dict[str, Any] = {}
    positional: tuple[Any, ...] = ()
    for given in (arguments, more):
        if isinstance(given, Mapping):
            named.update(given)
        elif isinstance(given, list | tuple):
            positional += tuple(given)
        elif given is not None:
            positional += (given,)
    for key in named:
        if not isinstance(key, str) or not key.isidentifier():
            raise ValueError(f"{_shown(key)} is no name of an argument")
    return ToolCall(name.strip(), plain(named), thought, positional=tuple(plain(positional)))


def calls_in_json(text: str) -> tuple[list[ToolCall], str]:
    """The calls in one or several JSON objects, and the text after the first.

    Raises:
        ValueError: There is none, or the first cannot be read; worded for the model.
    """
    if react := _REACT.match(text):
        rest = text[react.end() :].strip()
        if rest[:1] not in ("{", "["):
            return [call_of(react[1], rest.split("\n", 1)[0].strip("\"' ") or None)], ""
        value, end = first_object(rest)
        return [call_of(react[1], value)], rest[end:].strip()
    start = min((place for place in (text.find("{"), text.find("[{")) if place >= 0), default=-1)
    if start < 0:
        raise ValueError("there is no JSON object in it")
    value, end = first_object(text, start)
    rest = text[end:].strip().removeprefix("```").strip()
    if isinstance(value, Mapping) and isinstance(value.get("tool_calls"), list):
        value = value["tool_calls"]
    items = value if isinstance(value, list) else [value]
    if not items:
        raise ValueError("the list in it is empty")
    others = "\n".join(json.dumps(item) for item in items[1:])
    calls = [_call_in_object(items[0])]
    return calls, "\n".join(filter(None, (others, rest)))


def _call_in_object(value: Any) -> ToolCall:
    if not isinstance(value, Mapping):
        raise ValueError("the JSON in it is no object")
    for outer in ("function", "tool_call", "function_call"):
        if isinstance(value.get(outer), Mapping):
            return _call_in_object(value[outer])
    name_key = next((key for key in _TOOL_KEYS if key in value), None)
    if name_key is None:
        raise ValueError('the object in it has no key "tool"')
    given = [key for key in _ARGUMENT_KEYS if key in value and key != name_key]
    others = set(value) - {name_key, *given}
    thought = value.get("thought", "")
    thought = thought.strip() if isinstance(thought, str) else ""
    if given and others <= _BESIDE and len(given) <= 2:
        arguments, *more = (value[key] for key in given)
        return call_of(value[name_key], arguments, more[0] if more else None, thought)
    if any(key in _SURE_KEYS and isinstance(value[key], Mapping | list) for key in given):
        unknown = ", ".join(sorted(others - _BESIDE)[:5]) or ", ".join(given)
        raise ValueError(f"the object in it has keys that are not understood: {unknown}")
    # The paper's flat form: the arguments stand beside the name.
    return call_of(value[name_key], {key: item for key, item in value.items() if key != name_key})


def call_in_text(text: str) -> tuple[ToolCall, str]:
    """The call in `tool, 1, key="x"` or `tool(1, key="x")`, and what follows it.

    Raises:
        ValueError: It cannot be read; worded for the model.
    """
    text = text.strip()
    if len(text) > _MAX_TEXT_CHARS:
        raise ValueError("the call in it is too long")
    if _REACT.match(text):
        calls, rest = calls_in_json(text)
        return calls[0], rest
    name = _NAME.match(text)
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
                return _of_node(body[0].value), f"{after}\n{rest}".strip()
            raise ValueError("it is no call of one tool")
    raise ValueError("the call in it cannot be read: a quote or a bracket is missing, or text stands without quotes")


def _of_node(node: ast.Call) -> ToolCall:
    if any(given.arg is None for given in node.keywords) or any(isinstance(item, ast.Starred) for item in node.args):
        raise ValueError("arguments must be written out one by one")
    named = {given.arg: value_of(given.value) for given in node.keywords}
    return call_of(ast.unparse(node.func), [value_of(item) for item in node.args], named)


def _listed(name: str, pieces: list[str]) -> ToolCall:
    """`tool, 1, key: x`: a piece that is no value is text, as the paper writes it."""
    positional: list[Any] = []
    named: dict[str, Any] = {}
    for piece in pieces:
        piece = piece.strip()
        if not piece and piece is pieces[-1].strip():
            continue
        keyed = re.match(r"([^\W\d]\w*)[ \t]*(?:=(?!=)|:(?=\s|\Z))\s*", piece)
        if keyed:
            if keyed[1] in named:
                raise ValueError(f"the argument {keyed[1]} is given twice")
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
        except ValueError:
            if tried[:1] in ("'", '"', "{"):
                break
    if text[:1] in ("'", '"'):
        raise ValueError(f"the quotes of {_shown(text)} are not closed where the argument ends")
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
            elif character == quote:
                quote = ""
        elif character in "\"'" and at_start:
            quote = character
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


def mentions_tool(text: str) -> bool:
    """Whether a text has the keys of a call; a `name` alone may be that of anything."""
    keys = {found[1] for found in _KEY.finditer(text)}
    named = keys & {*_TOOL_KEYS, "tool_calls", "tool_call", "function_call"}
    return bool(named - {"name"}) or bool(named and keys & set(_ARGUMENT_KEYS))


def json_of(call: ToolCall, *, tool: str = "tool", args: str = "args") -> str:
    """The call as one JSON object.

    Raises:
        ValueError: A value in it has no JSON.
    """
    named, positional = plain(call.arguments), plain(call.positional)
    written: dict[str, Any] = {tool: call.name}
    if positional:
        written[args] = positional
        if named:
            written["kwargs"] = named
    else:
        written[args] = named
    return json.dumps(written, ensure_ascii=False)


def text_of(call: ToolCall) -> str:
    """The call as text, its values as Python writes them.

    Raises:
        ValueError: A value in it has no JSON.
    """
    given = [repr(value) for value in plain(call.positional)]
    return ", ".join([call.name, *given, *(f"{key}={value!r}" for key, value in plain(call.arguments).items())])


def armoured(spelled: str, escape: str) -> str:
    """A spelled call whose strings hold no marks of an envelope: what could be part of one is escaped.

    Args:
        escape: How the language of the call escapes a character, as a format: `\\x{:02x}`.
    """
    def armour(found: re.Match[str]) -> str:
        text = found[0].replace("End Action", f"End{escape.format(ord(' '))}Action")
        return "".join(escape.format(ord(one)) if one in "<`:" else one for one in text)

    return _STRING.sub(armour, spelled)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
