"""A web page as text that reads well: HTML to Markdown with the standard library's parser.

Headings, lists, links, tables and code keep their marks; scripts, styles and what is not shown are left out. Where a
page marks its main part, only that is given. Pages are hostile: the parser is fed in small pieces, what never ends is
dropped, and after some seconds the rest is left out.
"""

from __future__ import annotations

import re
import time
from html import unescape
from html.parser import HTMLParser
from urllib.parse import urljoin

__all__ = ["readable"]

PIECE = 4096
MAX_PENDING = 16 << 10
"""Characters of one tag or comment."""
MAX_SECONDS = 5.0
MAX_DEPTH = 8
"""Of lists in lists."""
MIN_MAIN = 200
"""Characters that a page's main part must have to be all that is given."""

_SKIPPED = {"script", "style", "noscript", "template", "svg", "iframe", "object", "select", "button", "canvas"}
_BLOCKS = {"p", "div", "section", "article", "main", "header", "footer", "aside", "nav", "form", "figure", "figcaption",
           "blockquote", "table", "thead", "tbody", "dl", "dt", "dd", "hr", "address", "fieldset", "details", "summary"}
_HEADINGS = {f"h{n}": "#" * n + " " for n in range(1, 7)}


def readable(html: str, base: str = "") -> tuple[str, str, bool]:
    """Title and text, and whether something was left out because it took too long.

    Args:
        base: The page's address, for its links.
    """
    page = _Page(base)
    deadline = time.monotonic() + MAX_SECONDS
    cut = False
    for at in range(0, len(html), PIECE):
        page.feed(html[at:at + PIECE])
        if len(page.rawdata) > MAX_PENDING:
            page.rawdata = page.rawdata[-32:]
        if time.monotonic() > deadline:
            cut = True
            break
    if not page.rawdata.startswith("<"):   # a tag that does not end is dropped; `close` would look for each end anew
        page.handle_data(unescape(page.rawdata))
    page.end_line()
    main = _tidy(page.main)
    return " ".join("".join(page.title).split()), main if len(main) >= MIN_MAIN else _tidy(page.lines), cut


def _tidy(lines: list[str]) -> str:
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


class _Page(HTMLParser):
    def __init__(self, base: str):
        super().__init__(convert_charrefs=True)
        self.base = base
        self.title: list[str] = []
        self.lines: list[str] = []
        self.main: list[str] = []
        self._line: list[str] = []
        self._skipped: list[str] = []
        self._in_title = self._in_pre = False
        self._in_main = 0
        self._lists: list[int | None] = []
        self._link: tuple[str, int] | None = None
        self._prefix = ""

    def end_line(self, blank: bool = False) -> None:
        """What was collected is a line."""
        text = "".join(self._line)
        text = text.rstrip() if self._in_pre else " ".join(text.split())
        self._line = []
        for lines in [self.lines, *([self.main] if self._in_main else [])]:
            if text:
                lines.append(self._prefix + text)
            if blank and lines and lines[-1]:
                lines.append("")
        if text:
            self._prefix = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in _SKIPPED:
            self._skipped.append(tag)
        elif self._skipped:
            return
        elif tag == "title":
            self._in_title = not self.title
        elif tag in _HEADINGS:
            self.end_line(blank=True)
            self._prefix = _HEADINGS[tag]
        elif tag in ("ul", "ol"):
            self.end_line(blank=not self._lists)
            self._lists.append(0 if tag == "ol" else None)
        elif tag == "li":
            self.end_line()
            number = self._lists[-1] if self._lists else None
            if number is not None:
                self._lists[-1] = number + 1
            depth = min(MAX_DEPTH, max(0, len(self._lists) - 1))
            self._prefix = "  " * depth + ("- " if number is None else f"{number + 1}. ")
        elif tag == "pre":
            self.end_line(blank=True)
            self._line.append("```")
            self.end_line()
            self._in_pre = True
        elif tag in ("br", "tr"):
            self.end_line()
        elif tag in ("td", "th"):
            self._line.append(" | ")
        elif tag == "code" and not self._in_pre:
            self._line.append("`")
        elif tag == "img" and given.get("alt"):
            self._line.append(f"[{given['alt']}]")
        elif tag == "a" and given.get("href"):
            self._link = (given["href"] or "", len(self._line))
        elif tag in _BLOCKS:
            self.end_line(blank=tag in ("p", "table", "blockquote"))
            self._in_main += tag in ("main", "article")

    def handle_endtag(self, tag: str) -> None:
        if tag in _SKIPPED:
            if tag in self._skipped:
                del self._skipped[self._skipped.index(tag):]
        elif self._skipped:
            return
        elif tag == "title":
            self._in_title = False
        elif tag in _HEADINGS:
            self.end_line(blank=True)
            self._prefix = ""
        elif tag in ("ul", "ol"):
            self.end_line()
            if self._lists:
                self._lists.pop()
            self.end_line(blank=not self._lists)
        elif tag == "pre" and self._in_pre:
            self.end_line()
            self._in_pre = False
            self._line.append("```")
            self.end_line(blank=True)
        elif tag in ("tr", "li"):
            self.end_line()
        elif tag == "code" and not self._in_pre:
            self._line.append("`")
        elif tag == "a" and self._link is not None:
            href, start = self._link
            self._link = None
            text = " ".join("".join(self._line[start:]).split())
            if text and not href.startswith(("#", "javascript:", "data:")):
                self._line[start:] = [f"[{text}]({self._absolute(href)})"]
        elif tag in _BLOCKS:
            self.end_line(blank=tag in ("p", "table", "blockquote"))
            if tag in ("main", "article") and self._in_main:
                self._in_main -= 1

    def _absolute(self, href: str) -> str:
        try:
            return urljoin(self.base, href.strip())
        except ValueError:
            return href

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self.title.append(data[:1000])
        elif self._skipped:
            return
        elif self._in_pre:
            first, *rest = data.split("\n")
            self._line.append(first)
            for line in rest:
                self.end_line()
                self._line.append(line)
        else:
            self._line.append(data)
