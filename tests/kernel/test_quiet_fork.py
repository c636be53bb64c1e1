"""Which forks may leave out what libraries want done after one."""

import os
import subprocess
import sys

import pytest

from codeact.kernel.zygote import ForkHooks


def test_a_quiet_fork_calls_nothing_that_was_registered_and_repeats_random_numbers():
    """In a process of one thread, as the kernel's: a runner of tests may have more, whose locks a child would wait for."""
    code = (
        "import os, random\n"
        "from codeact.kernel.walls.libc import fork_quietly\n"
        "pid = fork_quietly()\n"
        "if pid == 0:\n"
        "    os.write(1, b'%.17f' % random.random())\n"
        "    os._exit(0)\n"
        "os.waitpid(pid, 0)\n"
        "os.write(1, b' %.17f' % random.random())\n")
    child, own = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, timeout=60).stdout.split()
    assert child == own   # os.fork gives the child another seed


def registered(monkeypatch, module, **hooks):
    """What is said after a module of this name has registered hooks; and whether `os` is as before."""
    taken = []
    monkeypatch.setattr(os, "register_at_fork", lambda **given: taken.append(given))
    before = os.register_at_fork
    watched = ForkHooks()
    exec("os.register_at_fork(**hooks)", {"__name__": module, "os": os, "hooks": hooks})
    known = watched.are_known()
    assert os.register_at_fork is before
    assert taken == [hooks]
    return known


@pytest.mark.parametrize(("module", "known"), [("logging", True), ("a_library_of_the_users", False)])
def test_a_library_that_nobody_knows_has_its_hooks_called(monkeypatch, module, known):
    assert registered(monkeypatch, module, after_in_child=print) is known


def test_open_fonts_are_dropped_before_anyone_inherits_them(monkeypatch):
    dropped = []
    assert registered(monkeypatch, "matplotlib.font_manager", after_in_child=lambda: dropped.append(1))
    assert dropped == [1]
