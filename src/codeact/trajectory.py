"""The record of a conversation: a prompt, turns, and why it stopped. At once log, chat history and training example.

`rollout` makes one; `messages` is what the model reads, derived from it. A trajectory only grows: each method returns a
longer one. As a file it is lines of JSON: one `start` with the prompt, one `turn` each, one `end`; several may follow
one another in a file. A line `continue` cuts the last one back to a number of turns and may add what the user said
next; back to none, with nothing said, the first message is taken back too. So a conversation that went on, or from
which turns were taken back, is whole in its file, and every line ever written is still there. Lines of the other events
(see `events.py`) are skipped, so what `codeact --json` prints is itself such a file.

Nothing here removes secrets: what a user or a cell wrote is kept as written. Keys of model back-ends never get here,
because no value of this file holds one.
"""

import base64
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from codeact.actions import Action, Answer, Say, action_from_json, action_to_json
from codeact.errors import TrajectoryError
from codeact.messages import Completion, Image, Message, Usage

__all__ = ["Bundle", "Observation", "Stop", "Trajectory", "Turn", "load", "parse", "plain", "rich", "sum_usage"]

Bundle = Mapping[str, str | bytes]
"""One rich output: MIME type to text or bytes."""

VERSION = 1
_WATCHED_ONLY = {"text", "code", "output", "display", "tool_called", "approval", "note"}
_SEEN = ("image/png", "image/jpeg", "image/gif", "image/webp")
"""The pictures that models read."""
_NOT_RUN = "[this call was not run]"
_TOGETHER = "[this call was taken together with the first one: the result stands there]"



class Stop(StrEnum):
    """Why a rollout ended."""

    ANSWER = "answer"
    """The model answered, or spoke to the user."""
    TURN_LIMIT = "turn_limit"
    TIME_LIMIT = "time_limit"
    TOKEN_LIMIT = "token_limit"
    COST_LIMIT = "cost_limit"
    CONTEXT_LIMIT = "context_limit"
    """The conversation no longer fits the model."""
    CANCELLED = "cancelled"
    STUCK = "stuck"
    """The model repeated itself, also after it had been told."""


@dataclass(frozen=True)
class Observation:
    """What came back for one action, from the environment or the user."""

    text: str
    """What the model is shown."""
    stop: Stop | None = None
    """Set when the action ended the rollout."""
    status: str = "ok"
    """How the cell ended: ok, error, timeout, died, ...; `none` when no cell was run."""
    outputs: tuple[Bundle, ...] = ()
    """Rich outputs in order; the text names them."""
    files: tuple[str, ...] = ()
    """Files the cell created or changed, relative to the workspace."""

    @property
    def images(self) -> tuple[Image, ...]:
        """The pictures among the outputs, for models that see."""
        found = (next(((mime, one[mime]) for mime in _SEEN if isinstance(one.get(mime), bytes)), None)
                 for one in self.outputs)
        return tuple(Image(mime, data) for mime, data in filter(None, found) if isinstance(data, bytes))


