"""What is told about conversations: frozen values, spelled as JSON for the web."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

from codeact.errors import ChatRefused
from codeact.interpreter.limits import MOST
from codeact.messages import Usage

__all__ = ["Branch", "Entry", "FileInfo", "Options", "Summary", "TurnView"]

_MAX_CHARS = 100_000
_TEXT, _TEXTS = f"text of at most {_MAX_CHARS:,} characters", "a list of texts"
_AMOUNT, _COUNT = f"a number above 0 and at most {MOST:,}", f"a whole number from 1 to {MOST:,}"
_RIGHT = {"model": _TEXT, "format": _TEXT, "instructions": _TEXT, "tools": _TEXTS, "network": _TEXTS,
          "max_turns": _COUNT, "timeout": _AMOUNT, "max_seconds": f"{_AMOUNT}, or null",
          "max_cost": f"{_AMOUNT}, or null", "max_tokens": f"{_COUNT}, or null"}
"""What an option takes, in words."""


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
        given: dict[str, Any] = {}
        for name, value in data.items():
            given[name] = _judged(name, value)
        return cls(**given)


def _judged(name: str, value: Any) -> Any:
    match name:
        case "model" | "format" | "instructions" if isinstance(value, str) and len(value) <= _MAX_CHARS:
            return value
        case "tools" | "network" if isinstance(value, list | tuple) and all(isinstance(one, str) for one in value):
            return tuple(value)
        case "max_turns" | "max_tokens" if isinstance(value, int) and _is_amount(value):
            return value
        case "max_seconds" | "max_cost" | "timeout" if _is_amount(value):
            return float(value)
        case "max_seconds" | "max_cost" | "max_tokens" if value is None:
            return None
    raise ChatRefused(f"the option {name} cannot be {str(value)[:80]!r}; it is {_RIGHT[name]}")


def _is_amount(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= MOST


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
    """One finished turn, as a page shows it."""

    number: int
    """From 0, in its branch."""
    seq: int
    user: Mapping[str, Any] | None
    """The message that began it: `text`, `images`, `files`; None where it goes on from the turn before."""
    thought: str
    reasoning: str
    code: str
    action: str
    """code, tool_call, answer, say, malformed."""
    outputs: tuple[Mapping[str, Any], ...]
    """Rich outputs by MIME type; bytes as `{"base64": ...}`."""
    text: str
    """What the model was shown."""
    answer: str | None
    status: str
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
