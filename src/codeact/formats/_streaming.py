"""Tell code from words while a reply is still being written, so that a terminal or a page can show each its own way.

`Reply.feed` takes the pieces as they come and gives back segments; marks that are not complete yet are held back. It
knows the marks of all envelopes, and takes each where it stands, whatever the format. This is for the eye only: what is
run is decided by the action format when the reply is whole.
"""

import re
from collections.abc import Iterator
from typing import Literal

__all__ = ["Kind", "Reply"]

Kind = Literal["words", "code", "answer"]

_INSIDE: dict[str, Kind] = {
    "execute": "code", "execute_ipython": "code", "tool_call": "code", "python": "code",
    "solution": "answer", "thought": "words", "think": "words", "thinking": "words",
}  # fmt: skip
_MARK = re.compile(
    rf"<[ \t]{{0,3}}(?P<close>/?)[ \t]{{0,3}}(?P<tag>{'|'.join(_INSIDE)})[ \t]{{0,3}}>"
    r"|\[(?P<bracket>/?)PYTHON\]"
    r"|^[ \t]*(?:```|~~~)(?P<language>[\w+.-]*)[ \t]*\n"
    r"|^[ \t*]{0,4}(?:(?P<action>Action:)\*{0,2}[ \t]*\n|(?P<end>End Action)\*{0,2}[ \t]*(?:\n|\Z)"
    r"|(?P<line>Thought|(?:Final )?Answer):\*{0,2}[ \t]*(?=[^ \t*]))",
    re.M | re.I,
)
_UNFINISHED = re.compile(
    r"<[ \t/]{0,7}\w{0,16}[ \t]{0,3}\Z|\[/?[A-Z]{0,6}\Z|^[ \t]*(?:`{1,3}[^`\n]*|~{1,3}[^~\n]*)\Z", re.M
)
_WORDS = ("action:", "end action", "answer:", "final answer:", "thought:")


class Reply:
    """One reply as it grows."""

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._kind: Kind = "words"
        self._pending = ""
        self._fenced = False
        self._opened = False
        self._in_line = False

    def feed(self, piece: str) -> Iterator[tuple[Kind, str]]:
        """The next piece, as segments of a kind; neighbours may be of the same kind."""
        self._pending += piece
        while mark := self._next_mark():
            yield from self._segment(self._pending[: mark.start()])
            self._pending = self._pending[mark.end() :]
            self._in_line = False
            yield from self._segment(self._pass(mark))
        held = self._held()
        ready = self._pending[: len(self._pending) - held]
        self._pending = self._pending[len(ready) :]
        yield from self._segment(ready)

    def end(self) -> Iterator[tuple[Kind, str]]:
        """What was held back; the next piece begins a new reply."""
        if self._pending and not re.fullmatch(r"[ \t]*(?:```|~~~|\*{0,2}End Action\*{0,2}[ \t]*)", self._pending):
            yield self._kind, self._pending
        self._begin()

    @property
    def is_open(self) -> bool:
        """Whether what was just given back may yet be part of an answer: it stands between no tags."""
        return self._kind == "words" or self._fenced

    def _pass(self, mark: re.Match[str]) -> str:
        """Go from one kind to the next; what of the mark is shown all the same."""
        if mark["tag"] or mark["bracket"] is not None:
            closes = bool(mark["close"] or mark["bracket"])
            self._enter("words" if closes else _INSIDE[(mark["tag"] or "python").lower()], opened=not closes)
        elif mark["action"] or mark["line"] or mark["end"]:
            if self._kind == "code" and (self._fenced or not mark["end"]):
                return mark[0]      # such words in code are the code's own
            line = (mark["line"] or "").lower()
            self._enter("code" if mark["action"] else "answer" if line.endswith("answer") else "words")
        elif self._kind == "answer" or (self._kind == "code" and not self._fenced and mark["language"]):
            # A fence in an answer is the answer's own; one around code between tags is not shown.
            return mark[0] if self._kind == "answer" else ""
        elif self._kind == "words":
            self._kind, self._fenced = "code", True
        elif self._fenced:
            self._kind, self._fenced = "words", False
        return ""

    def _enter(self, kind: Kind, *, opened: bool = False) -> None:
        self._kind, self._fenced, self._opened = kind, False, opened

    def _next_mark(self) -> re.Match[str] | None:
        for mark in _MARK.finditer(self._pending):
            anywhere = mark["tag"] or mark["bracket"] is not None
            if mark["end"] and mark.end() == len(self._pending) and not mark[0].endswith("\n"):
                return None     # it may go on
            if anywhere or not (self._in_line and mark.start() == 0):
                return mark
        return None

    def _held(self) -> int:
        """How many characters at the end may be the beginning of a mark."""
        unfinished = _UNFINISHED.search(self._pending)
        if unfinished and not (self._in_line and unfinished.start() == 0 and unfinished[0].lstrip()[:1] in ("`", "~")):
            return len(self._pending) - unfinished.start()
        begun = self._pending.rfind("\n") + 1
        line = self._pending[begun:]
        word = line.lstrip(" \t*").lower()
        if len(line) < 40 and not (self._in_line and not begun):
            bare = word.rstrip(" \t*")
            if any(mark.startswith(word) or bare == mark for mark in _WORDS) and (word or len(line) <= 4):
                return len(line)
        return 0

    def _segment(self, text: str) -> Iterator[tuple[Kind, str]]:
        if text and self._opened:
            # The newline after an opening tag belongs to the tag.
            text, self._opened = text.removeprefix("\n"), False
        if text:
            self._in_line = not text.endswith("\n")
            yield self._kind, text
