"""A conversation as parts of a document: all that a page shows of it, in the words in which it was said.

A trajectory has finished turns, and what the model was told between them. Here are also the user's own cells, without
which a notebook would not run again, and what came to no end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from codeact.chats.cut import Cut
from codeact.chats.said import asked, images_of
from codeact.chats.values import Entry
from codeact.export.parts import Code, Part, Printed, Rich, Words, of_turn, pieces
from codeact.trajectory import Observation, Turn, rich

__all__ = ["KINDS", "document"]

KINDS = ("user", "turn", "cell", "cell_done", "cut", "stopped", "interrupted", "error", "ended", "restored")
"""Kinds of entries that `document` wants."""
_ENDED = {
    "turn_limit": "It ended at the limit of turns.",
    "time_limit": "It ended at the limit of time.",
    "token_limit": "It ended at the limit of tokens.",
    "cost_limit": "It ended at the limit of cost.",
    "context_limit": "It ended: the conversation no longer fits the model.",
    "stuck": "It ended: the model repeated itself.",
}


def document(found: Iterable[Entry]) -> Iterator[Part]:
    """The parts that entries make."""
    own = ""
    for entry in found:
        data = entry.data
        match entry.kind:
            case "user":
                yield Words("user", asked(data), images_of(entry))
            case "turn":
                yield from of_turn(Turn.from_json(data))
            case "cell":
                own = data["code"]
            case "cell_done":
                yield Words("note", "a cell of the user's own")
                yield _own(own, data)
                own = ""
            case "cut":
                yield from _of_cut(Cut.of(data))
            case "stopped":
                yield Words("note", "Stopped.")
            case "interrupted":
                yield Words("note", "The server ended here.")
            case "error":
                yield Words("note", f"It failed: {data['message']}")
            case "restored":
                yield Words("note", f"After a pause: lost {', '.join(data['lost'])}")
            case "ended" if data["stop"] in _ENDED:
                yield Words("note", _ENDED[data["stop"]])
    if own:
        yield Words("note", "a cell of the user's own, which is still under way")
        yield Code(own, (), "cut")


def _own(code: str, done: Mapping[str, Any]) -> Code:
    seen = Observation(done.get("text", ""), outputs=tuple(map(rich, done.get("outputs", ()))), status=done["status"])
    return Code(code, tuple(pieces(seen)), "cut" if "why" in done else seen.status, files=tuple(done.get("files", ())))


def _of_cut(cut: Cut) -> Iterator[Part]:
    if cut.reasoning.strip():
        yield Words("reasoning", cut.reasoning)
    if cut.words:
        yield Words("assistant", cut.words)
    if cut.code:
        printed = [Printed(cut.printed)] if cut.printed else []
        yield Code(cut.code, (*printed, *(Rich(rich(one)) for one in cut.outputs)), "cut")
    yield Words("note", f"This turn came to no end: {cut.why}.")
