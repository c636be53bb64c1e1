"""The parts of the terminal one by one: what is drawn, tables, figures, questions, Ctrl-C, places. Screens are emulated."""

import io
import os
import pty
import signal
import stat
import struct
import threading
import time
from pathlib import Path

import pyte
import pytest

pytest.importorskip("rich")

from rich.console import Console

from codeact.cli._asking import Asker
from codeact.cli._chat_commands import wanted
from codeact.cli._chat_prompt import _completions, paths
from codeact.cli._control import cleaned
from codeact.cli._files import Shelf
from codeact.cli._inline import inline, protocol_of
from codeact.cli._interrupts import Interrupts
from codeact.cli._live import LiveSheet
from codeact.cli._parts import CodePart, LinesPart, MarkdownPart
from codeact.cli._places import conversations, forget_old_states, last_conversation, new_conversation, typed
from codeact.cli._running import tell_what_runs
from codeact.cli._sheet import PlainSheet, spelled
from codeact.cli._tables import table_in, text_table
from codeact.cli._terminal import Terminal
from codeact.errors import Cancelled
from codeact.events import Code, Output, Text, ToolCalled
from codeact.tools.tool import Tool

PNG = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 90, 50) + b"rest"


def plain(lines) -> list[str]:
    return [line.plain for line in lines]


# Parts ----------------------------------------------------------------------------------------------------------------


def test_markdown_is_finished_block_by_block_and_the_last_one_may_change():
    part = MarkdownPart(Console(file=io.StringIO(), width=40))
    part.feed("# Title\n\nSome **bold")
    assert plain(part.ready(40, last=False)) == ["Title"]
    assert plain(part.tail(40)) == ["", "Some **bold"]
    part.feed("** words\nand a line\n\n")
    assert part.ready(40, last=False) == []   # a list, say, could go on
    part.feed("Next")
    assert plain(part.ready(40, last=False)) == ["", "Some bold words", "and a line"]
    assert plain(part.ready(40, last=True)) == ["", "Next"]
    assert part.tail(40) == []


def test_a_fence_is_one_block_and_a_list_keeps_its_items():
    part = MarkdownPart(Console(file=io.StringIO(), width=40))
    part.feed("```text\na\n\nb  \n")
    assert part.ready(40, last=False) == []
    part.feed("```\n\n1. one\n\n   more\n2. two")
    shown = [line.strip() for line in plain(part.ready(40, last=True))]
    assert [line for line in shown if line] == ["a", "b", "1 one", "more", "2 two"]


def test_what_looks_like_html_is_shown():
    part = MarkdownPart(Console(file=io.StringIO(), width=40))
    part.feed("A list<int> or <div>this</div>\n\n<p>that</p>")
    assert plain(part.ready(40, last=True)) == ["A list<int> or <div>this</div>", "", "<p>that</p>"]


@pytest.mark.parametrize("text", ["[" * 3000, "> " * 3000, "*_" * 3000, "|" * 3000 + "\n|-|-|\n", "`" * 5001, "x" * 30_000, "<a" * 2000])
def test_no_markdown_ends_a_run(text):
    part = MarkdownPart(Console(file=io.StringIO(), width=40))
    part.feed(text)
    assert part.ready(40, last=False) or part.tail(40)
    assert isinstance(part.ready(40, last=True), list)


def test_code_is_finished_line_by_line_with_its_margin():
    part = CodePart()
    part.feed('x = """\nlong ' + "y" * 30)
    assert plain(part.ready(24, last=False)) == ['  │ x = """']
    assert plain(part.tail(24)) == ["  │ long " + "y" * 15, "  │ " + "y" * 15]
    part.feed('"""\n\n')
    assert [line.rstrip() for line in plain(part.ready(24, last=True))] == ["  │ long " + "y" * 15, "  │ " + "y" * 15 + '"""']


def test_a_carriage_return_goes_back_in_its_line():
    part = LinesPart("output")
    part.feed("begin\n 10%\r")
    assert plain(part.ready(40, last=False)) == ["    begin"]
    assert plain(part.tail(40)) == ["     10%"]
    part.feed(" 20%\r 30%")
    assert plain(part.tail(40)) == ["     30%"]
    part.feed("\nend")
    assert plain(part.ready(40, last=False)) == ["     30%"]
    assert plain(part.ready(40, last=True)) == ["    end"]


