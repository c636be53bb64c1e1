"""The JSON format: a model acts by calling one tool at a time, `{"tool": "name", "args": {...}}`.

The same tools as behind code, for comparing the two as the paper does. Read as well are other spellings of the same
keys, the paper's flat form (the arguments beside the name), a list of arguments, and objects as Python writes them.

Source: paper sections 2.2 and 2.3, appendix A (examples of the formats).
"""

from dataclasses import dataclass

from codeact.actions import ToolCall
from codeact.formats._blocks import Content
from codeact.formats._calling import CallFormat, call_content
from codeact.formats._envelope import named
from codeact.formats._json_calls import call_in_json, json_of, mentions_tool

__all__ = ["JsonFormat", "create"]

_LABELS = {"", "json", "json5", "jsonc", "tool_call", "tool", "python", "py", "javascript", "js"}


def _claims(label: str, body: str) -> bool:
    return label in _LABELS and body.lstrip()[:1] in ("{", "[") and mentions_tool(body)


def _is_bare(text: str) -> bool:
    return text[:1] in ("{", "[") and mentions_tool(text) and CALL_IN_JSON.complete(text)


CALL_IN_JSON = call_content("json", call_in_json, _claims, _is_bare)


@dataclass(frozen=True)
class JsonFormat(CallFormat):
    """Actions are calls of one tool, written as JSON between the marks of an envelope."""

    how = "one JSON object"
    example = '{"tool": "name_of_tool", "args": {"city": "Lisbon", "nights": 2}}'
    heading = "These are the tools; `args` holds their arguments by name, or those of `*args` as a list:"
    escape = "\\u{:04x}"

    @property
    def content(self) -> Content:
        """A JSON object."""
        return CALL_IN_JSON

    def _read(self, body: str) -> tuple[ToolCall, str]:
        return call_in_json(body)

    def _written(self, call: ToolCall) -> str:
        return json_of(call)


def create(*, envelope: str = "chat") -> JsonFormat:
    """The JSON format by name; `envelope` is "chat", "mint", "m3tooleval" or "fences".

    Raises:
        ValueError: Unknown envelope.
    """
    return JsonFormat(named(envelope))
