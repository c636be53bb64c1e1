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
_PICTURE_NAMED = re.compile(r"^\[image/[\w.+-]+(?: \d+x\d+)?\]\n?", re.M)
_KIND_NAMED = re.compile(r"^\[[\w.+/-]+, [\d,]+ characters\][^\n]*\n?", re.M)
_POINTERS = re.compile(r"^[ ^~]{90,}\n", re.M)   # which point nowhere once the line above is wrapped
_ERROR = re.compile(r'^(?:Traceback \(most recent call last\):|File "<cell \d+>", line \d+)$', re.M)
_EMPTY_OUT = re.compile(r"^Out\[\d+\]:[ \t]*\n*(?=\[|\Z)", re.M)
_BASE64 = re.compile(r"[A-Za-z0-9+/=\s]*\Z")
_STYLE = (
    "<style>:root{color-scheme:light dark}body{font:14px/1.45 system-ui,sans-serif;margin:4px;color:CanvasText}"
    "table{border-collapse:collapse;border:0!important;font-variant-numeric:tabular-nums}"
    "td,th{border:0;border-bottom:1px solid #8883;padding:4px 12px;text-align:left}"
    "th{font-weight:600;white-space:nowrap}thead th{border-bottom:1px solid #888a}"
    ".dataframe td{text-align:right}tbody tr:hover>*{background:#8881}img,svg{max-width:100%}</style>"
)
_TELL_HEIGHT = (
    "<script>new ResizeObserver(()=>parent.postMessage({codeactHeight:"
    "Math.ceil(document.body.getBoundingClientRect().bottom)+6},'*')).observe(document.body)</script>"
)


def printed(text: str, *, error: bool = False) -> None:
    """Text, in a fixed width. Of a long one the beginning is seen, of an error the end, and all once unfolded."""
    text = text[:_MAX_CHARS] + ("\n[... the rest is cut off here]" if len(text) > _MAX_CHARS else "")
    lines = text.rstrip().split("\n")
    if not text.strip():
        return
    classes = "output error" if error else "output"
    if len(lines) <= _LONG_LINES and len(text) <= _LONG_CHARS:
        _pre(text.rstrip(), classes)
        return
    part = lines[-_LONG_LINES:] if error else lines[:_LONG_LINES]
    seen = _pre("\n".join(part)[-_LONG_CHARS:] if error else "\n".join(part)[:_LONG_CHARS], classes)
    with ui.expansion(f"all {len(lines):,} lines").classes("w-full folded").props("switch-toggle-side dense") as whole:
        _pre(text.rstrip(), classes).props("tabindex=0")
    seen.bind_visibility_from(whole, "value", value=False)


def _pre(text: str, classes: str) -> ui.label:
    return ui.label(text).classes(classes).props('role="group" aria-label="output"')


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
    """What came of a cell: its text, then what can be shown better than as text, then its error."""
    rich = [output for output in outputs if set(output) - {"text/plain"}]
    for output in rich:
        text = _without(text, output)
    found = _ERROR.search(text) if error else None
    before, failed = (text[: found.start()], text[found.start() :]) if found else (text, "")
    printed(_EMPTY_OUT.sub("", before) if rich else before, error=error and not found)
    for output in rich:
        bundle(output)
    printed(_POINTERS.sub("", failed), error=True)


def _without(text: str, output: Mapping[str, Any]) -> str:
    """A cell's text without the words that stand in it for what is shown, as `Style` chose them."""
    if any(mime in output for mime in (*_PICTURES, _DRAWING)):
        return _PICTURE_NAMED.sub("", text, count=1)
    if not any(mime in output for mime in _BETTER):
        return text
    words = next((output[mime] for mime in ("text/markdown", "text/plain", "text/latex") if _text(output, mime)), None)
    if words is None:
        return _KIND_NAMED.sub("", text, count=1)
    for shown in (words, words.strip()):   # at the text's beginning its blanks are gone
        before, found, after = text.rpartition(shown)
        if found:
            return before + after
    return text


def framed(content: str) -> None:
    """HTML in a frame without the page's origin."""
    inside = html.escape(_STYLE + content[:5_000_000] + _TELL_HEIGHT, quote=True)
    # Not cleaned: the cleaning is for the page's own origin, and would take the frame away; all of it is escaped.
    frame = f'<iframe sandbox="allow-scripts" referrerpolicy="no-referrer" title="output of a cell" srcdoc="{inside}">'
    ui.html(f"{frame}</iframe>", sanitize=False).classes("framed")