def test_a_line_without_end_is_not_shown_without_end():
    part = LinesPart("output")
    for _ in range(100):
        part.feed("x" * 10_000)
    (*_, last) = plain(part.ready(80, last=True))
    assert "more characters" in last


def test_wide_characters_are_counted_as_wide():
    part = LinesPart("output")
    part.feed("\u6f22" * 20 + "\n")
    assert plain(part.ready(24, last=False)) == ["    " + "\u6f22" * 10] * 2


# The live sheet -------------------------------------------------------------------------------------------------------


class Tty:
    """A pseudo-terminal with a screen behind it."""

    def __init__(self, columns: int = 40, rows: int = 24) -> None:
        self.ours, theirs = pty.openpty()
        self.file = open(theirs, "w", encoding="utf-8", newline="")
        self.screen = pyte.HistoryScreen(columns, rows, history=10_000)
        self.stream = pyte.ByteStream(self.screen)
        self.resize(columns, rows)

    def resize(self, columns: int, rows: int) -> None:
        import fcntl
        import termios

        fcntl.ioctl(self.file.fileno(), termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read(self) -> bytes:
        os.set_blocking(self.ours, False)
        data = b""
        try:
            while piece := os.read(self.ours, 65536):
                data += piece
        except (BlockingIOError, OSError):
            pass
        self.stream.feed(data)
        return data

    @property
    def text(self) -> str:
        self.read()
        return "\n".join(line.rstrip() for line in self.screen.display).rstrip()

    def close(self) -> None:
        self.file.close()
        os.close(self.ours)


@pytest.fixture
def tty(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    tty = Tty()
    yield tty
    tty.close()


def wait_for(seen) -> None:
    deadline = time.monotonic() + 60
    while not seen():
        assert time.monotonic() < deadline
        threading.Event().wait(0.01)


def test_what_may_change_is_drawn_anew_and_the_status_goes_in_the_end(tty):
    sheet = LiveSheet(tty.file)
    sheet.phase("the model writes")
    wait_for(lambda: "the model writes 0 s" in tty.text)
    sheet.write("Some **bo", "words")
    wait_for(lambda: "Some **bo\n\n" in tty.text)
    sheet.write("ld** words", "words")
    wait_for(lambda: "Some bold words\n\n" in tty.text)
    sheet.write("x = 1\n", "code")
    wait_for(lambda: "Some bold words\n\n  │ x = 1\n" in tty.text)
    sheet.finish()
    assert tty.text == "Some bold words\n\n  │ x = 1"
    assert tty.screen.cursor.x == 0
    assert tty.screen.mode & {pyte.modes.DECTCEM}   # the cursor is seen again


def test_a_block_taller_than_the_screen_is_whole_in_the_end(tty):
    sheet = LiveSheet(tty.file)
    for number in range(60):
        sheet.write(f"- item {number}\n", "words")
        if number % 20 == 19:
            sheet._draw()
            tty.read()
    sheet.finish()
    tty.read()
    above = ["".join(line[column].data for column in range(40)).rstrip() for line in tty.screen.history.top]
    shown = [line.strip() for line in [*above, *tty.text.split("\n")] if line.strip()]
    assert shown == [f"• item {number}" for number in range(60)]


def test_a_question_stands_in_place_of_the_status(tty):
    sheet = LiveSheet(tty.file)
    sheet.phase("the code runs")
    sheet.question("Allow it?")
    assert tty.text == "Allow it?"
    sheet.question(None)
    sheet.finish()
    assert tty.text == ""


def test_a_terminal_that_is_gone_ends_the_drawing_and_not_the_thread_of_the_run(tty):
    sheet = LiveSheet(tty.file)
    sheet.phase("the code runs")
    tty.file.close()
    wait_for(lambda: sheet._thread is not None and not sheet._thread.is_alive())
    sheet.write("more", "output")   # goes nowhere
    tty.file = open(os.devnull, "w")


def test_a_word_of_the_programs_own_is_not_broken_inside(tty):
    sheet = LiveSheet(tty.file)
    sheet.write("there is no command of this name, as far as is known here\n", "fault")
    sheet.finish()
    assert tty.text == "there is no command of this name, as\nfar as is known here"


# Cleaning, tables, figures ----------------------------------------------------------------------------------------------


def test_what_a_terminal_would_obey_is_taken_out():
    assert cleaned("a\x1b[31mb\x1b]0;t\x07c\x1b_Gx\x1b\\d\x9b2Je\r\nf\rg\u202eh\ud800") == "abcde\nf\ngh?"
    assert cleaned("a\rb\x1b[K", returns=True) == "a\rb"


def test_a_table_of_html_is_a_table_of_text():
    html = ("<style>td {x}</style><table><thead><tr><th></th><th>name</th><th>n</th></tr></thead><tbody>"
            "<tr><th rowspan='2'>a</th><td>one &amp; two<td>1.5</tr><tr><td>three</td><td>-10</td></tr></tbody></table><p>2 rows</p>")  # fmt: skip
    assert table_in({"text/html": html}).split("\n") == [
        "   name         n", "-  ---------  ---", "a  one & two  1.5", "   three      -10", "2 rows", ""]  # fmt: skip


@pytest.mark.parametrize("html", ["", "<p>no table</p>", "<table>", "<table></table>", "<table><tr><td></table>", "<table" * 1000,
                                  "<table>" + "x" * 500_000, "<table><tr><td colspan='99999999999' rowspan='x'></td>"])  # fmt: skip
def test_what_is_no_table_is_none(html):
    assert table_in({"text/html": html, "text/plain": "x"}) == ""


def test_a_large_table_is_cut():
    html = "<table>" + "".join(f"<tr>{'<td>cell' * 100}</tr>" for _ in range(300)) + "</table>"
    lines = table_in({"text/html": html}).split("\n")
    assert "100 more rows" in "\n".join(lines)
    assert max(map(len, lines)) < 200


def test_columns_that_do_not_fit_are_counted():
    assert text_table([["a" * 10, "b" * 10, "c"], ["1", "2", "3"]], width=20).startswith("aaaaaaaaaa  ... 2 more\n")
    assert text_table([], width=80) == ""


@pytest.mark.parametrize(("environment", "protocol"), [
    ({"TERM": "xterm-kitty"}, "kitty"), ({"TERM": "xterm-256color", "KITTY_WINDOW_ID": "1"}, "kitty"),
    ({"TERM": "xterm-256color", "TERM_PROGRAM": "WezTerm"}, "iterm2"), ({"TERM": "xterm", "TERM_PROGRAM": "iTerm.app"}, "iterm2"),
    ({"TERM": "xterm-256color"}, None), ({}, None), ({"TERM": "dumb", "LC_TERMINAL": "iTerm2"}, None),
    ({"TERM": "tmux-256color", "TERM_PROGRAM": "WezTerm"}, None), ({"TERM": "xterm-kitty", "TMUX": "x"}, None),
    ({"TERM": "xterm-kitty", "CODEACT_IMAGES": "none"}, None), ({"CODEACT_IMAGES": "kitty"}, "kitty"),
])  # fmt: skip
def test_only_terminals_that_name_themselves_are_sent_figures(environment, protocol):
    assert protocol_of(environment) == protocol
    assert bool(inline("image/png", PNG, environment, 80)) == (protocol is not None)


def test_a_figure_is_sent_in_pieces_and_asks_for_no_answer():
    sent = inline("image/png", PNG + b"x" * 10_000, {"TERM": "xterm-kitty"}, 80)
    pieces = sent.split("\x1b\\")[:-1]
    assert pieces[0].startswith("\x1b_Ga=T,f=100,q=2,c=10,m=1;")
    assert all(len(piece) < 4200 for piece in pieces)
    assert pieces[-1].startswith("\x1b_Gm=0;")
    assert "width=4;" in inline("image/jpeg", b"\xff\xd8" + b"x" * 100, {"TERM_PROGRAM": "WezTerm"}, 8)
    assert inline("image/jpeg", b"\xff\xd8", {"TERM": "xterm-kitty"}, 80) == ""
    assert inline("image/png", b"x" * 5_000_000, {"TERM": "xterm-kitty"}, 80) == ""


def test_a_call_of_a_tool_is_a_line(tmp_path):
    screen = io.StringIO()
    terminal = Terminal(PlainSheet(screen), Shelf(tmp_path))
    terminal(Text("Look.\n<execute>\nx\n</execute>"))
    terminal(Code("x"))
    terminal(ToolCalled("search", {"q": "'hotels'"}, None, 1.25))
    terminal(ToolCalled("search", {"q": "'" + "x" * 500 + "'"}, "ValueError: no", 0.0))
    terminal(Output("done\n"))
    terminal.finish()
    text = screen.getvalue()
    assert "    > search(q='hotels') (1.2 s)\n" in text
    assert "xxx...) failed: ValueError: no" in text
    assert max(map(len, text.split("\n"))) < 260


def test_the_status_says_which_tools_run():
    told: list[str] = []

    def inner() -> int:
        return 1

    def outer() -> int:
        return tools[0]() + 1

    tools = [Tool(inner), Tool(outer)]
    tell_what_runs(tools, lambda words: None)   # of an earlier conversation
    tell_what_runs(tools, told.append)
    assert tools[1]() == 2
    assert told == ["the tool outer runs", "2 tools run", "the tool outer runs", "the code runs"]


# Questions and Ctrl-C -----------------------------------------------------------------------------------------------------


class Asked:
    """An asker at a pseudo-terminal, and what it wrote."""

    def __init__(self, **options) -> None:
        import tty as modes

        self.ours, self.theirs = pty.openpty()
        modes.setcbreak(self.theirs)
        self.screen = io.StringIO()
        self.asker = Asker(PlainSheet(self.screen), self.theirs, **options)
        self.answers: list[bool] = []

    def ask(self, *tools: str) -> list[threading.Thread]:
        threads = [threading.Thread(target=lambda name=name: self.answers.append(self.asker(name, {"to": "b\x1bob"})))
                   for name in tools]
        for thread in threads:
            thread.start()
        return threads

    def asking(self, n: int = 1) -> None:
        wait_for(lambda: self.screen.getvalue().count("Allow it?") == n and self.asker._waiting)

    def close(self) -> None:
        self.asker.close()
        os.close(self.ours)
        os.close(self.theirs)


@pytest.fixture
def asked():
    asked = Asked()
    yield asked
    asked.close()


def test_only_the_keys_that_were_named_answer(asked, monkeypatch):
    read, real = [], os.read
    monkeypatch.setattr(os, "read", lambda fd, n: read.append(data := real(fd, n)) or data)
    (thread,) = asked.ask("send")
    asked.asking()
    for keys in (b"\r", b"yes", b"\x1b[A"):   # the second is a paste
        read.clear()
        os.write(asked.ours, keys)
        wait_for(lambda n=len(keys): sum(map(len, read)) == n)   # what is typed next comes by itself
    assert not asked.answers
    os.write(asked.ours, b"y")
    thread.join(20)
    assert asked.answers == [True]
    assert "to = 'b\\x1bob'" in asked.screen.getvalue()


def test_a_cell_that_is_over_asks_no_more_and_neither_do_those_in_line(asked):
    threads = asked.ask("one", "two", "three")
    asked.asking()
    asked.asker.withdraw()
    for thread in threads:
        thread.join(20)
    assert asked.answers == [False] * 3
    assert asked.screen.getvalue().count("Allow it?") == 1


def test_always_is_for_one_tool(asked):
    (thread,) = asked.ask("send")
    asked.asking()
    os.write(asked.ours, b"a")
    thread.join(20)
    assert asked.asker("send", {}) is True
    (thread,) = asked.ask("delete")
    asked.asking(2)
    assert asked.asker.refuse()
    thread.join(20)
    assert asked.answers == [True, False]
    assert not asked.asker.refuse()


def test_where_nobody_is_nothing_is_allowed_unless_it_was_said_before():
    assert not Asker(PlainSheet(io.StringIO()), None)("send", {})
    assert not Asker(PlainSheet(io.StringIO()), None).sure("Replace it?")
    assert Asker(PlainSheet(io.StringIO()), None, yes=True)("send", {})


def pressing(refuse=lambda: False):
    done: list[str] = []
    interrupts = Interrupts(refuse, lambda: done.append("cell"), lambda words: None)
    return interrupts, done


def test_ctrl_c_stops_the_cell_first_and_then_the_turn():
    interrupts, done = pressing()
    interrupts(Code("x"))
    with interrupts.cancel.calling(lambda: done.append("turn")):
        interrupts.press()
        assert done == ["cell"]
        assert not interrupts.cancel.stop
        interrupts.press()
        assert done == ["cell", "turn"]
        with pytest.raises(KeyboardInterrupt):
            interrupts.press()


def test_ctrl_c_while_the_model_writes_stops_the_turn():
    interrupts, done = pressing()
    with pytest.raises(Cancelled):
        interrupts.press()
    assert interrupts.cancel.stop
    assert done == []


def test_ctrl_c_at_a_question_is_no_and_twice_more_than_that():
    interrupts, done = pressing(refuse=lambda: True)
    interrupts(Code("x"))
    interrupts.press()
    assert done == []
    with pytest.raises(Cancelled):   # at once again
        interrupts.press()


def test_the_signal_goes_back_to_whom_it_was():
    interrupts, _ = pressing()
    before = signal.getsignal(signal.SIGINT)
    with interrupts.watching() as cancel:
        with pytest.raises(Cancelled):
            signal.raise_signal(signal.SIGINT)
        assert cancel.stop
    assert signal.getsignal(signal.SIGINT) is before


# Commands and places ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "command"), [
    ("/undo 2", ("undo", "2")), ("/", ("", "")), ("/?", ("?", "")), ("/run x = 1\ny", ("run", "x = 1\ny")), ("/Undo", ("undo", "")),
    ("/etc/hosts", None), ("/home/me/a.csv what is it?", None), ("/1", None), ("hello /undo", None), ("//", None),
])  # fmt: skip
def test_a_command_is_told_from_a_message(text, command):
    assert wanted(text) == command


