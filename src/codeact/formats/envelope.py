"""Where in a reply the action is: tags around code and answers, or the Markdown fences most models write by habit.

    <thought> Let me look. </thought>
    <execute>
    print(open("notes.txt").read())
    </execute>

An envelope knows where an action begins and ends; what stands inside is the business of a format (`code.py`). Reading
is generous where the meaning is clear: case and blanks in tags, a fence inside a tag, several blocks in a row (one
cell), a last tag that was never closed because the server removes the stop string, reasoning in `<think>`. It does not
guess: a tag mentioned in a sentence is no action, a fence without a language counts only if it is Python, and a reply
that was cut off is not run. What a model writes after its code as if it knew the result is set aside in `ignored`.

Source: paper section 2.1 and appendix E (tags); MINT's recorded runs (`strict`).
"""

import ast
import re
import textwrap
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

__all__ = ["CHAT", "MINT", "Contents", "Envelope"]

_FENCE = re.compile(r"[ \t]*(?P<mark>```+|~~~+)[ \t]*(?P<language>[\w+.-]*)(?P<rest>[^\n]*)\n?")
_PYTHON = {"python", "py", "python3", "ipython", "ipython3", "tool_code"}
_THINK = re.compile(r"(?:<think(?:ing)?>)?(?P<thought>.*?)</think(?:ing)?>", re.S | re.I)
_OPEN_THINK = re.compile(r"<think(?:ing)?>", re.I)
_ROLE_LINE = re.compile(
    r"^[ \t]*(?:\[INST|Observation:|User:|Human:|Assistant:|Out\[\d+\]:|<(?:observation|output|result)>)", re.M | re.I
)
"""A line on which a model begins to play the other side, or to claim an output."""


@dataclass(frozen=True)
class Contents:
    """What an envelope holds."""

    kind: Literal["action", "answer", "prose", "nothing"]
    body: str
    """The text inside; for `nothing`, what is wrong with the reply."""
    thought: str = ""
    ignored: str = ""


@dataclass(frozen=True)
class Envelope:
    """How an action and an answer are marked in a reply."""

    action_tag: str = "execute"
    answer_tag: str = "solution"
    thought_tag: str = "thought"
    strict: bool = False
    """Read as MINT's recorder did: closed tags alone count, and an answer anywhere wins over code."""

    @property
    def stop(self) -> tuple[str, ...]:
        """Nothing the model writes after these is wanted."""
        return (f"</{self.action_tag}>", f"</{self.answer_tag}>")

    def wrap(self, kind: Literal["action", "answer"], body: str, thought: str = "") -> str:
        """Write what `read` reads."""
        if kind == "answer":
            wrapped = f"<{self.answer_tag}>{body}</{self.answer_tag}>"
        else:
            wrapped = f"<{self.action_tag}>\n{body}\n</{self.action_tag}>"
        return f"<{self.thought_tag}>{thought}</{self.thought_tag}>\n{wrapped}" if thought else wrapped

    def read(self, text: str, *, truncated: bool = False) -> Contents:
        """Find the action in a reply; never raises.

        Args:
            truncated: The reply was cut off: a block counts only if it is closed, and prose does not.
        """
        text = text.replace("\r\n", "\n").strip()
        if self.strict:
            return self._read_strictly(text)
        thinking = _THINK.match(text)
        if not thinking and _OPEN_THINK.match(text):
            return Contents("nothing", "it ended before your thinking did; think less, then act")
        hidden = thinking["thought"].strip() if thinking else ""
        visible = text[thinking.end() :] if thinking else text
        found = self._read_tags(visible, truncated) or self._read_fences(visible, truncated)
        found = found or self._read_prose(visible, truncated)
        if hidden and found.kind in ("action", "answer"):
            return Contents(found.kind, found.body, f"{hidden}\n{found.thought}".strip(), found.ignored)
        return found

    def _read_tags(self, text: str, truncated: bool) -> Contents | None:
        """The first block decides; further blocks of code join it while nothing is invented between them."""
        blocks = self._blocks(text)
        if not blocks:
            return None
        first = blocks[0]
        if truncated and not first.closed:
            return Contents("nothing", f"it was cut off before <{first.tag}> was closed; write less in one reply")
        thought = self._thought(text[: first.start])
        if first.tag == self.answer_tag:
            answer = first.body.strip()
            return Contents("answer", answer, thought) if answer else Contents("nothing", "the answer in it is empty")
        joined, ignored = _until_invention(text, blocks, answer=self.answer_tag)
        code = "\n".join(filter(None, (_code_of(block.body) for block in joined if block.closed or not truncated)))
        return Contents("action", code, thought, ignored) if code else Contents("nothing", "there is no code in it")

    def _read_fences(self, text: str, truncated: bool) -> Contents | None:
        """The same for Markdown fences, when there are no tags."""
        blocks = [block for block in _fences(text) if _is_python(block.tag, block.body)]
        if not blocks:
            return None
        if truncated and not blocks[0].closed:
            return Contents("nothing", "it was cut off before the code ended; write less in one reply")
        joined, ignored = _until_invention(text, blocks)
        code = "\n".join(filter(None, (_dedented(block.body) for block in joined if block.closed or not truncated)))
        return Contents("action", code, self._thought(text[: blocks[0].start]), ignored) if code else None

    def _read_prose(self, text: str, truncated: bool) -> Contents:
        prose = self._thought(text)
        if not prose:
            return Contents("nothing", "it is empty")
        if truncated:
            return Contents("nothing", "it was cut off before it came to an action; write less in one reply")
        if stray := re.search(rf"^[ \t]*{_tag(self._names, '/?')}", text, re.M | re.I):
            return Contents("nothing", f"the tag <{stray[1].lower()}> in it has no partner, or nothing inside")
        return Contents("prose", prose)

    def _read_strictly(self, text: str) -> Contents:
        tag = self.answer_tag if f"<{self.answer_tag}>" in text else self.action_tag
        bodies = _between(text, tag)
        # An answer that is never closed still used up one of its attempts: an empty answer, not nothing.
        if not bodies and tag == self.action_tag:
            return Contents("nothing", f"there is no closed <{tag}> in it")
        thought = "\n".join(_between(text, self.thought_tag))
        kind: Literal["action", "answer"] = "answer" if tag == self.answer_tag else "action"
        return Contents(kind, "\n".join(bodies), thought)

    def _blocks(self, text: str) -> "list[_Block]":
        """Tagged blocks in order; the last may be open."""
        # A single backtick before it makes it a mention.
        opening = re.compile(rf"(?<!(?<!`)`){_tag(self._names)}", re.I)
        blocks: list[_Block] = []
        never_closed: set[str] = set()
        position = 0
        while found := opening.search(text, position):
            tag = found[1].lower()
            closing = None if tag in never_closed else re.compile(_tag(tag, "/"), re.I).search(text, found.end())
            if not closing:
                never_closed.add(tag)
                if _begins_line(text, found) and text[found.end() :].strip():
                    blocks.append(_Block(tag, text[found.end() :], found.start(), len(text), closed=False))
                    break
                position = found.end()
                continue
            if not _begins_line(text, found):
                # Mentioned in a sentence, with the block itself further down.
                later = opening.finditer(text, found.end(), closing.start())
                found = next((other for other in later if _begins_line(text, other)), found)
            blocks.append(_Block(tag, text[found.end() : closing.start()], found.start(), closing.end(), closed=True))
            position = closing.end()
        return blocks

    @property
    def _names(self) -> str:
        return f"{re.escape(self.action_tag)}|{re.escape(self.answer_tag)}"

    def _thought(self, text: str) -> str:
        """Text without the tags of thought around it."""
        tags = re.compile(_tag(re.escape(self.thought_tag), "/?"), re.I)
        return re.sub(r"\AAssistant:\s*", "", tags.sub("", text).strip()).strip()


