"""What pip prints, read line by line: a little of it is told to the cell, and why it failed is kept.

pip.py reads pip's output with it. Only lines of a few known forms go on, without addresses, so that nothing of the
user's configuration comes out in a cell.
"""

from __future__ import annotations

import re
from collections.abc import Callable

__all__ = ["PipWords"]

MAX_LINES, MAX_LINE_CHARS = 5000, 2000
MAX_ERRORS, MAX_ERROR_CHARS = 30, 500

_TOLD = re.compile(r"\s*(?:(Collecting \S+)|(Downloading \S+\.whl(?: \([^()]*\))?)\Z|"
                   r"(Requirement already satisfied: \S+).*?( \([^()]*\))?\Z)")
_CONFLICT = "The conflict is caused by:"
_UNREACHABLE = re.compile(r"WARNING: Retrying|Could not fetch URL|Max retries exceeded|HTTP error|WARNING: \d{3} Error")
_NO_MATCH = re.compile(r"ERROR: No matching distribution found for (\S.*)")


class PipWords:
    """The words of one run of pip.

    Args:
        tell: Told each line that may be shown.
        clear: Takes out of a text what nobody may see.
    """

    def __init__(self, tell: Callable[[str], None], clear: Callable[[str], str]):
        self._tell, self._clear = tell, clear
        self._rest, self._n_lines, self._explains = b"", 0, False
        self.errors: list[str] = []
        self.no_match = ""
        """The requirement for which there is no wheel."""
        self.is_unreachable = False
        """Whether the index did not answer as it should."""

    def feed(self, data: bytes) -> None:
        """Take some output; none is its end."""
        *lines, self._rest = (self._rest + data).split(b"\n") if data else (self._rest, b"")
        self._rest = self._rest[-MAX_LINE_CHARS:]
        for line in lines:
            self._n_lines += 1
            if self._n_lines <= MAX_LINES:
                self._hear(line[:MAX_LINE_CHARS].decode("utf-8", "replace").rstrip())

    def _hear(self, line: str) -> None:
        found = _NO_MATCH.match(line)
        if found:
            self.no_match = found[1]
        if _UNREACHABLE.search(line):
            self.is_unreachable = True
        if line.startswith("ERROR: ") or (self._explains and line.startswith("    ")):
            if len(self.errors) < MAX_ERRORS and "ResolutionImpossible" not in line:
                self.errors.append(self._clear(line.removeprefix("ERROR: "))[:MAX_ERROR_CHARS])
            return
        self._explains = line.startswith(_CONFLICT) or (self._explains and bool(line))
        told = _TOLD.match(line)
        if told:
            self._tell(self._clear("".join(filter(None, told.groups()))))
