"""Words and code to be read: Markdown with formulas, in which HTML is text; Python in colours, which can be copied."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from markdown_it import MarkdownIt
from nicegui import ui

from codeact.web.page import colours, maths

__all__ = ["Source", "Written", "rendered", "source", "written"]

_MARKDOWN = MarkdownIt("commonmark", {"html": False, "breaks": True}).enable(["table", "strikethrough"])
"""It takes time by the length of a text alone, whatever is in it."""
_MAX_MARKDOWN, _MAX_TEXT = 40_000, 200_000
"""Characters that are read as Markdown, and that are shown at all: this is done in the server's event loop."""
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


def rendered(text: str) -> str:
    """Markdown as HTML, of which only our own tags are any: the text's are text. What is very long ends as text."""
    lifted = maths.lift(text[:_MAX_MARKDOWN])
    made = maths.put_back(_TAG.sub(_checked, _MARKDOWN.render(lifted.text)), lifted)
    if rest := text[_MAX_MARKDOWN:_MAX_TEXT]:
        made += f"<pre>{html.escape(rest)}</pre>"
    return made + ("<p>[... the rest is cut off here]</p>" if len(text) > _MAX_TEXT else "")


def _code_block(self: Any, tokens: Sequence[Any], at: int, options: Any, env: Any) -> str:
    """A block of code, in colours where its language is known."""
    code, language = str(tokens[at].content), str(tokens[at].info).strip().split(" ", 1)[0]
    made, env["room"] = colours.block(code, language, env.get("room", colours.MAX_OTHERS))
    return made or f"<pre><code>{html.escape(code, quote=False)}</code></pre>\n"


_MARKDOWN.add_render_rule("fence", _code_block)


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
        self._element.set_content(colours.python(code))
        self._place.set_visibility(bool(code))


def written(text: str) -> None:
    """Markdown."""
    Written(text)


def source(code: str) -> None:
    """Python."""
    Source(code)
