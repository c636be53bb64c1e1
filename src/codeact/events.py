"""What can be watched while a rollout runs: one union, carried alike by the terminal, `--json` and files.

`rollout`, models and environments make events; whoever passed `observe` receives them, in order, in the thread that
runs the rollout. Watching is not steering: an observer cannot change the run, and what it raises ends it.

`Turn` is an event too. It lives in `trajectory.py`, which therefore stands above this file.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from codeact.trajectory import Bundle, Stop, Trajectory, Turn, plain

__all__ = [
    "Approval",
    "Code",
    "Display",
    "Ended",
    "Event",
    "Note",
    "Observer",
    "Output",
    "Started",
    "Text",
    "ToolCalled",
    "Turn",
    "ignore",
]


@dataclass(frozen=True)
class Started:
    """A rollout begins; the trajectory has the prompt, and earlier turns if it goes on from some."""

    trajectory: Trajectory

    def to_json(self) -> dict[str, Any]:
        """The first line of a trajectory file; where it goes on from turns above it, the line that says so."""
        return self.trajectory.going_on()


@dataclass(frozen=True)
class Text:
    """A piece of the model's reply, as it is written."""

    text: str
    channel: Literal["reply", "reasoning", "call"] = "reply"
    """`call`: the code of a native tool call."""

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
class Approval:
    """Somebody is asked whether a tool may be called, or has decided; the cell waits in between."""

    tool: str
    arguments: Mapping[str, str]
    """Each argument by its name, as a short preview: for the eye, not to be read back."""
    granted: bool | None = None
    """None while it is asked."""

    def to_json(self) -> dict[str, Any]:
        """Spell as plain JSON values."""
        return {"type": "approval", "tool": self.tool, "arguments": dict(self.arguments), "granted": self.granted}


@dataclass(frozen=True)
class ToolCalled:
    """A running cell called a tool and has its answer."""

    tool: str
    arguments: Mapping[str, str]
    """As in `Approval`."""
    error: str | None = None
    """`Type: message` where the call failed."""
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Spell as plain JSON values."""
        spelled = {"tool": self.tool, "arguments": dict(self.arguments), "error": self.error, "seconds": self.seconds}
        return {"type": "tool_called", **spelled}


@dataclass(frozen=True)
class Note:
    """A word of the program itself to whoever watches: it waits to try again, shortened the conversation, ..."""

    text: str

    def to_json(self) -> dict[str, Any]:
        """Spell as plain JSON values."""
        return {"type": "note", "text": self.text}


@dataclass(frozen=True)
class Ended:
    """The rollout is over."""

    stop: Stop

    def to_json(self) -> dict[str, Any]:
        """The last line of a trajectory file."""
        return {"type": "end", "stop": self.stop}


Event = Started | Text | Code | Output | Display | Approval | ToolCalled | Note | Turn | Ended
Observer = Callable[[Event], None]


def ignore(event: Event) -> None:
    """Watch nothing."""
