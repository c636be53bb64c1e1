"""Telling code from words in a reply that is still being written: for the marks of every envelope, in pieces of any size."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codeact.formats._streaming import Reply


def shown(reply: str, size: int = 0) -> list[tuple[str, str]]:
    """The segments of a reply that comes in pieces of a size, neighbours of one kind put together."""
    watched = Reply()
    pieces = [reply[start : start + size] for start in range(0, len(reply), size)] if size else [reply]
    segments = [segment for piece in pieces for segment in watched.feed(piece)]
    segments += watched.end()
    return [(kind, "".join(text for _, text in group)) for kind, group in itertools.groupby(segments, key=lambda segment: segment[0])]


CASES = [
    ("Hello", [("words", "Hello")]),
    ("I look.\n<execute>\nx = 1\n</execute>", [("words", "I look.\n"), ("code", "x = 1\n")]),
    ("<thought>I look.</thought>\n<execute>\nx\n</execute>", [("words", "I look.\n"), ("code", "x\n")]),
    ("<think>so</think>It is <solution>4</solution>.", [("words", "soIt is "), ("answer", "4"), ("words", ".")]),
    ("<execute>\n```python\nx\n```\n</execute>", [("code", "x\n")]),
    ("So:\n```python\nx\n```\nDone.", [("words", "So:\n"), ("code", "x\n"), ("words", "Done.")]),
    ("So:\n```\nx\n```", [("words", "So:\n"), ("code", "x\n")]),
    ("~~~json\n{}\n~~~\n", [("code", "{}\n")]),
    ("<solution>As in\n```python\nx\n```\n</solution>", [("answer", "As in\n```python\nx\n```\n")]),
    ("Use ```x``` there", [("words", "Use ```x``` there")]),
    ('I do.\n<tool_call>\n{"name": "python"}\n</tool_call>', [("words", "I do.\n"), ("code", '{"name": "python"}\n')]),
    ("Sure.\n[PYTHON]\nx\n[/PYTHON]\nDone", [("words", "Sure.\n"), ("code", "x\n"), ("words", "\nDone")]),
    ("a[0] and [x]", [("words", "a[0] and [x]")]),
    ("Thought: I add.\nAction:\nprint(1)\nEnd Action", [("words", "I add.\n"), ("code", "print(1)\n")]),
    ("Thought: I add.\nAction:\nprint(1)\nEnd Action\nObservation: 3", [("words", "I add.\n"), ("code", "print(1)\n"), ("words", "Observation: 3")]),
    ("**Action:**\nf, 1\n**End Action**", [("code", "f, 1\n")]),
    ("Action:\n```python\nprint(1)\n```\nEnd Action", [("code", "print(1)\n")]),
    ("Thought: done.\nAnswer: 42", [("words", "done.\n"), ("answer", "42")]),
    ("Final Answer: 42\nand more", [("answer", "42\nand more")]),
    ("The Answer: 42", [("words", "The Answer: 42")]),
    ("The best action: none", [("words", "The best action: none")]),
    ("Action: book it", [("words", "Action: book it")]),
    ("<execute>\n# Answer: 4\nAnswer: int = 4\n</execute>", [("code", "# Answer: 4\nAnswer: int = 4\n")]),
    ("Actions are good.\nAnswers too.", [("words", "Actions are good.\nAnswers too.")]),
    ("a < b and <b>c</b>", [("words", "a < b and <b>c</b>")]),
]


@pytest.mark.parametrize("size", [0, 1, 2, 3, 7])
@pytest.mark.parametrize(("reply", "segments"), CASES)
def test_code_words_and_answers_are_told_apart(reply, segments, size):
    assert shown(reply, size) == segments


@given(
    st.lists(
        st.sampled_from(["<execute>", "</execute>", "<solution>", "```python\n", "```", "\n", "Action:", "End Action", "Answer: ", "[PYTHON]", "(z)", " ", "*", "<", "~~~", "Thought:"])
    ).map("".join),
    st.integers(1, 5),
)
@settings(deadline=None)
def test_it_does_not_matter_how_a_reply_is_cut_into_pieces_and_no_word_is_lost(reply, size):
    together = "".join(text for _, text in shown(reply))
    assert "".join(text for _, text in shown(reply, size)).count("(z)") == together.count("(z)") == reply.count("(z)")


def test_what_stands_between_no_tags_may_be_the_answer():
    reply = Reply()
    assert list(reply.feed("So:\n```python\nx = 1\n"))[-1][0] == "code"
    assert reply.is_open
    assert list(reply.feed("```\n<execute>\ny = 2\n"))[-1] == ("code", "y = 2\n")
    assert not reply.is_open


def test_a_new_reply_begins_with_words():
    reply = Reply()
    list(reply.feed("<execute>\nx"))
    list(reply.end())
    assert list(reply.feed("Hello ")) == [("words", "Hello ")]
