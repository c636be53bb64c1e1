"""The first process of a session of level 3 gives its memory up, and a keeper comes when one is needed."""

import os
import platform
import signal
import socket
from pathlib import Path

import pytest

from codeact import Interpreter, Limits, SandboxUnavailable
from codeact.interpreter import pool
from codeact.interpreter.keeper import Keeper, pid_of, readable
from codeact.kernel.walls import landlock
from codeact.kernel.wire import Connection

NONE = {"imports": ()}
RESTS = platform.machine() == "x86_64" and landlock.abi() >= 6


@pytest.fixture(scope="module", autouse=True)
def level():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pool, "STANDBY", 0)
        try:
            Interpreter(sandbox=3, **NONE).close()
        except SandboxUnavailable as error:
            pytest.skip(str(error))
        yield


@pytest.fixture
def py():
    with Interpreter(sandbox=3, **NONE) as interpreter:
        yield interpreter


def rested(py):
    """The keeper's line, when its first process has become what it becomes."""
    line = py._backend._session.keeper
    with line.called():   # which waits for that
        pass
    return line


def inside(line):
    """Processes behind the walls, by pid as the host sees them: name."""
    space = os.readlink(f"/proc/{pid_of(line.pidfd)}/ns/pid")
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.readlink(f"/proc/{pid}/ns/pid") == space:
                found[int(pid)] = Path(f"/proc/{pid}/stat").read_text().partition(" ")[2].rpartition(")")[0][1:]
        except OSError:
            continue   # it has ended
    return found


@pytest.mark.skipif(not RESTS, reason="first processes do not rest here")
def test_the_first_process_of_a_session_that_runs_holds_next_to_no_memory(py):
    pid = pid_of(rested(py).pidfd)
    held = {line.split()[0]: int(line.split()[1]) for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]}
    assert held["Private_Dirty:"] < 100   # KiB
    assert set(os.listdir(f"/proc/{pid}/fd")) <= {"0", "1", "2"}


@pytest.mark.skipif(not RESTS, reason="first processes do not rest here")
def test_a_keeper_is_there_only_while_it_is_asked(py):
    line = rested(py)
    py.run("x = 1")
    assert line._callers == 0
    with line.called():
        usage = py._backend._session.wait_usage(1 << 40)
        assert usage["processes"] == 1
        there = len(inside(line))
    while len(inside(line)) >= there:   # it ends by itself
        pass
    assert py.run("x").text == "Out[2]: 1"


def test_a_cell_is_interrupted_and_held_to_its_limits_behind_a_first_process_that_rests():
    with Interpreter(sandbox=3, limits=Limits(memory_mb=200), **NONE) as py:
        rested(py)
        assert py.run("x = 5\nwhile True: pass", timeout=1.5).status == "timeout"
        assert py.run("import os, time\nfor _ in range(4):\n    if os.fork() == 0:\n        kept = b'x' * (90 << 20)\n"
                      "        time.sleep(60)\n        os._exit(0)\ntime.sleep(60)", timeout=30).status == "limit"
        assert py.run("x").text.endswith("5")


@pytest.mark.skipif(not RESTS, reason="first processes do not rest here")
def test_what_the_first_process_reaps_is_gone_and_its_processor_time_counted(py):
    line, session = rested(py), py._backend._session
    py.run("import os, time\nif os.fork() == 0:\n    if os.fork() == 0:\n        while time.process_time() < 0.3: pass\n"
           "    os._exit(0)\nos.wait()")
    py.run("1")   # by now the frozen copy is known for one
    while (usage := session.wait_usage(1 << 40))["processes"] > 1:
        pass
    assert len(inside(line)) <= 4   # nothing dead is left: the first process, the worker, its copy, a keeper that leaves
    assert usage["cpu_seconds"] >= 0.25


@pytest.mark.skipif(not RESTS, reason="first processes do not rest here")
def test_a_keeper_that_is_killed_is_followed_by_another(py):
    line, session = rested(py), py._backend._session
    with line.called():
        session.wait_usage(1 << 40)
        before = pid_of(line.pidfd)
        stands_in = max(inside(line))
        os.kill(stands_in, signal.SIGKILL)
        while stands_in in inside(line):
            pass
        assert line.hear()
        assert session.wait_usage(1 << 40)["processes"] == 1
    assert pid_of(line.pidfd) == before
    assert py.run("1").text == "Out[1]: 1"


@pytest.mark.skipif(not RESTS, reason="first processes do not rest here")
def test_a_cell_cannot_signal_the_keeper_that_stands_in(py):
    line = rested(py)
    with line.called():
        py._backend._session.wait_usage(1 << 40)
        told = py.run("import os, signal\nresults = []\nfor pid in sorted(map(int, filter(str.isdigit, os.listdir('/proc')))):\n"
                      "    if pid not in (1, os.getpid()):\n        try:\n            os.kill(pid, signal.SIGKILL)\n"
                      "            results.append('killed')\n        except PermissionError:\n"
                      "            results.append('refused')\nresults").text
        assert "refused" in told
        assert "killed" not in told


def test_the_end_of_the_first_process_is_noticed_while_it_rests(py):
    line = rested(py)
    py.run("x = 1")
    signal.pidfd_send_signal(line.pidfd, signal.SIGKILL)
    assert readable(line.pidfd, 10)
    assert not line.hear()
    assert "started again" in py.run("x").text or py.run("x").text.endswith("1")


def test_a_first_process_that_cannot_rest_goes_on():
    ours, theirs = socket.socketpair()
    line, other = Keeper(Connection(ours), -1, 3), Connection(theirs)
    lent = []
    line.rest(lent.append)
    assert other.receive(timeout=60)[0] == {"t": "rest"}
    other.send({"t": "exit", "pid": 5, "status": 9})
    other.send({"t": "stays"})
    with line.called():
        line.send({"t": "usage"})
        assert other.receive(timeout=60)[0] == {"t": "usage"}
    assert lent == []
    assert line.exit_status(5, 0) == 9
    assert line.watched() == line.fileno() >= 0
    line.connection.close()
    other.close()


def test_the_copy_that_a_worker_was_resumed_from_is_kept_to_tell_how_it_ends(monkeypatch):
    with Interpreter(sandbox=3, limits=Limits(checkpoints=1), **NONE) as py:
        py.run("import math")
        py.run("import os; os._exit(1)")   # the state is resumed from a copy
        for _ in range(4):
            py.run("import math")           # each leaves a copy of its own
        assert "SIGSEGV" in py.run("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)").text
