"""A turn that came to no end, or has not yet, read from the pieces there are of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from codeact.formats._streaming import Reply

__all__ = ["Cut"]


@dataclass(frozen=True)
class Cut:
    """What there is of a turn."""

    reasoning: str
    words: str
    """Of the reply; what stands after its code is left out: no result was there when it was written."""
    code: str
    """As far as it was written."""
    ran: bool
    """Whether the code began to run."""
    printed: str
    outputs: tuple[Mapping[str, Any], ...]
    """Rich outputs by MIME type; bytes as `{"base64": ...}`."""
    why: str
    """Why it came to no end."""

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Cut:
        """Read the data of a `cut` entry."""
        pieces = data["pieces"]
        texts = [(one["text"], one.get("channel")) for one in pieces if one["type"] == "text"]
        reply, words, code = Reply(), "", ""
        for kind, text in [*reply.feed("".join(text for text, of in texts if of != "reasoning")), *reply.end()]:
            if kind == "code":
                code += text
            elif not code.strip():
                words += text
        ran = [one["code"] for one in pieces if one["type"] == "code"]
        return cls(
            reasoning="".join(text for text, of in texts if of == "reasoning"),
            words=words.strip(),
            code=(ran[-1] if ran else code).strip("\n"),
            ran=bool(ran),
            printed="".join(one["text"] for one in pieces if one["type"] == "output"),
            outputs=tuple(one["bundle"] for one in pieces if one["type"] == "display"),
            why=data["why"],
        )
