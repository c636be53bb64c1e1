"""What is said to a model and what it says back: frozen values, used by every other file.

`Message` is one entry of a conversation, `Completion` one reply with what it cost. They hold text and numbers only,
never a key or a connection, so that they can be written to a file as they are.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self, cast, get_args

__all__ = ["Completion", "Finish", "Message", "Role", "Usage"]

Role = Literal["system", "user", "assistant"]
Finish = Literal["stop", "length", "filter"]


@dataclass(frozen=True)
class Message:
    """One entry of a conversation."""

    role: Role
    """Who speaks; observations are spoken by the user, as in the paper."""
    content: str
    """The text, as the model reads or wrote it."""

    def to_json(self) -> dict[str, Any]:
        """Spell as plain JSON values."""
        return {"role": self.role, "content": self.content}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote; `KeyError`, `TypeError` or `ValueError` if it is not that."""
        role, content = data["role"], data["content"]
        if role not in get_args(Role) or not isinstance(content, str):
            raise ValueError(f"not a message: role {role!r} with content of type {type(content).__name__}")
        return cls(role, content)


@dataclass(frozen=True)
class Usage:
    """What completions cost; adds up with `+`."""

    prompt_tokens: int = 0
    """Tokens read, those from a prompt cache included."""
    completion_tokens: int = 0
    """Tokens written, hidden reasoning included."""
    cost: float = 0.0
    """US dollars where the back-end tells, else 0."""

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.cost + other.cost,
        )

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what `asdict` wrote; `TypeError` or `ValueError` if it is not that."""
        read = cls(**data)
        if not all(isinstance(number, int | float) for number in asdict(read).values()):
            raise ValueError("usage must hold numbers")
        return read

    @property
    def tokens(self) -> int:
        """Tokens read and written."""
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True)
class Completion:
    """One reply of a model."""

    text: str
    """What it said, with the stop string that ended it if that is known."""
    reasoning: str = ""
    """Reasoning that the back-end delivers apart from the reply; not sent back to the model."""
    usage: Usage = field(default_factory=Usage)
    finish: Finish = "stop"
    """Why it ended: by itself or at a stop string, at its length limit, or by a content filter."""

    @property
    def truncated(self) -> bool:
        """Whether the reply ended before the model was done."""
        return self.finish != "stop"

    def to_json(self) -> dict[str, Any]:
        """Spell as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote; `KeyError`, `TypeError` or `ValueError` if it is not that."""
        text, reasoning = data["text"], data.get("reasoning", "")
        finish = data.get("finish", "stop")
        if not isinstance(text, str) or not isinstance(reasoning, str) or finish not in get_args(Finish):
            raise ValueError("not a completion: text and reasoning must be strings, finish one of stop, length, filter")
        return cls(text, reasoning, Usage.from_json(data.get("usage", {})), cast(Finish, finish))