CHAT = Envelope()
MINT = Envelope(strict=True)


@dataclass(frozen=True)
class _Block:
    tag: str
    """Its tag, or the language of a fence."""
    body: str
    start: int
    end: int
    closed: bool


def _fences(text: str) -> list[_Block]:
    """Markdown fences in order; the last may be open."""
    blocks: list[_Block] = []
    opening: re.Match[str] | None = None
    position = 0
    for line in text.split("\n"):
        found = _FENCE.match(text, position)
        position += len(line) + 1
        if not found:
            continue
        if opening is None:
            opening = found
        elif found["mark"].startswith(opening["mark"]) and not (found["language"] + found["rest"]).strip():
            body = text[opening.end() : found.start()]
            blocks.append(_Block(opening["language"], body, opening.start(), found.end(), closed=True))
            opening = None
    if opening is not None:
        blocks.append(_Block(opening["language"], text[opening.end() :], opening.start(), len(text), closed=False))
    return blocks


def _until_invention(text: str, blocks: Sequence[_Block], answer: str = "") -> tuple[list[_Block], str]:
    """The blocks that make up one cell, and what the model wrote after them as if the cell had run."""
    joined, end = [blocks[0]], blocks[0].end
    for block in blocks[1:]:
        if answer and block.tag == answer:
            return joined, text[end:].strip()
        if _ROLE_LINE.search(text[end : block.start]):
            break
        joined.append(block)
        end = block.end
    rest = text[end:]
    invented = _ROLE_LINE.search(rest)
    return joined, rest[invented.start() :].strip() if invented else ""


def _between(text: str, tag: str) -> list[str]:
    """Everything between a tag and its next closing tag, stripped."""
    found, position = [], 0
    while (start := text.find(f"<{tag}>", position)) >= 0 and (end := text.find(f"</{tag}>", start)) >= 0:
        found.append(text[start + len(tag) + 2 : end].strip())
        position = end + len(tag) + 3
    return found


def _tag(names: str, slash: str = "") -> str:
    # Few blanks, counted: with unbounded ones a hostile reply would make the search quadratic.
    return rf"<[ \t]{{0,3}}{slash}[ \t]{{0,3}}({names})[ \t]{{0,3}}>"


def _begins_line(text: str, found: re.Match[str]) -> bool:
    return not text[text.rfind("\n", 0, found.start()) + 1 : found.start()].strip()


def _code_of(body: str) -> str:
    """Code as it stands between tags: without a fence around it, or the indentation of the whole."""
    fences = _fences(body)
    if fences and not (body[: fences[0].start] + body[fences[0].end :]).strip():
        return _dedented(fences[0].body)
    return _dedented(body) if body.lstrip(" \t").startswith("\n") else body.strip()


def _dedented(lines: str) -> str:
    return textwrap.dedent(lines).strip("\n").rstrip()


def _is_python(language: str, body: str) -> bool:
    if language:
        return language.lower() in _PYTHON
    try:
        with warnings.catch_warnings(action="ignore"):
            ast.parse(_dedented(body))
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return False
    # A bare number, word or quotation is more likely something shown than something to run.
    return re.search(r"[(=]|\bimport\b", body) is not None
