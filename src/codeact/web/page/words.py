"""Words and code to be read: Markdown with formulas, in which HTML is text; Python in colours, which can be copied."""

from __future__ import annotations

import html
import re
from functools import lru_cache

import markdown2  # type: ignore[import-untyped]
from nicegui import ui
from pygments import highlight  # type: ignore[import-untyped]
from pygments.formatters import HtmlFormatter  # type: ignore[import-untyped]
from pygments.lexers import PythonLexer  # type: ignore[import-untyped]

from codeact.web.page import maths

__all__ = ["Source", "Written", "colours", "rendered", "source", "written"]

_EXTRAS = ("fenced-code-blocks", "tables", "cuddled-lists", "strike", "break-on-newline")
_TAG = re.compile(r'<(?:/?(?P<tag>\w+)(?P<attributes>(?: [a-z]+="[^"<>]*")*) ?/?>)?')
_TAGS = {
    "a", "blockquote", "br", "code", "del", "div", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "img", "li", "ol",
    "p", "pre", "s", "span", "strong", "table", "tbody", "td", "th", "thead", "tr", "ul",
}
_ATTRIBUTE = re.compile(r'([a-z]+)="([^"]*)"')
_PLAIN_ATTRIBUTES = {"alt", "class", "start", "style", "title"}
_ADDRESS = re.compile(r"https?://|mailto:|[^:]*\Z")
_MAX_COLOURED = 100_000
_COPY = """(e) => {
  const button = e.currentTarget, code = button.parentElement.querySelector('pre');
  copyText(code.textContent).then(() => {
    button.setAttribute('aria-label', 'Copied');
    setTimeout(() => button.setAttribute('aria-label', 'Copy the code'), 2000);
  });
}"""


@lru_cache(maxsize=1)
def colours() -> str:
    """The style sheet of code, light and dark."""
    light = HtmlFormatter(nobackground=True, style="xcode").get_style_defs(".codehilite")
    dark = HtmlFormatter(nobackground=True, style="github-dark").get_style_defs(".body--dark .codehilite")
    return f"{light}\n{dark}"


def rendered(text: str) -> str:
    """Markdown as HTML, of which only our own tags are any: the text's are text."""
    lifted = maths.lift(text)
    made = str(markdown2.markdown(lifted.text, extras=list(_EXTRAS), safe_mode="escape"))
    return maths.put_back(_TAG.sub(_checked, made), lifted)


def _checked(found: re.Match[str]) -> str:
    """A tag if Markdown makes such: half a tag, and some whole ones, come through its escaping."""
    known = found["tag"] in _TAGS and all(
        name in _PLAIN_ATTRIBUTES or (name in ("href", "src") and _ADDRESS.match(html.unescape(value)))
        for name, value in _ATTRIBUTE.findall(found["attributes"])
    )
    return found[0] if known else f"&lt;{found[0][1:]}"


_kept = lru_cache(maxsize=1000)(rendered)


class Written:
    """Markdown that may grow. HTML in it is text; what is made of it is cleaned in the browser all the same."""

    def __init__(self, text: str) -> None:
        self._element = ui.html(_kept(text), sanitize=True).classes("answer")

    def set(self, text: str) -> None:
        """Other text, which is still being written."""
        self._element.set_content(rendered(maths.without_half_a_formula(text)))

    def end(self, text: str) -> None:
        """The text as it is to stay."""
        self._element.set_content(_kept(text))


class Source:
    """Python that may grow; not seen while there is none."""

    def __init__(self, code: str) -> None:
        with ui.element("div").classes("code") as self._place:
            self._element = ui.html("", sanitize=True)
            ui.button(icon="content_copy").props('flat round dense size=sm aria-label="Copy the code"').classes(
                "copy"
            ).on("click", js_handler=_COPY)
        self.set(code)

    def set(self, code: str) -> None:
        """Other code."""
        code = code.strip("\n").rstrip()
        if len(code) > _MAX_COLOURED:
            code = f"{code[:_MAX_COLOURED]}\n# [... the rest is cut off here]"
        self._element.set_content(highlight(code, PythonLexer(stripnl=False), HtmlFormatter(cssclass="codehilite")))
        self._place.set_visibility(bool(code))


def written(text: str) -> None:
    """Markdown."""
    Written(text)


def source(code: str) -> None:
    """Python."""
    Source(code)
