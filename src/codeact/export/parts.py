"""A trajectory taken apart for a document: who said what, which code ran, and what came of it.

The notebook and the Markdown document are both written from these parts. A trajectory keeps the text that the model was
shown and the rich outputs; `pieces` brings the two together again, so that a figure stands where it was drawn. What is
only in that text is taken as text: nothing here is evaluated.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from codeact.actions import Answer, CodeAction, Malformed, Say, ToolCall
from codeact.interpreter.output import Bundle, image_name
from codeact.messages import Image
from codeact.trajectory import Observation, Trajectory, Turn

__all__ = ["Code", "Failed", "Part", "Printed", "Rich", "Words", "clean", "of_turn", "parts", "pieces", "title"]


@dataclass(frozen=True)
class Words:
    """What somebody said."""

    who: str
    """user, assistant, or note: a word of the program's own."""
    text: str
    images: tuple[Image, ...] = ()


@dataclass(frozen=True)
class Printed:
    """Text that a cell put out."""

    text: str


@dataclass(frozen=True)
class Rich:
    """A rich output, or the value of a cell."""

    bundle: Bundle
    is_value: bool = False


@dataclass(frozen=True)
class Failed:
    """The exception that a cell ended with."""

    name: str
    message: str
    traceback: str


@dataclass(frozen=True)
class Code:
    """A cell."""

    code: str
    outputs: tuple[Printed | Rich | Failed, ...] = ()
    status: str = "ok"
    """As `Observation.status`; or `cut`: it came to no end, and nobody should have to wait for one again."""
    tool: str = ""
    """The tool that it only calls, where the model acted by a tool call."""
    files: tuple[str, ...] = ()
    """That it wrote."""


Part = Words | Code

_VALUE = re.compile(r"^Out\[\d+\]: ?\n?", re.M)
_TRACEBACK = re.compile(r"^(?:Traceback \(most recent call last\):|File \"<cell \d+>\", line \d+)$", re.M)
_NOTES = re.compile(r"(?:\A|\n)\[(?:files written: |what you wrote after the code was ignored)[^\n]*\](?=\n\[|\Z)")
"""What the environment adds for the model."""
_SAFE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f]")


def clean(text: str) -> str:
    """Text that every reader of a document takes: no control characters but colours', no halves of characters."""
    return _SAFE.sub("", text.encode("utf-8", "replace").decode("utf-8"))


def parts(trajectory: Trajectory) -> Iterator[Part]:
    """The conversation in order; the system's prompt is left out, as it is not the user's."""
    for message in trajectory.prompt:
        if message.role != "system":
            yield Words(message.role, message.content, message.images)
    for turn in trajectory.turns:
        yield from of_turn(turn)
        if turn.reply:
            yield Words("user", turn.reply.content, turn.reply.images)
    if trajectory.stop and trajectory.stop.value != "answer":
        yield Words("note", f"The conversation ended here: {trajectory.stop.value.replace('_', ' ')}.")


def of_turn(turn: Turn) -> Iterator[Part]:
    """A turn in order, without what the user said next."""
    action, seen = turn.action, turn.observation
    if turn.completion.reasoning.strip():
        yield Words("reasoning", turn.completion.reasoning)
    if isinstance(action, CodeAction | ToolCall | Answer) and action.thought.strip():
        yield Words("assistant", action.thought)
    match action:
        case CodeAction(code):
            yield Code(code, tuple(pieces(seen)), seen.status, files=seen.files)
        case ToolCall(name, arguments, positional=positional):
            given = [*map(repr, positional), *(f"{key}={value!r}" for key, value in arguments.items())]
            yield Code(f"{name}({', '.join(given)})", tuple(pieces(seen)), seen.status, tool=name, files=seen.files)
        case Answer(text) | Say(text):
            yield Words("assistant", text)
        case Malformed():
            yield Words("note", "A reply of the model's could not be read, and it was shown the right form:")
            yield Words("assistant", turn.completion.text)


def pieces(seen: Observation) -> Iterator[Printed | Rich | Failed]:
    """What a cell put out, in order: text, with each rich output in the place of the words that stood for it."""
    text, after = _NOTES.sub("", seen.text), 0
    for bundle in seen.outputs:
        words = _words_for(bundle)
        found = re.compile(rf"^(Out\[\d+\]: ?\n?)?{re.escape(words)}$\n?", re.M).search(text, after) if words else None
        if found is None:
            yield Rich(bundle)
            continue
        yield from _printed(text[after : found.start()])
        yield Rich(bundle, is_value=found[1] is not None)
        after = found.end()
    yield from _ending(text[after:], failed=seen.status not in ("ok", "none"))


def _ending(text: str, *, failed: bool) -> Iterator[Printed | Rich | Failed]:
    """The end of a text: a plain value, or a traceback."""
    heads = list((_TRACEBACK if failed else _VALUE).finditer(text))
    if not heads:
        yield from _printed(text)
    elif failed:
        # The first of a chain: the whole of it is the traceback
        yield from _printed(text[: heads[0].start()])
        yield _failed(text[heads[0].start() :], text[heads[-1].end() :])
    else:
        yield from _printed(text[: heads[-1].start()])
        yield Rich({"text/plain": text[heads[-1].end() :]}, is_value=True)


def _failed(traceback: str, last: str) -> Failed:
    """An error; what follows the frames of its last traceback names it."""
    named = re.search(r"^(?=\S)", last.lstrip("\n"), re.M)
    name, _, message = last.lstrip("\n")[named.start() if named else 0 :].partition(": ")
    known = name.strip().replace(".", "_").isidentifier()
    return Failed(name.strip(), message, traceback) if known else Failed("Error", "", traceback)


def _printed(text: str) -> Iterator[Printed]:
    if text:
        yield Printed(text)


def _words_for(bundle: Bundle) -> str:
    """What stands in the text for a rich output; see `interpreter.style.Style`."""
    images = [image_name(mime, data) for mime, data in bundle.items() if mime.startswith("image/")]
    texts = (bundle.get(mime) for mime in ("text/markdown", "text/plain", "text/latex"))
    return images[0] if images else next((text for text in texts if isinstance(text, str)), "")


def title(about: Mapping[str, Any]) -> str:
    """One line about where this is from."""
    model = about.get("model")
    return f"A conversation {f'with {model}, ' if isinstance(model, str) and model else ''}by codeact"
