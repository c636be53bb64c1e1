"""A conversation by its exchanges, and as a Markdown document for people: what was asked, done, seen and answered."""

import re
from collections.abc import Iterator, Sequence

from codeact.actions import Answer, CodeAction, Malformed, Say, ToolCall
from codeact.trajectory import Trajectory, Turn

__all__ = ["exchanges", "markdown"]


def exchanges(trajectory: Trajectory) -> list[tuple[str, Sequence[Turn]]]:
    """What the user said, each time with the turns on it."""
    said = "\n\n".join(message.content for message in trajectory.prompt if message.role == "user")
    found: list[tuple[str, Sequence[Turn]]] = []
    turns: list[Turn] = []
    for turn in trajectory.turns:
        turns.append(turn)
        if turn.reply is not None:
            found.append((said, turns))
            said, turns = turn.reply.content, []
    return [*found, (said, turns)] if said or turns else found


def markdown(trajectory: Trajectory) -> str:
    """The whole as a document."""
    model = trajectory.about.get("model", "a model")
    parts = [f"# A conversation with {model}"]
    for said, turns in exchanges(trajectory):
        parts.append("## " + _first_line(said))
        if "\n" in said.strip() or len(said) > 100:
            parts.append("\n".join(f"> {line}".rstrip() for line in said.strip().splitlines()))
        for turn in turns:
            parts += filter(None, _turn(turn))
    return "\n\n".join(parts) + "\n"


def _turn(turn: Turn) -> Iterator[str]:
    match turn.action:
        case CodeAction(code, thought):
            yield thought.strip()
            yield _fenced(code, "python")
        case ToolCall(name, arguments, thought):
            yield thought.strip()
            yield _fenced(f"{name}({', '.join(f'{key}={value!r}' for key, value in arguments.items())})", "python")
        case Answer(text, thought):
            yield thought.strip()
            yield text.strip()
        case Say(text):
            yield text.strip()
        case Malformed():
            yield "*A reply that could not be read:*"
            yield _fenced(turn.completion.text, "")
    if not turn.observation.stop and not isinstance(turn.action, Malformed):
        yield _fenced(turn.observation.text, "text")


def _fenced(text: str, language: str) -> str:
    """A block of code whose fence is longer than any inside."""
    text = text.strip("\n")
    if not text.strip():
        return ""
    longest = max(map(len, re.findall(r"`{3,}", text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def _first_line(text: str) -> str:
    line = " ".join(text.split())
    return (line if len(line) <= 100 else line[:97] + "...") or "(nothing)"
