"""What is told about conversations: frozen values, spelled as JSON for the web."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

from codeact.errors import ChatRefused
from codeact.messages import Usage

__all__ = ["AMOUNTS", "Amount", "Branch", "Entry", "FileInfo", "Options", "Summary", "TurnView"]


@dataclass(frozen=True)
class Options:
    """How one conversation is had."""

    model: str = ""
    """As `--model` takes it."""
    format: str = "code"
    tools: tuple[str, ...] = ()
    """Built-in tools and servers, by name; only those that the server allows."""
    instructions: str = ""
    max_turns: int = 30
    """For one message of the user's."""
    max_seconds: float | None = None
    max_tokens: int | None = None
    max_cost: float | None = None
    """US dollars, for one message."""
    timeout: float = 60.0
    """Seconds of wall clock for one cell."""
    network: tuple[str, ...] = ()
    """Hosts that cells may reach."""

    def to_json(self) -> dict[str, Any]:
        """Spell as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote, or a part of it.

        Raises:
            ChatRefused: A field is unknown, or holds something else.
        """
        known = {one.name for one in fields(cls)}
        if unknown := sorted(set(data) - known):
            raise ChatRefused(f"unknown options: {', '.join(map(repr, unknown))}; known: {', '.join(sorted(known))}")
        return cls(**{name: _judged(name, value) for name, value in data.items()})

    @classmethod
    def kept(cls, data: Mapping[str, Any]) -> Self:
        """Read what a conversation was begun with: it is there, whatever may be chosen by now."""
        known = {one.name for one in fields(cls)}
        given: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value
                                 for name, value in data.items() if name in known}
        return cls(**given)


@dataclass(frozen=True)
class Amount:
    """What a limit may be: from `least` to `most`."""

    least: float
    most: float
    whole: bool = False
    needed: bool = False
    """Whether there is such a limit always; else None is none."""

    def __str__(self) -> str:
        kind = "a whole number" if self.whole else "a number"
        return f"{kind} from {self.least:,.12g} to {self.most:,.12g}{'' if self.needed else ', or nothing: no limit'}"

    def allows(self, value: Any) -> bool:
        """Whether it may be this."""
        if value is None:
            return not self.needed
        is_number = isinstance(value, int if self.whole else int | float) and not isinstance(value, bool)
        return is_number and self.least <= value <= self.most


AMOUNTS = {
    "max_turns": Amount(1, 10_000, whole=True, needed=True),
    "max_seconds": Amount(1, 1_000_000),
    "max_tokens": Amount(1, 1_000_000_000, whole=True),
    "max_cost": Amount(0.0001, 1_000_000),
    "timeout": Amount(0.1, 100_000, needed=True),
}
"""The options that are numbers."""


def _judged(name: str, value: Any) -> Any:
    match name:
        case "model" | "format" | "instructions" if isinstance(value, str) and len(value) <= 100_000:
            return value
        case "tools" | "network" if isinstance(value, list | tuple) and all(isinstance(one, str) for one in value):
            return tuple(value)
        case _ if name in AMOUNTS and AMOUNTS[name].allows(value):
            return value if value is None or AMOUNTS[name].whole else float(value)
    wanted = {"model": "a text", "format": "a text", "instructions": "a text of at most 100,000 characters",
              "tools": "a list of names", "network": "a list of hosts"}
    is_long = isinstance(value, int) and abs(value) >= 10**18
    given = "a number of so many digits" if is_long else repr(value)[:40]
    raise ChatRefused(f"the option {name} cannot be {given}; it is {AMOUNTS.get(name) or wanted[name]}")


@dataclass(frozen=True)
class Summary:
    """A conversation as a list shows it."""

    id: str
    owner: str
    title: str
    pinned: bool
    options: Options
    created: float
    """Seconds since 1970."""
    updated: float
    state: str
    """idle, running, waiting (for an approval), or interrupted (the server ended in a turn)."""
    n_turns: int
    usage: Usage
    branch: str
    n_branches: int
    shared: str | None
    """The token of its read-only link."""

    def to_json(self) -> dict[str, Any]:
        """Spell as plain JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class Entry:
    """Something that happened in a conversation, in the order of `seq`; stored before it is shown.

    `kind` is that of an event of the one union (`events.py`, with `data` as it spells itself), or one of: `user`,
    `cell`, `cell_done`, `approval` (with `call`), `answered`, `stopped`, `interrupted`, `branched`, `restored`,
    `error`, `told` (a message as the model had it, where that is more than what the user said) and `cut`. Pieces of a
    turn (`text`, `code`, `output`, `display`, `tool_called`) are given up once its `turn` is stored, which holds all
    of it; where it came to no end, a `cut` is, with the `pieces` as they were and `why`.
    """

    seq: int
    kind: str
    data: Mapping[str, Any]
    at: float
    branch: str
    turn: int | None = None
    """The number of a turn, from 0 in its branch; of other entries, that of the turn they belong to or come before."""

    def to_json(self) -> dict[str, Any]:
        """Spell as plain JSON values."""
        return {"seq": self.seq, "kind": self.kind, "data": dict(self.data), "at": self.at, "branch": self.branch,
                "turn": self.turn}


@dataclass(frozen=True)
class Branch:
    """A way a conversation went."""

    id: str
    parent: str | None
    at_turn: int
    """Turns it shares with its parent."""
    label: str
    created: float
    current: bool

    def to_json(self) -> dict[str, Any]:
        """Spell as plain JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class TurnView:
    """One turn."""

    number: int
    """From 0, in its branch; of one that came to no end, the number of the turn that comes, or came, instead."""
    seq: int
    user: Mapping[str, Any] | None
    """The message that began it: `text`, `images`, `files`; None where it goes on from the turn before."""
    thought: str
    reasoning: str
    code: str
    action: str
    """code, tool_call, answer, say, malformed; or cut: it came to no end, and `text` says why, or has not yet."""
    outputs: tuple[Mapping[str, Any], ...]
    """Rich outputs by MIME type; bytes as `{"base64": ...}`."""
    text: str
    """What the model was shown."""
    answer: str | None
    status: str
    """How its cell ended, as `Observation.status`; of a `cut`, interrupted or running."""
    seconds: float
    usage: Mapping[str, Any]
    ignored: str
    """What the model wrote after its action, as if it had seen a result: never to be shown as real."""
    files: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Spell as plain JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class FileInfo:
    """A file of a conversation's workspace."""

    name: str
    """Relative to the workspace."""
    size: int
    modified: float
    mime: str = field(default="application/octet-stream")

    def to_json(self) -> dict[str, Any]:
        """Spell as plain JSON values."""
        return asdict(self)
