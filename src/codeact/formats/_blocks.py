"""What envelopes share: pieces of a reply that are meant as actions or answers, and which of them counts.

An envelope finds `Block`s by its marks; `decide` picks the action. What stands inside a block is the business of a
format, which says so in a `Content`. Every search here is linear in the length of the reply, because a reply may be
hostile: patterns have counted repetitions, and nothing looks back further than a few characters.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

__all__ = ["ROLE_LINE", "Block", "Content", "Contents", "Kind", "begins_line", "decide", "normal", "without_role"]

Kind = Literal["action", "answer"]

ROLE_LINE = re.compile(
    r"^[ \t*#>]{0,8}(?:\[INST|(?:Observation|User|Human|Assistant|Output)\*{0,3}:|Out\[\d{1,6}\]:|"
    r"\[TOOL_RESULTS\]|<\|?(?:observation|output|result|tool_response|im_start|im_end|start_header_id|eot_id)\b)",
    re.M | re.I,
)
"""A line on which a model begins to play the other side, or to claim an output."""

_ROLE_PREFIX = re.compile(r"\A(?:Assistant:\s*)+")


@dataclass(frozen=True)
class Contents:
    """What an envelope holds."""

    kind: Literal["action", "answer", "prose", "nothing"]
    body: str
    """The text inside; for `nothing`, what is wrong with the reply."""
    thought: str = ""
    ignored: str = ""


@dataclass(frozen=True)
class Content:
    """What a format puts inside the marks of an action: how it is told from other text."""

    name: str
    """As in "there is no ... in it"."""
    label: str
    """The language after a Markdown fence."""
    claims: Callable[[str, str], bool]
    """Whether a fence with this language (in small letters, maybe empty) and this body is meant as an action."""
    clean: Callable[[str], str]
    """The body between marks, without what models put around it; empty if nothing is left."""
    complete: Callable[[str], bool]
    """Whether it can be read as it stands, so that what follows is something else."""
    is_bare: Callable[[str], bool]
    """Whether a whole reply without any marks is an action all the same."""
    joins: bool = False
    """Several blocks in a row are one action; otherwise the first one is."""


@dataclass(frozen=True)
class Block:
    """A piece of a reply between marks."""

    kind: Kind
    body: str
    start: int
    end: int
    closed: bool
    mark: str
    """What opened it, as a person would write it."""


def normal(text: str) -> str:
    """The reply with plain newlines, without blanks at its ends."""
    return text.replace("\r\n", "\n").replace("\r", "\n").strip("\ufeff \t\n\v\f")


def begins_line(text: str, start: int) -> bool:
    """Whether nothing but blanks, and not many, stands before it on its line."""
    before = text[max(0, start - 40) : start]
    _, newline, blanks = before.rpartition("\n")
    return not blanks.strip() and (bool(newline) or start <= 40)


def without_role(text: str) -> str:
    """Words of the model without the name of its role before them."""
    return _ROLE_PREFIX.sub("", text.strip()).strip()


def decide(
    text: str, blocks: Sequence[Block], content: Content, *, truncated: bool, thought: Callable[[str], str]
) -> Contents | None:
    """The action or answer among some blocks, in order; None if there are no blocks.

    The first block that holds something decides. Further blocks of code join it while nothing is invented between
    them; what a model writes after its action as if it knew the result is set aside in `ignored`.

    Args:
        truncated: The reply was cut off: an open block is not complete.
        thought: Takes the marks out of the words before the action.
    """
    if not blocks:
        return None
    begun = blocks[0].start
    blocks = [block for block in blocks if _holds(block, content)] or blocks
    first = blocks[0]
    if truncated and not first.closed:
        return Contents("nothing", f"it was cut off before the end of what {first.mark} began; write less in one reply")
    words = thought(text[:begun])
    if first.kind == "answer":
        answer = first.body.strip()
        return Contents("answer", answer, words) if answer else Contents("nothing", "the answer in it is empty")
    if not content.clean(first.body):
        return Contents("nothing", f"there is no {content.name} in it")
    joined, ignored = _until_invention(text, blocks, content)
    bodies: list[str] = []
    for block in joined:
        body = block.body
        if not block.closed:
            if truncated:
                continue
            body, invented = _open_end(body, content)
            ignored = "\n".join(filter(None, (invented, ignored)))
            if bodies and not content.complete(content.clean(body)):
                # The reply was cut off in it after all; what is whole before it is worth doing.
                ignored = block.body.strip()
                continue
        bodies.append(content.clean(body))
    return Contents("action", "\n".join(filter(None, bodies)), words, ignored)


def _holds(block: Block, content: Content) -> bool:
    return bool(content.clean(block.body) if block.kind == "action" else block.body.strip())


def _until_invention(text: str, blocks: Sequence[Block], content: Content) -> tuple[list[Block], str]:
    """The blocks that make up one action, and what the model wrote after them as if it had been done."""
    joined, end = [blocks[0]], blocks[0].end
    for block in blocks[1:]:
        if block.kind == "answer" or not content.joins:
            return joined, text[end:].strip()
        if ROLE_LINE.search(text[end : block.start]):
            break
        joined.append(block)
        end = block.end
    rest = text[end:]
    invented = ROLE_LINE.search(rest)
    return joined, rest[invented.start() :].strip() if invented else ""


def _open_end(body: str, content: Content) -> tuple[str, str]:
    """A block that was never closed ends where the model begins to invent, if what is before that is complete."""
    invented = ROLE_LINE.search(body)
    if invented and content.complete(content.clean(body[: invented.start()])):
        return body[: invented.start()], body[invented.start() :].strip()
    return body, ""