@dataclass(frozen=True)
class Turn:
    """One completion, the action in it and the observation that followed. Also an event."""

    completion: Completion
    action: Action
    observation: Observation
    seconds: float = 0.0
    """Wall clock from asking the model to having the observation."""
    reply: Message | None = None
    """What the user said next, where the rollout had ended with this turn."""

    @cached_property
    def messages(self) -> tuple[Message, ...]:
        """What this turn adds to the conversation."""
        done, seen = self.completion, self.observation
        said = Message("assistant", done.text, calls=done.calls, reasoning=done.reasoning)
        told: tuple[Message, ...] = () if seen.stop is Stop.ANSWER else (Message("user", seen.text, seen.images),)
        if done.calls:
            # An API wants an answer to each call, whatever became of the reply.
            first, *others = done.calls
            answer = replace(told[0] if told else Message("user", _NOT_RUN), call_id=first.id)
            told = (answer, *(Message("user", _TOGETHER, call_id=call.id) for call in others))
        elif told and self.reply:
            # Two messages of one role in a row are refused by many chat templates.
            text = f"{seen.text}\n\n{self.reply.content}".strip()
            return (said, Message("user", text, (*seen.images, *self.reply.images)))
        return (said, *told, self.reply) if self.reply else (said, *told)

    def to_json(self) -> dict[str, Any]:
        """Spell as one line of a trajectory file."""
        seen = self.observation
        observation = {
            "text": seen.text,
            "stop": seen.stop,
            "status": seen.status,
            "outputs": [plain(bundle) for bundle in seen.outputs],
            "files": list(seen.files),
        }
        spelled = {
            "type": "turn",
            "completion": self.completion.to_json(),
            "action": action_to_json(self.action),
            "observation": observation,
            "seconds": self.seconds,
        }
        return spelled | ({"reply": self.reply.to_json()} if self.reply else {})

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote; `KeyError`, `TypeError` or `ValueError` if it is not that."""
        seen = dict(data["observation"])
        if not isinstance(seen["text"], str):
            raise TypeError("the text of an observation must be a string")
        observation = Observation(
            text=seen["text"],
            stop=Stop(seen["stop"]) if seen.get("stop") else None,
            status=seen.get("status", "ok"),
            outputs=tuple(rich(bundle) for bundle in seen.get("outputs", ())),
            files=tuple(seen.get("files", ())),
        )
        completion = Completion.from_json(data["completion"])
        reply = Message.from_json(data["reply"]) if data.get("reply") else None
        action, seconds = action_from_json(data["action"]), float(data.get("seconds", 0.0))
        return cls(completion, action, observation, seconds, reply)


@dataclass(frozen=True)
class Trajectory:
    """A conversation so far."""

    prompt: tuple[Message, ...]
    """What the model first sees."""
    turns: tuple[Turn, ...] = ()
    stop: Stop | None = None
    """Why it ended; None while it goes on."""
    about: Mapping[str, Any] = field(default_factory=dict)
    """Plain JSON values the caller wants kept beside it: model, task, version."""

    @cached_property
    def messages(self) -> tuple[Message, ...]:
        """The conversation as the model reads it."""
        return (*self.prompt, *(message for turn in self.turns for message in turn.messages))

    @property
    def usage(self) -> Usage:
        """What all completions cost together."""
        return sum_usage(self.turns)

    @property
    def answer(self) -> str | None:
        """What the model answered or said last, if that ended it."""
        last = self.turns[-1].action if self.turns and self.stop is Stop.ANSWER else None
        return last.text if isinstance(last, Answer | Say) else None

    def add(self, turn: Turn) -> "Trajectory":
        """The same conversation, one turn longer."""
        longer = replace(self, turns=(*self.turns, turn))
        # Deriving them anew would make each turn dearer than the last.
        longer.__dict__["messages"] = (*self.messages, *turn.messages)
        return longer

    def end(self, stop: Stop) -> "Trajectory":
        """The same conversation, ended."""
        return replace(self, stop=stop)

    def cut(self, n_turns: int) -> "Trajectory":
        """The conversation as it was after so many turns, still to be answered.

        Raises:
            ValueError: It never had so many.
        """
        if not 0 <= n_turns <= len(self.turns):
            raise ValueError(f"cannot go back to turn {n_turns}: there are {len(self.turns)}")
        kept = self.turns[:n_turns]
        if kept:
            kept = (*kept[:-1], replace(kept[-1], reply=None))
        return replace(self, turns=kept, stop=None)

    def unsaid(self) -> "Trajectory":
        """The conversation before the user said anything."""
        prompt = self.prompt[:-1] if self.prompt and self.prompt[-1].role == "user" else self.prompt
        return Trajectory(prompt, about={name: value for name, value in self.about.items() if name != "task"})

    def reply(self, text: str, images: Sequence[Image] = ()) -> "Trajectory":
        """Go on: the user's next message answers an answer, else it follows what the model last saw."""
        if not self.turns:
            # Two messages of one role in a row are refused by many chat templates.
            asked = self.prompt[-1].content if self.prompt and self.prompt[-1].role == "user" else ""
            before = self.prompt[:-1] if asked else self.prompt
            pictures = (*(self.prompt[-1].images if asked else ()), *images)
            message = Message("user", f"{asked}\n\n{text}".strip(), pictures)
            return replace(self, prompt=(*before, message), stop=None)
        turn = replace(self.turns[-1], reply=Message("user", text, tuple(images)))
        return replace(self, turns=(*self.turns[:-1], turn), stop=None)

    def going_on(self) -> dict[str, Any]:
        """The line of a file that takes up what stands above it: `start`, or `continue` where there are turns."""
        if not self.turns:
            return self.head()
        reply = self.turns[-1].reply
        return {"type": "continue", "n_turns": len(self.turns), "reply": reply.to_json() if reply else None}

    def head(self) -> dict[str, Any]:
        """The `start` line of a file."""
        prompt = [message.to_json() for message in self.prompt]
        return {"type": "start", "version": VERSION, "about": dict(self.about), "prompt": prompt}

    def lines(self) -> Iterator[str]:
        """The whole as lines of a file, without newlines; ASCII, so that any text survives any editor."""
        yield json.dumps(self.head())
        for turn in self.turns:
            yield json.dumps(turn.to_json())
        if self.stop:
            yield json.dumps({"type": "end", "stop": self.stop})

    def save(self, path: str | Path) -> None:
        """Write to a file, replacing what is there."""
        Path(path).write_text("".join(line + "\n" for line in self.lines()), encoding="ascii")


