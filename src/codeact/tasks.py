"""Tasks with known answers, and what a suite of them must provide; evaluations and data generation run them.

A suite is one file or folder of `codeact/suites/`, found by its name. It gives tasks, the tools of each, a prompt and a
check; formats, the interpreter, the loop and the report are the same for all. `environments/task.py` puts a task to a
model, `evals/` runs many.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from codeact.messages import Message

__all__ = ["Settings", "Suite", "Task"]


@dataclass(frozen=True)
class Task:
    """One problem whose answer is known."""

    id: str
    """Unique in its suite, as `family/name`; the same in every run."""
    family: str
    """What is reported together."""
    instruction: str
    """What the model is asked."""
    expected: Any
    """The right answer, of plain values: text, numbers, truth values, None, lists, tuples, dicts."""
    about: Mapping[str, Any] = field(default_factory=dict)
    """What else its suite needs of it; plain JSON values."""


@dataclass(frozen=True)
class Settings:
    """How a suite wants to be run; the command line may say otherwise, a run's manifest keeps what was used."""

    max_turns: int = 10
    """Completions for one task, wrong answers included."""
    max_answers: int | None = None
    """Answers for one task, the last of them right or not; None: as many as there are turns."""
    max_reply_tokens: int | None = 512
    """Tokens of one reply; None: as the model's server has it."""
    temperature: float | None = 0.0
    """None: as the model's server has it."""
    envelope: str = "chat"
    """The marks around actions and answers (`formats/_envelope.py`)."""
    style: str = "default"
    """How results are worded (`interpreter/style.py`)."""
    timeout_seconds: float = 60.0
    """Wall clock of one cell."""


class Suite(Protocol):
    """A benchmark. Used from many threads at once, so its methods keep nothing of one task for the next.

    A suite's module has `create(**options) -> Suite`, and `add_flags(parser)` if it takes options; they are plain
    values, so that another machine can make the same suite of them.
    """

    @property
    def name(self) -> str:
        """As it is called on the command line."""

    @property
    def version(self) -> str:
        """Changes with every change of a task, tool, prompt or check: results of two versions are not compared."""

    @property
    def settings(self) -> Settings:
        """How it is run unless told otherwise."""

    @property
    def checkers(self) -> Sequence[str]:
        """What judges an answer, by name; the first one's verdict ends a run."""

    def tasks(self) -> Sequence[Task]:
        """All tasks, always in the same order.

        Raises:
            ConfigError: Their data is not at hand; the message says how to get it.
        """

    def tools(self, task: Task) -> Sequence[Callable[..., Any]]:
        """The task's tools, made anew: what one run does to them is not seen by another."""

    def prompt(self, task: Task, instructions: str) -> Sequence[Message]:
        """What the model first sees.

        Args:
            instructions: How to act and which tools there are, in the words of the run's format.
        """

    def check(self, task: Task, answer: str) -> Mapping[str, bool]:
        """Each checker's verdict; never raises, whatever the model wrote."""
