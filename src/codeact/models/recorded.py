"""A model that says again what a recorded one said, and notes where it is asked something else than that one was.

    codeact --model recorded:run.jsonl "the same task"
    RecordedModel(trajectory)

With it a run can be replayed over the real interpreter: a change of a prompt, a format or the interpreter shows as the
first message that differs. What it is asked plays no part in what it says.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from codeact.errors import Cancelled, ConfigError, ModelError, TrajectoryError
from codeact.events import Note, Observer, Text
from codeact.messages import Completion, Message
from codeact.protocols import NativeTool, Stopper
from codeact.trajectory import Trajectory, load

__all__ = ["Difference", "RecordedModel", "create"]

_AROUND_CHARS = 60


@dataclass(frozen=True)
class Difference:
    """Where a prompt is not the recorded one."""

    n_turn: int
    """The turn whose prompt it was, from 1."""
    n_message: int
    """The message in it, from 1."""
    recorded: str
    """What stood there, around the first character that differs; empty where there was no such message."""
    now: str
    """What stands there now."""

    def __str__(self) -> str:
        return (f"turn {self.n_turn}, message {self.n_message} differs from the recorded one:\n"
                f"  recorded: {self.recorded!r}\n  now:      {self.now!r}")  # fmt: skip


class RecordedModel:
    """Gives the completions of a trajectory in order.

    Args:
        trajectory: The recorded one.
        strict: A prompt that differs is an error, not a note.
    """

    name = "recorded"

    remembers = True
    """It is of one conversation: each needs one of its own."""

    def __init__(self, trajectory: Trajectory, *, strict: bool = False) -> None:
        self.trajectory = trajectory
        self.strict = strict
        self.n_given = 0
        self.difference: Difference | None = None
        """The first one found."""
        # What each turn was asked, from the front: messages only grow.
        self._lengths = [len(trajectory.prompt)]
        for turn in trajectory.turns:
            self._lengths.append(self._lengths[-1] + len(turn.messages))

    def complete(
        self,
        messages: Sequence[Message],
        *,
        stop: Sequence[str],
        tools: Sequence[NativeTool] = (),
        observe: Observer,
        cancel: Stopper,
    ) -> Completion:
        """The next completion; see `protocols.Model`.

        Raises:
            ModelError: All have been given; or, with `strict`, the prompt differs.
        """
        turns = self.trajectory.turns
        if self.n_given >= len(turns):
            raise ModelError(f"the recording has {len(turns)} replies and all have been given")
        if cancel.stop:
            raise Cancelled
        if self.difference is None and (found := self._compare(messages)):
            self.difference = found
            if self.strict:
                raise ModelError(str(found))
            observe(Note(str(found)))
        done = turns[self.n_given].completion
        self.n_given += 1
        if done.reasoning:
            observe(Text(done.reasoning, "reasoning"))
        observe(Text(done.text))
        return done

    def _compare(self, messages: Sequence[Message]) -> Difference | None:
        expected = self.trajectory.messages[: self._lengths[self.n_given]]
        for at in range(max(len(expected), len(messages))):
            one = expected[at] if at < len(expected) else None
            other = messages[at] if at < len(messages) else None
            if one and other and (one.role, one.content) == (other.role, other.content):
                continue
            return Difference(self.n_given + 1, at + 1, *_where(_words(one), _words(other)))
        return None


def _words(message: Message | None) -> str:
    return f"{message.role}: {message.content}" if message else ""


def _where(one: str, other: str) -> tuple[str, str]:
    """Both texts around the first character that differs."""
    at = next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    start = max(0, at - _AROUND_CHARS)
    return one[start : at + _AROUND_CHARS], other[start : at + _AROUND_CHARS]


def create(path: str, *, number: int = 0, strict: bool = False) -> RecordedModel:
    """A trajectory of a file.

    Args:
        number: Which one, from 0; negative from the end.

    Raises:
        ConfigError: The file cannot be read, or holds no such trajectory.
    """
    if not path:
        raise ConfigError("which recording? write its path after the colon, as in recorded:run.jsonl")
    try:
        found = load(Path(path))
    except OSError as error:
        raise ConfigError(f"cannot read the recording {path}: {error.strerror}") from None
    except TrajectoryError as error:
        raise ConfigError(f"cannot read the recording {error}") from None
    if not found:
        raise ConfigError(f"{path} holds no trajectory; `codeact --save FILE` and `--json` write one")
    try:
        return RecordedModel(found[number], strict=strict)
    except IndexError:
        raise ConfigError(f"{path} holds {len(found)} trajectories, from 0; there is no number {number}") from None
