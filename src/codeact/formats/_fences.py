"""Markdown fences around actions, as most models write by habit; answers in `<solution>`."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from codeact.formats._blocks import Block, Content
from codeact.formats._markdown import fenced
from codeact.formats._reading import GenerousReader, fenced_blocks, tagged_blocks

__all__ = ["FencesEnvelope"]


@dataclass(frozen=True)
class FencesEnvelope(GenerousReader):
    """Fences, read generously."""

    answer: str = "solution"

    @property
    def stop(self) -> tuple[str, ...]:
        """The end of an answer; that of a fence looks like the beginning of another."""
        return (f"</{self.answer}>",)

    def wrap(self, kind: Literal["action", "answer"], body: str, thought: str = "", *, label: str = "") -> str:
        """Write what `read` reads."""
        wrapped = fenced(body, label) if kind == "action" else f"<{self.answer}>{body}</{self.answer}>"
        return f"{thought}\n{wrapped}" if thought else wrapped

    def _blocks(self, text: str, content: Content) -> Iterator[Block]:
        actions = list(fenced_blocks(text, content))
        answers = [block for block in tagged_blocks(text, "execute", self.answer) if block.kind == "answer"]
        end = 0
        for block in sorted([*actions, *answers], key=lambda block: block.start):
            # One inside the other: a fence in an answer is the answer's own, a tag in code is the code's.
            if block.start >= end:
                end = block.end
                yield block
