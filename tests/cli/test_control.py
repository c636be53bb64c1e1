"""What a model or a cell writes cannot act on the terminal: attacks, whole and in two pieces."""

import io
import sys
from types import SimpleNamespace

import pyte
import pytest

from codeact.cli._control import Cleaner, cleaned, visible
from codeact.cli._live import LiveSheet
from codeact.cli._printer import Printer
from codeact.cli._sheet import PlainSheet
from codeact.interpreter.output import Text

ATTACKS = {
    "cursor up": "\x1b[5A", "cursor to": "\x1b[3;7H", "clear screen": "\x1b[2J", "clear below": "\x1b[J", "scroll": "\x1b[3S",
    "save cursor": "\x1b7", "restore cursor": "\x1b8", "reset": "\x1bc", "reverse index": "\x1bM", "alternate screen": "\x1b[?1049h",
    "hide cursor": "\x1b[?25l", "mouse reports": "\x1b[?1003h", "where is the cursor": "\x1b[6n", "who are you": "\x1b[c",
    "soft reset": "\x1b[!p", "with blanks": "\x1b[1 q", "keys": "\x1b[>4;2m", "character set": "\x1b(0", "alignment": "\x1b#8",
    "title, BEL": "\x1b]0;owned\x07", "title, ST": "\x1b]2;owned\x1b\\", "clipboard": "\x1b]52;c;aGVsbG8=\x07",
    "link": "\x1b]8;;http://evil.example\x1b\\", "palette": "\x1b]4;1;?\x07", "notification": "\x1b]777;notify;a;b\x1b\\",
    "DCS": "\x1bP$q\"p\x1b\\", "DCS, keys": "\x1bP1;1|17/0a\x1b\\", "APC": "\x1b_Ga=T,f=100;AAAA\x1b\\", "PM": "\x1b^private\x1b\\",
    "SOS": "\x1bXstring\x1b\\", "8-bit CSI": "\x9b2J", "8-bit OSC": "\x9d0;owned\x9c", "8-bit OSC, BEL": "\x9d52;c;aGk=\x07",
    "8-bit DCS": "\x90$qm\x9c", "8-bit APC": "\x9fGa=q\x9c", "8-bit single shift": "\x8e", "7-bit OSC, 8-bit ST": "\x1b]0;owned\x9c",
    "cancelled": "\x1b]0;owned\x18", "bell": "\x07", "enquiry": "\x05", "form feed": "\x0c", "vertical tab": "\x0b", "shift out": "\x0e",
    "delete": "\x7f", "escapes in a row": "\x1b\x1b\x1b[2J", "other direction": "\u202e",
}  # fmt: skip
SPOILED = ["\x1b[2\x07J", "\x1b]0;a\x1b[2J", "\x1b", "\x1b[", "\x1b]52;c;", "\x9b", "\x1b[31", "\x1b[2\x1b[J", "\x1b]0;a\nb", "\x1b[\x1b]",
           "\x1b\x9b2J", "\x1bP\x1b]0;x\x07\x1b\\", "\x1b[38;2;1;2", "\x1b" * 50, "\x1b[" * 50, "\x1b[" + "1;" * 9000 + "J"]  # fmt: skip


@pytest.mark.parametrize("colours", [True, False])
@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_a_sequence_is_taken_out_whole_wherever_it_is_cut(attack, colours):
    text = f"A{attack}B"
    for cut in range(len(text) + 1):
        cleaner = Cleaner(colours=colours)
        assert cleaner.feed(text[:cut]) + cleaner.feed(text[cut:]) == "AB"
        assert cleaner.end() == ""
    cleaner = Cleaner(colours=colours)
    assert "".join(map(cleaner.feed, text)) == "AB"


@pytest.mark.parametrize("attack", [*ATTACKS.values(), *SPOILED])
def test_no_control_is_left_of_what_is_spoiled_either(attack):
    text = f"A\x1b[31m{attack}C\nD"
    for cut in range(0, len(text) + 1, max(1, len(text) // 40)):
        cleaner = Cleaner(colours=True)
        shown = cleaner.feed(text[:cut]) + cleaner.feed(text[cut:])
        left = shown.replace("\x1b[31m", "")
        assert all(character == "\n" or character.isprintable() for character in left), shown
        assert left.startswith("A")
        assert cleaner.end() == "\x1b[0m"


@pytest.mark.parametrize("text", ["\x1b[31mred\x1b[0m", "\x1b[1;38;5;208mbold\x1b[m", "\x1b[38:2::1:2:3mx\x1b[0m", "10%\r20%\x1b[K\r", "ab\bc"])
def test_colours_and_progress_on_one_line_pass(text):
    for cut in range(len(text) + 1):
        cleaner = Cleaner(colours=True)
        assert cleaner.feed(text[:cut]) + cleaner.feed(text[cut:]) == text
        assert cleaner.end() == ""
    assert "\x1b" not in cleaned(text)


def test_a_sequence_without_end_takes_no_more_than_its_line_and_no_memory():
    cleaner = Cleaner()
    assert [cleaner.feed("x" * 1000) for _ in range(3)] == ["x" * 1000] * 3
    assert cleaner.feed("\x1b]0;") == ""
    assert {cleaner.feed("x" * 1000) for _ in range(3000)} == {""}
    assert len(cleaner._begun) < 10_000
    assert cleaner.feed("x\nback") == "\nback"


def test_nothing_is_hidden_in_code():
    assert visible("a = 1 # \x1b]0;\nevil()\x07\x9b\u202e") == "a = 1 # \u241b]0;\nevil()\u2407\ufffd\ufffd"


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_sheets_and_the_printer_let_nothing_through(attack, monkeypatch):
    half = len(attack) // 2
    plain, live, out = Terminal(), Terminal(), Terminal()
    for sheet in (PlainSheet(plain), LiveSheet(live)):
        for style in ("words", "output"):
            sheet.write(f"one{attack[:half]}", style)
            sheet.write(f"{attack[half:]}two\n", style)
        sheet.finish()
    monkeypatch.setattr(sys, "stdout", out)
    printer = Printer(None)
    printer(Text("stdout", f"one{attack[:half]}"))
    printer(Text("stdout", f"{attack[half:]}two\n"))
    printer.finish(SimpleNamespace(stdout="", stderr="", value={"text/plain": f"one{attack}two"}, hint="", restored=False, lost=()),
                   value=True, prefix="Out[1]: ")  # fmt: skip
    for terminal in (plain, live, out):
        assert terminal.getvalue().count("onetwo") == 2
        shown = pyte.Screen(80, 24)
        pyte.Stream(shown).feed(terminal.getvalue())
        assert shown.title == ""


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True
