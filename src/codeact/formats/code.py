"""The code format: a model acts by writing Python, the paper's own way.

`ChatEnvironment` uses it; `create` makes it by name. The text that teaches the format stands here, beside the parser
and the stop strings, so that the three agree.

Source: paper section 2.1.
"""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from codeact.actions import Action, Answer, CodeAction, Malformed, Say
from codeact.formats.envelope import CHAT, MINT, Envelope
from codeact.messages import Call
from codeact.protocols import NativeTool, Tool

__all__ = ["CodeFormat", "create"]

_FORMS = """\
To run Python, end your reply with:
{action}

To finish, end your reply with:
{answer}"""

_INSTRUCTIONS = """\
You act by writing Python. In each reply, say in a sentence or two what you are going to do, then do one of two things.

{forms}

After code you are shown what it printed, the value of its last expression, and the traceback if it failed; then it is \
your turn again. Stop writing when the code is written: do not guess its output, and give no answer in the same reply. \
If code fails, read the traceback and correct it."""

_TOOLS = "These functions are defined already; call them in your code, without importing them:"


@dataclass(frozen=True)
class CodeFormat:
    """Actions are Python code, between the marks of an envelope."""

    envelope: Envelope = CHAT
    native_tools: tuple[NativeTool, ...] = ()

    @property
    def stop(self) -> tuple[str, ...]:
        """Strings at which a reply is over."""
        return self.envelope.stop

    @property
    def forms(self) -> str:
        """Both forms by example; also what a model is shown when its reply could not be read."""
        return _FORMS.format(
            action=self.envelope.wrap("action", 'print("hello")'),
            answer=self.envelope.wrap("answer", "the answer, for the user to read"),
        )

    def instructions(self, tools: Sequence[Tool] = ()) -> str:
        """The part of the prompt that teaches the model to act."""
        taught = _INSTRUCTIONS.format(forms=self.forms)
        return "\n\n".join((taught, _TOOLS, *map(_described, tools))) if tools else taught

    def parse(self, text: str, *, truncated: bool = False, calls: Sequence[Call] = ()) -> Action:
        """Read the action in a reply; never raises."""
        found = self.envelope.read(text, truncated=truncated)
        match found.kind:
            case "action":
                return CodeAction(found.body, found.thought, found.ignored)
            case "answer":
                return Answer(found.body, found.thought)
            case "prose":
                return Say(found.body)
            case "nothing":
                return Malformed(f"Your reply could not be used: {found.body}.\n\n{self.forms}")

    def spell(self, action: Action) -> str:
        """Write an action the way `parse` reads it.

        Raises:
            ValueError: This format has no spelling for it.
        """
        match action:
            case CodeAction(code, thought):
                return self.envelope.wrap("action", code, thought)
            case Answer(text, thought):
                return self.envelope.wrap("answer", text, thought)
            case Say(text):
                return text
        raise ValueError(f"the code format cannot spell {type(action).__name__}")


def _described(tool: Tool) -> str:
    head, doc = f"def {tool.name}{tool.signature}:", tool.doc.strip()
    if not doc:
        return f"{head} ..."
    end = "\n" if "\n" in doc else ""
    return head + "\n" + textwrap.indent(f'"""{doc}{end}"""', "    ")


def create(*, envelope: str = "chat") -> CodeFormat:
    """The code format by name; `envelope` is "chat" or "mint".

    Raises:
        ValueError: Unknown envelope.
    """
    envelopes = {"chat": CHAT, "mint": MINT}
    if envelope not in envelopes:
        raise ValueError(f"unknown envelope {envelope!r}; available: {', '.join(envelopes)}")
    return CodeFormat(envelopes[envelope])
