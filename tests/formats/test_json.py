"""The JSON format: every way a call was found to be spelled, and what is read in it."""

import json

import pytest
from test_code import DATA

from codeact.actions import Answer, CodeAction, Malformed, Say, ToolCall
from codeact.formats.json import JsonFormat, create

JSON = JsonFormat()


@pytest.mark.parametrize(
    ("written", "call"),
    [
        ('{"tool": "f", "args": {"a": 1, "b": [true, null]}}', ToolCall("f", {"a": 1, "b": [True, None]})),
        ('{"tool": "f", "args": ["x", 2]}', ToolCall("f", positional=("x", 2))),
        ('{"tool": "f", "args": ["x"], "kwargs": {"b": 2}}', ToolCall("f", {"b": 2}, positional=("x",))),
        ('{"tool": "f", "args": {}}', ToolCall("f")),
        ('{"tool": "f"}', ToolCall("f")),
        ('{"tool": "f", "args": null}', ToolCall("f")),
        ('{"tool": "github.search", "args": {"q": "x"}}', ToolCall("github.search", {"q": "x"})),
        # other names of the keys
        ('{"name": "f", "arguments": {"a": 1}}', ToolCall("f", {"a": 1})),
        ('{"name": "f", "arguments": "{\\"a\\": 1}"}', ToolCall("f", {"a": 1})),
        ('{"function": "f", "parameters": {"a": 1}}', ToolCall("f", {"a": 1})),
        ('{"tool_name": "f", "input": {"a": 1}}', ToolCall("f", {"a": 1})),
        ('{"action": "f", "action_input": "x"}', ToolCall("f", positional=("x",))),
        ('{"type": "function", "function": {"name": "f", "arguments": {"a": 1}}}', ToolCall("f", {"a": 1})),
        ('{"tool_calls": [{"name": "f", "arguments": {"a": 1}}]}', ToolCall("f", {"a": 1})),
        ('{"thought": "Look.", "tool": "f", "args": {"a": 1}}', ToolCall("f", {"a": 1}, "Look.")),
        ('f\nAction Input: {"a": 1}', ToolCall("f", {"a": 1})),
        # the paper's flat form
        ('{"action": "AddAgenda", "content": "Meeting", "time": "9"}', ToolCall("AddAgenda", {"content": "Meeting", "time": "9"})),
        ('{"action": "open", "name": "John", "input": "x"}', ToolCall("open", {"name": "John", "input": "x"})),
        # as Python writes it
        ("{'tool': 'f', 'args': {'a': True, 'b': None,},}", ToolCall("f", {"a": True, "b": None})),
        ('{"tool": "f", "args": {"a": (1, 2), "b": false}}  # so', ToolCall("f", {"a": [1, 2], "b": False}, ignored="# so")),
        # newlines in a text, a fence around, words around
        ('{"tool": "f", "args": {"a": "x\ny"}}', ToolCall("f", {"a": "x\ny"})),
        ('```json\n{"tool": "f", "args": {"a": 1}}\n```', ToolCall("f", {"a": 1})),
        ('The call:\n{"tool": "f", "args": {"a": 1}}', ToolCall("f", {"a": 1})),
    ],
)
def test_a_clear_call_is_read(written, call):
    assert JSON.parse(f"<execute>\n{written}\n</execute>") == call


@pytest.mark.parametrize(
    ("reply", "action"),
    [
        ('I look.\n```json\n{"tool": "f", "args": {}}\n```', ToolCall("f", thought="I look.")),
        ('```\n{"tool": "f", "args": {}}\n```', ToolCall("f")),
        ('{"tool": "f", "args": {"a": 1}}', ToolCall("f", {"a": 1})),
        ('[{"action": "f", "a": 1}]', ToolCall("f", {"a": 1})),
        ('<think>so</think>\n<execute>{"tool": "f"}</execute>', ToolCall("f", thought="so")),
        ('<execute>\n{"tool": "f"}\n', ToolCall("f")),
        ("<solution>42</solution>", Answer("42")),
        ("Hello!", Say("Hello!")),
        ('Here:\n```json\n{"name": "Bob", "age": 3}\n```', Say('Here:\n```json\n{"name": "Bob", "age": 3}\n```')),
        ("So:\n```python\nprint(1)\n```", Say("So:\n```python\nprint(1)\n```")),
    ],
)
def test_a_clear_reply_is_read(reply, action):
    assert JSON.parse(reply) == action


