"""What can be watched while a rollout runs: one union, carried alike by the terminal, `--json` and files.

`rollout`, models and environments make events; whoever passed `observe` receives them, in order, in the thread that
runs the rollout. Watching is not steering: an observer cannot change the run, and what it raises ends it.

`Turn` is an event too. It lives in `trajectory.py`, which therefore stands above this file.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from codeact.trajectory import Bundle, Stop, Trajectory, Turn, plain

__all__ = ["Code", "Display", "Ended", "Event", "Observer", "Output", "Started", "Text", "Turn", "ignore"]


@dataclass(frozen=True)
class Started:
    """A rollout begins; the trajectory has the prompt, and earlier turns if it goes on from some."""

    trajectory: Trajectory

    def to_json(self) -> dict[str, Any]:
        """The first line of a trajectory file."""
        return self.trajectory.head()


@dataclass(frozen=True)
class Text:
    """A piece of the model's reply, as it is written."""

    text: str
    channel: Literal["reply", "reasoning"] = "reply"

    def to_json(self) -> dict[str, Any]:
        """Spell as plain JSON values."""
        return {"type": "text", "text": self.text, "channel": self.channel}


@dataclass(frozen=True)
class Code:
    """A cell is about to run."""

    code: str

    def to_json(self) -> dict[str, Any]:
        """Spell as plain JSON values."""
        return {"type": "code", "code": self.code}


@dataclass(frozen=True)
class Output:
    """What a cell wrote, as it is written; its value and its error at the end."""

    text: str
    stream: Literal["stdout", "stderr", "value", "error"] = "stdout"

    def to_json(self) -> dict[str, Any]:
        """Spell as plain JSON values."""
        return {"type": "output", "text": self.text, "stream": self.stream}


@dataclass(frozen=True)
class Display:
    """A rich output of a cell: a figure, a table."""

    bundle: Bundle

    def to_json(self) -> dict[str, Any]:
        """Spell as plain JSON values; bytes become base64."""
        return {"type": "display", "bundle": plain(self.bundle)}


@dataclass(frozen=True)
class Ended:
    """The rollout is over."""

    stop: Stop

    def to_json(self) -> dict[str, Any]:
        """The last line of a trajectory file."""
        return {"type": "end", "stop": self.stop}


Event = Started | Text | Code | Output | Display | Turn | Ended
Observer = Callable[[Event], None]


def ignore(event: Event) -> None:
    """Watch nothing."""
