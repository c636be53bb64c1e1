"""The native format: tool calls of an API, and what servers leave of them in the text."""

import json

import pytest

from codeact.actions import Answer, CodeAction, Malformed, Say, ToolCall
from codeact.formats.native import NativeFormat
from codeact.messages import Call

NATIVE = NativeFormat()


def python(code: str) -> Call:
    return Call("1", "python", json.dumps({"code": code}))


def test_it_offers_one_tool_with_a_schema():
    (tool,) = NATIVE.native_tools
    assert tool.name == "python"
    assert tool.parameters["required"] == ["code"]
    json.dumps(tool.parameters)


@pytest.mark.parametrize(
    ("text", "calls", "action"),
    [
        ("Look.", [python("x = 1\nx")], CodeAction("x = 1\nx", "Look.")),
        ("", [python("a = 1"), python("b = 2")], CodeAction("a = 1\nb = 2")),
        ("<think>so</think>", [python("x")], CodeAction("x", "so")),
        # whatever the arguments look like, if they are clear
        ("", [Call("1", "python", "print(1)")], CodeAction("print(1)")),
        ("", [Call("1", "python", '"print(1)"')], CodeAction("print(1)")),
        ("", [Call("1", "python", '{"source": "print(1)"}')], CodeAction("print(1)")),
        ("", [Call("1", "python", '{"code": "print(1)", "timeout": 3}')], CodeAction("print(1)")),
        ("", [Call("1", "python", '{"code": "a = 1\nb = 2"}')], CodeAction("a = 1\nb = 2")),
        ("", [Call("1", "code_interpreter", '{"code": "x"}')], CodeAction("x")),
        ("", [python("print(“a”)")], CodeAction('print("a")')),
        # a function that the model takes for a tool
        ("", [Call("1", "search", '{"q": "x"}')], ToolCall("search", {"q": "x"})),
        ("", [Call("1", "search", "")], ToolCall("search")),
        # words beside a call are its thought, whatever they hold
        ("I am done: <solution>4</solution>", [python("x")], CodeAction("x", "I am done: <solution>4</solution>")),
    ],
)
def test_calls_of_the_api_are_read(text, calls, action):
    assert NATIVE.parse(text, calls=calls) == action


@pytest.mark.parametrize(
    ("calls", "reason"),
    [
        ([Call("1", "python", "")], "no code"),
        ([Call("1", "python", "{}")], "no code"),
        ([Call("1", "python", '{"code": 3}')], "no code"),
        ([Call("1", "python", '{"code": " "}')], "no code"),
        ([Call("1", "python", '{"code": "x')], "no JSON"),
        ([Call("1", "python", "not python at all")], "no JSON"),
        ([Call("1", "python", "[" * 100_000)], "no JSON"),
        ([Call("1", "search", '{"q": ')], "no JSON"),
        ([Call("1", "a b", "{}")], "no name of a tool"),
        ([python("x"), Call("2", "search", "{}")], "several tools"),
        ([Call("1", "f", "{}"), Call("2", "g", "{}")], "several tools"),
        ([python("x"), Call("2", "python", "{")], "no JSON"),
    ],
)
def test_unclear_calls_are_malformed_and_the_right_form_is_shown(calls, reason):
    action = NATIVE.parse("", calls=calls)
    assert isinstance(action, Malformed)
    assert reason in action.message
    assert "call the tool `python`" in action.message


def test_a_call_that_was_cut_off_is_not_taken_for_code():
    assert NATIVE.parse("", calls=[Call("1", "python", "print(1)")]) == CodeAction("print(1)")
    cut = NATIVE.parse("", truncated=True, calls=[Call("1", "python", "print(1)")])
    assert isinstance(cut, Malformed)
    assert "cut off" in cut.message
    assert NATIVE.parse("", truncated=True, calls=[python("print(1)")]) == CodeAction("print(1)")


CALL = '{"name": "python", "arguments": {"code": "print(1)"}}'


@pytest.mark.parametrize(
    ("text", "action"),
    [
        (f"I do.\n<tool_call>\n{CALL}\n</tool_call>", CodeAction("print(1)", "I do.")),
        (f"<tool_call>{CALL}", CodeAction("print(1)")),
        (f"<tool_call>{CALL}</tool_call>\n<tool_call>{CALL}</tool_call>", CodeAction("print(1)\nprint(1)")),
        (f"<tool_call>[{CALL}]</tool_call>\nObservation: 1", CodeAction("print(1)", ignored="Observation: 1")),
        (f"[TOOL_CALLS] [{CALL}]", CodeAction("print(1)")),
        ("<tool_call>\n<function=python>\n<parameter=code>\nif x:\n    y()\n</parameter>\n</function>\n</tool_call>", CodeAction("if x:\n    y()")),
        ('<function=python>{"code": "print(1)"}</function>', CodeAction("print(1)")),
        ("<tool_call><function=find><parameter=n>3</parameter><parameter=city>New York</parameter></function></tool_call>",
         ToolCall("find", {"n": 3, "city": "New York"})),
        ('<tool_call>{"name": "find", "arguments": {"n": 3}}</tool_call>', ToolCall("find", {"n": 3})),
        ('<tool_call>{"name": "find", "arguments": "{\\"n\\": 3}"}</tool_call>', ToolCall("find", {"n": 3})),
        # code as text all the same, answers, words
        ("```python\nprint(1)\n```", CodeAction("print(1)")),
        ("<execute>\nprint(1)\n</execute>", CodeAction("print(1)")),
        (CALL, CodeAction("print(1)")),
        ("So <solution>4</solution>", Answer("4", "So")),
        ("Hello!", Say("Hello!")),
        ("I use <tool_call> for that.", Say("I use <tool_call> for that.")),
    ],
)
def test_calls_that_a_server_left_in_the_text_are_read(text, action):
    assert NATIVE.parse(text) == action


@pytest.mark.parametrize("inside", ["", "x", '{"name": "python"', '{"arguments": {}}', '{"name": "python", "arguments": {}}', "[]", "3"])
def test_unclear_calls_in_the_text_are_malformed(inside):
    assert isinstance(NATIVE.parse(f"<tool_call>\n{inside}\n</tool_call>"), Malformed)


def test_a_call_in_the_text_that_was_cut_off_is_not_made():
    assert isinstance(NATIVE.parse(f"<tool_call>\n{CALL}", truncated=True), Malformed)


def test_only_the_end_of_an_answer_stops_a_reply():
    assert NATIVE.stop == ("</solution>",)
