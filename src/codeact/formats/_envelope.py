"""Where in a reply the action is: the marks around actions and answers.

    <thought>Let me look.</thought>
    <execute>
    print(open("notes.txt").read())
    </execute>

An envelope knows where an action begins and ends; what stands inside is the business of a format. Reading is generous
where the meaning is clear: case and blanks in marks, a fence inside a tag, several blocks in a row, a last mark that
is missing because the server removes the stop string, reasoning in `<think>`, other marks that models write by habit.
It does not guess: a mark mentioned in a sentence is no action, a fence without a language counts only if it holds what
the format writes, and a reply that was cut off is not acted on. `MINT` alone is not generous: it reads as the recorder
of MINT's runs did.

Source: paper section 2.1 and appendix E; MINT's recorded runs; M3ToolEval (paper section 2.3).
"""

from typing import Literal, Protocol

from codeact.formats._blocks import Content, Contents
from codeact.formats._fences import FencesEnvelope
from codeact.formats._lines import LinesEnvelope
from codeact.formats._tags import StrictTags, TagsEnvelope

__all__ = ["CHAT", "ENVELOPES", "FENCES", "M3TOOLEVAL", "MINT", "Envelope", "named"]


class Envelope(Protocol):
    """The marks around actions and answers."""

    @property
    def stop(self) -> tuple[str, ...]:
        """Nothing the model writes after these is wanted."""

    @property
    def strict(self) -> bool:
        """What is read is taken as it stands: nothing in it is mended."""

    def wrap(self, kind: Literal["action", "answer"], body: str, thought: str = "", *, label: str = "") -> str:
        """Write what `read` reads; `label` is the language of the body."""

    def read(self, text: str, content: Content, *, truncated: bool = False) -> Contents:
        """Find the action in a reply; never raises.

        Args:
            content: What the format writes inside the marks.
            truncated: The reply was cut off: a block counts only if it is closed, and prose does not.
        """


CHAT: Envelope = TagsEnvelope()
"""`<execute>` and `<solution>`, the paper's own."""
MINT: Envelope = StrictTags()
"""The same, read as MINT's recorder did."""
M3TOOLEVAL: Envelope = LinesEnvelope()
"""`Action: ... End Action` and `Answer: ...`."""
FENCES: Envelope = FencesEnvelope()
"""Actions in Markdown fences, as most models write by habit."""

ENVELOPES = {"chat": CHAT, "mint": MINT, "m3tooleval": M3TOOLEVAL, "fences": FENCES}


def named(envelope: str) -> Envelope:
    """The envelope of a name.

    Raises:
        ValueError: There is none; the message lists what there is.
    """
    if envelope not in ENVELOPES:
        raise ValueError(f"unknown envelope {envelope!r}; available: {', '.join(ENVELOPES)}")
    return ENVELOPES[envelope]
