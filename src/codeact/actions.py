"""What a model can decide to do in one turn: plain values that an action format reads out of a reply.

Formats make them, environments answer them with one `match`, trajectories keep them. They say what was asked for, not
whether it is wise: code is run behind the interpreter's walls, and nowhere else.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["Action", "Answer", "CodeAction", "Malformed", "Say", "ToolCall", "action_from_json", "action_to_json"]


@dataclass(frozen=True)
class CodeAction:
    """Run this code as one cell."""

    code: str
    thought: str = ""
    """What the model said before the code."""
    ignored: str = ""
    """What followed the code and went ahead of its result: an invented observation, an answer. The model is told."""


@dataclass(frozen=True)
class ToolCall:
    """Call one tool by name (formats without code)."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    thought: str = ""
    ignored: str = ""
    """What followed the call; as for code."""
    positional: tuple[Any, ...] = ()
    """Arguments without a name, before the named ones (the text format)."""


@dataclass(frozen=True)
class Answer:
    """Finish with this answer."""

    text: str
    thought: str = ""


@dataclass(frozen=True)
class Say:
    """Speak to the user without acting; the turn goes to the user."""

    text: str


@dataclass(frozen=True)
class Malformed:
    """No action could be read."""

    message: str
    """For the model: what is wrong, and the right form."""


Action = CodeAction | ToolCall | Answer | Say | Malformed

_KINDS: dict[str, type[Action]] = {
    "code": CodeAction,
    "tool_call": ToolCall,
    "answer": Answer,
    "say": Say,
    "malformed": Malformed,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}


def action_to_json(action: Action) -> dict[str, Any]:
    """Spell an action as plain JSON values, its kind under `"type"`."""
    return {"type": _NAMES[type(action)], **asdict(action)}


def action_from_json(data: Mapping[str, Any]) -> Action:
    """Read what `action_to_json` wrote.

    Raises:
        ValueError: It is not that.
    """
    fields = dict(data)
    kind = fields.pop("type", None)
    if kind not in _KINDS:
        raise ValueError(f"unknown action {kind!r}; known: {', '.join(_KINDS)}")
    if isinstance(fields.get("positional"), list):
        fields["positional"] = tuple(fields["positional"])
    try:
        return _KINDS[kind](**fields)
    except TypeError as error:
        raise ValueError(f"not a {kind} action: {error}") from None
