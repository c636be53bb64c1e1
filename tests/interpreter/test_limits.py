"""Limits: what can be one, and that a number which cannot is refused before anything is started."""

import dataclasses

import pytest

from codeact import Interpreter, Limits
from codeact.interpreter import settings
from codeact.interpreter.limits import MOST

FIELDS = [field.name for field in dataclasses.fields(Limits)]


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("value", [0, -1, True, "5", float("nan"), float("inf"), MOST + 1, 10 ** 30, 10 ** 5000, [1]], ids=lambda value: type(value).__name__)
def test_what_is_no_limit_is_refused_by_name(name, value):
    with pytest.raises(ValueError, match=rf"Limits\({name}=...\) is .*: it is a positive (whole )?number, at most 1,000,000,000"):
        Limits(**{name: value})


@pytest.mark.parametrize("name", FIELDS)
def test_the_most_there_can_be_is_a_limit(name):
    assert getattr(Limits(**{name: MOST}), name) == MOST


@pytest.mark.parametrize("name", [name for name in FIELDS if not name.endswith("_seconds")])
def test_what_is_counted_is_a_whole_number(name):
    with pytest.raises(ValueError, match="a positive whole number"):
        Limits(**{name: 1.5})


def test_all_of_the_largest_at_once_work():
    with Interpreter(limits=Limits(**dict.fromkeys(FIELDS, MOST))) as py:
        assert py.run("6 * 7", timeout=MOST).text == "Out[1]: 42"
        for wrong in (0, -1, float("nan"), float("inf"), 10 ** 30, "1"):
            with pytest.raises(ValueError, match="timeout"):
                py.run("1", timeout=wrong)
            with pytest.raises(ValueError, match="undo"):
                py.undo(wrong)


@pytest.mark.parametrize(("text", "said"), [
    ("#!/bin/sh\necho python 3 8\n", "is Python 3.8;"), ("#!/bin/sh\necho python 2 7\n", "is Python 2.7;"),
    ("#!/bin/sh\nexec yes\n", "is no Python;"), ("#!/bin/sh\n", "is no Python;"), ("garbage", "cannot be started"),
    ("#!/nowhere\n", "cannot be started"), ("#!/bin/sh\necho python 3 12\n", None)])  # fmt: skip
def test_a_program_that_cannot_run_cells_is_told_from_one_that_can(tmp_path, text, said):
    program = tmp_path / "python"
    program.write_text(text)
    program.chmod(0o755)
    fault = settings.fault_of_python(str(program))
    assert fault is None if said is None else said in fault
