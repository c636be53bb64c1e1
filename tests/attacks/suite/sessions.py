"""Attacks of one session on another: its files, its scratch folder, its processes, its memory."""

from __future__ import annotations

import os

from .arena import Arena, Outcome, attack
from .looking import descendants


@attack()
def another_sessions_files(arena: Arena) -> Outcome:
    """Read and change the workspace and the scratch folder of a session that runs beside this one."""
    with arena.fresh() as other:
        planted = arena.ask(other, """
import tempfile
open('private.txt', 'w').write(secret)
scratch = os.path.join(tempfile.gettempdir(), 'scratch.txt')
open(scratch, 'w').write(secret)
shared = '/dev/shm/probe.txt'
try:
    open(shared, 'w').write(secret)
except OSError:
    pass
tell(scratch=scratch)
""", secret=arena.secret)
        result = arena.run(arena.session, """
import glob, tempfile
for path in [work + '/private.txt', scratch, '/tmp/scratch.txt', '/dev/shm/probe.txt', os.path.dirname(work) + '/tmp/scratch.txt',
             *glob.glob(os.path.dirname(os.path.dirname(work)) + '/*/*/*.txt'), *glob.glob(tempfile.gettempdir() + '/../../*/*/*.txt'),
             *glob.glob('/proc/*/cwd/private.txt'), *glob.glob('/proc/*/root/tmp/scratch.txt')]:
    for way in (lambda: print(path, open(path).read()), lambda: open(path, 'a').write('spoilt'), lambda: os.remove(path)):
        try:
            way()
        except OSError as error:
            print(path, errno.errorcode[error.errno])
for place in (work, os.path.dirname(work), '/tmp'):
    try:
        print(os.listdir(place))
    except OSError as error:
        print(error.errno)
""", work=other.workspace, scratch=planted.get("scratch", ""))
        kept = (other.workspace / "private.txt").read_text() == arena.secret
        scratch = arena.ask(other, "tell(text=open(path).read())", path=planted.get("scratch", ""))
    stopped = not arena.leaks(result) and kept and scratch.get("text") == arena.secret and "private.txt" not in result.stdout.replace(
        str(other.workspace) + "/private.txt", "")
    return stopped, f"{kept} {scratch.get('text') == arena.secret} {result.stdout[-300:]}"


@attack()
def another_sessions_processes(arena: Arena) -> Outcome:
    """Signal the worker of a session that runs beside this one, and look into it."""
    with arena.fresh() as other:
        arena.run(other, "token = secret", secret=arena.secret)
        seen = arena.ask(other, """
tell(pid=os.getpid(), host=[int(n) for n in (next(l for l in open('/proc/self/status') if l.startswith('NSpid')).split()[1:])])
""")
        numbers = sorted({seen.get("pid", 0), *seen.get("host", [])} | set(_workers()))
        result = arena.run(arena.session, """
import signal
for pid in numbers:
    if pid in (0, 1, os.getpid(), os.getppid()):
        continue
    print(pid, attempt(os.kill, pid, signal.SIGUSR1), attempt(os.kill, pid, 9))
    for name in ('environ', 'mem', 'maps', 'cwd/private.txt', 'fd'):
        print(attempt(lambda: open('/proc/%d/%s' % (pid, name)).read(10)))
print('done')
""", numbers=numbers)
        again = other.run("print(token[:4], len(token))").stdout
    return "done" in result.stdout and "32" in again and not arena.leaks(result), f"{again!r} {result.stdout[-300:]}"


def _workers() -> list[int]:
    """The probe's descendants, as the host numbers them."""
    return [pid for pid in descendants() if pid != os.getpid()]


@attack()
def message_queues_and_semaphores(arena: Arena) -> Outcome:
    """Leave something for another session in the kernel's own stores, which no folder shows."""
    with arena.fresh() as other:
        code = """
libc = ctypes.CDLL(None, use_errno=True)
found = []
for name, function in (('msgget', lambda: libc.msgget(0x50524F42, FLAGS)), ('semget', lambda: libc.semget(0x50524F42, 1, FLAGS)),
                       ('shmget', lambda: libc.shmget(0x50524F42, 4096, FLAGS)), ('mq_open', lambda: mq())):
    if function() >= 0:
        found.append(name)
def shared():
    return libc.shm_open(b'/codeact-probe', FLAGS_OPEN, 0o600)
if hasattr(libc, 'shm_open') and shared() >= 0:
    found.append('shm_open')
tell(found=found)
"""
        code = """
def mq():
    return ctypes.CDLL(None, use_errno=True).syscall(ctypes.c_long(240 if X86 else 180), b'codeact-probe', FLAGS_OPEN, 0o600, None)
""" + code
        made = arena.ask(other, "FLAGS, FLAGS_OPEN = 0o1600, 0o102\n" + code)
        met = arena.ask(arena.session, "FLAGS, FLAGS_OPEN = 0, 2\n" + code)
    return met.get("found") == [] and "found" in made, f"made {made}, met {met}"
