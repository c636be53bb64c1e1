"""The text format: every way a call was found to be spelled, and what is read in it."""

import json

import pytest
from test_code import DATA

from codeact.actions import Answer, Malformed, Say, ToolCall
from codeact.formats.text import TextFormat, create

TEXT = TextFormat()


@pytest.mark.parametrize(
    ("written", "call"),
    [
        ("f", ToolCall("f")),
        ('f, 1, "two, three", nights=2', ToolCall("f", {"nights": 2}, positional=(1, "two, three"))),
        ("f, 1.5, True, false, None, -3", ToolCall("f", positional=(1.5, True, False, None, -3))),
        ("f, [1, 2], {'a': (3, 4)}", ToolCall("f", positional=([1, 2], {"a": [3, 4]}))),
        ("github.search, 'x'", ToolCall("github.search", positional=("x",))),
        ("f,", ToolCall("f")),
        # as Python writes a call
        ('f(1, key="x")', ToolCall("f", {"key": "x"}, positional=(1,))),
        ("f()", ToolCall("f")),
        ("f(\n    a=1,\n    b='x',\n)", ToolCall("f", {"a": 1, "b": "x"})),
        ("f(“a”)", ToolCall("f", positional=("a",))),
        ("a.b.c(1)", ToolCall("a.b.c", positional=(1,))),
        # as the paper writes it: text without quotes, colons
        ("find, New York, 2023-12-25", ToolCall("find", positional=("New York", "2023-12-25"))),
        ("f, it's, ok", ToolCall("f", positional=("it's", "ok"))),
        ("f, time: 2023-10-26 09:00:00, who: ['David', 'Amy']", ToolCall("f", {"time": "2023-10-26 09:00:00", "who": ["David", "Amy"]})),
        ("f, (5+3)*6", ToolCall("f", positional=("(5+3)*6",))),
        ("f, x=open('a')", ToolCall("f", {"x": "open('a')"})),
        ("f, https://a.b/c?d=e", ToolCall("f", positional=("https://a.b/c?d=e",))),
        ("f, a == b", ToolCall("f", positional=("a == b",))),
        ("f, “smart”", ToolCall("f", positional=("smart",))),
        ('f, """two\nlines"""', ToolCall("f", positional=("two\nlines",))),
        # other habits
        ("```\nf, 1\n```", ToolCall("f", positional=(1,))),
        ('f\nAction Input: {"a": 1}', ToolCall("f", {"a": 1})),
        ("f\nAction Input: x", ToolCall("f", positional=("x",))),
        # several: the first counts
        ("f(1)\ng(2)", ToolCall("f", positional=(1,), ignored="g(2)")),
        ("f, 1\ng, 2", ToolCall("f", positional=(1,), ignored="g, 2")),
    ],
)
def test_a_clear_call_is_read(written, call):
    assert TEXT.parse(f"<execute>\n{written}\n</execute>") == call


@pytest.mark.parametrize(
    ("reply", "action"),
    [
        ("I look.\n```\nf(1)\n```", ToolCall("f", thought="I look.", positional=(1,))),
        ("I look.\n```tool\nf\n```", ToolCall("f", thought="I look.")),
        ("<execute>\nf, 1\n", ToolCall("f", positional=(1,))),
        ("<solution>42</solution>", Answer("42")),
        ("Hello, you!", Say("Hello, you!")),
        ("It is\n```\n42\n```", Say("It is\n```\n42\n```")),
    ],
)
def test_a_clear_reply_is_read(reply, action):
    assert TEXT.parse(reply) == action


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("", "no tool call"),
        ("'f', 1", "name of a tool"),
        ("f x", "no comma"),
        ("import os", "no comma"),
        ("I call f, 1", "no comma"),
        ("class, 1", "no name of a tool"),
        ("f, , 2", "empty"),
        ("f, a=", "a has no value"),
        ("f(" + "1+" * 3000 + "1)", "in it"),
        ("f, a=1, 2", "without a name"),
        ("f, a=1, a=2", "given twice"),
        ('f, "x', "not closed"),
        ("f, 'x' y", "no text in quotes"),
        ("f, {1: 2}", "keys of an object"),
        ("f, {a: b}", "no value"),
        ("f(x)", "no value"),
        ("f(1 + 2)", "compute nothing"),
        ("f(g(1))", "no value"),
        ("f(b'x')", "type bytes"),
        ("f({1, 2})", "no value"),
        ("f(1e999)", "infinity"),
        ("f(0x" + "f" * 3000 + ")", "too large"),
        ("f(**{'a': 1})", "one by one"),
        ("f(*[1])", "one by one"),
        ("f()()", "no name of a tool"),
        ("f(1).g(2)", "no name of a tool"),
        ("(lambda: 1)()", "name of a tool"),
        ("f(", "cannot be read"),
        ("f(New York)", "cannot be read"),
        ("f(1) if x else g(1)", "no call of one tool"),
        ("f" + ", 1" * 2000, "too many"),
        ("f, " + "x" * 300_000, "too long"),
    ],
)
def test_an_unclear_call_is_malformed_and_the_right_form_is_shown(written, reason):
    action = TEXT.parse(f"<execute>\n{written}\n</execute>")
    assert isinstance(action, Malformed)
    assert reason in action.message
    assert TEXT.forms in action.message


def test_marks_inside_of_values_survive():
    call = ToolCall("f", {"a": "</execute>"}, positional=("<solution>x</solution>", ["a < b", "```"]))
    for envelope in ("chat", "m3tooleval", "fences"):
        format = create(envelope=envelope)
        assert format.parse(format.spell(call)) == call


@pytest.mark.skipif(not (DATA / "api_bank").exists(), reason="no API-Bank calls in CODEACT_DATA or ../shared/data")
def test_the_calls_of_api_bank_in_the_papers_form_are_read():
    dialogues = {}
    with open(DATA / "api_bank" / "dialogues.jsonl", encoding="utf-8") as lines:
        for dialogue in map(json.loads, lines):
            dialogues[dialogue["file"]] = dialogue["turns"]
    n_read, n_same = 0, 0
    with open(DATA / "api_bank" / "call_verdicts.jsonl", encoding="utf-8") as lines:
        for verdict in map(json.loads, lines):
            if verdict["mode"] == "text" and verdict["variant"] == "same":
                turn = dialogues[verdict["file"]][verdict["turn"]]
                call = TEXT.parse("<execute>" + verdict["output"].removeprefix("[Action: ").removesuffix("]") + "</execute>")
                n_read += 1
                if isinstance(call, ToolCall):
                    wanted = {key: str(value) for key, value in turn["param_dict"].items()}
                    n_same += call.name == turn["api_name"] and {key: str(value) for key, value in call.arguments.items()} == wanted
                else:
                    # Text with commas and without quotes cannot be told from several arguments.
                    assert "comma" in call.message or "closed" in call.message
    assert n_read > 200
    assert n_same / n_read > 0.9
