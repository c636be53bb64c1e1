"""Stop strings: cut where a server ignores them, put back where it removed them."""

import pytest

from codeact.models._stopping import cut, restore

TAGS = ("</execute>", "</solution>")
LINES = ("End Action",)


@pytest.mark.parametrize(
    ("text", "stop", "whole"),
    [
        ("<execute>\n1", TAGS, "<execute>\n1\n</execute>"),
        ("hm\n<solution>2\n", TAGS, "hm\n<solution>2\n</solution>"),
        ("Thought: add\nAction:\nprint(1)\n", LINES, "Thought: add\nAction:\nprint(1)\nEnd Action"),
        ("Action: add, 1, 2", LINES, "Action: add, 1, 2\nEnd Action"),
        ("Action: add\nEnd Action", LINES, "Action: add\nEnd Action"),
        ("the word <execute> in a sentence", TAGS, "the word <execute> in a sentence"),
        ("My Action: none", LINES, "My Action: none"),
        ("<execute>", TAGS, "<execute>"),
        ("Action:", LINES, "Action:"),
        ("Answer: 5", LINES, "Answer: 5"),
        ("<execute>\n1\n</execute>", TAGS, "<execute>\n1\n</execute>"),
        ("any", ("###", ""), "any"),
        ("", TAGS, ""),
    ],
)
def test_a_removed_mark_is_put_back_where_something_is_left_open(text, stop, whole):
    assert restore(text, stop) == whole


@pytest.mark.parametrize(("before", "piece", "kept"), [
    ("a", "b</execute>c", "b</execute>"), ("a</exe", "cute>c", "cute>"), ("End", " Action\nObservation: 5", " Action"), ("a", "b", None),
])
def test_a_reply_ends_where_a_mark_is_complete(before, piece, kept):
    assert cut(before, piece, (*TAGS, *LINES)) == kept
