"""Tags around actions and answers: `<execute>`, `<solution>` and, if the model likes, `<thought>`.

Source: paper section 2.1 and appendix E; the strict reading is that of MINT's recorded runs.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from codeact.formats._blocks import Block, Content, Contents, normal
from codeact.formats._reading import GenerousReader, tagged_blocks

__all__ = ["StrictTags", "TagsEnvelope"]


@dataclass(frozen=True)
class TagsEnvelope(GenerousReader):
    """Tags, read generously."""

    action: str = "execute"
    answer: str = "solution"
    stops_at_action: bool = True
    """Whether the reply is over when an action is closed."""

    @property
    def stop(self) -> tuple[str, ...]:
        """Nothing the model writes after these is wanted."""
        closing = (f"</{self.action}>", f"</{self.answer}>")
        return closing if self.stops_at_action else closing[1:]

    def wrap(self, kind: Literal["action", "answer"], body: str, thought: str = "", *, label: str = "") -> str:
        """Write what `read` reads."""
        tag = self.action if kind == "action" else self.answer
        wrapped = f"<{tag}>\n{body}\n</{tag}>" if kind == "action" else f"<{tag}>{body}</{tag}>"
        return f"<thought>{thought}</thought>\n{wrapped}" if thought else wrapped

    def _blocks(self, text: str, content: Content) -> Iterator[Block]:
        return tagged_blocks(text, self.action, self.answer)

    def _usual_tags(self, text: str) -> Iterator[Block]:
        return iter(()) if self.action == "execute" else super()._usual_tags(text)

    def _stray(self, text: str) -> str | None:
        names = f"{self.action}|{self.answer}"
        found = re.search(rf"^[ \t]{{0,40}}<[ \t]{{0,3}}/?[ \t]{{0,3}}({names})[ \t]{{0,3}}>", text, re.M | re.I)
        return f"<{found[1].lower()}>" if found else None


@dataclass(frozen=True)
class StrictTags(TagsEnvelope):
    """Tags, read as MINT's recorder did: closed tags alone count, and an answer anywhere wins over code."""

    @property
    def strict(self) -> bool:
        """Strict: see `Envelope`."""
        return True

    def read(self, text: str, content: Content, *, truncated: bool = False) -> Contents:
        """Find the action in a reply; see `Envelope`."""
        text = normal(text)
        tag = self.answer if f"<{self.answer}>" in text else self.action
        bodies = _between(text, tag)
        # An answer that is never closed still used up one of its attempts: an empty answer, not nothing.
        if not bodies and tag == self.action:
            return Contents("nothing", f"there is no closed <{tag}> in it")
        thought = "\n".join(_between(text, "thought"))
        return Contents("answer" if tag == self.answer else "action", "\n".join(bodies), thought)


def _between(text: str, tag: str) -> list[str]:
    """Everything between a tag and its next closing tag, stripped."""
    found, position = [], 0
    while (start := text.find(f"<{tag}>", position)) >= 0 and (end := text.find(f"</{tag}>", start)) >= 0:
        found.append(text[start + len(tag) + 2 : end].strip())
        position = end + len(tag) + 3
    return found
