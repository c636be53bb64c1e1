"""Read the code of a native tool call while its JSON arguments are still being written."""

import json
import re

__all__ = ["PartialCode"]

_BEGIN = re.compile(r'"code"\s*:\s*"')
_PIECE = re.compile(r'(?:[^"\\]|\\(?:[^u]|u[0-9a-fA-F]{4}))*', re.S)
_HALF_PAIR = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}\Z")


class PartialCode:
    """The string under `code`, as far as it is written."""

    def __init__(self) -> None:
        self._text = ""
        self._at: int | None = None
        self._over = False

    def feed(self, piece: str) -> str:
        """The next piece of the arguments; what of the code is new with it."""
        if self._over:
            return ""
        self._text += piece
        if self._at is None:
            begin = _BEGIN.search(self._text)
            if not begin:
                return ""
            self._at = begin.end()
        found = _PIECE.match(self._text, self._at)
        assert found is not None  # it matches the empty string
        raw = found[0]
        if half := _HALF_PAIR.search(raw):  # its other half is yet to come
            raw = raw[: half.start()]
        self._at += len(raw)
        self._over = self._text[self._at : self._at + 1] == '"'
        try:
            return str(json.loads(f'"{raw}"', strict=False))
        except ValueError:
            self._over = True
            return ""
