"""A worker that speaks for itself: a cell that has taken hold of the process, and what the host then makes of it."""

import sys
import threading

import pytest

from codeact import Interpreter, Limits
from codeact.interpreter import copies, leftovers

TAKE_HOLD = """
import sys
import threading
def take_hold():
    frame = sys._getframe()
    while type(frame.f_locals.get("self")).__name__ != "Worker":
        frame = frame.f_back
    return frame.f_locals["self"]
worker = take_hold()
"""


def until(true):
    """Wait for the thread that looks after sessions; whether it comes true."""
    wait = threading.Event()
    for _ in range(900):
        if true():
            return True
        wait.wait(0.1)
    return False


def told(py, words):
    """Whether the model would be told this with its next result."""
    return until(lambda: words in py._backend._news)


@pytest.fixture
def py():
    with Interpreter(imports=()) as py:
        yield py


def test_displays_are_counted_as_they_lie_in_memory(py):
    result = py.run(TAKE_HOLD + """
for n in range(1, 16):
    worker.output.marks.display(n)
    worker.link.send({"t": "display", "id": n, "data": {"text/plain": "x" * (15 << 20)}})   # the text in the header
""")
    held = sum(sys.getsizeof(content) for bundle in result.outputs for content in bundle.values())
    assert 0 < held <= 64 << 20
    assert "further displays left out" in result.text


def test_one_that_talks_of_something_else_for_ever_is_given_up(py, monkeypatch):
    py.run("x = 1")
    monkeypatch.setattr(copies.Copies.settle, "__defaults__", (0.5,))
    py.run(TAKE_HOLD + """
import struct
def talk(header):
    frame = struct.pack("<II", 9, 0) + b'{"t":"x"}'
    while True:
        worker.link.connection.sock.sendall(frame * 4000)
worker.on_checkpoint = talk
open("f", "w").close()
""")
    mark = py.checkpoint()
    assert (mark.frozen, mark.reason) == (False, "the worker did not answer")


@pytest.mark.parametrize("kind", ["AF_INET, socket.SOCK_STREAM", "AF_UNIX, socket.SOCK_DGRAM"])
def test_a_state_takes_a_stream_between_two_processes_and_nothing_else(py, kind):
    if py.level < 3:
        pytest.skip("no such sockets at this level")
    py.run(TAKE_HOLD + f"""
import socket
other = socket.socket(socket.{kind})
worker.on_checkpoint = lambda header: worker.link.connection.send(
    {{"t": "checkpointed", "id": header["id"], "pid": 1}}, fds=[other.fileno()])
""")
    mark = py.checkpoint()
    assert (mark.frozen, mark.reason) == (False, "the worker did not answer")
    assert "Out[2]: 2" in py.run("1 + 1").text


@pytest.mark.parametrize("wait", ["run", "checkpoint"])
def test_the_user_need_not_wait_for_one_that_does_not_answer(py, monkeypatch, wait):
    py.run("x = 1")
    monkeypatch.setattr(copies.Copies.settle, "__defaults__", (120.0,))
    py.run(TAKE_HOLD + "import time\nworker.on_checkpoint = lambda header: time.sleep(600)\nopen('f', 'w').close()")
    got = []
    thread = threading.Thread(target=lambda: got.append(py.run("y = 2\nimport time; time.sleep(60)") if wait == "run" else py.checkpoint()))
    thread.start()
    for _ in range(600):   # whenever it has begun to wait
        thread.join(0.1)
        if not thread.is_alive():
            break
        py.interrupt()
    assert not thread.is_alive()
    assert got[0].status == "interrupted" if wait == "run" else not got[0].frozen


@pytest.mark.parametrize("how", [
    "async def burn():\n    while True:\n        sum(range(20_000)); await asyncio.sleep(0)\ntask = asyncio.create_task(burn())",
    TAKE_HOLD + "def burn():\n    while True: pass\nworker._tidy_up = burn"], ids=["task", "kernel"])
def test_processor_time_between_cells_is_limited_whatever_the_kernel_says_of_itself(how):
    with Interpreter(imports=(), limits=Limits(cpu_seconds=1)) as py:
        py.run("x = 1")
        assert py.run("import asyncio\n" + how).error is None
        assert told(py, "went over the session's limits and was killed")


