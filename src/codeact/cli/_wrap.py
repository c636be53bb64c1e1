"""Break lines between words while text is still coming in, as a terminal by itself breaks them inside words."""

import re

__all__ = ["Wrap"]


class Wrap:
    """Text of one part; a word is held back until it is whole.

    Args:
        width: Characters a line may have; None breaks nothing.
    """

    def __init__(self, width: int | None) -> None:
        self._width = width
        self._column = 0
        self._blanks = self._word = ""

    def feed(self, text: str) -> str:
        """The next piece, as far as it can be shown."""
        if self._width is None:
            return text
        shown = ""
        for blanks, newline, word in re.findall(r"([^\S\n]+)|(\n)|(\S+)", text):
            if not word:
                shown += self._put()
            if newline:
                shown, self._blanks, self._column = shown + "\n", "", 0
            self._blanks += blanks
            self._word += word
        return shown

    def end(self) -> str:
        """What was held back; the next piece begins a new line."""
        shown = self._put()
        self._blanks, self._column = "", 0
        return shown

    def _put(self) -> str:
        if not self._word:
            return ""
        blanks, word = self._blanks, self._word
        self._blanks = self._word = ""
        if self._width and self._column and self._column + len(blanks) + len(word) > self._width:
            self._column = len(word)
            return f"\n{word}"
        self._column += len(blanks) + len(word)
        return blanks + word
