"""How much of the answers to a session's cells the host keeps, and what becomes of cells with more."""

from __future__ import annotations

import sys

from codeact import Interpreter, tool
from codeact.interpreter import history, journal
from codeact.interpreter.journal import HostAnswers, weight
from codeact.tools.calls import Calls
from codeact.tools.toolbox import Toolbox


@tool
def fetch(count: int) -> list[str]:
    """Lines of text."""
    return [f"{number:1000}" for number in range(count)]


def test_text_in_an_answer_counts_as_it_lies_in_memory():
    assert weight("a" * 1000, 1 << 20) >= 1000
    assert weight({"text": ["b" * 1000] * 3, "more": {"c" * 1000: 1}}, 1 << 20) >= 4000
    assert weight(list(range(1000)), 1 << 20) >= 1000 * sys.getsizeof(1)


def test_weighing_ends_once_it_is_too_much():
    most = 1 << 10
    deep: list = []
    for _ in range(100_000):
        deep = [deep, "x" * 100]
    assert most < weight(deep, most) < most + 1000


def test_a_cell_whose_inputs_are_too_long_is_not_kept_for_a_replay(monkeypatch):
    monkeypatch.setattr(journal, "MAX_ANSWER_BYTES", 10_000)
    answers = HostAnswers(Calls(Toolbox([])), lambda prompt, hidden: "y" * 3000)
    assert [len(answers.input("", False)) for _ in range(3)] == [3000] * 3
    assert answers.complete
    assert len(answers.inputs) == 3
    answers.input("", False)
    assert not answers.complete
    assert answers.inputs == []
    assert len(answers.input("", False)) == 3000   # it is answered all the same
    assert answers.inputs == []


def test_a_cell_whose_answers_are_too_long_is_told_of_and_the_others_are_replayed(monkeypatch):
    monkeypatch.setattr(journal, "MAX_ANSWER_BYTES", 100_000)
    with Interpreter(tools=[fetch], imports=()) as py:
        py.run("small = len(fetch(5))")
        py.run("import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()")
        py.run("kept = len(fetch(6))")
        py.run("large = len(fetch(500))")
        result = py.run("import os; os._exit(1)")
        assert "cell 4 was to run again, but it did not run to its end, or what it was answered is too much to keep" in result.text
        assert py.run("small, kept").text.endswith("(5, 6)")


def test_over_a_whole_session_the_oldest_answers_are_given_up(monkeypatch):
    monkeypatch.setattr(history, "MAX_ALL_BYTES", 50_000)
    with Interpreter(tools=[fetch], imports=()) as py:
        for _ in range(5):
            py.run("lines = fetch(20)")
        entries = py._backend._history.entries
        assert [bool(entry.calls) for entry in entries] == [False, False, False, True, True]
        assert [entry.replayable for entry in entries] == [False, False, False, True, True]
