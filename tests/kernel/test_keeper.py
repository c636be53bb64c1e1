"""The keeper: it signals what belongs to its session, and nothing that somebody in the session gives out for it."""

import os
import signal
import subprocess
import sys

import pytest

from codeact.kernel.keeper import Keeper


@pytest.fixture
def keeper():
    """One whose session is what this process has started, without a host."""
    made = object.__new__(Keeper)
    made.level, said = 0, []
    made.connection = type("Connection", (), {"send": lambda self, header, **_: said.append(header)})()
    return made, said


def test_a_process_of_the_session_is_signalled(keeper):
    keeper, said = keeper
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as child:
        keeper.on_signal({"pid": child.pid, "signal": int(signal.SIGTERM)})
        assert child.wait(60) == -signal.SIGTERM
    assert said == [{"t": "signalled", "pid": child.pid, "known": True}]


@pytest.mark.parametrize("whose", ["the keeper's parent", "the keeper", "everybody's"])
def test_no_other_process_is_signalled_whatever_a_worker_says_its_number_is(keeper, whose):
    keeper, said = keeper
    pid = {"the keeper's parent": os.getppid(), "the keeper": os.getpid(), "everybody's": -1}[whose]
    keeper.on_signal({"pid": pid, "signal": 0})   # which would only be looked for
    assert said == [{"t": "signalled", "pid": pid, "known": False}]
