"""A trajectory as a Markdown document, with its figures as files beside it.

    markdown.save(result.trajectory, "work.md")       # and work_files/figure-1.png, ...

What the model and its cells wrote is shown as it is: code and output are fenced so that nothing in them ends the fence.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

from codeact.export.parts import Failed, Part, Printed, Rich, Words, clean, parts, title
from codeact.trajectory import Bundle, Trajectory

__all__ = ["from_parts", "from_trajectory", "save"]

_SUFFIXES = {"image/png": ".png", "image/jpeg": ".jpg", "image/gif": ".gif", "image/webp": ".webp",
             "image/svg+xml": ".svg"}
_COLOURS = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b")


def save(trajectory: Trajectory, path: str | Path) -> list[Path]:
    """Write a document and its figures, replacing what is there; returns the figures' paths."""
    path = Path(path)
    folder = path.with_name(f"{path.stem}_files")
    text, figures = from_trajectory(trajectory, folder=folder.name)
    if figures:
        folder.mkdir(exist_ok=True)
    for name, data in figures.items():
        (folder / name).write_bytes(data)
    path.write_text(text, encoding="utf-8")
    return [folder / name for name in figures]


def from_trajectory(trajectory: Trajectory, *, folder: str = "files") -> tuple[str, dict[str, bytes]]:
    """The document, and its figures by file name.

    Args:
        folder: Where the document will look for them.
    """
    return from_parts(parts(trajectory), title(trajectory.about), folder=folder)


def from_parts(found: Iterable[Part], head: str, *, folder: str | None = "files") -> tuple[str, dict[str, bytes]]:
    """A document of other parts, likewise.

    Args:
        head: Its title.
        folder: As for a trajectory; None: the figures are in the document itself.
    """
    written = _Document(folder)
    blocks = [f"# {_plain(head)}", *(block for part in found for block in written.blocks(part))]
    return "\n\n".join(blocks) + "\n", written.figures


class _Document:
    """Writes parts, and keeps the figures they have."""

    def __init__(self, folder: str | None) -> None:
        self._folder = folder
        self.figures: dict[str, bytes] = {}

    def blocks(self, part: Part) -> list[str]:
        """The paragraphs of a part."""
        if isinstance(part, Words):
            pictures = [self._figure(image.mime, image.data) for image in part.images]
            return [_said(part), *filter(None, pictures)]
        noted = [f"*Calls the tool `{part.tool}`:*"] if part.tool else []
        files = [f"*Files written: {', '.join(f'`{_plain(name)}`' for name in part.files)}*"] if part.files else []
        return [*noted, _fenced(part.code, "python"), *filter(None, map(self._output, part.outputs)), *files]

    def _output(self, one: Printed | Rich | Failed) -> str:
        match one:
            case Printed(text) | Failed(traceback=text):
                return _fenced(text.rstrip("\n"), "text") if text.strip() else ""
            case Rich(bundle):
                return self._rich(bundle)

    def _rich(self, bundle: Bundle) -> str:
        for mime in _SUFFIXES:
            if mime in bundle:
                return self._figure(mime, bundle[mime])
        markdown, plain = bundle.get("text/markdown"), bundle.get("text/plain", "")
        if isinstance(markdown, str):
            return _plain(markdown)
        return _fenced(plain, "text") if isinstance(plain, str) and plain.strip() else ""

    def _figure(self, mime: str, data: str | bytes) -> str:
        if mime not in _SUFFIXES:
            return ""
        content = data.encode("utf-8", "replace") if isinstance(data, str) else data
        if self._folder is None:
            return f"![figure](data:{mime};base64,{base64.b64encode(content).decode()})"
        name = f"figure-{len(self.figures) + 1}{_SUFFIXES[mime]}"
        self.figures[name] = content
        return f"![{name}]({quote(self._folder)}/{name})"


def _said(part: Words) -> str:
    text = _plain(part.text).strip()
    if part.who == "assistant":
        return text
    heading = {"user": "**You**", "reasoning": "*Reasoning*", "note": "*codeact*"}.get(part.who, part.who)
    return "\n".join(f"> {line}".rstrip() for line in [heading, "", *text.split("\n")])


def _plain(text: str) -> str:
    return _COLOURS.sub("", clean(text))


def _fenced(text: str, language: str) -> str:
    """Text between fences longer than any in it."""
    text = _plain(text)
    longest = max((len(run) for run in re.findall(r"`{3,}", text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"
