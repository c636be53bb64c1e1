"""A worker that speaks for itself: a cell that has taken hold of the process, and what the host then makes of it."""

import sys
import threading

import pytest

from codeact import Interpreter, Limits
from codeact.interpreter import history

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
    monkeypatch.setattr(history.History.settle, "__defaults__", (0.5,))
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
    monkeypatch.setattr(history.History.settle, "__defaults__", (120.0,))
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
        wait = threading.Event()
        for _ in range(300):   # for the thread that looks after it
            if py._backend._news:
                break
            wait.wait(0.1)
        assert "went over the session's limits and was killed" in py._backend._news
