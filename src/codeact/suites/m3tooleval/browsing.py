"""Tools of the family `web_browsing`: a small web site, seen five lines at a time.

A browser keeps the page, the place on it and the way back, so each task gets one of its own.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from codeact.suites.m3tooleval.calculator import calculator

__all__ = ["Browser"]

_LINES = 5
_HOME = "/"
_RULE = "----------"


class Browser:
    """Opened at the home page.

    Args:
        pages: Text by name; a name is the path of its address.
    """

    def __init__(self, pages: Mapping[str, str]) -> None:
        self._pages = pages
        self._page = _HOME
        self._view = 0
        self._back: list[str] = []

    def tools(self) -> Sequence[Callable[..., Any]]:
        """The family's tools, all on this browser."""
        return (self.click_url, self.go_to_previous_page, self.scroll_down, self.scroll_up, self.view, calculator)

    def click_url(self, url: str) -> str:
        """Open a page, whether the one at hand links to it or not; quotes around its name do not matter."""
        name = url.strip("'\"")
        if name not in self._pages:
            return "[URL not found.]"
        self._back.append(self._page)
        return self._open(name)

    def go_to_previous_page(self) -> str:
        """Open the page that was left last, at its top."""
        if not self._back:
            return "[No previous page.]"
        return self._open(self._back.pop())

    def scroll_down(self) -> str:
        """Show the next lines."""
        if self._view + 1 >= self._n_views():
            return "[Reached the bottom of the page.]\n"
        self._view += 1
        return self.view()

    def scroll_up(self) -> str:
        """Show the lines before."""
        if self._view == 0:
            return "[Reached the top of the page.]\n"
        self._view -= 1
        return self.view()

    def view(self) -> str:
        """Show the lines at hand."""
        first = self._view * _LINES
        lines = "\n".join(self._lines()[first : first + _LINES])
        place = f"[Viewing page {self._view + 1} of {self._n_views()}]"
        return f"{_RULE}\n[Web Page Name: {self._page}]\n{place}\n\n{lines}\n{_RULE}"

    def _open(self, name: str) -> str:
        self._page, self._view = name, 0
        return f"[Opened page: {name}]\n{self.view()}"

    def _lines(self) -> list[str]:
        return self._pages[self._page].split("\n")

    def _n_views(self) -> int:
        return -(-len(self._lines()) // _LINES)
