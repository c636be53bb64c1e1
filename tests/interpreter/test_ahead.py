"""A zygote's process that is started before it is wanted."""

import sys

import pytest

from codeact.interpreter import ahead


@pytest.fixture(autouse=True)
def nothing_left():
    ahead.give_up()
    yield
    ahead.give_up()


def end(process, sock):
    sock.close()   # the kernel ends with its host
    process.communicate()
    return process.returncode


def test_what_was_begun_is_what_is_given_once():
    ahead.begin(None)
    begun = ahead._begun[2]
    given = ahead.process_for(sys.executable)
    assert given[0] is begun[0]
    other = ahead.process_for(sys.executable)
    assert other[0].pid != given[0].pid
    assert end(*given) == end(*other) == 0


def test_what_was_begun_in_another_environment_is_ended_and_not_given(monkeypatch):
    ahead.begin(None)
    begun = ahead._begun[2][0]
    monkeypatch.setenv("TZ", "Antarctica/Troll")
    given = ahead.process_for(sys.executable)
    assert given[0].pid != begun.pid
    assert begun.returncode is not None
    assert end(*given) == 0


def test_what_is_given_up_has_ended():
    ahead.begin(None)
    begun = ahead._begun[2][0]
    ahead.give_up()
    assert begun.returncode is not None
    ahead.give_up()   # nothing to do


def test_a_python_that_is_not_there_is_told_when_it_is_wanted(tmp_path):
    ahead.begin(str(tmp_path / "python"))
    assert ahead._begun is None
    with pytest.raises(OSError, match="No such file"):
        ahead.process_for(str(tmp_path / "python"))