@pytest.mark.parametrize(
    ("inside", "ignored"),
    [
        ('{"tool": "f"}\n{"tool": "g"}', '{"tool": "g"}'),
        ('[{"tool": "f"}, {"tool": "g"}]', '{"tool": "g"}'),
        ('{"tool": "f"}\n</execute>\n<execute>\n{"tool": "g"}', '<execute>\n{"tool": "g"}\n</execute>'),
        ('{"tool": "f"}\n</execute>\nObservation: 3\n<solution>3</solution><execute>', "Observation: 3\n<solution>3</solution><execute>\n</execute>"),
    ],
)
def test_only_the_first_call_is_made_and_the_rest_is_told(inside, ignored):
    assert JSON.parse(f"<execute>\n{inside}\n</execute>") == ToolCall("f", ignored=ignored)


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("", "no tool call"),
        ("f", "no JSON object"),
        ("{}", 'no key "tool"'),
        ("[]", "no JSON object"),
        ("[1]", "no JSON object"),
        ('{"a": 1}', 'no key "tool"'),
        ('{"tool": "f", "args": {"a": 1}', "not complete"),
        ("{tool: f}", "no JSON"),
        ('{"tool": "f", "args": {"a": x + 1}}', "no JSON"),
        ('{"tool": "f", "args": {"a": open("x")}}', "no JSON"),
        ('{"tool": "f(1); g", "args": {}}', "no name of a tool"),
        ('{"tool": "lambda", "args": {}}', "no name of a tool"),
        ('{"tool": 3, "args": {}}', "no name of a tool"),
        ('{"tool": "f", "args": {"a=1, **{}": 1}}', "no name of an argument"),
        ('{"tool": "f", "args": {"a": NaN}}', "NaN"),
        ('{"tool": "f", "args": {"a": 1e999}}', "infinity"),
        ('{"tool": "f", "args": {"a": 1}, "comment": "x"}', "not understood: comment"),
        ('{"tool": "f", "args": {"a": ' + "[" * 60 + "]" * 60 + "}}", "nested"),
        ('{"tool": "f", "args": ' + "[" * 100_000, "nested"),
        ("print('hello')", "no JSON object"),
    ],
)
def test_an_unclear_call_is_malformed_and_the_right_form_is_shown(written, reason):
    action = JSON.parse(f"<execute>\n{written}\n</execute>")
    assert isinstance(action, Malformed)
    assert reason in action.message
    assert JSON.forms in action.message


def test_marks_inside_of_values_survive():
    call = ToolCall("f", {"a": "</execute>", "b": ["<solution>x</solution>", "a < b", "```"]})
    spelled = JSON.spell(call)
    assert spelled.count("</execute>") == 1
    assert JSON.parse(spelled) == call
    assert create(envelope="m3tooleval").parse(create(envelope="m3tooleval").spell(call)) == call


def test_values_without_json_have_no_spelling():
    for value in (float("nan"), b"x", {1: 2}, {1, 2}, object(), 1 << 10_000):
        with pytest.raises(ValueError, match=r".+"):
            JSON.spell(ToolCall("f", {"a": value}))


@pytest.mark.skipif(not (DATA / "api_bank").exists(), reason="no API-Bank calls in CODEACT_DATA or ../shared/data")
def test_the_calls_of_api_bank_in_the_papers_flat_form_are_read():
    dialogues = {}
    with open(DATA / "api_bank" / "dialogues.jsonl", encoding="utf-8") as lines:
        for dialogue in map(json.loads, lines):
            dialogues[dialogue["file"]] = dialogue["turns"]
    n_read = 0
    with open(DATA / "api_bank" / "call_verdicts.jsonl", encoding="utf-8") as lines:
        for verdict in map(json.loads, lines):
            if verdict["mode"] == "json" and verdict["variant"] == "same":
                turn = dialogues[verdict["file"]][verdict["turn"]]
                call = JSON.parse(verdict["output"])
                assert isinstance(call, ToolCall)
                assert call.name == turn["api_name"]
                assert {key: str(value) for key, value in call.arguments.items()} == {key: str(value) for key, value in turn["param_dict"].items()}
                n_read += 1
    assert n_read > 200


def test_code_is_not_spelled():
    with pytest.raises(ValueError, match="json format cannot spell this CodeAction"):
        JSON.spell(CodeAction("f()"))
