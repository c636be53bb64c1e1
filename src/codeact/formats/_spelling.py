"""What the formats share: from a reply to an action by way of an envelope, and back."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from codeact.actions import Action, Answer, CodeAction, Malformed, Say, ToolCall
from codeact.formats._blocks import Content, Contents, normal
from codeact.formats._envelope import CHAT, Envelope
from codeact.formats._values import plain
from codeact.messages import Call
from codeact.protocols import NativeTool

__all__ = ["ANSWER_EXAMPLE", "EnvelopedFormat"]

ANSWER_EXAMPLE = "the answer, for the user to read"


@dataclass(frozen=True)
class EnvelopedFormat(ABC):
    """An action between the marks of an envelope; each format says what the action itself looks like."""

    envelope: Envelope = CHAT

    @property
    @abstractmethod
    def content(self) -> Content:
        """What stands between the marks."""

    @property
    @abstractmethod
    def forms(self) -> str:
        """Both forms by example; also what a model is shown when its reply could not be read."""

    @property
    def native_tools(self) -> tuple[NativeTool, ...]:
        """No tools of an API: actions are text."""
        return ()

    @property
    def stop(self) -> tuple[str, ...]:
        """Strings at which a reply is over."""
        return self.envelope.stop

    def parse(self, text: str, *, truncated: bool = False, calls: Sequence[Call] = ()) -> Action:
        """Read the action in a reply; never raises."""
        return self._parsed(self.envelope.read(text, self.content, truncated=truncated))

    def spell(self, action: Action) -> str:
        """Write an action the way `parse` reads it; what is `ignored` in it is left out.

        Raises:
            ValueError: This format has no spelling for it, or none that would be read back as the same.
        """
        tidy = _tidy(action)
        for spelled in self._spellings(tidy):
            # Where a stop string stands inside, a model that wrote this would be cut off.
            cut = any(0 <= spelled.find(mark) < len(spelled) - len(mark) for mark in self.stop)
            if not cut and self.parse(spelled) == tidy:
                return spelled
        name = type(action).__name__
        raise ValueError(f"the {self._name} format cannot spell this {name} so that it is read back as the same")

    @property
    def _name(self) -> str:
        return type(self).__module__.rpartition(".")[2]

    def _parsed(self, found: Contents) -> Action:
        match found.kind:
            case "action":
                try:
                    return self._action(found)
                except ValueError as error:
                    return self._malformed(str(error))
            case "answer":
                return Answer(found.body, found.thought)
            case "prose":
                return Say(found.body)
            case "nothing":
                return self._malformed(found.body)

    def _malformed(self, reason: str) -> Malformed:
        return Malformed(f"Your reply could not be used: {reason}.\n\n{self.forms}")

    @abstractmethod
    def _action(self, found: Contents) -> Action:
        """The action in what the envelope found.

        Raises:
            ValueError: It cannot be read; worded for the model.
        """

    def _spellings(self, action: Action) -> Iterator[str]:
        """Ways to write an action, the plainest first."""
        match action:
            case Answer(text, thought):
                yield self.envelope.wrap("answer", text, thought)
            case Say(text):
                yield text
            case CodeAction() | ToolCall():
                for body in self._bodies(action):
                    yield self.envelope.wrap("action", body, action.thought, label=self.content.label)

    def _bodies(self, action: CodeAction | ToolCall) -> Iterator[str]:
        """Ways to write what stands between the marks, the plainest first."""
        return iter(())
def _tidy(action: Action) -> Action:
    """The action as it is read back: without blanks at the ends, values as plain JSON."""
    match action:
        case CodeAction(code, thought):
            return CodeAction(normal(code), normal(thought))
        case ToolCall(name, arguments, thought, positional=positional):
            return ToolCall(name, plain(arguments), normal(thought), positional=tuple(plain(positional)))
        case Answer(text, thought):
            return replace(action, text=normal(text), thought=normal(thought))
        case Say(text):
            return Say(normal(text))
    return action
