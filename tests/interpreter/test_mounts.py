"""The children by which a root host hands folders over: they end, whatever else the program does at that moment."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from codeact.errors import SandboxUnavailable
from codeact.interpreter import mounts

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="only root hands folders over")


@pytest.fixture(autouse=True)
def namespaces():
    try:
        os.close(mounts._user_namespace(0, 0, 65534, 65534))
    except (SandboxUnavailable, OSError) as error:
        pytest.skip(str(error))


def test_two_threads_that_hand_over_folders_at_the_same_moment_do_not_wait_for_one_another(monkeypatch):
    both, real, made = threading.Barrier(2), os.fork, []

    def fork():
        both.wait(60)   # the pipes of both are open by now
        child = real()
        if child:
            both.wait(60)
        return child

    monkeypatch.setattr(os, "fork", fork)
    threads = [threading.Thread(target=lambda: made.append(mounts._user_namespace(0, 0, 65534, 65534)), daemon=True)
               for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    for fd in made:
        os.close(fd)


def test_the_child_ends_with_a_program_that_is_killed_although_others_hold_its_pipe():
    program = textwrap.dedent("""
        import os, pathlib, signal, time
        from codeact.interpreter import mounts
        real = os.fork
        def fork():
            if (bystander := real()) == 0:
                time.sleep(600)
                os._exit(0)
            child = real()
            if child:
                print(bystander, child, flush=True)
            return child
        os.fork = fork
        pathlib.Path.write_text = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        mounts._user_namespace(0, 0, 65534, 65534)
        """)
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as started:
        assert started.stdout is not None
        bystander, child = map(int, started.stdout.readline().split())
        started.wait(30)
        try:
            deadline = time.monotonic() + 60
            while Path(f"/proc/{child}").exists() and Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX":
                assert time.monotonic() < deadline
                time.sleep(0.01)
        finally:
            os.kill(bystander, signal.SIGKILL)


def test_a_folder_that_cannot_be_handed_over_leaves_no_descriptor(tmp_path, monkeypatch):
    def fail(*_):
        raise SandboxUnavailable("no")

    monkeypatch.setattr(mounts, "_user_namespace", fail)
    before = os.listdir("/proc/self/fd")
    for _ in range(3):
        with pytest.raises(SandboxUnavailable):
            mounts.detached(tmp_path, 65534, 65534)
    assert len(os.listdir("/proc/self/fd")) == len(before)