def test_tab_completes_commands_and_their_arguments(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("work.md").write_text("")
    Path("work.txt").write_text("")
    Path("wide").mkdir()
    commands = {"save": lambda begun: paths(begun, (".md",)), "set": lambda begun: ["x"]}
    assert [whole for whole, _ in _completions(commands, "/s")] == ["/save", "/set"]
    assert [whole for whole, _ in _completions(commands, "/save w")] == ["/save wide/", "/save work.md"]
    assert list(_completions(commands, "/save nowhere/x")) == []
    assert list(_completions(commands, "save w")) == []


def test_conversations_are_the_users_alone_and_the_last_one_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert last_conversation() is None
    first, second = new_conversation(), new_conversation()
    assert first
    assert second not in (None, first)
    assert last_conversation() is None   # they are empty
    first.write_text("x")
    Path(f"{first}.state-3").write_text("x")
    assert last_conversation() == first
    for path in (first, typed()):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    assert conversations().is_absolute()
    monkeypatch.setenv("XDG_STATE_HOME", "/proc/nowhere")
    assert typed() is None


def test_states_of_old_conversations_go_and_what_was_typed_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    forget_old_states()   # there are none
    conversations().mkdir(parents=True)
    for day in range(10, 32):
        for end in ("", ".state-3"):
            (conversations() / f"2026-01-{day}T00-00-00.jsonl{end}").write_text("x")
    forget_old_states()
    assert len(list(conversations().glob("*.jsonl"))) == 22
    assert sorted(path.name[8:10] for path in conversations().glob("*.state-3")) == [str(day) for day in range(12, 32)]
    path = typed()
    path.write_text("\n# 2026-01-01\n+entry\n" * 60_000)
    assert typed() == path
    assert path.stat().st_size <= 500_000
    assert path.read_text().startswith("\n# 2026")


def test_a_terminal_without_unicode_gets_plainer_characters():
    file = io.TextIOWrapper(io.BytesIO(), encoding="iso-8859-1")
    assert spelled("│ • caf\u00e9 \u6f22…", file) == "| * caf\u00e9 ?..."
