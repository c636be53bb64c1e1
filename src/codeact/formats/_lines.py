"""Words at the beginning of a line: `Action: ... End Action` and `Answer: ...`, with a `Thought: ...` before them.

An answer goes on to the end of the reply, or to where the model begins something else. `Action:` in the middle of a
line counts only where `End Action` follows.

Source: M3ToolEval, paper section 2.3.
Differs: also read are bold marks, `Final Answer:`, a missing `End Action`, and an action and an answer in one reply,
of which the first counts.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from codeact.formats._blocks import ROLE_LINE, Block, Content, without_role
from codeact.formats._reading import GenerousReader

__all__ = ["LinesEnvelope"]

_MARK = re.compile(
    r"(?P<line>^[ \t*#>]{0,8})?(?<![\w\"'`])(?P<name>Action|(?:Final )?Answer|Thought)"
    r"[ \t]{0,3}\*{0,3}:\*{0,3}[ \t]{0,3}",
    re.M,
)
_END = re.compile(r"\*{0,3}End[ ]Action\*{0,3}")
_SENTENCE_END = re.compile(r"[.!?:)\n][ \t]{0,3}\Z")
_THOUGHT = re.compile(r"^[ \t*#>]{0,8}Thought[ \t]{0,3}\*{0,3}:\*{0,3}[ \t]{0,3}", re.M)


@dataclass(frozen=True)
class LinesEnvelope(GenerousReader):
    """Words with a colon, read generously."""

    @property
    def stop(self) -> tuple[str, ...]:
        """Nothing the model writes after this is wanted; an answer has no mark at its end."""
        return ("End Action",)

    def wrap(self, kind: Literal["action", "answer"], body: str, thought: str = "", *, label: str = "") -> str:
        """Write what `read` reads."""
        wrapped = f"Action:\n{body}\nEnd Action" if kind == "action" else f"Answer: {body}"
        return f"Thought: {thought}\n{wrapped}" if thought else wrapped

    def _blocks(self, text: str, content: Content) -> Iterator[Block]:
        marks = list(_MARK.finditer(text))
        lines = [mark.start() for mark in marks if mark["line"] is not None]
        position, ends = 0, _Ends(text)
        for index, mark in enumerate(marks):
            if mark.start() < position or mark["name"] == "Thought":
                continue
            starts_line = mark["line"] is not None
            if mark["name"] == "Action":
                end = ends.after(mark.end())
                if end and not starts_line:
                    following = marks[index + 1] if index + 1 < len(marks) else None
                    if following and following["name"] == "Action" and following.start() < end.start():
                        continue    # mentioned in a sentence, with the action itself further down
                if end:
                    position = end.end()
                    yield Block("action", text[mark.end() : end.start()], mark.start(), position, True, "Action:")
                    continue
                if not starts_line:
                    continue
            elif not starts_line and not _SENTENCE_END.search(text[max(0, mark.start() - 8) : mark.start()]):
                continue
            kind: Literal["action", "answer"] = "action" if mark["name"] == "Action" else "answer"
            later = bisect_right(lines, mark.start())
            position = lines[later] if later < len(lines) else len(text)
            if kind == "answer" and (invented := ROLE_LINE.search(text, mark.end(), position)):
                position = invented.start()
            closed = kind == "answer" and position < len(text)
            yield Block(kind, text[mark.end() : position], mark.start(), position, closed, f"{mark['name']}:")

    def _stray(self, text: str) -> str | None:
        found = re.search(r"^[ \t*]{0,8}(?:Action[ \t]{0,3}\*{0,3}:|End Action)", text, re.M)
        return "Action: ... End Action" if found else None

    def _thought(self, text: str) -> str:
        return without_role(_THOUGHT.sub("", super()._thought(text)))


class _Ends:
    """The marks that end actions, found in one pass."""

    def __init__(self, text: str) -> None:
        self._found = _END.finditer(text)
        self._next = next(self._found, None)

    def after(self, position: int) -> re.Match[str] | None:
        """The first one after a place; places only grow."""
        while self._next and self._next.start() < position:
            self._next = next(self._found, None)
        return self._next
