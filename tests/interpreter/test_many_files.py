"""A cell that changes more files than are told by name: what could not be undone is said."""

from __future__ import annotations

import re

import pytest

from codeact import Interpreter
from codeact.interpreter import watch
from codeact.interpreter.mirror import UNTOLD

MANY = "import os\nfor number in range(60): open(f'many{number}', 'w').close()"


@pytest.fixture
def py(monkeypatch):
    monkeypatch.setattr(watch, "MAX_CHANGED", 50)
    with Interpreter(imports=()) as interpreter:
        yield interpreter


def test_the_cell_is_told_and_undoing_it_says_what_stays(py):
    result = py.run(MANY)
    assert len(result.files) == 50
    assert re.search("It changed more than [0-9,]+ files; no more are named, nor undone", result.text)
    assert py.undo() == [f"{UNTOLD} is as it is now"]
    assert len(list(py.workspace.iterdir())) == 10


def test_it_is_said_again_for_every_way_back_over_that_cell_and_for_no_other(py):
    py.run("before = 1")
    first = py.checkpoint()
    py.run(MANY)
    second = py.checkpoint()
    assert "more than" not in py.run("open('later', 'w').close()").text
    assert py.restore(second) == []
    assert py.restore(first) == [f"{UNTOLD} is as it is now"]


def test_a_file_changed_again_and_again_is_one_file(py):
    result = py.run("for _ in range(200): open('one', 'w').close()")
    assert "more than" not in result.text
    assert py.undo() == []


def test_a_branch_says_that_they_are_not_there(py):
    py.run(MANY)
    with py.branch() as other:
        assert UNTOLD in other.run("1").text
    assert "more than" not in py.run("1").text


def test_cells_are_not_replayed_on_files_that_cannot_be_put_back(py):
    py.run("import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()")
    py.run("open('small', 'w').write('1')")
    py.run(MANY)
    assert "too large or too many to be put back" in py.run("import os; os._exit(1)").text
