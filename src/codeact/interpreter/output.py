"""What a cell puts out, in order: the values that `style.Style.render` turns into the text a model sees.

The interpreter builds the list while frames arrive. Everything in it was said by the kernel and is data, never trusted:
nothing here is evaluated, and sizes of images are read from their headers with bounds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from codeact.events import Approval, ToolCalled

__all__ = ["Bundle", "Display", "Event", "Failure", "Note", "OnOutput", "Text", "Value", "image_name",
           "without_base64"]

Bundle: TypeAlias = Mapping[str, str | bytes]
"""MIME type -> text, or bytes for images."""


@dataclass(frozen=True)
class Text:
    """Printed text, a piece of one stream."""

    stream: Literal["stdout", "stderr"]
    text: str


@dataclass(frozen=True)
class Display:
    """A rich output: `display(...)`, a figure."""

    bundle: Bundle


@dataclass(frozen=True)
class Value:
    """The value of the last expression."""

    bundle: Bundle


@dataclass(frozen=True)
class Failure:
    """What the cell ended with."""

    name: str
    message: str
    traceback: str = ""
    """Plain text, as Python prints it."""
    chain: tuple[Mapping[str, Any], ...] = ()
    """The same as data (docs/kernel_protocol.md), for styles that lay tracebacks out in another way."""


@dataclass(frozen=True)
class Note:
    """A word of the interpreter's own to the model: restored, cut, not possible."""

    text: str


Event: TypeAlias = Text | Display | Value | Failure | Note
OnOutput: TypeAlias = "Callable[[Text | Display | ToolCalled | Approval], None]"
"""Called with what a running cell shows and with what its tools do, in order, as it comes."""

_BASE64 = re.compile(r"data:([\w.+-]+/[\w.+-]+)(?:;[\w=.-]+)*;base64,[A-Za-z0-9+/=\s]{40,}")


def without_base64(text: str) -> str:
    """Name embedded files instead of spelling them."""
    return _BASE64.sub(r"[\1]", text) if ";base64," in text else text


def image_name(mime: str, data: str | bytes) -> str:
    """`[image/png 640x480]`; without the size where the data does not say."""
    size = _svg_size(data) if isinstance(data, str) else _size(data)
    return f"[{mime} {size[0]}x{size[1]}]" if size else f"[{mime}]"


def _size(data: bytes) -> tuple[int, int] | None:
    """Width and height in pixels, from the header of a PNG, GIF or JPEG."""
    if data[:8] == b"\x89PNG\r\n\x1a\n" and len(data) >= 24:
        return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    if data[:4] == b"GIF8" and len(data) >= 10:
        return int.from_bytes(data[6:8], "little"), int.from_bytes(data[8:10], "little")
    if data[:2] == b"\xff\xd8":
        return _jpeg_size(data)
    return None


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Walk a JPEG's segments to the one that holds the size."""
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return int.from_bytes(data[at + 7:at + 9], "big"), int.from_bytes(data[at + 5:at + 7], "big")
        at += 2 + max(2, int.from_bytes(data[at + 2:at + 4], "big"))
    return None


def _svg_size(text: str) -> tuple[int, int] | None:
    head = re.search(r"<svg\b[^>]{0,2000}>", text[:10_000])
    found = [re.search(rf'\b{name}="(\d{{1,6}})(?:\.\d+)?(?:px|pt)?"', head.group()) for name in ("width", "height")] \
        if head else []
    return (int(found[0].group(1)), int(found[1].group(1))) if found and found[0] and found[1] else None
