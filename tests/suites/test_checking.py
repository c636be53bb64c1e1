"""Answers judged by value, whatever a model writes."""

import math

import pytest

from codeact.suites._checking import agrees


@pytest.mark.parametrize(("expected", "answer"), [
    ("Altmere", " Altmere\n"), ("Altmere", "'Altmere'"), ("Altmere", '"Altmere"'), ("it's", "it's"),
    ("2031-01-06T09:30", "`2031-01-06T09:30`"),
    (5, "5"), (5, "5.0"), (5, "'5'"), (5.25, "5.25"), (5.25, "5.2500"), (0.1, "0.1"), (-3, "-3"), (1000, "1_000"),
    (True, "True"), (True, "true"), (None, "None"), (None, "null"),
    (["a", 1.5], "['a', 1.5]"), (["a", 1.5], '["a", 1.50]'), (("a", 1), "('a', 1)"), (["a", 1], "('a', 1)"),
    ([["a", 1], ["b", 2]], "[['a', 1], ('b', 2)]"), ({"a": [1]}, '{"a": [1]}'), ([], "[]"),
])  # fmt: skip
def test_the_same_value_in_another_spelling_is_right(expected, answer):
    assert agrees(expected, answer)


@pytest.mark.parametrize(("expected", "answer"), [
    ("Altmere", "altmere"), ("Altmere", "Altmere."), ("Altmere", "The answer is Altmere"), ("a", "['a']"), ("5", "5.0"),
    (5, "5 thalers"), (5, "five"), (5, "[5]"), (5, "6"), (5.25, "5.2"), (5.25, "5.254"), (1, "True"), (0, "False"),
    (True, "1"), (None, ""), (5, ""), (5, "nan"), (5, "1e999"), (10**20, str(10**20 + 1)),
    (["a", 1.5], "['a']"), (["a", 1.5], "['a', 1.5, 2]"), (["a", 1.5], "[1.5, 'a']"), (["a"], "a"), (["a"], "{'a'}"),
    ([1], "['1']"), ({"a": 1}, "{'a': 1, 'b': 2}"), ({"a": 1}, "[('a', 1)]"), ([True], "[1]"), ([1], "[true]"),
])  # fmt: skip
def test_another_value_or_another_form_is_wrong(expected, answer):
    assert not agrees(expected, answer)


HOSTILE = ["x" * 10_000_000, "[" * 10_000_000, "[" * 500, "(" * 300, "[" * 19 + "]" * 19, "-" * 900 + "1", "10**400",
           "1" + "0" * 700, "9" * 990, "nan", "NaN", "Infinity", "-inf", "1e400", "\0", "\ud800", "'\\d'", "'\\ud800'",
           "{[]: 1}", "{{}}", "__import__('os')", "f'{1}'", "1+2j", "b'5'", "...", "1 if 1 else 2", "'" * 3, "'",
           "\n\t ", "\u0665", "0x5g", "007", "{'a': 1, 'a': 2}", "[1,2" + ",", "lambda: 5", "1" + "+1" * 400]  # fmt: skip


@pytest.mark.parametrize("expected", ["Altmere", 7, 7.5, True, None, ["a", 1], {"a": 1}, math.inf])
def test_nothing_a_model_writes_makes_it_raise_or_pass(expected, recwarn):
    for answer in HOSTILE:
        right = agrees(expected, answer)
        assert not right or (expected == math.inf and answer in ("Infinity", "1e400")), answer[:80]
    assert not recwarn.list
