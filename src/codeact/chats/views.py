"""Entries as programs get them: a turn in parts, what a model invented apart from what is real."""

from collections.abc import Iterable, Mapping
from typing import Any

from codeact.chats.cut import Cut
from codeact.chats.values import Entry, TurnView

__all__ = ["UNDER_WAY", "turn_views"]

UNDER_WAY = "it is still under way"
"""Why a turn that runs has come to no end."""


def turn_views(found: Iterable[Entry]) -> list[TurnView]:
    """Turns of `turn` and `cut` entries, each with the message of the `user` entry before it."""
    made: list[TurnView] = []
    said: Mapping[str, Any] | None = None
    for entry in found:
        if entry.kind == "user":
            said = {key: entry.data.get(key, []) for key in ("text", "images", "files")}
        elif entry.kind == "turn":
            made.append(_view(entry, said))
            said = None
        elif entry.kind == "cut":
            made.append(_half(entry, said))
            said = None
    return made


def _view(entry: Entry, said: Mapping[str, Any] | None) -> TurnView:
    completion, action, seen = (entry.data[part] for part in ("completion", "action", "observation"))
    kind = action["type"]
    code = action.get("code", "")
    if kind == "tool_call":
        given = [*map(repr, action.get("positional", ())), *(f"{k}={v!r}" for k, v in action["arguments"].items())]
        code = f"{action['name']}({', '.join(given)})"
    return TurnView(
        entry.turn or 0, entry.seq, said,
        thought=action.get("thought", "") if kind != "malformed" else completion["text"],
        reasoning=completion.get("reasoning", ""),
        code=code, action=kind, outputs=tuple(seen.get("outputs", ())), text=seen["text"],
        answer=action["text"] if kind in ("answer", "say") else None,
        status=seen.get("status", "ok"), seconds=entry.data.get("seconds", 0.0), usage=completion.get("usage", {}),
        ignored=action.get("ignored", ""), files=tuple(seen.get("files", ())),
    )


def _half(entry: Entry, said: Mapping[str, Any] | None) -> TurnView:
    cut = Cut.of(entry.data)
    text = f"{cut.printed.rstrip()}\n[it came to no end: {cut.why}]".lstrip()
    return TurnView(
        entry.turn or 0, entry.seq, said, thought=cut.words, reasoning=cut.reasoning, code=cut.code, action="cut",
        outputs=cut.outputs, text=text, answer=None, status="running" if cut.why == UNDER_WAY else "interrupted",
        seconds=0.0, usage={}, ignored="", files=())
