"""Tell code from words while a reply is still being written, so that a terminal can show each its own way.

`Reply.feed` takes the pieces as they come and gives back segments; marks that are not complete yet are held back. This
is for the eye only: what is run is decided by the action format when the reply is whole.
"""

import re
from collections.abc import Iterator
from typing import Literal

__all__ = ["Kind", "Reply"]

Kind = Literal["words", "code", "answer"]

_MARK = re.compile(
    r"<[ \t]{0,3}(?P<close>/?)[ \t]{0,3}(?P<tag>execute|solution|thought|think)[ \t]{0,3}>"
    r"|^[ \t]*```(?P<language>[\w+.-]*)[ \t]*\n",
    re.M,
)
_UNFINISHED = re.compile(r"<[ \t/]{0,7}\w{0,9}[ \t]{0,3}\Z|^[ \t]*`{1,3}[^`\n]*\Z", re.M)
_INSIDE: dict[str, Kind] = {"execute": "code", "solution": "answer", "thought": "words", "think": "words"}


class Reply:
    """One reply as it grows."""

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._kind: Kind = "words"
        self._pending = ""
        self._fenced = False
        self._opened = False

    def feed(self, piece: str) -> Iterator[tuple[Kind, str]]:
        """The next piece, as segments of a kind; neighbours may be of the same kind."""
        self._pending += piece
        while mark := _MARK.search(self._pending):
            yield from self._segment(self._pending[: mark.start()])
            self._pending = self._pending[mark.end() :]
            if mark["tag"]:
                self._kind = "words" if mark["close"] else _INSIDE[mark["tag"]]
                self._fenced, self._opened = False, not mark["close"]
            elif self._kind == "answer" or (self._kind == "code" and not self._fenced and mark["language"]):
                # A fence in an answer is the answer's own; one around code between tags is not shown.
                yield from self._segment(mark[0] if self._kind == "answer" else "")
            elif self._kind == "words":
                self._kind, self._fenced = "code", True
            elif self._fenced:
                self._kind, self._fenced = "words", False
        held = _UNFINISHED.search(self._pending)
        ready = self._pending[: held.start()] if held else self._pending
        self._pending = self._pending[len(ready) :]
        yield from self._segment(ready)

    def end(self) -> Iterator[tuple[Kind, str]]:
        """What was held back; the next piece begins a new reply."""
        if self._pending and not re.fullmatch(r"[ \t]*```", self._pending):
            yield self._kind, self._pending
        self._begin()

    @property
    def is_open(self) -> bool:
        """Whether what was just given back may yet be part of an answer: it stands between no tags."""
        return self._kind == "words" or self._fenced

    def _segment(self, text: str) -> Iterator[tuple[Kind, str]]:
        if text and self._opened:
            # The newline after an opening tag belongs to the tag.
            text, self._opened = text.removeprefix("\n"), False
        if text:
            yield self._kind, text
