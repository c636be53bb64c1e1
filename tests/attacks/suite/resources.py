"""Attacks on the machine's resources: processes, memory, disk. Bounded, so that an open hole does no harm."""

from __future__ import annotations

import os
import time
from pathlib import Path

from .arena import MIB, Arena, Outcome, attack
from .looking import Meter, descendants, settled, shared_memory_kb

DRIFT = 15
"""Processes beyond the limit that are no hole: without a user namespace the limit is a number of all the user's threads,
and it moves as other programs (the probe's own among them) come and go while the session starts."""


def tree_kb() -> float:
    """Memory that the probe's descendants show, in KiB; pages that forks share count in each."""
    return sum(seen.shown_kb for seen in descendants().values())


def own_bytes(folder: Path) -> int:
    """Bytes on disk below a folder."""
    total = 0
    for top, _, files in os.walk(folder):
        for name in files:
            try:
                total += os.lstat(os.path.join(top, name)).st_blocks * 512
            except OSError:
                pass
    return total


@attack(seconds=150)
def fork_bomb(arena: Arena) -> Outcome:
    """Fork without end (here: up to 400 times, for 10 s)."""
    limit = 40
    with arena.fresh(limits={"processes": limit}) as session:
        session.run("1")
        settled()
        with Meter(lambda: len(descendants())) as meter:
            result = arena.run(session, """
import time
n = 0
for _ in range(400):
    try:
        pid = os.fork()
    except OSError:
        break
    if pid == 0:
        end = time.monotonic() + 10
        while time.monotonic() < end:
            try:
                if n < 400 and os.fork() == 0:
                    n += 1
                else:
                    time.sleep(0.2)
            except OSError:
                time.sleep(0.5)
        os._exit(0)
    n += 1
time.sleep(1)
tell(forked=n)
""", timeout=20)
        again = session.run("print('alive')").stdout
    # Keeper, worker and frozen copies may count or not
    return meter.peak - meter.first <= limit + DRIFT and "alive" in again, \
        f"{meter.first:g} processes, at most {meter.peak:g}; then {again!r}; {result.status} {result.stdout[-60:]!r}"


@attack(seconds=150)
def thread_bomb(arena: Arena) -> Outcome:
    """Start threads without end (here: up to 400)."""
    limit = 40
    with arena.fresh(limits={"processes": limit}) as session:
        seen = arena.ask(session, """
import threading
wait = threading.Event()
n = 0
try:
    for n in range(400):
        threading.Thread(target=wait.wait, daemon=True).start()
except RuntimeError:
    pass
wait.set()
tell(started=n)
""")
    return seen.get("started", 400) <= limit + DRIFT, str(seen)


def hoard(arena: Arena, code: str, *, limit_mb: int = 256, most_mb: float, above_seconds: float = 5, **settings: int) -> Outcome:
    """Run a cell that takes far more memory than it may; how much it got, for how long."""
    with arena.fresh(limits={"memory_mb": limit_mb, **settings}) as session:
        session.run("kept = 1")
        settled()
        with Meter(tree_kb) as meter:
            result = arena.run(session, code, timeout=20)
        again = session.run("print('alive')").stdout
    took = (meter.peak - meter.first) / 1024
    above = meter.seconds_above(meter.first + 1.5 * limit_mb * 1024)
    return took < most_mb and above < above_seconds and "alive" in again, \
        f"{took:.0f} MiB at most, {above:.1f} s above 1.5 times the limit; then {again!r}; {result.status}: {result.text[-150:]!r}"


@attack(seconds=150)
def memory_bomb(arena: Arena) -> Outcome:
    """Allocate without end in one process (here: up to 1 GiB against 256 MiB)."""
    return hoard(arena, """
import time
kept = []
for _ in range(64):
    kept.append(b'x' * (16 << 20))
time.sleep(15)
""", most_mb=700)   # frozen copies show the pages they share once more


@attack(seconds=150)
def memory_bomb_in_children(arena: Arena) -> Outcome:
    """Eight children that each stay below the limit (200 of 256 MiB)."""
    return hoard(arena, """
import time
children = []
for _ in range(8):
    pid = os.fork()
    if pid == 0:
        kept = []
        for _ in range(50):
            kept.append(b'x' * (4 << 20))
            time.sleep(0.05)
        time.sleep(15)
        os._exit(0)
    children.append(pid)
for pid in children:
    os.waitpid(pid, 0)
""", most_mb=1200)


