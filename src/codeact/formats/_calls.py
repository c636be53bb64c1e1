"""One call of a tool, whatever it is read out of: its name and its values are checked here.

A call that is read is a name, dotted perhaps, and values: nothing here or later runs what a model wrote in these forms
as code. What cannot be read raises a `ValueError` that is worded for the model.
"""

import json
import keyword
import re
from collections.abc import Mapping
from typing import Any

from codeact.actions import ToolCall
from codeact.formats._values import plain

__all__ = ["NAME", "armoured", "call_of", "shown"]

NAME = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")
"""Of a tool; dotted, where it is in a module."""
_STRING = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"", re.S)


def call_of(name: Any, arguments: Any = None, more: Any = None, thought: str = "") -> ToolCall:
    """A call of what was read: arguments by name, by place, or just one.

    Raises:
        ValueError: The name or the arguments are not usable; worded for the model.
    """
    if not isinstance(name, str) or not NAME.fullmatch(name.strip()):
        raise ValueError(f"{shown(name)} is no name of a tool")
    if any(keyword.iskeyword(part) for part in name.strip().split(".")):
        raise ValueError(f"{shown(name)} is no name of a tool")
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
            raise ValueError(f"{shown(key)} is no name of an argument")
    return ToolCall(name.strip(), plain(named), thought, positional=tuple(plain(positional)))


def armoured(spelled: str, escape: str) -> str:
    """A spelled call whose strings hold no marks of an envelope: what could be part of one is escaped.

    Args:
        escape: How the language of the call escapes a character, as a format: `\\x{:02x}`.
    """
    def armour(found: re.Match[str]) -> str:
        text = found[0].replace("End Action", f"End{escape.format(ord(' '))}Action")
        return "".join(escape.format(ord(one)) if one in "<`:" else one for one in text)

    return _STRING.sub(armour, spelled)


def shown(value: Any) -> str:
    """A value for a message, shortened."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
