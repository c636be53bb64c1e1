"""The words a model sees."""

from __future__ import annotations

import dataclasses
import struct

import pytest

from codeact.interpreter.output import Display, Event, Failure, Note, Text, Value, image_name
from codeact.interpreter.style import STYLES, Style, style

PNG = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + struct.pack(">II", 640, 480)


def shown(name: str, *events: Event, number: int = 3) -> str:
    return style(name).render(events, number=number)


def plain(text: str) -> dict[str, str | bytes]:
    return {"text/plain": text}


# Default ------------------------------------------------------------------------------------------------------------

def test_outputs_stand_in_order_each_on_its_line() -> None:
    assert shown("default", Text("stdout", "a"), Text("stderr", "b"), Display(plain("<Thing>")), Text("stdout", "c\n"),
                 Value(plain("5"))) == "ab\n<Thing>\nc\nOut[3]: 5"


def test_a_value_of_several_lines_begins_on_the_next() -> None:
    assert shown("default", Value(plain("   a\n0  1"))) == "Out[3]: \n   a\n0  1"


def test_nothing_has_a_word() -> None:
    assert shown("default") == "[no output]"
    assert shown("default", Note("something happened")) == "something happened"


def test_a_long_text_keeps_head_and_tail_and_says_how_much_is_gone() -> None:
    text = shown("default", Text("stdout", "a" * 50_000 + "\nthe end\n"))
    assert text.startswith("a" * 6000)
    assert text.endswith("the end")
    assert "[... 40,009 of 50,009 characters left out ...]" in text
    assert len(text) < 10_100


def test_errors_are_cut_by_the_same_rule_and_notes_are_not() -> None:
    text = shown("default", Failure("ValueError", "", "Traceback ...\n" + "x" * 50_000 + "\nValueError: bad"), Note("note"))
    assert len(text) < 10_100
    assert text.endswith("ValueError: bad\nnote")


def test_a_failure_without_traceback_is_one_line() -> None:
    assert shown("default", Failure("TimeoutError", "too late")) == "TimeoutError: too late"
    assert shown("default", Failure("KeyboardInterrupt", "")) == "KeyboardInterrupt"


# Images -------------------------------------------------------------------------------------------------------------

def test_images_are_named_and_never_spelled() -> None:
    assert shown("default", Display({"text/plain": "<Figure>", "image/png": PNG})) == "[image/png 640x480]"
    uri = "data:image/png;base64," + "iVBORw0KGgo" * 1000
    assert shown("default", Display({"text/markdown": f"![plot]({uri})"})) == "![plot]([image/png])"
    assert "iVBORw" not in shown("chat", Text("stdout", uri))


@pytest.mark.parametrize(("mime", "data", "name"), [
    ("image/png", PNG, "[image/png 640x480]"),
    ("image/gif", b"GIF89a\x03\x00\x04\x00", "[image/gif 3x4]"),
    ("image/jpeg", b"\xff\xd8\xff\xe0\x00\x04ab\xff\xc0\x00\x11\x08\x00\x05\x00\x06", "[image/jpeg 6x5]"),
    ("image/svg+xml", '<?xml?><svg xmlns="x" width="12.5pt" height="7">', "[image/svg+xml 12x7]"),
    ("image/svg+xml", "<svg>", "[image/svg+xml]"),
    ("image/png", b"", "[image/png]"),
    ("image/png", PNG[:18], "[image/png]"),
    ("image/jpeg", b"\xff\xd8" + b"\xff\xe0\x00\x00" * 9, "[image/jpeg]"),
])
def test_sizes_are_read_from_headers(mime: str, data: str | bytes, name: str) -> None:
    assert image_name(mime, data) == name


def test_other_forms_are_shown_as_text_or_named() -> None:
    assert shown("default", Display({"text/html": "<b>", "text/plain": "B"})) == "B"
    assert shown("default", Display({"text/html": "<b>bold</b>"})) == "[text/html, 11 characters]"


# The paper's interpreters -------------------------------------------------------------------------------------------

def test_the_three_words_for_nothing() -> None:
    assert shown("mint") == "[Executed Successfully with No Output]"
    assert shown("m3tooleval") == "[Executed Successfully with No Output, Did you forget to print?]"
    assert shown("chat") == "[Code executed successfully with no output]"


def test_mint_hides_stderr_and_figures() -> None:
    figure = {"text/plain": "<Figure>", "image/png": PNG}
    assert shown("mint", Text("stdout", "a\n"), Text("stderr", "warning\n"), Display(figure)) == "a"
    assert shown("mint", Value(figure)) == "Out[3]: <Figure>"
    assert shown("mint", Text("stderr", "warning\n")) == "[Executed Successfully with No Output]"


def test_mint_shows_blanks_as_nothing_at_all() -> None:
    assert shown("mint", Text("stdout", "\n")) == ""


def test_mint_adds_no_new_line_before_a_value() -> None:
    assert shown("mint", Text("stdout", "a"), Value(plain("5"))) == "aOut[3]: 5"
    assert shown("mint", Value(plain("a\nb"))) == "Out[3]: \na\nb"


