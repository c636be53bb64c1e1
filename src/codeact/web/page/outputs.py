"""What cells give out, shown: text folded when long, pictures, tables; HTML only in frames of an origin of its own.

Whatever a cell or a model writes is text here, or stands in an `<iframe sandbox>` without the page's origin: it can run
scripts there and reach nothing of the page's, nor the network (the frame has the page's policy).
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping
from typing import Any

from nicegui import ui

from codeact.web.page.words import written

__all__ = ["bundle", "framed", "printed", "without_shown"]

_LONG_LINES, _LONG_CHARS = 20, 2_000
_MAX_CHARS = 200_000
_PICTURES = ("image/png", "image/jpeg", "image/gif", "image/webp")
_PICTURE_NAMED = re.compile(r"^\[image/\w+ \d+x\d+\]\n?", re.M)
_BASE64 = re.compile(r"[A-Za-z0-9+/=\s]*\Z")
_STYLE = (
    "<style>body{font:14px system-ui;margin:4px;color-scheme:light dark}table{border-collapse:collapse}"
    "td,th{border-bottom:1px solid #8884;padding:2px 8px;text-align:right}</style>"
)
_TELL_HEIGHT = (
    "<script>new ResizeObserver(()=>parent.postMessage({codeactHeight:"
    "Math.ceil(document.body.getBoundingClientRect().bottom)+6},'*')).observe(document.body)</script>"
)


def printed(text: str, *, error: bool = False) -> None:
    """Text, in a fixed width; a long one is folded."""
    text = text[:_MAX_CHARS] + ("\n[... the rest is cut off here]" if len(text) > _MAX_CHARS else "")
    lines = text.rstrip().split("\n")
    if not text.strip():
        return
    classes = "output error" if error else "output"
    if len(lines) <= _LONG_LINES and len(text) <= _LONG_CHARS:
        _pre(text.rstrip(), classes)
        return
    _pre("\n".join(lines[:_LONG_LINES])[:_LONG_CHARS], classes)
    with ui.expansion(f"all {len(lines):,} lines").classes("w-full folded"):
        _pre(text.rstrip(), classes)


def _pre(text: str, classes: str) -> None:
    ui.label(text).classes(classes).props('role="group" aria-label="output"')


def bundle(data: Mapping[str, Any]) -> None:
    """One rich output, by the best of its kinds that can be shown."""
    for mime in _PICTURES:
        value = data.get(mime)
        encoded = value.get("base64") if isinstance(value, Mapping) else value
        if isinstance(encoded, str) and encoded and _BASE64.match(encoded):
            described = str(data.get("text/plain", "figure"))[:200]
            picture = ui.element("img").classes("figure")
            # Not by `props("...")`, which would read words of the cell's as more attributes
            picture.props.update(src=f"data:{mime};base64,{encoded}", alt=described)
            return
    for mime in ("text/html", "image/svg+xml"):
        if isinstance(data.get(mime), str):
            framed(data[mime])
            return
    if isinstance(data.get("text/markdown"), str):
        written(data["text/markdown"])
    elif isinstance(data.get("text/plain"), str):
        printed(data["text/plain"])


def without_shown(text: str, outputs: Iterable[Mapping[str, Any]]) -> str:
    """A cell's text without what stands in it for outputs that are shown: a picture's name, a table's text."""
    for output in outputs:
        plain = output.get("text/plain")
        if "text/html" in output and isinstance(plain, str) and plain.strip():
            before, found, after = text.rpartition(plain)
            text = before + after if found else text
        if any(mime in output for mime in _PICTURES):
            text = _PICTURE_NAMED.sub("", text, count=1)
    return text


def framed(content: str) -> None:
    """HTML in a frame without the page's origin."""
    inside = html.escape(_STYLE + content[:5_000_000] + _TELL_HEIGHT, quote=True)
    # Not cleaned: the cleaning is for the page's own origin, and would take the frame away; all of it is escaped.
    frame = f'<iframe sandbox="allow-scripts" referrerpolicy="no-referrer" title="output of a cell" srcdoc="{inside}">'
    ui.html(f"{frame}</iframe>", sanitize=False).classes("framed")
