"""What an agent and its user have said, exchange by exchange: what `Agent.undo` takes back, and what is said next.

An exchange is a message of the user's and all turns on it. This file knows no interpreter and no model; it says how
many cells an undo is about, and the agent takes them back.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

from codeact.errors import ConfigError
from codeact.messages import Image, Message
from codeact.trajectory import Stop, Trajectory

__all__ = ["Conversation", "Exchange", "Undone"]


_MAX_TASK_CHARS, _MAX_EARLIER_CHARS = 2_000, 200
_MAX_TASKS = 20
_MAX_VARIABLES = 40


@dataclass(frozen=True)
class Undone:
    """What was taken back."""

    tasks: tuple[str, ...]
    """What the user had asked, oldest first."""
    lost: tuple[str, ...]
    """What of the interpreter's state could not be brought back, in words."""


@dataclass
class Exchange:
    """A message of the user's and all that was done on it."""

    task: str
    n_turns: int
    """Turns before it."""
    n_cells: int = 0
    """Cells run in it."""


class Conversation:
    """A trajectory, and where in it the user spoke.

    Args:
        trajectory: One to go on with.
    """

    def __init__(self, trajectory: Trajectory | None = None) -> None:
        self.trajectory = trajectory
        self.exchanges: list[Exchange] = list(_exchanges(trajectory)) if trajectory else []
        self.aside: list[str] = []
        """What the model is told before the next task."""

    @property
    def n_turns(self) -> int:
        """Turns so far."""
        return len(self.trajectory.turns) if self.trajectory else 0

    @property
    def unanswered(self) -> bool:
        """Whether there is a task under way that has come to no answer."""
        if self.trajectory is None or self.trajectory.stop is Stop.ANSWER:
            return False
        last = self.trajectory.turns[-1] if self.trajectory.turns else None
        # What came after it may have been taken back
        return last is None or last.reply is not None or last.observation.stop is not Stop.ANSWER

    def say(
        self, task: str | None, images: Sequence[Image], prompt: Callable[[], Sequence[Message]], about: dict[str, Any]
    ) -> Trajectory:
        """The conversation with what the user says now.

        Args:
            task: None goes on where a limit or an interruption ended the last one.
            prompt: Makes the first messages, where there are none yet; the last of them is the user's.

        Raises:
            ConfigError: There is nothing to go on with.
        """
        before = self.trajectory
        if task is None and not self.unanswered:
            raise ConfigError("there is nothing to go on with: say what to do")
        said = "\n\n".join((*self.aside, *([task] if task else [])))
        if before is None:
            *first, last = prompt()
            trajectory = Trajectory((*first, replace(last, content=said, images=tuple(images))), about=about)
        else:
            trajectory = before.reply(said, images) if said or images else replace(before, stop=None)
        self.aside.clear()
        if task is not None:
            self.exchanges.append(Exchange(task, self.n_turns))
        self.trajectory = trajectory
        return trajectory

    def ran_a_cell(self) -> None:
        """A cell belongs to the exchange under way, or to the last one."""
        if not self.exchanges:
            self.exchanges.append(Exchange("", 0))
        self.exchanges[-1].n_cells += 1

    def last(self, n: int) -> list[Exchange]:
        """The last exchanges; all of them, where their first words are in the prompt."""
        taken = self.exchanges[-n:]
        return self.exchanges[:] if taken and not taken[0].n_turns else taken

    def n_within(self, n_cells: int) -> int:
        """How many of the last exchanges have run no more cells than these."""
        sums = accumulate(exchange.n_cells for exchange in reversed(self.exchanges))
        return sum(n <= n_cells for n in sums)

    def last_images(self) -> tuple[Image, ...]:
        """The pictures that went with the last task."""
        if self.trajectory is None or not self.exchanges:
            return ()
        n_turns = self.exchanges[-1].n_turns
        said = self.trajectory.turns[n_turns - 1].reply if n_turns else self.trajectory.prompt[-1]
        return said.images if said else ()

    def told_instead(self, variables: Sequence[Any]) -> str:
        """What a model should know of turns that are no longer sent: what was asked, what the interpreter holds.

        Args:
            variables: As `Interpreter.variables` gives them.
        """
        lines = ["Variables in the interpreter now:"] if variables else []
        for one in variables[:_MAX_VARIABLES]:
            shape = f" {one.shape}" if one.shape is not None else f" of length {one.length}" if one.length else ""
            lines.append(f"- {one.name}: {one.type}{shape}, {one.preview}")
        lines += [f"- and {len(variables) - _MAX_VARIABLES} more"] if len(variables) > _MAX_VARIABLES else []
        earlier = [exchange.task for exchange in self.exchanges[1:] if exchange.task]  # the first is in the prompt
        if len(earlier) > _MAX_TASKS:
            lines.append(f"The user has asked {len(earlier)} more things since the first; the last of them:")
        lines += [f"The user had asked: {_start(task, _MAX_EARLIER_CHARS)}" for task in earlier[-_MAX_TASKS:-1]]
        # The words themselves may be among what is left out.
        lines += [f"The user now asks: {_start(task, _MAX_TASK_CHARS)}" for task in earlier[-1:]]
        return "\n".join(lines)

    def take_back(self, taken: Sequence[Exchange]) -> None:
        """As if the last exchanges had not been."""
        n_turns = taken[0].n_turns
        del self.exchanges[-len(taken) :]
        self.aside.clear()
        self.trajectory = self.trajectory.cut(n_turns) if self.trajectory and n_turns else None


def _exchanges(trajectory: Trajectory) -> Iterator[Exchange]:
    exchange = Exchange(str(trajectory.about.get("task") or ""), 0)
    for at, turn in enumerate(trajectory.turns, start=1):
        exchange.n_cells += turn.observation.status != "none"
        if turn.reply:
            yield exchange
            exchange = Exchange(turn.reply.content, at)
    yield exchange


def _start(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}..."
