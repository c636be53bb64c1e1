"""The code format: a model acts by writing Python, the paper's own way.

`ChatEnvironment` uses it; `create` makes it by name. The text that teaches the format stands here, beside the parser
and the stop strings, so that the three agree.

Source: paper section 2.1.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from codeact.actions import Action, CodeAction, ToolCall
from codeact.formats._blocks import Content, Contents
from codeact.formats._describe import as_functions
from codeact.formats._envelope import named
from codeact.formats._python import PYTHON, mended
from codeact.formats._spelling import ANSWER_EXAMPLE, EnvelopedFormat
from codeact.protocols import Tool

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


@dataclass(frozen=True)
class CodeFormat(EnvelopedFormat):
    """Actions are Python code, between the marks of an envelope."""

    @property
    def content(self) -> Content:
        """Python."""
        return PYTHON

    @property
    def forms(self) -> str:
        """Both forms by example; also what a model is shown when its reply could not be read."""
        return _FORMS.format(
            action=self.envelope.wrap("action", 'print("hello")', label=PYTHON.label),
            answer=self.envelope.wrap("answer", ANSWER_EXAMPLE),
        )

    def instructions(self, tools: Sequence[Tool] = ()) -> str:
        """The part of the prompt that teaches the model to act."""
        taught = _INSTRUCTIONS.format(forms=self.forms)
        return f"{taught}\n\n{as_functions(tools)}" if tools else taught

    def _action(self, found: Contents) -> Action:
        code = found.body if self.envelope.strict else mended(found.body)
        return CodeAction(code, found.thought, found.ignored)

    def _bodies(self, action: CodeAction | ToolCall) -> Iterator[str]:
        if isinstance(action, CodeAction):
            yield action.code


def create(*, envelope: str = "chat") -> CodeFormat:
    """The code format by name; `envelope` is "chat", "mint", "m3tooleval" or "fences".

    Raises:
        ValueError: Unknown envelope.
    """
    return CodeFormat(named(envelope))
