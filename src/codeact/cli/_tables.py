"""Tables as text: of rows that we have, and of the HTML that pandas and others show a table with.

HTML comes from cells, so it may be anything: it is read for its cells' text alone, up to a size, and what is no table
gives "".
"""

import re
import shutil
import unicodedata
from collections.abc import Mapping, Sequence
from html.parser import HTMLParser

__all__ = ["table_in", "text_table", "width_of"]

_NUMBER = re.compile(r"[-+]?[\d,]*\.?\d+(e[-+]?\d+)?%?|nan|inf|\.\.\.|<NA>", re.I)
_MAX_HTML, _MAX_ROWS, _MAX_COLUMNS, _MAX_CELL = 400_000, 200, 60, 60


def width_of(text: str) -> int:
    """Columns it takes in a terminal."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
               for char in text)


def text_table(rows: Sequence[Sequence[str]], *, width: int, header: bool = True,
               right: Sequence[bool] = ()) -> str:
    """Rows as lines with aligned columns; those that do not fit are left out, and the head says how many.

    Args:
        width: Columns of the terminal.
        right: For each column, whether it is aligned to the right.
    """
    n_columns = max(map(len, rows), default=0)
    cells = [[_fitted(row[number] if number < len(row) else "") for number in range(n_columns)] for row in rows]
    widths = [max(width_of(row[number]) for row in cells) for number in range(n_columns)]
    shown, used = 0, 0
    for wide in widths:
        if shown and used + wide > width - 4:
            break
        shown, used = shown + 1, used + wide + 2
    lines = []
    for row in cells:
        parts = []
        for number in range(shown):
            gap = " " * (widths[number] - width_of(row[number]))
            to_right = number < len(right) and right[number]
            parts.append(gap + row[number] if to_right else row[number] + gap)
        lines.append("  ".join(parts).rstrip())
    if lines and shown < n_columns:
        lines[0] += f"  ... {n_columns - shown} more"
    if header and len(lines) > 1:
        lines.insert(1, "  ".join("-" * widths[number] for number in range(shown)))
    return "".join(f"{line}\n" for line in lines)


def table_in(bundle: Mapping[str, str | bytes]) -> str:
    """The table of a display, where its HTML holds one; else ""."""
    html = bundle.get("text/html")
    if not isinstance(html, str) or "<table" not in html or len(html) > _MAX_HTML:
        return ""
    reader = _Reader()
    reader.feed(html)
    reader.end_row()
    rows = reader.rows[:_MAX_ROWS]
    if not any(any(row) for row in rows):
        return ""
    width = shutil.get_terminal_size().columns - 4
    body = rows[reader.n_head :] or rows
    right = [all(_is_number(row[number]) for row in body if number < len(row) and row[number].strip())
             for number in range(max(map(len, rows)))]
    text = text_table(rows, width=width, header=reader.n_head == 1, right=right)
    if len(reader.rows) > _MAX_ROWS:
        text += f"... {len(reader.rows) - _MAX_ROWS} more rows\n"
    return text + "".join(f"{line}\n" for line in reader.after[:1])


class _Reader(HTMLParser):
    """The text of the cells of the first table."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.after: list[str] = []
        """What follows the table: pandas says there how large it is."""
        self.n_head = 0
        self._row: list[str] | None = None
        self._below: dict[int, int] = {}
        """Columns that a cell of an earlier row reaches down into: for how many rows."""
        self._new: dict[int, int] = {}
        """Of the row that is being read."""
        self._in_cell = self._in_head = self._over = False
        self._hidden = self._first = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("style", "script"):
            self._hidden += 1
        elif self._over:
            return
        elif tag == "thead":
            self._in_head = True
        elif tag == "tr":
            self.end_row()
            self._row = []
        elif tag in ("td", "th"):
            if self._row is None:
                self._row = []
            while len(self._row) in self._below:
                self._row.append("")
            given = dict(attrs)
            self._first = len(self._row)
            self._row += [""] * min(_count(given.get("colspan")), _MAX_COLUMNS)
            if (reach := _count(given.get("rowspan"))) > 1:
                self._new |= dict.fromkeys(range(self._first, len(self._row)), reach)
            self._in_cell = True
        elif tag == "br" and self._in_cell:
            self.handle_data(" ")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("style", "script"):
            self._hidden = max(0, self._hidden - 1)
        elif tag in ("td", "th"):
            self._in_cell = False
        elif tag == "tr":
            self.end_row()
        elif tag == "thead":
            self.end_row()
            self._in_head = False
        elif tag == "table":
            self.end_row()
            self._over = True

    def handle_data(self, data: str) -> None:
        if self._hidden:
            return
        if self._over and data.strip():
            self.after.append(" ".join(data.split())[:200])
        elif self._in_cell and self._row is not None and len(self._row[self._first]) < 2 * _MAX_CELL:
            self._row[self._first] += data[: 2 * _MAX_CELL]

    def end_row(self) -> None:
        """The row is whole."""
        row, self._row, self._in_cell = self._row, None, False
        if row is None:
            return
        self._below = {column: left - 1 for column, left in (self._below | self._new).items() if left > 1}
        self._new = {}
        self.rows.append([" ".join(cell.split()) for cell in row[:_MAX_COLUMNS]])
        self.n_head += self._in_head


def _count(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 4 and int(text) else 1


def _is_number(text: str) -> bool:
    return bool(_NUMBER.fullmatch(text.strip()))


def _fitted(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _MAX_CELL else text[: _MAX_CELL - 3] + "..."