def test_mint_keeps_two_thousand_characters() -> None:
    assert shown("mint", Text("stdout", "x" * 2000)) == "x" * 2000
    assert shown("mint", Text("stdout", "x" * 2001)) == "x" * 2000 + "...\n[Output Truncated]"
    assert shown("m3tooleval", Text("stdout", "x" * 2001)) == "x" * 2000 + "...\n[Output Truncated]"


def test_chat_has_no_prefix_and_no_limit() -> None:
    assert shown("chat", Text("stdout", "a\n"), Value(plain("5"))) == "a\n5\n"
    assert len(shown("chat", Text("stdout", "x" * 90_000))) == 90_000


# Tracebacks of notebooks --------------------------------------------------------------------------------------------

CODE = ["def f(x):", "    y = 1", "", "    return (x /", "            0)", "for i in range(3):", "    if i:", "        f(i)",
        "z = 2", "w = 3"]


def frame(line: int, function: str = "", code: list[str] = CODE, **more: object) -> dict[str, object]:
    return {"file": "<cell 3>", "line": line, "function": function, "source": {"first": 1, "lines": code}, **more}


def failure(*frames: dict[str, object], name: str = "ZeroDivisionError", message: str = "division by zero") -> Failure:
    return Failure(name, message, "plain", ({"name": name, "message": message, "link": "", "frames": list(frames)},))


def test_frames_are_laid_out_with_the_statements_around() -> None:
    assert shown("mint", failure(frame(8), frame(4, "f(x)"))) == "\n".join([
        "-" * 75,
        "ZeroDivisionError                         Traceback (most recent call last)",
        "Cell In[3], line 8",
        "      6 for i in range(3):",
        "      7     if i:",
        "----> 8         f(i)",
        "      9 z = 2",
        "     10 w = 3",
        "",
        "Cell In[3], line 4, in f(x)",
        "      1 def f(x):",
        "      2     y = 1",
        "----> 4     return (x /",
        "      5             0)",
        "",
        "ZeroDivisionError: division by zero"])


def test_long_statements_around_are_shortened() -> None:
    code = ["x = [", *(f"    {n}," for n in range(9)), "]", "1 / 0"]
    assert shown("mint", failure(frame(12, code=code))).split("\n")[3:-2] == [
        "      1 x = [", "      2     0,", "      3     1,", "   (...)", "     10     8,", "     11 ]", "---> 12 1 / 0"]


def test_chains_and_repetitions_are_said() -> None:
    first = {"name": "KeyError", "message": "'a'", "link": "cause", "frames": [frame(2, "f(x)", repeats=7)]}
    last = {"name": "ValueError", "message": "bad", "link": "", "frames": []}
    text = shown("mint", Failure("ValueError", "bad", "plain", (first, last)))
    assert "    [... skipping similar frames: f at line 2 (7 times)]\n\nKeyError: 'a'\n\nThe above exception was the " \
           "direct cause of the following exception:\n\nValueError " in text
    assert text.endswith("\nValueError: bad")


def test_a_syntax_error_has_its_own_form() -> None:
    syntax = {"file": "<cell 3>", "line": 2, "text": "  print 'a'\n", "offset": 3}
    chain = ({"name": "SyntaxError", "message": "bad", "link": "", "frames": [], "syntax": syntax},)
    assert shown("mint", Failure("SyntaxError", "bad (<cell 3>, line 2)", "plain", chain)) == \
        "Cell In[3], line 2\n    print 'a'\n    ^\nSyntaxError: bad"


def test_exit_is_told_as_notebooks_do() -> None:
    assert shown("mint", Failure("SystemExit", "3", "plain")).endswith("\n\nSystemExit: 3")


@pytest.mark.parametrize("chain", [
    ({},), ({"frames": 5},), ({"frames": [1, "x", None, {}]},), ({"frames": [{"line": "x", "source": {"lines": [1]}}]},),
    ({"frames": [{"file": "<cell x>", "line": 10 ** 30, "source": {"first": -5, "lines": ["\0("]}}]},),
    ({"syntax": {"text": 5, "offset": "x"}},), ({"link": [], "name": None},),
])
def test_data_of_a_strange_shape_is_left_out(chain: tuple[dict[str, object], ...]) -> None:
    assert isinstance(shown("mint", Failure("ValueError", "bad", "plain", chain)), str)


# Choosing -----------------------------------------------------------------------------------------------------------

def test_styles_are_chosen_by_name_or_given() -> None:
    own = dataclasses.replace(STYLES["default"], name="own", prefix="=> ", empty="(nothing)")
    assert style(own).render([Value(plain("5"))], number=1) == "=> 5"
    assert all(one.name == name for name, one in STYLES.items())
    assert isinstance(style("mint"), Style)


def test_an_unknown_style_names_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"unknown style 'mimt'; available: default, mint, m3tooleval, chat"):
        style("mimt")
