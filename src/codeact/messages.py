"""What is said to a model and what it says back: frozen values, used by every other file.

`Message` is one entry of a conversation, `Completion` one reply with what it cost. They hold text, numbers and pictures
only, never a key or a connection, so that they can be written to a file as they are.
"""

import base64
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Self, cast, get_args

from codeact.errors import ConfigError

__all__ = ["MAX_DROPPED_CHARS", "Call", "Completion", "Finish", "Image", "Message", "Role", "Usage"]

MAX_DROPPED_CHARS = 1_000
"""So much is kept of what a model wrote past a stop string."""

_MAX_IMAGE_BYTES = 20_000_000
_BEGINNINGS = {"image/png": b"\x89PNG\r\n\x1a\n", "image/jpeg": b"\xff\xd8\xff", "image/gif": b"GIF8",
               "image/webp": b"RIFF"}

Role = Literal["system", "user", "assistant"]
Finish = Literal["stop", "length", "filter"]


@dataclass(frozen=True)
class Image:
    """A picture for a model that sees; one that does not gets the text alone."""

    mime: str
    """As `image/png`."""
    data: bytes

    @classmethod
    def of(cls, given: "Image | str | Path | bytes") -> "Image":
        """A picture from a file, or from its bytes; what kind it is shows in how it begins.

        Raises:
            ConfigError: It cannot be read, or is of a kind that models do not read.
        """
        if isinstance(given, Image):
            return given
        if isinstance(given, str | Path):
            path, where = Path(given).expanduser(), str(given)
            try:
                if path.stat().st_size > _MAX_IMAGE_BYTES:
                    most = _MAX_IMAGE_BYTES // 1_000_000
                    raise ConfigError(f"{where} is larger than {most} MB, more than models take")
                data = path.read_bytes()
            except OSError as error:
                raise ConfigError(f"cannot read the picture {where}: {error.strerror}") from None
        elif isinstance(given, bytes | bytearray):
            data, where = bytes(given), "what was given"
        else:
            raise ConfigError(f"a picture is an Image, the path of a file, or bytes; got {type(given).__name__}")
        for mime, begins in _BEGINNINGS.items():
            if data.startswith(begins) and (mime != "image/webp" or data[8:12] == b"WEBP"):
                return cls(mime, data)
        raise ConfigError(f"{where} is no picture that models read: PNG, JPEG, GIF or WebP; convert it first")

    def to_json(self) -> dict[str, Any]:
        """Spell as plain JSON values."""
        return {"mime": self.mime, "base64": base64.b64encode(self.data).decode("ascii")}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote; `KeyError`, `TypeError` or `ValueError` if it is not that."""
        if not isinstance(data["mime"], str):
            raise TypeError("the MIME type of an image must be a string")
        return cls(data["mime"], base64.b64decode(data["base64"], validate=True))


@dataclass(frozen=True)
class Call:
    """A model's call of a native tool: of the API's own kind, not written as text."""

    id: str
    """As the API named it; the answer carries it."""
    name: str
    arguments: str
    """As the model wrote them: JSON, if it kept to it."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what `asdict` wrote; `TypeError` or `ValueError` if it is not that."""
        read = cls(**data)
        if not all(isinstance(value, str) for value in asdict(read).values()):
            raise ValueError("the fields of a call must be strings")
        return read


@dataclass(frozen=True)
class Message:
    """One entry of a conversation."""

    role: Role
    """Who speaks; observations are spoken by the user, as in the paper."""
    content: str
    """The text, as the model reads or wrote it."""
    images: tuple[Image, ...] = ()
    """Pictures that belong to the text and follow it."""
    calls: tuple[Call, ...] = ()
    """Native tool calls; the assistant's only."""
    call_id: str = ""
    """Of the user only: the native call that this answers."""
    reasoning: str = ""
    """Reasoning of the assistant that its back-end delivered apart; sent back only where an API asks for it."""

    def to_json(self) -> dict[str, Any]:
        """Spell as plain JSON values; what is empty is left out."""
        spelled: dict[str, Any] = {"role": self.role, "content": self.content}
        if self.images:
            spelled["images"] = [image.to_json() for image in self.images]
        if self.calls:
            spelled["calls"] = [asdict(call) for call in self.calls]
        return spelled | {key: value for key in ("call_id", "reasoning") if (value := getattr(self, key))}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote; `KeyError`, `TypeError` or `ValueError` if it is not that."""
        role, content = data["role"], data["content"]
        if role not in get_args(Role) or not isinstance(content, str):
            raise ValueError(f"not a message: role {role!r} with content of type {type(content).__name__}")
        call_id, reasoning = data.get("call_id", ""), data.get("reasoning", "")
        if not isinstance(call_id, str) or not isinstance(reasoning, str):
            raise ValueError("call_id and reasoning of a message must be strings")
        return cls(
            role,
            content,
            tuple(map(Image.from_json, data.get("images", ()))),
            tuple(map(Call.from_json, data.get("calls", ()))),
            call_id,
            reasoning,
        )


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
    calls: tuple[Call, ...] = ()
    """Native tool calls in it, in order."""
    dropped: str = ""
    """How the words begin that the back-end wrote past a stop string; at most `MAX_DROPPED_CHARS`."""

    @property
    def truncated(self) -> bool:
        """Whether the reply ended before the model was done."""
        return self.finish != "stop"

    def to_json(self) -> dict[str, Any]:
        """Spell as plain JSON values."""
        spelled = asdict(self)
        spelled["calls"] = list(spelled["calls"])
        if not self.dropped:
            del spelled["dropped"]
        return spelled

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote; `KeyError`, `TypeError` or `ValueError` if it is not that."""
        text, reasoning, dropped = data["text"], data.get("reasoning", ""), data.get("dropped", "")
        finish = data.get("finish", "stop")
        if not all(isinstance(one, str) for one in (text, reasoning, dropped)) or finish not in get_args(Finish):
            raise ValueError(
                "not a completion: text, reasoning and dropped must be strings, finish one of stop, length, filter"
            )
        calls = tuple(map(Call.from_json, data.get("calls", ())))
        return cls(text, reasoning, Usage.from_json(data.get("usage", {})), cast(Finish, finish), calls, dropped)
