"""The text format: a model acts by calling one tool at a time, `tool, 1, "two", key="three"`.

The same tools as behind code, for comparing the two as the paper does. Values are literals, and a piece that is no
literal is text, as the paper writes it. The form of a call in Python, `tool(1, key="three")`, is read as well, with
literals only.

Source: paper sections 2.2 and 2.3, appendix A (examples of the formats).
"""

from dataclasses import dataclass

from codeact.actions import ToolCall
from codeact.formats._blocks import Content
from codeact.formats._calling import CallFormat, call_content
from codeact.formats._envelope import named
from codeact.formats._text_calls import call_in_text, starts_call, text_of

__all__ = ["TextFormat", "create"]

_LABELS = {"", "text", "txt", "plaintext", "python", "py"}


def _claims(label: str, body: str) -> bool:
    return label in ("tool", "tool_call") or (label in _LABELS and starts_call(body))


def _is_bare(text: str) -> bool:
    return False


CALL_IN_TEXT = call_content("tool", call_in_text, _claims, _is_bare)


@dataclass(frozen=True)
class TextFormat(CallFormat):
    """Actions are calls of one tool, written as text between the marks of an envelope."""

    how = "its name and its arguments, divided by commas"
    with_what = ", with values and no expressions; text stands in quotes"
    example = 'name_of_tool, "Lisbon", nights=2'
    heading = "These are the tools:"
    escape = "\\x{:02x}"

    @property
    def content(self) -> Content:
        """A line of text."""
        return CALL_IN_TEXT

    def _read(self, body: str) -> tuple[ToolCall, str]:
        return call_in_text(body)

    def _written(self, call: ToolCall) -> str:
        return text_of(call)


def create(*, envelope: str = "chat") -> TextFormat:
    """The text format by name; `envelope` is "chat", "mint", "m3tooleval" or "fences".

    Raises:
        ValueError: Unknown envelope.
    """
    return TextFormat(named(envelope))
