"""Reading a reply generously: reasoning, then the envelope's own marks, then what models write by habit, then prose."""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator

from codeact.formats._blocks import Block, Content, Contents, Kind, begins_line, decide, normal, without_role
from codeact.formats._markdown import fences

__all__ = ["GenerousReader", "fenced_blocks", "tagged_blocks"]

_THINK = re.compile(r"(?:<think(?:ing)?>)?(?P<thought>.*?)</think(?:ing)?>", re.S | re.I)
_OPEN_THINK = re.compile(r"<think(?:ing)?>", re.I)
_INVENTED = re.compile(r"(?:Observation\*{0,3}:|Out\[\d{1,6}\]:)", re.I)
_THOUGHT_TAGS = re.compile(r"<[ \t]{0,3}/?[ \t]{0,3}thoughts?[ \t]{0,3}>", re.I)
_HABITS = re.compile(
    r"\[(?P<bracket>/?)PYTHON\]|<(?P<slash>/?)(?:python|py|code|tool_code|execute_i?python)>|<\|python_tag\|>", re.I
)
"""Marks of code that some models were trained to write."""


class GenerousReader(ABC):
    """What the generous envelopes share; each finds its own blocks in `_blocks`."""

    @property
    def strict(self) -> bool:
        """Not strict: see `Envelope`."""
        return False

    def read(self, text: str, content: Content, *, truncated: bool = False) -> Contents:
        """Find the action in a reply; see `Envelope`."""
        text = normal(text)
        thinking = _THINK.match(text)
        if not thinking and _OPEN_THINK.match(text):
            return Contents("nothing", "it ended before your thinking did; think less, then act")
        hidden = thinking["thought"].strip() if thinking else ""
        visible = text[thinking.end() :].strip() if thinking else text
        found = self._read_visible(visible, content, truncated)
        if hidden and found.kind in ("action", "answer"):
            return Contents(found.kind, found.body, f"{hidden}\n{found.thought}".strip(), found.ignored)
        return found

    def _read_visible(self, text: str, content: Content, truncated: bool) -> Contents:
        for blocks in (self._blocks(text, content), self._usual_tags(text), _habitual_blocks(text, content)):
            if found := decide(text, list(blocks), content, truncated=truncated, thought=self._thought):
                return found
        prose = self._thought(text)
        if not prose:
            return Contents("nothing", "it is empty")
        if content.is_bare(prose):
            return Contents("action", content.clean(prose))
        if truncated:
            return Contents("nothing", "it was cut off before it came to an action; write less in one reply")
        if stray := self._stray(text):
            return Contents("nothing", f"the mark {stray} in it has no partner, or nothing inside")
        if _INVENTED.match(prose):
            return Contents("nothing", "it claims an observation, but nothing was done: observations are given to you")
        return Contents("prose", prose)

    @abstractmethod
    def _blocks(self, text: str, content: Content) -> Iterator[Block]:
        """Blocks by the envelope's own marks, in order."""

    def _usual_tags(self, text: str) -> Iterator[Block]:
        """Blocks by the tags of the paper, where the envelope has other marks."""
        return tagged_blocks(text, "execute", "solution")

    def _stray(self, text: str) -> str | None:
        """A mark that stands on a line of its own and led to no block."""
        return None

    def _thought(self, text: str) -> str:
        """Words without the marks of thought around them."""
        return without_role(_THOUGHT_TAGS.sub("", text))


def tagged_blocks(text: str, action: str, answer: str) -> Iterator[Block]:
    """Blocks between tags, in order; the last may be open."""
    # A single backtick before it makes it a mention.
    opening = re.compile(rf"(?<!(?<!`)`)<[ \t]{{0,3}}(?P<name>{action}|{answer})(?:[ \t][^<>\n]{{0,60}})?>", re.I)
    ends = {name: re.compile(rf"<[ \t]{{0,3}}/[ \t]{{0,3}}{name}[ \t]{{0,3}}>", re.I) for name in (action, answer)}
    never_closed: set[str] = set()
    position = 0
    while found := opening.search(text, position):
        name = found["name"].lower()
        kind: Kind = "answer" if name == answer else "action"
        closing = None if name in never_closed else ends[name].search(text, found.end())
        if not closing:
            never_closed.add(name)
            if begins_line(text, found.start()) and text[found.end() :].strip():
                body = text[found.end() :]
                # The second of two opening tags was meant to close.
                again = opening.search(body)
                closed = bool(again and again["name"].lower() == name and not body[again.end() :].strip())
                body = body[: again.start()] if again and closed else body
                yield Block(kind, body, found.start(), len(text), closed, f"<{name}>")
                return
            position = found.end()
            continue
        within = opening.finditer(text, found.end(), closing.start())
        inner = [other for other in within if other["name"].lower() == name]
        start = found.start()
        if kind == "answer" and inner:
            # As in "<solution>The answer is <solution>42</solution>."
            found = inner[-1]
        elif inner and not begins_line(text, found.start()):
            # Mentioned in a sentence, with the block itself further down.
            found = next((other for other in inner if begins_line(text, other.start())), found)
            start = found.start()
        elif inner and not text[found.end() : inner[0].start()].strip():
            found = inner[0]
        body = text[found.end() : closing.start()]
        yield Block(kind, body, start, closing.end(), True, f"<{name}>")
        position = closing.end()


def fenced_blocks(text: str, content: Content) -> Iterator[Block]:
    """Markdown fences that hold an action, in order."""
    for fence in fences(text):
        if content.claims(fence.label, fence.body):
            yield Block("action", fence.body, fence.start, fence.end, fence.closed, "the fence")


def _habitual_blocks(text: str, content: Content) -> Iterator[Block]:
    """Fences; where there are none, the marks of code of some families of models."""
    found = False
    for block in fenced_blocks(text, content):
        found = True
        yield block
    if found:
        return
    opening: re.Match[str] | None = None
    for mark in _HABITS.finditer(text):
        closes = bool(mark["bracket"] or mark["slash"])
        if opening is None:
            opening = mark if not closes and begins_line(text, mark.start()) else None
        elif closes:
            body = text[opening.end() : mark.start()]
            if content.complete(content.clean(body)):
                yield Block("action", body, opening.start(), mark.end(), True, opening[0])
            opening = None
    if opening is not None and content.complete(content.clean(text[opening.end() :])):
        yield Block("action", text[opening.end() :], opening.start(), len(text), False, opening[0])
