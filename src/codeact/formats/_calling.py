"""What the formats without code share: one call of a tool in a reply, described, read and spelled.

Nothing a model writes in these formats is run: what comes out is a name and values.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from codeact.actions import Action, CodeAction, ToolCall
from codeact.formats._blocks import Content, Contents
from codeact.formats._calls import armoured
from codeact.formats._describe import as_lines
from codeact.formats._markdown import unfenced
from codeact.formats._spelling import ANSWER_EXAMPLE, EnvelopedFormat
from codeact.protocols import Tool

__all__ = ["CallFormat", "Reader", "call_content"]

Reader = Callable[[str], tuple[ToolCall, str]]
"""Reads a call and what follows it; a ValueError is worded for the model."""

_FORMS = """\
To call a tool, end your reply with {how}:
{action}

To finish, end your reply with:
{answer}"""

_INSTRUCTIONS = """\
You act by calling tools. In each reply, say in a sentence or two what you are going to do, then do one of two things.

{forms}

Call one tool in a reply{with_what}. After the call you are shown its result, or the error if it failed; then it is \
your turn again. Stop writing when the call is written: do not guess its result, and give no answer in the same reply. \
If a call fails, read the error and correct it.

{tools}"""


@dataclass(frozen=True)
class CallFormat(EnvelopedFormat):
    """Actions are calls of one tool between the marks of an envelope; `json` and `text` say how a call is written."""

    how: ClassVar[str]
    """As in "end your reply with ..."."""
    with_what: ClassVar[str] = ""
    """As in "call one tool in a reply ..."."""
    example: ClassVar[str]
    heading: ClassVar[str]
    """Stands above the tools."""
    escape: ClassVar[str]
    """How a character is escaped in a string of a call."""

    @property
    def forms(self) -> str:
        """Both forms by example; also what a model is shown when its reply could not be read."""
        return _FORMS.format(
            how=self.how,
            action=self.envelope.wrap("action", self.example, label=self.content.label),
            answer=self.envelope.wrap("answer", ANSWER_EXAMPLE),
        )

    def instructions(self, tools: Sequence[Tool] = ()) -> str:
        """The part of the prompt that teaches the model to act."""
        told = f"{self.heading}\n\n{as_lines(tools)}" if tools else "There are no tools."
        return _INSTRUCTIONS.format(forms=self.forms, with_what=self.with_what, tools=told)

    def _action(self, found: Contents) -> Action:
        call, rest = self._read(found.body)
        thought = "\n".join(filter(None, (found.thought, call.thought)))
        return replace(call, thought=thought, ignored="\n".join(filter(None, (rest, found.ignored))))

    def _bodies(self, action: CodeAction | ToolCall) -> Iterator[str]:
        if isinstance(action, ToolCall):
            written = self._written(action)
            yield written
            # Marks inside of values would end the action.
            yield armoured(written, self.escape)

    @abstractmethod
    def _read(self, body: str) -> tuple[ToolCall, str]:
        """The call that stands between the marks, and what follows it; a ValueError is worded for the model."""

    @abstractmethod
    def _written(self, call: ToolCall) -> str:
        """The call as it stands between the marks; a ValueError if it has no spelling."""


def call_content(
    label: str, reader: Reader, claims: Callable[[str, str], bool], is_bare: Callable[[str], bool]
) -> Content:
    """A call as the content of an envelope."""

    def complete(text: str) -> bool:
        try:
            reader(text)
        except ValueError:
            return False
        return True

    return Content("tool call", label, claims, _clean, complete, is_bare)


def _clean(body: str) -> str:
    return unfenced(body).strip()
