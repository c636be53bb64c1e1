"""One call of a tool in JSON: all the ways in which models spell the same object."""

import json
import re
from collections.abc import Mapping
from typing import Any

from codeact.actions import ToolCall
from codeact.formats._calls import call_of
from codeact.formats._values import first_object, plain

__all__ = ["REACT", "call_in_json", "json_of", "mentions_tool"]

_TOOL_KEYS = ("tool", "tool_name", "function", "function_name", "action", "name")
_ARGUMENT_KEYS = ("args", "arguments", "parameters", "kwargs", "params", "input", "action_input", "tool_input")
_SURE_KEYS = ("args", "arguments", "parameters", "kwargs")
"""Those that are no names of arguments themselves."""
_BESIDE = {"thought", "reasoning", "id", "type", "call_id"}
_KEY = re.compile(r"[\"'](\w{2,20})[\"']\s{0,5}:")
REACT = re.compile(r"\s*([\w.]+)[ \t]*\n\s*Action[ \t]?Input[ \t]*:[ \t]*", re.I)
"""A name, and its arguments under it: the habit of models that learned from ReAct."""


def call_in_json(text: str) -> tuple[ToolCall, str]:
    """The first call in JSON, and what follows it.

    Raises:
        ValueError: There is none, or the first cannot be read; worded for the model.
    """
    if react := REACT.match(text):
        rest = text[react.end() :].strip()
        if rest[:1] not in ("{", "["):
            return call_of(react[1], rest.split("\n", 1)[0].strip("\"' ") or None), ""
        value, end = first_object(rest)
        return call_of(react[1], value), rest[end:].strip()
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
    return _call_in_object(items[0]), "\n".join(filter(None, (others, rest)))


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
