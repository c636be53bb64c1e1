"""Free text of models and cells of what a terminal would obey, also where a sequence comes in several pieces.

Whatever comes in, no escape character goes out but in a whole sequence that sets colours, and that only where they are
wanted: nothing that moves the cursor to another line, clears, sets a title, writes the clipboard or makes the terminal
answer. A program can still write over its own line, as progress bars do, and choose colours that nobody can read.

Sequences are those of ECMA-48 and xterm, in 7 bits and in 8. One that is not ended hides what follows on its line.
"""

import re

__all__ = ["Cleaner", "cleaned", "plain", "visible"]

_STRING = r"(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x18\x1a\x1b\x9c\n]*"
"""OSC, DCS, SOS, PM and APC, up to their end; no terminal lets one go on behind an escape."""
_CONTROL_SEQUENCE = r"(?:\x1b\[|\x9b)[0-?]*[ -/]*"
_REST = "[\x00-\x07\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]"
"""Single characters; the last show text in another order than it is."""
_SEQUENCE = re.compile(rf"(?P<colour>\x1b\[[\d;:]*m)|(?P<line>\x1b\[[012]?K)|{_CONTROL_SEQUENCE}[@-~]"
                       rf"|{_STRING}(?:\x07|\x1b\\|[\x18\x1a\x9c])?|\x1b[ -/]*[0-~]|{_REST}|(?P<back>\x08)")
_BEGUN = re.compile(rf"(?:{_CONTROL_SEQUENCE}|{_STRING}\x1b?|\x1b[ -/]*)\Z")
_LONGEST = 4096
"""Of a sequence that is not ended so much is looked at again with the next piece, of a longer one its beginning."""


class Cleaner:
    """Text that comes in pieces.

    Args:
        colours: Let colours through, and what a line that is written anew needs.
    """

    def __init__(self, *, colours: bool = False) -> None:
        self._colours = colours
        self._begun = ""
        self.coloured = False
        """Whether colours are set that nothing has set back."""

    def feed(self, text: str) -> str:
        """What of the text may go to a terminal now."""
        text = self._begun + text
        begun = _BEGUN.search(text)
        self._begun = begun[0] if begun else ""
        if begun:
            text = text[: begun.start()]
            if len(self._begun) > _LONGEST:
                self._begun = self._begun[: 2 if self._begun[0] == "\x1b" else 1]
        return _SEQUENCE.sub(self._kept, text)

    def end(self) -> str:
        """The text is over, with whatever was begun; what sets colours back, where that is needed."""
        self._begun = ""
        was, self.coloured = self.coloured, False
        return "\x1b[0m" if was else ""

    def _kept(self, sequence: re.Match[str]) -> str:
        if not self._colours or not (sequence["colour"] or sequence["line"] or sequence["back"]):
            return ""
        if sequence["colour"]:
            self.coloured = sequence["colour"] not in ("\x1b[m", "\x1b[0m")
        return sequence[0]


def cleaned(text: str, *, returns: bool = False) -> str:
    """A whole text, without colours; half characters become question marks.

    Args:
        returns: Leave carriage returns in, for who knows what to do with them; else they are newlines.
    """
    return plain(Cleaner().feed(text), returns=returns)


def plain(text: str, *, returns: bool = False) -> str:
    """Text that is clean, with line ends and characters as they should be; see `cleaned`."""
    text = text.replace("\r\n", "\n")
    return (text if returns else text.replace("\r", "\n")).encode("utf-8", "replace").decode()


def visible(text: str) -> str:
    """Code, in which nothing may be hidden: each control character stands as a sign for itself."""
    return _ANY.sub(lambda found: _SIGNS.get(found[0], "\N{REPLACEMENT CHARACTER}"), plain(text))


_ANY = re.compile(f"{_REST}|\x08")
_SIGNS = {chr(number): chr(0x2400 + number) for number in range(0x20)} | {"\x7f": "\N{SYMBOL FOR DELETE}"}
