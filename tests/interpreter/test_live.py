"""What a session leaves behind where it cannot be made, is killed again, or is closed in the wrong moment: nothing."""

import gc
import os
import signal
import threading
import weakref

import pytest
from origins import proxying

from codeact import Interpreter, SandboxUnavailable
from codeact.errors import InterpreterGone
from codeact.interpreter import live, pool, proxy, watch
from codeact.interpreter.cell import CellRunner
from codeact.interpreter.history import History
from codeact.interpreter.keeper import readable
from codeact.interpreter.session import Session

NONE = {"imports": ()}


@pytest.fixture(autouse=True)
def serving(monkeypatch):
    """A proxy of the test's own."""
    with proxying() as one:
        monkeypatch.setattr(proxy, "shared", lambda: one)
        yield


@pytest.fixture(scope="module", autouse=True)
def level():
    """None stands by: such sessions watch their folders too, and come when they please."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pool, "STANDBY", 0)
        try:
            Interpreter(sandbox=3, **NONE).close()
        except SandboxUnavailable as error:
            pytest.skip(str(error))
        yield


def opened():
    """Descriptors and watched folders of this process, but for what standby sessions come and go with."""
    gc.collect()
    kinds = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue
        if "eventfd" in target or target == "/":
            kinds[target] = kinds.get(target, 0) + 1
    return kinds, len(watch._inotify().owners)


def kill_keeper(py):
    session = py._backend._session
    signal.pidfd_send_signal(session.keeper.pidfd, signal.SIGKILL)
    assert readable(session.keeper.pidfd, 10)


def test_a_session_that_cannot_be_made_leaves_nothing(tmp_path):
    (tmp_path / "helpers.py").write_text("1 / 0")
    before = opened()
    for _ in range(3):
        with pytest.raises(ValueError, match="preload"):
            Interpreter(preload=tmp_path / "helpers.py", network=["a.invalid"], **NONE)
    assert opened() == before


@pytest.mark.parametrize("code", ["x = 1", "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()"],
                         ids=["by a fork", "by running the cells again"])
def test_a_branch_that_cannot_be_made_leaves_nothing_and_the_first_goes_on(monkeypatch, code):
    with Interpreter(network=["a.invalid"], **NONE) as py:
        py.run(code)
        py._backend._disk_bytes()   # from the first look on, more is watched
        before, members, gateway = opened(), list(py._backend._session.keeper.members), py._backend._gateway

        def fail(*_, **__):
            raise InterpreterGone("no")

        with monkeypatch.context() as patch:
            patch.setattr(Session, "resume", fail)
            patch.setattr(History, "go_to", fail)
            patch.setattr(live, "ATTEMPTS", 1)
            with pytest.raises(InterpreterGone):
                py.branch()
        assert opened() == before
        assert py._backend._session.keeper.members == members
        assert gateway._holders == 1
        assert py.run("y = 2\ny").text.endswith(": 2")


def test_the_view_into_an_overlay_goes_with_its_session(tmp_path):
    tmp_path.chmod(0o777)
    with Interpreter(workspace=tmp_path, mode="copy", **NONE) as py:
        if py.layer != "overlay":
            pytest.skip("no overlay can be had here")
        py.run("x = 1\nopen('f', 'w').close()")
        before = opened()
        for _ in range(3):
            kill_keeper(py)
            py.run("1")   # meets the death
            py.run("open('f', 'w').close()")
        assert opened() == before
        assert [change.path for change in py.changes()] == ["f"]
        py.discard()


def test_killed_again_while_it_is_brought_back_it_is_brought_back_all_the_same(monkeypatch):
    with Interpreter(**NONE) as py:
        py.run("x = [1]")
        py.run("x.append(2)")
        real, left = History.again, [2]

        def again(self, entry, runner):
            if left[0]:
                left[0] -= 1
                kill_keeper(py)
            return real(self, entry, runner)

        monkeypatch.setattr(History, "again", again)
        kill_keeper(py)
        assert py.run("x").lost == []   # meets the death
        assert left == [0]
        assert py.run("x").text == "Out[4]: [1, 2]"


def test_what_cannot_be_brought_back_now_can_be_later(monkeypatch):
    with Interpreter(**NONE) as py:
        py.run("x = 1")
        kill_keeper(py)
        with monkeypatch.context() as patch:
            patch.setattr(History, "again", lambda self, entry, runner: (kill_keeper(py), ("it ended the process", True))[1])
            with pytest.raises(InterpreterGone):
                py.run("x")
        assert py.run("x").text.startswith("Out[3]: 1")


def test_an_interrupt_after_the_end_reaches_nothing_else():
    py = Interpreter(**NONE)
    number = py._backend._runner._wake
    py.close()
    other = os.eventfd(0, os.EFD_NONBLOCK)
    try:
        os.dup2(other, number)   # what another part of the program has opened since
        py.interrupt()
        with pytest.raises(BlockingIOError):
            os.eventfd_read(other)
    finally:
        os.close(number)
        if other != number:
            os.close(other)


def test_closing_stops_a_cell_that_is_just_about_to_begin(monkeypatch):
    py, about, go = Interpreter(**NONE), threading.Event(), threading.Event()
    real = CellRunner.run

    def run(self, *arguments, **options):
        about.set()
        assert go.wait(60)
        return real(self, *arguments, **options)

    monkeypatch.setattr(CellRunner, "run", run)
    runs = threading.Thread(target=py.run, args=("import time\ntime.sleep(600)",), kwargs={"timeout": 600})
    runs.start()
    assert about.wait(60)
    closes = threading.Thread(target=py.close)
    closes.start()
    while not py._backend._closed:
        closes.join(0.01)
    go.set()
    closes.join(30)
    runs.join(30)
    assert not closes.is_alive()
    assert not runs.is_alive()


def test_a_closed_session_does_not_come_back():
    py = Interpreter(**NONE)
    backend = py._backend
    py.close()
    with pytest.raises(InterpreterGone, match="closed"):
        backend.run("1", 1, seconds=None, on_output=None)
    with pytest.raises(InterpreterGone, match="closed"):
        backend.reset()


def test_one_that_is_only_forgotten_is_not_held_by_what_looks_after_it():
    py = Interpreter(**NONE)
    py.run("import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()")
    backend = weakref.ref(py._backend)
    py.close()
    del py
    for _ in range(6000):
        gc.collect()
        if backend() is None:
            break
        threading.Event().wait(0.01)
    assert backend() is None