def test_what_ran_over_its_limits_between_cells_is_not_started_again_by_bringing_the_state_back():
    with Interpreter(imports=(), limits=Limits(cpu_seconds=1)) as py:
        py.run("x = 1")
        py.run("import threading\nidle = threading.Thread(target=threading.Event().wait, daemon=True); idle.start()")
        py.run("import os\ny = [2, os.getpid() > 0]")   # held by no copy, as a thread runs
        assert py.run("def burn():\n    while True: pass\nthreading.Thread(target=burn, daemon=True).start()").error is None
        assert told(py, "was killed (cell 4, run again, would leave it running again")
        result = py.run("x, y, threading.active_count()")
        assert "(1, [2, True], 2)" in result.text
        assert "cell 4" in result.text


def test_of_many_cells_that_left_too_much_none_is_run_again():
    with Interpreter(imports=(), limits=Limits(cpu_seconds=1)) as py:
        py.run("x = 1\nimport threading\ndef burn():\n    while True: pass")
        py.run("threading.Thread(target=burn, daemon=True).start()")
        for number in range(2):
            py.run(f"print({number}, threading.active_count())")
        assert told(py, "It was there again, and was killed again")
        assert "Out[5]: (1, 1)" in py.run("x, threading.active_count()").text


def test_a_kernel_that_says_its_cell_left_nothing_is_looked_at_too():
    with Interpreter(imports=(), limits=Limits(cpu_seconds=1)) as py:
        py.run("x = 1")
        py.run(TAKE_HOLD + """
send = worker.link.send
def lie(header, *rest, **more):
    send({**header, "pure": True} if header["t"] == "done" else header, *rest, **more)
worker.link.send = lie
def burn():
    while True: pass
threading.Thread(target=burn, daemon=True).start()
""")
        assert py._backend._history.entries[-1].pure
        assert told(py, "went over the session's limits and was killed")


def test_a_process_passed_off_as_a_frozen_copy_is_ended_when_it_goes_on_running():
    with Interpreter(imports=(), limits=Limits(cpu_seconds=1)) as py:
        if py.level < 3:
            pytest.skip("the keeper sees the thread, and no copy is asked for")
        py.run("x = 1")
        py.run(TAKE_HOLD + """
import os
import socket
def lie(header):
    one, other = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        one.close()
        other.setblocking(False)
        while True:   # awake, and no use to go back to
            try:
                other.recv(1)
                other.close()
            except OSError:
                pass
    worker.link.connection.send({"t": "checkpointed", "id": header["id"], "pid": pid}, fds=[one.fileno()])
worker.on_checkpoint = lie
import threading
threading.Thread(target=threading.Event().wait, daemon=True).start()   # the session goes on being looked at
open("f", "w").close()
""")
        assert told(py, "It was there again, and was killed again")
        assert "Out[3]: 1" in py.run("x").text
        assert until(lambda: py._backend._session.wait_usage(1 << 30)["processes"] == 1)


def test_what_cells_use_themselves_is_not_taken_for_what_they_left_running():
    with Interpreter(imports=(), limits=Limits(cpu_seconds=1)) as py:
        py.run("import threading, time\nthreading.Thread(target=threading.Event().wait, daemon=True).start()")
        looks = []
        look_after = py._backend.look_after
        py._backend.look_after = lambda: looks.append(1) or look_after()
        for _ in range(4):
            count = len(looks)
            assert until(lambda count=count: len(looks) >= count + 2)
            assert py.run("began = time.process_time()\nwhile time.process_time() - began < 0.5: pass").status == "ok"
        assert until(lambda count=len(looks): len(looks) >= count + 2)
        assert py.run("threading.active_count()").text == "Out[6]: 2"


def test_while_short_cells_follow_one_another_nobody_is_asked_what_runs(py, monkeypatch):
    monkeypatch.setattr(leftovers, "DOUBT_SECONDS", 600.0)
    asked = []
    wait_usage = py._backend._session.wait_usage
    monkeypatch.setattr(py._backend._session, "wait_usage", lambda *a, **k: asked.append(1) or wait_usage(*a, **k))
    py.run("x = 1")
    assert 0 < py._backend.look_after() <= 600
    assert not asked
    py.run("import math\nmath.sqrt(2)")
    assert until(lambda: asked)
    assert until(lambda: py._backend._leftovers.only_doubt)   # nothing ran for a while
    py.run("x = 2")
    assert 0 < py._backend.look_after() <= 600
