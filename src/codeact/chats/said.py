"""What the model is told: a message of the user's, and before it what of the last one came to no turn.

The agent's own conversation knows finished turns; a message that was stopped, or ended with the server, is in the
database alone.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from codeact.agent import of_cell
from codeact.chats.values import Entry
from codeact.messages import Image

__all__ = ["TOLD", "asked", "images_of", "unanswered"]

TOLD = ("user", "told", "cut", "cell", "cell_done")
"""Kinds of entries that `unanswered` is about."""
_MAX_CUT_CHARS = 2_000


def asked(said: Mapping[str, Any]) -> str:
    """What the model is told of a message."""
    names = said.get("files", ())
    return str(said["text"]) if not names else f"{said['text']}\n\n[files from the user: {', '.join(names)}]"


def images_of(said: Entry) -> tuple[Image, ...]:
    """The pictures of a message."""
    return tuple(map(Image.from_json, said.data.get("images", ())))


def unanswered(found: Iterable[Entry], *, known: bool, under_way: str = "") -> tuple[list[str], tuple[Image, ...]]:
    """What has to be said again, and what became of it, with its pictures.

    Args:
        found: Entries after the last turn.
        known: Whether the model's conversation has the messages already, as one without turns has in its prompt.
        under_way: A cell that it is told of anyhow.
    """
    said: list[str] = []
    came: list[str] = []
    images: tuple[Image, ...] = ()
    code = ""
    for entry in found:
        match entry.kind:
            case "user":
                said, came, images = [asked(entry.data)], [], (*images, *images_of(entry))
            case "told":   # as it was said in truth, with all that came before
                said, came = [entry.data["text"]], []
            case "cut":
                came.append(_of_cut(entry.data, under_way))
            case "cell":
                code = entry.data["code"]
            case "cell_done" if "why" in entry.data:   # else the agent tells of it
                came.append(of_cell(code, entry.data["text"]))
    return (came, ()) if known else ([*said, *came], images)


def _of_cut(cut: Mapping[str, Any], under_way: str) -> str:
    pieces = cut["pieces"]
    reply = "".join(one["text"] for one in pieces if one["type"] == "text" and one["channel"] != "reasoning")
    code = next((one["code"] for one in reversed(pieces) if one["type"] == "code"), "")
    printed = "".join(one["text"] for one in pieces if one["type"] == "output")
    parts = [f"[Your reply to this came to no end: {cut['why']}.]"]
    if code:
        parts += [] if code == under_way else [f"[Its code was running and has not ended:]\n{code[:_MAX_CUT_CHARS]}"]
        parts += [f"[The code had printed:]\n{printed[-_MAX_CUT_CHARS:].rstrip()}"] if printed.strip() else []
    elif reply.strip():
        parts.append(f"[It had begun:]\n{reply[:_MAX_CUT_CHARS].rstrip()}")
    return "\n".join(parts)
