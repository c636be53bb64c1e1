"""The text format: a model acts by calling one tool at a time, `tool, 1, "two", key="three"`.

The same tools as behind code, for comparing the two as the paper does. Nothing a model writes here is run: values are
literals, and a piece that is no literal is text, as the paper writes it. The form of a call in Python,
`tool(1, key="three")`, is read as well, with literals only.

Source: paper sections 2.2 and 2.3, appendix A (examples of the formats).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from codeact.actions import Action, CodeAction, ToolCall
from codeact.formats._blocks import Content, Contents
from codeact.formats._calls import armoured, call_in_text, starts_call, text_of
from codeact.formats._describe import as_lines
from codeact.formats._envelope import named
from codeact.formats._markdown import unfenced
from codeact.formats._spelling import ANSWER_EXAMPLE, EnvelopedFormat
from codeact.protocols import Tool

__all__ = ["TextFormat", "create"]

_EXAMPLE = 'name_of_tool, "Lisbon", nights=2'

_FORMS = """\
To call a tool, end your reply with its name and its arguments, divided by commas:
{action}

To finish, end your reply with:
{answer}"""

_INSTRUCTIONS = """\
You act by calling tools. In each reply, say in a sentence or two what you are going to do, then do one of two things.

{forms}

Call one tool in a reply, with values and no expressions; text stands in quotes. After the call you are shown its \
result, or the error if it failed; then it is your turn again. Stop writing when the call is written: do not guess its \
result, and give no answer in the same reply. If a call fails, read the error and correct it."""

_TOOLS = "These are the tools:"


def _clean(body: str) -> str:
    return unfenced(body).strip()


def _complete(text: str) -> bool:
    try:
        return bool(call_in_text(text))
    except ValueError:
        return False


def _claims(label: str, body: str) -> bool:
    if label and label not in ("text", "txt", "plaintext", "tool", "tool_call", "python", "py"):
        return False
    return starts_call(body)


def _is_bare(text: str) -> bool:
    return False


CALL_IN_TEXT = Content("tool call", "text", _claims, _clean, _complete, _is_bare)


@dataclass(frozen=True)
class TextFormat(EnvelopedFormat):
    """Actions are calls of one tool, written as text between the marks of an envelope."""

    @property
    def content(self) -> Content:
        """A line of text."""
        return CALL_IN_TEXT

    @property
    def forms(self) -> str:
        """Both forms by example; also what a model is shown when its reply could not be read."""
        return _FORMS.format(
            action=self.envelope.wrap("action", _EXAMPLE, label="text"),
            answer=self.envelope.wrap("answer", ANSWER_EXAMPLE),
        )

    def instructions(self, tools: Sequence[Tool] = ()) -> str:
        """The part of the prompt that teaches the model to act."""
        taught = _INSTRUCTIONS.format(forms=self.forms)
        return "\n\n".join((taught, _TOOLS, as_lines(tools))) if tools else f"{taught}\n\nThere are no tools."

    def _action(self, found: Contents) -> Action:
        call, rest = call_in_text(found.body)
        return replace(call, thought=found.thought, ignored="\n".join(filter(None, (rest, found.ignored))))

    def _bodies(self, action: CodeAction | ToolCall) -> Iterator[str]:
        if isinstance(action, ToolCall):
            plain = text_of(action)
            yield plain
            # Marks inside of values would end the action.
            yield armoured(plain, "\\x{:02x}")


def create(*, envelope: str = "chat") -> TextFormat:
    """The text format by name; `envelope` is "chat", "mint", "m3tooleval" or "fences".

    Raises:
        ValueError: Unknown envelope.
    """
    return TextFormat(named(envelope))