def load(path: str | Path, *, cut_off: bool = False) -> list[Trajectory]:
    """Read the trajectories in a file.

    Args:
        cut_off: Pass over an unfinished last line, as a program leaves it that was killed while it wrote.

    Raises:
        TrajectoryError: A line is not part of a trajectory; the message has the path and the line's number.
        OSError: The file cannot be read.
    """
    with open(path, encoding="utf-8", errors="surrogateescape", newline="\n") as file:
        lines: Iterable[str] = (line for line in file if line.endswith("\n")) if cut_off else file
        try:
            return parse(lines)
        except TrajectoryError as error:
            error.args = (f"{path}: {error}",)
            raise


def parse(lines: Iterable[str]) -> list[Trajectory]:
    """Read trajectories from lines; blank lines and watch-only events are skipped, nothing else is.

    Raises:
        TrajectoryError: A line is not part of a trajectory.
    """
    found: list[Trajectory] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            data = json.loads(line)
        except ValueError as error:
            raise TrajectoryError(f"not JSON ({error}); was the file cut off while it was written?", number) from None
        if not isinstance(data, dict):
            raise TrajectoryError(f"expected a JSON object, found {type(data).__name__}", number)
        try:
            _grow(found, data)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            reason = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)
            raise TrajectoryError(f"cannot read the line of type {data.get('type')!r}: {reason}", number) from None
    return found


def _grow(found: list[Trajectory], data: dict[str, Any]) -> None:
    """Take one line into the list; raises what `parse` turns into `TrajectoryError`."""
    kind = data.get("type")
    if kind in _WATCHED_ONLY:
        return
    if kind == "start":
        if data["version"] != VERSION:
            raise ValueError(f"written by another version of the format: {data['version']!r}, this one reads {VERSION}")
        prompt = tuple(Message.from_json(message) for message in data["prompt"])
        found.append(Trajectory(prompt, about=dict(data.get("about", {}))))
    elif kind not in ("turn", "end", "continue"):
        raise ValueError("expected start, turn, continue or end")
    elif found and kind == "continue":
        cut = found[-1].cut(data["n_turns"])
        said = Message.from_json(data["reply"]) if data.get("reply") else None
        # Who goes on with a first message writes a `start`: without turns it was taken back
        found[-1] = cut.reply(said.content, said.images) if said else cut if cut.turns else cut.unsaid()
    elif not found or found[-1].stop:
        raise ValueError("there is no `start` before it")
    elif kind == "turn":
        found[-1] = found[-1].add(Turn.from_json(data))
    else:
        found[-1] = found[-1].end(Stop(data["stop"]))


def plain(bundle: Bundle) -> dict[str, Any]:
    """Spell a bundle as JSON values: bytes as `{"base64": ...}`."""
    return {
        mime: value if isinstance(value, str) else {"base64": base64.b64encode(value).decode("ascii")}
        for mime, value in bundle.items()
    }


def rich(data: Mapping[str, Any]) -> Bundle:
    """Undo `plain`."""
    bundle: dict[str, str | bytes] = {}
    for mime, value in data.items():
        bundle[mime] = value if isinstance(value, str) else base64.b64decode(value["base64"], validate=True)
    return bundle


def sum_usage(turns: Sequence[Turn]) -> Usage:
    """What the completions of some turns cost together."""
    return sum((turn.completion.usage for turn in turns), Usage())
