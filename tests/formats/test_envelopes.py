"""The envelopes beside tags: words at the beginning of lines, and Markdown fences."""

import pytest

from codeact.actions import Answer, CodeAction, Malformed, Say, ToolCall
from codeact.formats import code, text

LINES = code.create(envelope="m3tooleval")
FENCES = code.create(envelope="fences")


@pytest.mark.parametrize(
    ("reply", "action"),
    [
        ("Thought: I add.\nAction:\nprint(1)\nEnd Action", CodeAction("print(1)", "I add.")),
        ("Thought: I add. Action: print(1) End Action", CodeAction("print(1)", "I add.")),
        ("Action: print(1) End Action", CodeAction("print(1)")),
        ("Action:\n```python\nprint(1)\n```\nEnd Action", CodeAction("print(1)")),
        ("**Thought:** I add.\n**Action:**\nprint(1)\n**End Action**", CodeAction("print(1)", "I add.")),
        ("Action:\na = 1\nEnd Action\n\nAction:\nb = 2\nEnd Action", CodeAction("a = 1\nb = 2")),
        # the server took the stop string away
        ("Thought: I add.\nAction:\nprint(1)\n", CodeAction("print(1)", "I add.")),
        # answers
        ("Answer: 42", Answer("42")),
        ("Thought: That is all.\nAnswer: two\nlines", Answer("two\nlines", "That is all.")),
        ("Thought: I know it. Answer: 42", Answer("42", "I know it.")),
        ("Final Answer: 42", Answer("42")),
        ("**Final Answer:** 42", Answer("42")),
        ("Answer: 42\nObservation: right", Answer("42")),
        # both: the first counts
        ("Answer: 42\nAction: check() End Action", Answer("42")),
        ("Action: f() End Action\nAnswer: 3", CodeAction("f()", ignored="Answer: 3")),
        ("Action:\nf()\nEnd Action\nObservation: 3\nThought: 3.\nAnswer: 3", CodeAction("f()", ignored="Observation: 3\nThought: 3.\nAnswer: 3")),
        ("Action:\nf()\nObservation: 3\nAnswer: 3", CodeAction("f()", ignored="Observation: 3\nAnswer: 3")),
        # other marks by habit
        ("Sure:\n```python\nf()\n```", CodeAction("f()", "Sure:")),
        ("<execute>f()</execute>", CodeAction("f()")),
        ("It is <solution>4</solution>", Answer("4", "It is")),
        # only mentioned
        ("You write Action: and then code.", Say("You write Action: and then code.")),
        ("The best action: none.", Say("The best action: none.")),
        ('I may use "Action:" here.\nAction:\nf()\nEnd Action', CodeAction("f()", 'I may use "Action:" here.')),
        ("First Action: then more.\nAction:\nf()\nEnd Action", CodeAction("f()", "First Action: then more.")),
    ],
)
def test_words_at_the_beginning_of_a_line_mark_an_action(reply, action):
    assert LINES.parse(reply) == action


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("Action:", "no code"),
        ("Action:\n\nEnd Action", "no code"),
        ("print(1)\nEnd Action", "no partner"),
        ("Answer: ", "empty"),
        ("Thought:", "empty"),
    ],
)
def test_an_unclear_reply_is_malformed(reply, reason):
    action = LINES.parse(reply)
    assert isinstance(action, Malformed)
    assert reason in action.message
    assert "End Action" in action.message


def test_an_answer_without_an_end_may_be_incomplete():
    assert isinstance(LINES.parse("Answer: 4", truncated=True), Malformed)
    assert LINES.parse("Answer: 4\nThought: so", truncated=True) == Answer("4")


def test_the_forms_of_react_are_read_as_a_call():
    reply = 'Thought: I look.\nAction: search\nAction Input: {"q": "x"}\nObservation: y\nFinal Answer: y'
    action = text.create(envelope="m3tooleval").parse(reply)
    assert isinstance(action, ToolCall)
    assert (action.name, action.arguments, action.thought) == ("search", {"q": "x"}, "I look.")
    assert action.ignored.endswith("Final Answer: y")


@pytest.mark.parametrize(
    ("reply", "action"),
    [
        ("I add.\n```python\nprint(1)\n```", CodeAction("print(1)", "I add.")),
        ("```python\na = 1\n```\nand\n```python\nb = 2\n```", CodeAction("a = 1\nb = 2")),
        ("```python\nprint(1)\n", CodeAction("print(1)")),
        ("It is <solution>42</solution>", Answer("42", "It is")),
        ("<solution>As in\n```python\nf()\n```\nyou see.</solution>", Answer("As in\n```python\nf()\n```\nyou see.")),
        ("```python\nprint('<solution>4</solution>')\n```", CodeAction("print('<solution>4</solution>')")),
        ("```python\nf()\n```\n<solution>4</solution>", CodeAction("f()", ignored="<solution>4</solution>")),
        ("```python\nf()\n```\n```output\n3\n```", CodeAction("f()")),
        ("<execute>\nf()\n</execute>", CodeAction("f()")),
        ("```bash\nls\n```", Say("```bash\nls\n```")),
        ("Hello!", Say("Hello!")),
    ],
)
def test_fences_mark_an_action(reply, action):
    assert FENCES.parse(reply) == action


def test_a_fence_is_longer_than_any_in_the_code():
    action = CodeAction("s = '''\n````\n'''")
    assert FENCES.spell(action).startswith("`````python\n")
    assert FENCES.parse(FENCES.spell(action)) == action


def test_code_that_would_end_its_own_marks_is_not_spelled():
    for format, written in ((code.create(), "'</execute>'"), (LINES, "'End Action'"), (FENCES, "'</solution>'")):
        with pytest.raises(ValueError, match="read back as the same"):
            format.spell(CodeAction(f"x = {written}"))
