"""What cells give out, shown: text folded when long, pictures, tables, formulas; HTML only in frames apart.

Whatever a cell or a model writes is text here, or stands in an `<iframe sandbox>` without the page's origin: it can run
scripts there and reach nothing of the page's, nor the network (the frame has the page's policy).
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from nicegui import ui

from codeact.web.page import maths, plots
from codeact.web.page.words import written

__all__ = ["bundle", "framed", "printed", "results"]

_LONG_LINES, _LONG_CHARS = 20, 2_000
_MAX_CHARS = 200_000
_PICTURES = ("image/png", "image/jpeg", "image/gif", "image/webp")
_DRAWING = "image/svg+xml"
_BETTER = (plots.MIME, "text/html", "text/markdown", "text/latex", "application/json")
_PICTURE_NAMED = re.compile(r"^\[image/(?:\w+ \d+x\d+|svg\+xml)\]\n?", re.M)
_EMPTY_OUT = re.compile(r"^Out\[\d+\]:[ \t]*\n*(?=\[|\Z)", re.M)
_BASE64 = re.compile(r"[A-Za-z0-9+/=\s]*\Z")
_STYLE = (
    "<style>:root{color-scheme:light dark}body{font:14px system-ui;margin:4px;color:CanvasText}"
    "table{border-collapse:collapse;border:0!important}"
    "td,th{border:0;border-bottom:1px solid #8886;padding:3px 10px;text-align:right}</style>"
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
    plain = data.get("text/plain")
    described = plain[:200] if isinstance(plain, str) and plain.strip() else "figure"
    if _text(data, plots.MIME) and plots.plot(data[plots.MIME], described):
        return
    for mime in _PICTURES:
        value = data.get(mime)
        encoded = value.get("base64") if isinstance(value, Mapping) else value
        if isinstance(encoded, str) and encoded and _BASE64.match(encoded):
            _picture(mime, encoded, described)
            return
    if _text(data, "text/html"):
        framed(data["text/html"])
    elif _text(data, _DRAWING):
        _picture(_DRAWING, base64.b64encode(data[_DRAWING].encode()).decode(), described)
    elif _text(data, "text/markdown"):
        written(data["text/markdown"])
    elif _text(data, "text/latex") and (formula := maths.whole(data["text/latex"])):
        ui.html(formula, sanitize=True).classes("answer")
    elif _text(data, "application/json"):
        printed(_laid_out(data["application/json"]))
    elif isinstance(plain, str):
        printed(plain)
    elif _text(data, "text/latex"):
        printed(data["text/latex"])


def _text(data: Mapping[str, Any], mime: str) -> bool:
    value = data.get(mime)
    return isinstance(value, str) and bool(value.strip())


def _picture(mime: str, encoded: str, described: str) -> None:
    picture = ui.element("img").classes("figure")
    # Not by `props("...")`, which would read words of the cell's as more attributes
    picture.props.update(src=f"data:{mime};base64,{encoded}", alt=described)


def _laid_out(text: str) -> str:
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False) if len(text) <= _MAX_CHARS else text
    except (ValueError, RecursionError):
        return text


def results(text: str, outputs: Iterable[Mapping[str, Any]], *, error: bool) -> None:
    """What came of a cell: its text, then what can be shown better than as text."""
    rich = [output for output in outputs if set(output) - {"text/plain"}]
    for output in rich:
        plain = output.get("text/plain")
        if isinstance(plain, str) and plain.strip() and any(mime in output for mime in _BETTER):
            before, found, after = text.rpartition(plain)
            text = before + after if found else text
        if any(mime in output for mime in (*_PICTURES, _DRAWING)):
            text = _PICTURE_NAMED.sub("", text, count=1)
    printed(_EMPTY_OUT.sub("", text) if rich else text, error=error)
    for output in rich:
        bundle(output)


def framed(content: str) -> None:
    """HTML in a frame without the page's origin."""
    inside = html.escape(_STYLE + content[:5_000_000] + _TELL_HEIGHT, quote=True)
    # Not cleaned: the cleaning is for the page's own origin, and would take the frame away; all of it is escaped.
    frame = f'<iframe sandbox="allow-scripts" referrerpolicy="no-referrer" title="output of a cell" srcdoc="{inside}">'
    ui.html(f"{frame}</iframe>", sanitize=False).classes("framed")