@attack(seconds=150)
def memory_bomb_after_the_cell(arena: Arena) -> Outcome:
    """Children that begin to allocate once the cell is over and, perhaps, nobody looks."""
    with arena.fresh(limits={"memory_mb": 256}) as session:
        session.run("1")
        before = settled().keys()
        with Meter(tree_kb) as meter:
            arena.run(session, """
import time
for _ in range(6):
    if os.fork() == 0:
        time.sleep(0.5)
        kept = []
        for _ in range(50):
            kept.append(b'x' * (4 << 20))
            time.sleep(0.05)
        time.sleep(15)
        os._exit(0)
""")
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline and len(descendants().keys() - before) > 3:   # copies apart
                time.sleep(0.1)
        again = session.run("print('alive')").stdout
    above = meter.seconds_above(meter.first + 1.5 * 256 * 1024)
    return above < 5 and "alive" in again, \
        f"{(meter.peak - meter.first) / 1024:.0f} MiB at most, {above:.1f} s above 1.5 times the limit; {again!r}"


@attack(seconds=150)
def memory_nobody_shows(arena: Arena) -> Outcome:
    """Memory that belongs to no process: shared pages dropped from view, memfd, System V segments, /dev/zero."""
    with arena.fresh(limits={"memory_mb": 256}) as session, Meter(shared_memory_kb) as meter:
        result = arena.run(session, """
import mmap, time
SIZE = 300 << 20
kept = []
def anonymous():
    area = mmap.mmap(-1, SIZE)
    for at in range(0, SIZE, 4096): area[at] = 1
    area.madvise(mmap.MADV_DONTNEED)
    kept.append(area)
def zero():
    fd = os.open('/dev/zero', os.O_RDWR)
    area = mmap.mmap(fd, SIZE)
    for at in range(0, SIZE, 4096): area[at] = 1
    kept.append(area)
def memfd():
    fd = os.memfd_create('x')
    for _ in range(300): os.write(fd, bytes(1 << 20))
    kept.append(fd)
def segment():
    libc = ctypes.CDLL(None, use_errno=True)
    number = libc.shmget(0, SIZE, 0o1600)
    if number < 0: raise OSError(ctypes.get_errno(), 'shmget')
    libc.shmat.restype = ctypes.c_void_p
    address = libc.shmat(number, None, 0)
    ctypes.memset(address, 1, SIZE)
    kept.append(number)
errors = [attempt(way) for way in (anonymous, zero, memfd, segment)]
time.sleep(0.5)
tell(errors=errors)
""", timeout=20)
    grown = (meter.peak - meter.first) / 1024
    return grown < 200 and result.status is not None, f"{grown:.0f} MiB of shared memory; {result.stdout[-200:]} {result.text[-100:]}"


@attack(seconds=150)
def fill_the_scratch_folders(arena: Arena) -> Outcome:
    """Fill /tmp and /dev/shm, which lie in memory, with up to 600 MB each."""
    with arena.fresh(limits={"tmp_mb": 32, "workspace_mb": 64}) as session:
        with Meter(shared_memory_kb) as meter:
            result = arena.run(session, """
import time
def fill(folder):
    with open(folder + '/big', 'wb', buffering=0) as file:
        for _ in range(600):
            file.write(bytes(1 << 20))
            time.sleep(0.001)
def names(folder):
    for number in range(20000):
        os.close(os.open(folder + '/%d' % number, os.O_CREAT | os.O_WRONLY))
tell(errors=[attempt(fill, '/tmp'), attempt(fill, '/dev/shm'), attempt(names, '/dev/shm')])
""", timeout=20)
        left = [path for place in ("/tmp", "/dev/shm") for path in (Path(place) / "big", Path(place) / "19999")
                if path.exists()]
    for path in left:
        path.unlink()
    grown = (meter.peak - meter.first) / 1024
    return grown < 150 and not left, f"{grown:.0f} MiB; {left}; {result.status} {result.stdout[-150:]}"


