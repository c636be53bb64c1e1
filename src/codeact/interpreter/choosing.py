"""Which changes are meant by the paths a user names. Used by pending.py for apply and discard."""

from __future__ import annotations

from collections.abc import Sequence

from codeact.interpreter.changes import Change, Changes

__all__ = ["choose", "with_ways", "would_lose"]


def choose(every: Changes, paths: Sequence[str]) -> list[Change]:
    """The changes at these paths and below them.

    Raises:
        ValueError: Nothing is changed at one of them.
    """
    if not paths:
        return list(every.every)
    wanted = [path.rstrip("/").removeprefix("./") for path in paths]
    chosen = [change for change in every.every
              if any(path in ("", ".") or change.path == path or change.path.startswith(path + "/") for path in wanted)]
    for path in wanted:
        if path not in ("", ".") and not any(change.path == path or change.path.startswith(path + "/")
                                             for change in chosen):
            raise ValueError(f"nothing is changed at {path!r}; changed are: "
                             + (", ".join(repr(change.path) for change in every[:10]) or "no files")
                             + (", ..." if len(every) > 10 else ""))
    return chosen


def with_ways(every: Changes, chosen: list[Change], kinds: tuple[str, ...]) -> list[Change]:
    """With the folders above that have to be made first."""
    names = {change.path for change in chosen}
    above = {change.path[:i] for change in chosen for i, letter in enumerate(change.path) if letter == "/"}
    return [change for change in every.every
            if change.path in names or (change.path in above and change.kind in kinds)]


def would_lose(change: Change, refused: set[str]) -> bool:
    """Whether a folder goes in which something stays."""
    goes = change.kind == "deleted" or change.kind == "type changed"
    return goes and any(path.startswith(change.path + "/") for path in refused)
