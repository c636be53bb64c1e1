"""The JSON format: a model acts by calling one tool at a time, `{"tool": "name", "args": {...}}`.

The same tools as behind code, for comparing the two as the paper does. Nothing a model writes here is run: what comes
out is a name and values. Read as well are other spellings of the same keys, the paper's flat form (the arguments
beside the name), a list of arguments, and objects as Python writes them.

Source: paper sections 2.2 and 2.3, appendix A (examples of the formats).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from codeact.actions import Action, CodeAction, ToolCall
from codeact.formats._blocks import Content, Contents
from codeact.formats._calls import armoured, calls_in_json, json_of, mentions_tool
from codeact.formats._describe import as_lines
from codeact.formats._envelope import named
from codeact.formats._markdown import unfenced
from codeact.formats._spelling import ANSWER_EXAMPLE, EnvelopedFormat
from codeact.protocols import Tool

__all__ = ["JsonFormat", "create"]

_EXAMPLE = '{"tool": "name_of_tool", "args": {"city": "Lisbon", "nights": 2}}'

_FORMS = """\
To call a tool, end your reply with one JSON object:
{action}

To finish, end your reply with:
{answer}"""

_INSTRUCTIONS = """\
You act by calling tools. In each reply, say in a sentence or two what you are going to do, then do one of two things.

{forms}

Call one tool in a reply. After the call you are shown its result, or the error if it failed; then it is your turn \
again. Stop writing when the call is written: do not guess its result, and give no answer in the same reply. If a call \
fails, read the error and correct it."""

_TOOLS = "These are the tools; `args` holds their arguments by name:"


def _clean(body: str) -> str:
    return unfenced(body).strip()


def _complete(text: str) -> bool:
    try:
        return bool(calls_in_json(text)[0])
    except ValueError:
        return False


def _claims(label: str, body: str) -> bool:
    if label and label not in ("json", "json5", "jsonc", "tool_call", "tool", "python", "py", "javascript", "js"):
        return False
    return body.lstrip()[:1] in ("{", "[") and mentions_tool(body)


def _is_bare(text: str) -> bool:
    return text[:1] in ("{", "[") and mentions_tool(text) and _complete(text)


CALL_IN_JSON = Content("tool call", "json", _claims, _clean, _complete, _is_bare)


@dataclass(frozen=True)
class JsonFormat(EnvelopedFormat):
    """Actions are calls of one tool, written as JSON between the marks of an envelope."""

    @property
    def content(self) -> Content:
        """A JSON object."""
        return CALL_IN_JSON

    @property
    def forms(self) -> str:
        """Both forms by example; also what a model is shown when its reply could not be read."""
        return _FORMS.format(
            action=self.envelope.wrap("action", _EXAMPLE, label="json"),
            answer=self.envelope.wrap("answer", ANSWER_EXAMPLE),
        )

    def instructions(self, tools: Sequence[Tool] = ()) -> str:
        """The part of the prompt that teaches the model to act."""
        taught = _INSTRUCTIONS.format(forms=self.forms)
        return "\n\n".join((taught, _TOOLS, as_lines(tools))) if tools else f"{taught}\n\nThere are no tools."

    def _action(self, found: Contents) -> Action:
        (call, *_), rest = calls_in_json(found.body)
        thought = "\n".join(filter(None, (found.thought, call.thought)))
        return replace(call, thought=thought, ignored="\n".join(filter(None, (rest, found.ignored))))

    def _bodies(self, action: CodeAction | ToolCall) -> Iterator[str]:
        if isinstance(action, ToolCall):
            plain = json_of(action)
            yield plain
            # Marks inside of values would end the action.
            yield armoured(plain, "\\u{:04x}")


def create(*, envelope: str = "chat") -> JsonFormat:
    """The JSON format by name; `envelope` is "chat", "mint", "m3tooleval" or "fences".

    Raises:
        ValueError: Unknown envelope.
    """
    return JsonFormat(named(envelope))
