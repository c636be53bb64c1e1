"""Hundreds of sessions, used, branched and killed at random moments, and their host too: nothing of them may be left.

The plan follows from a seed, which is printed; the moments do not, they follow from the machine.

    CODEACT_SOAK_SEED=7 CODEACT_SOAK_SESSIONS=2000 python -m pytest -m slow -s tests/soak
"""

import logging
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import lives
import pytest
from lives import KINDS, Life
from traces import (
    Traces,
    adopting,
    available_mb,
    command,
    descendants,
    descriptors,
    left_behind,
    memory_mb,
    reap_orphans,
    until,
)

from codeact import Interpreter, SandboxUnavailable
from codeact.errors import InterpreterError
from codeact.interpreter import folders, supervisor
from codeact.interpreter.pool import STANDBY, STANDBY_KINDS

pytestmark = pytest.mark.slow

SEED = os.environ.get("CODEACT_SOAK_SEED") or str(random.SystemRandom().randrange(10**6))
SESSIONS = int(os.environ.get("CODEACT_SOAK_SESSIONS", "500"))
SECONDS = 1200.0
"""For all, which take about a tenth of it: should some not be opened by then, something is stuck."""
BATCHES = 8
AT_ONCE = 3
DEEDS = 6
ZYGOTE_DESCRIPTORS = 30
GROWN_MB = 60.0
"""Of this process, from the second batch to the last."""
LOST_MB = 1500.0
"""Of the machine's memory, which others use too."""


@pytest.fixture(scope="module", autouse=True)
def level():
    try:
        Interpreter(sandbox=3, imports=()).close()
    except SandboxUnavailable as error:
        pytest.skip(str(error))


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Everything temporary goes to `tmp` in it; whatever this process had before is ended."""
    supervisor.shutdown()
    for folder in (tmp_path, *list(tmp_path.parents)[:2]):
        with suppress(PermissionError):
            folder.chmod(0o755)
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp").chmod(0o755)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    with adopting():
        yield tmp_path
        supervisor.shutdown()
        reap_orphans()


def live_each_kind(place):
    """What is made once in a process, and stays."""
    for kind in sorted(set(KINDS)):
        life = Life(f"warm {kind}", place / f"warm {kind}")
        life.kind = kind
        life.live(1)
    supervisor.shutdown()


def test_nothing_is_left_of_sessions_killed_at_random_moments(place, caplog):
    print(f"\nCODEACT_SOAK_SEED={SEED}")
    caplog.set_level(logging.CRITICAL)
    live_each_kind(place)
    before = Traces.now(place / "tmp")
    deadline, opened, batch = time.monotonic() + SECONDS * 0.7, 0, 0
    own, machine, done, kinds, complaints = [], [], Counter(), Counter(), []

    def one(number):
        life = Life(f"{SEED}-{number}", place / f"life-{number}")
        try:
            life.live(DEEDS)
        except InterpreterError as error:   # that it cannot be brought back is possible; that much is left, is not
            complaints.append(f"life {number} ({life.kind}): {type(error).__name__}: {error}")
        kinds[life.kind] += life.opened
        done.update(life.done)
        return life.opened

    numbers = iter(range(10**9))
    while opened < SESSIONS * 0.7 and time.monotonic() < deadline:
        goal = opened + SESSIONS * 0.7 / BATCHES
        with ThreadPoolExecutor(AT_ONCE) as pool:
            while opened < goal and time.monotonic() < deadline:
                opened += sum(pool.map(one, [next(numbers) for _ in range(AT_ONCE * 2)]))
        batch += 1
        assert_only_zygotes_stand_by()
        if batch % 2 == 0:
            supervisor.shutdown()
            assert left_behind(place / "tmp", before) == []
        own.append(memory_mb())
        machine.append(available_mb())
    supervisor.shutdown()
    print(f"{opened} sessions in {batch} batches; {dict(kinds)}; {dict(done)}; own memory {[round(mb) for mb in own]} MB, "
          f"available {[round(mb) for mb in machine]} MB; given up: {complaints}")
    assert left_behind(place / "tmp", before) == []
    assert opened >= SESSIONS * 0.7
    assert len(complaints) <= opened / 50, complaints
    assert own[-1] - own[min(1, len(own) - 1)] < GROWN_MB, own
    third = max(1, len(machine) // 3)
    assert statistics.median(machine[:third]) - statistics.median(machine[-third:]) < LOST_MB, machine


def assert_only_zygotes_stand_by():
    """Between batches zygotes run, with what stands by; no session, and no more descriptors than zygotes need."""
    def most():
        pools = list(supervisor._pools.values())
        # Of each: who waits for it, itself, the one that preloads, a spare keeper; of a session: keeper and worker
        return sum(4 + 2 * STANDBY * min(STANDBY_KINDS + 1, len(pool._standing_by) + 1) for pool in pools)

    def living():
        reap_orphans_of_others()
        return [pid for pid, state in descendants().items() if state not in "ZX"]

    assert until(lambda: len(living()) <= most()), [command(pid) for pid in living()]
    for pool in supervisor._pools.values():
        waiting = pool.zygote.process.pid
        for pid in (waiting, *lives.children(waiting)):
            assert len(descriptors(pid)) <= ZYGOTE_DESCRIPTORS, descriptors(pid)


def reap_orphans_of_others():
    """Adopted ones, and not what `Popen` waits for."""
    mine = {pool.zygote.process.pid for pool in list(supervisor._pools.values())}
    for pid in lives.children(os.getpid()):
        if pid not in mine:
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)


def test_nothing_is_left_when_the_host_is_killed_at_random_moments(place, caplog, monkeypatch):
    print(f"\nCODEACT_SOAK_SEED={SEED}")
    caplog.set_level(logging.CRITICAL)
    choose = random.Random(SEED)
    live_each_kind(place)
    before = Traces.now(place / "tmp")
    deadline, opened, killed = time.monotonic() + SECONDS * 0.3, 0, 0
    while opened < SESSIONS * 0.3 and time.monotonic() < deadline:
        program = [sys.executable, lives.__file__, f"{SEED}-{killed}", "4", str(place / f"host-{killed}")]
        with (place / "errors").open("ab") as errors, subprocess.Popen(program, stdout=subprocess.PIPE, stderr=errors) as host:
            assert host.stdout is not None
            for _ in range(choose.randrange(1, 24)):
                assert host.stdout.readline(), (place / "errors").read_text()[-9000:]
                opened += 1
            time.sleep(choose.uniform(0, 0.2))
            host.kill()
            host.wait(30)
            os.set_blocking(host.stdout.fileno(), False)   # whoever is left may hold it open
            opened += (host.stdout.read() or b"").count(b"\n")
        killed += 1

        def gone():
            reap_orphans()
            return not [pid for pid, state in descendants().items() if state not in "ZX"]
        assert until(gone), [command(pid) for pid in descendants()]
    print(f"{opened} sessions of {killed} hosts")
    assert opened >= SESSIONS * 0.3
    # What lies in folders the next one to start removes; an empty one not at once, as somebody may just be making it
    monkeypatch.setattr(folders, "NEW_SECONDS", 0.0)
    assert len([*(place / "tmp").glob(folders.PREFIX + "*")]) <= killed
    with Interpreter(imports=()):
        assert until(lambda: len([*(place / "tmp").glob(folders.PREFIX + "*")]) <= 1), [*(place / "tmp").rglob("*")]
    supervisor.shutdown()
    assert left_behind(place / "tmp", before) == []
