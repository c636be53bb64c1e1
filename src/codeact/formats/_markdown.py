"""Markdown fences: finding them in a reply, and writing one around a text that may hold some itself."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Fence", "fenced", "fences", "unfenced"]

_FENCE = re.compile(r"[ \t]*(?P<mark>```+|~~~+)[ \t]*(?P<label>[\w+.-]*)(?P<rest>[^\n]*)\n?")
_RUN = re.compile(r"`{3,}")


@dataclass(frozen=True)
class Fence:
    """One fenced piece of a text."""

    label: str
    """The language, in small letters."""
    body: str
    start: int
    end: int
    closed: bool


def fences(text: str) -> Iterator[Fence]:
    """Fenced pieces in order; the last may be open."""
    opening: re.Match[str] | None = None
    position = 0
    for line in text.split("\n"):
        found = _FENCE.match(text, position) if line.lstrip(" \t")[:3] in ("```", "~~~") else None
        position += len(line) + 1
        if not found:
            continue
        if opening is None:
            # Code between backticks on one line is no fence.
            opening = None if "`" in found["rest"] else found
        elif found["mark"].startswith(opening["mark"]) and not (found["label"] + found["rest"]).strip():
            body = text[opening.end() : found.start()]
            yield Fence(opening["label"].lower(), body, opening.start(), found.end(), closed=True)
            opening = None
    if opening is not None:
        yield Fence(opening["label"].lower(), text[opening.end() :], opening.start(), len(text), closed=False)


def fenced(body: str, label: str) -> str:
    """A text inside a fence that is longer than any run of backticks in it."""
    mark = "`" * max(3, 1 + max(map(len, _RUN.findall(body)), default=0))
    return f"{mark}{label}\n{body}\n{mark}"


def unfenced(body: str) -> str:
    """A text without the one fence that stands around all of it, or half of one."""
    found = next(fences(body), None)
    if found and not (body[: found.start] + body[found.end :]).strip():
        return found.body
    if found and not found.closed and not found.body.strip():
        return body[: found.start].rstrip()
    return body
