"""Stop strings that hold whatever the server does with them: some remove them from the reply, some ignore them.

Models call `cut` while a reply streams in and `restore` when it has ended. The name begins with an underscore because
this is no model: `plugins.available("models")` does not list it.
"""

import re
from collections.abc import Sequence

__all__ = ["cut", "restore"]


def cut(before: str, piece: str, stop: Sequence[str]) -> str | None:
    """The part of a piece up to and with the stop string that is complete in it first; None if there is none.

    Args:
        before: The reply so far, which holds no whole stop string.
    """
    longest = max(map(len, stop), default=1)
    overlap = before[max(0, len(before) - longest + 1) :]
    joined = overlap + piece
    ends = [joined.find(mark) + len(mark) for mark in stop if mark in joined]
    return piece[: min(ends) - len(overlap)] if ends else None


def restore(text: str, stop: Sequence[str]) -> str:
    """Put back the closing tag that a server removed: the one whose opening tag the text leaves open.

    The model did write it, and in its next turn it should see its own words well formed.
    """
    for mark in stop:
        opening = _opening(mark)
        if not opening or mark in text:
            continue
        start = text.rfind(opening)
        line_start = text.rfind("\n", 0, max(start, 0)) + 1
        opened = start >= 0 and not text[line_start:start].strip()
        if opened and text[start + len(opening) :].strip():
            return text + ("" if text.endswith("\n") else "\n") + mark
    return text


def _opening(mark: str) -> str:
    """What a closing mark closes: `<execute>` for `</execute>`, `Action:` for `End Action`; empty for other marks."""
    if tag := re.fullmatch(r"</(\w+)>", mark):
        return f"<{tag[1]}>"
    word = re.fullmatch(r"End (\w+)", mark)
    return f"{word[1]}:" if word else ""
