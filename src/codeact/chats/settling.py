"""What a run leaves that has come to no end, settled: a reply half written, a cell half run, a question unanswered.

At the end of each run, and for a program that was killed at the beginning of the next. The pieces become one entry,
which holds all of them as a `turn` does; nothing that was shown is given up.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from codeact.chats.rebuilding import kept
from codeact.chats.store import Item, Store
from codeact.chats.values import Summary
from codeact.trajectory import Stop, Trajectory

__all__ = ["after_a_crash", "loose_ends", "missing_turns", "why_it_ended"]

_ENDED = "the server ended"
_WHY = {"cancelled": "it was stopped", "time_limit": "its time was up", "context_limit": "it did not fit any more"}


def why_it_ended(stop: str | None) -> str:
    """A stop in words."""
    return _WHY.get(stop or "", f"it ended with {str(stop).replace('_', ' ')}")


def loose_ends(store: Store, key: str, branch: str, n_turns: int, why: str) -> list[Item]:
    """Entries that settle what is open in a branch; none where nothing is.

    Args:
        n_turns: Turns that the branch has.
        why: Why it came to no end, in words.
    """
    open_calls: dict[str, Mapping[str, Any]] = {}
    own_cell = False
    pieces: list[Mapping[str, Any]] = []
    for entry in store.unsettled(key, branch):
        match entry.kind:
            case "approval":
                open_calls[entry.data["call"]] = entry.data
            case "answered":
                open_calls.pop(entry.data["call"], None)
            case "cell":
                own_cell = True
            case _:
                pieces.append(entry.data)
    items: list[Item] = [("answered", {"call": call, "granted": False, "why": why}, n_turns) for call in open_calls]
    whole = [*_together(pieces), *({**asked, "granted": False} for asked in open_calls.values())]
    if own_cell:
        return [*items, ("cell_done", _of_cell(whole, why), n_turns)]
    return [*items, ("cut", {"pieces": whole, "why": why}, n_turns)] if whole else items


def _together(pieces: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Text that came piece by piece as one."""

    def sort(numbered: tuple[int, Mapping[str, Any]]) -> tuple[Any, ...]:
        n, one = numbered
        texts = {"text": one.get("channel"), "output": one.get("stream")}
        return (one["type"], texts[one["type"]]) if one["type"] in texts else (n,)

    for _, group in groupby(enumerate(pieces), key=sort):
        found = [one for _, one in group]
        yield {**found[0], "text": "".join(one["text"] for one in found)} if len(found) > 1 else dict(found[0])


def _of_cell(pieces: Iterable[Mapping[str, Any]], why: str) -> dict[str, Any]:
    printed, outputs = list[str](), list[Any]()
    for one in pieces:
        if one["type"] == "output":
            printed.append(one["text"])
        elif one["type"] == "display":
            outputs.append(one["bundle"])
        elif one["type"] == "approval":
            printed.append(f"[{one['tool']} was not allowed: nobody answered]\n")
    text = f"{''.join(printed).rstrip()}\n[the cell came to no end: {why}]".lstrip()
    return {"status": "interrupted", "text": text, "outputs": outputs, "why": why}


def missing_turns(trajectory: Trajectory | None, n_known: int) -> list[Item]:
    """Entries for turns that the agent's file has and the database has not: the server died between the two."""
    turns = trajectory.turns[n_known:] if trajectory else ()
    return [("turn", turn.to_json(), n_known + n) for n, turn in enumerate(turns)]


def after_a_crash(store: Store, left: Summary, path: Path) -> None:
    """Settle a conversation that a program has left in the midst of a run.

    Args:
        path: Its agent's file.
    """
    items = missing_turns(kept(path)[0], left.n_turns)
    ends = loose_ends(store, left.id, left.branch, left.n_turns + len(items), _ENDED)
    if items:   # a turn holds its pieces
        ends = [end for end in ends if end[0] == "answered"]
    n_turns = left.n_turns + len(items)
    last = store.last_of(left.id, ("user", "cell", "turn")) if not ends else None
    kind, data = items[-1][:2] if items else (last.kind, last.data) if last else ("", {})
    if kind == "turn" and data["observation"].get("stop") == Stop.ANSWER:   # all that is missing is that it ended
        store.add(left.id, [*items, *ends], state="idle", branch=left.branch)
    else:
        store.add(left.id, [*items, *ends, ("interrupted", {"why": _ENDED}, n_turns)], state="interrupted",
                  branch=left.branch)