@attack(seconds=150)
def fill_the_disk_with_one_file(arena: Arena) -> Outcome:
    """Write a file without end (here: up to 200 MB against 16), by writing, seeking and reserving."""
    limit = 16
    with arena.fresh(limits={"file_mb": limit}) as session:
        seen = arena.ask(session, """
def write():
    with open('big', 'wb', buffering=0) as file:
        for _ in range(200): file.write(bytes(1 << 20))
def reserve():
    with open('reserved', 'wb') as file: os.posix_fallocate(file.fileno(), 0, 200 << 20)
def shell():
    import subprocess
    subprocess.run(['dd', 'if=/dev/urandom', 'of=child', 'bs=1M', 'count=64'], check=True, capture_output=True)
tell(errors=[attempt(write), attempt(reserve), attempt(shell), attempt(os.truncate, 'big', 200 << 20)])
""")
        largest = max((path.stat().st_size for path in session.workspace.iterdir()), default=0)
    return largest <= limit * MIB and "errors" in seen, f"{largest} bytes; {seen}"


FILL = """
import time
for number in range(200):
    with open('file %d' % number, 'wb') as file:
        UNLINK
        file.write(bytes(1 << 20))
        file.flush()
        KEEP
    time.sleep(0.05)
time.sleep(2)
"""


@attack(seconds=150)
def fill_the_disk_with_many_files(arena: Arena) -> Outcome:
    """Write many files, each below the limit of a file (here: 200 MB against 32)."""
    limit = 32
    with arena.fresh(limits={"workspace_mb": limit}) as session:
        with Meter(lambda: own_bytes(session.workspace)) as meter:
            result = arena.run(session, FILL.replace("UNLINK", "pass").replace("KEEP", "pass"), timeout=30)
        again = session.run("print('alive')").stdout
    return meter.peak < 2 * limit * MIB and "alive" in again, f"{meter.peak / MIB:.0f} MiB; {result.status}: {result.text[-200:]}"


@attack(seconds=150)
def fill_the_disk_beside_the_workspace(arena: Arena) -> Outcome:
    """Write files to every folder on disk that the walls leave open around the workspace, and to /tmp (200 MB against 32)."""
    limit = 32
    with arena.fresh(limits={"workspace_mb": limit, "tmp_mb": limit}) as session:
        with Meter(lambda: own_bytes(session.workspace.parent.parent)) as meter:
            for place in ("'..'", "__import__('tempfile').gettempdir()"):
                result = arena.run(session, f"os.chdir({place})\n" + FILL.replace("UNLINK", "pass").replace("KEEP", "pass"),
                                   timeout=30)
        again = session.run("print('alive')").stdout
    return meter.peak < 3 * limit * MIB and "alive" in again, f"{meter.peak / MIB:.0f} MiB; {result.status}: {result.text[-200:]}"


def open_unlinked_bytes(top: str) -> float:
    """Bytes on disk of files below `top` that have no name any more and that descendants hold open."""
    found: dict[tuple[int, int], int] = {}
    for pid in descendants():
        try:
            numbers = os.listdir(f"/proc/{pid}/fd")
        except OSError:
            continue
        for number in numbers:
            try:
                link = os.readlink(f"/proc/{pid}/fd/{number}")
                if link.endswith(" (deleted)"):
                    state = os.stat(f"/proc/{pid}/fd/{number}")
                    found[state.st_dev, state.st_ino] = state.st_blocks * 512
            except OSError:
                continue
    return sum(found.values())


@attack(seconds=150)
def fill_the_disk_with_nameless_files(arena: Arena) -> Outcome:
    """Write files that have been unlinked: they take space in no folder (here: 200 MB against 32)."""
    limit = 32
    with arena.fresh(limits={"workspace_mb": limit}) as session:
        with Meter(lambda: open_unlinked_bytes(str(session.workspace)), every=0.1) as meter:
            result = arena.run(session, "kept = []\n" + FILL.replace("UNLINK", "os.unlink(file.name)").replace(
                "KEEP", "kept.append(os.dup(file.fileno()))"), timeout=30)
        again = session.run("print('alive')").stdout
    return meter.peak < 2 * limit * MIB and "alive" in again, f"{meter.peak / MIB:.0f} MiB; {result.status}: {result.text[-200:]}"


@attack(seconds=150)
def flood_of_output(arena: Arena) -> Outcome:
    """Print 200 MB: neither the host's memory nor the result may grow with it."""
    def own_kb() -> float:
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("RssAnon:"))

    with arena.fresh(limits={"output_kb": 256}) as session, Meter(own_kb) as meter:
        result = arena.run(session, "for _ in range(200): print('x' * (1 << 20))", timeout=20)
    size = len(result.stdout) + len(result.text)
    grown = (meter.peak - meter.first) / 1024
    return grown < 100 and size < 2 * MIB, f"{grown:.0f} MiB more in the host, {size} characters of result"
