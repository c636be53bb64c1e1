"""Attacks on processes: signals, limits and priorities of others, /proc, what outlives the session."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path

from .arena import SECRET_VARIABLE, Arena, Outcome, attack
from .looking import alive, descendants, gone, processes, settled

PROBE = str(Path(__file__).parents[1] / "probe.py")


@attack()
def signal_another_process(arena: Arena) -> Outcome:
    """End, stop or slow down a process of the same user, by every way to it."""
    with arena.process() as child:
        before = treatment(child.pid)
        seen = arena.ask(arena.session, """
import fcntl, resource, signal, socket, struct, subprocess
def own(command, value):
    a, b = socket.socketpair()
    fcntl.fcntl(a, command, value)
    fcntl.fcntl(a, 10, 9)                                   # F_SETSIG, SIGKILL
    fcntl.fcntl(a, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)
    b.sendall(b'x')
errors = {}
def note(name, function, *args):
    errors[name] = attempt(function, *args)
note('limit', resource.prlimit, pid, resource.RLIMIT_CPU, (1, 1))
note('priority', os.setpriority, os.PRIO_PROCESS, pid, 19)
note('scheduler', os.sched_setscheduler, pid, os.SCHED_IDLE, os.sched_param(0))
note('affinity', os.sched_setaffinity, pid, [0])
note('owner', own, fcntl.F_SETOWN, pid)
note('owner_ex', own, 15, struct.pack('ii', 1, pid))
note('group', own, fcntl.F_SETOWN, -pid)
note('pidfd', lambda: signal.pidfd_send_signal(os.pidfd_open(pid), 9))
errors['queue'] = call(129, 138, pid, 9, bytes(128))
errors['tkill'] = call(200, 130, pid, 9)
errors['tgkill'] = call(234, 131, pid, pid, 9)
note('stop', os.kill, pid, signal.SIGSTOP)
note('kill', os.kill, pid, 9)
note('killpg', os.killpg, pid, 9)
note('shell', lambda: subprocess.run(['sh', '-c', 'kill -9 %d' % pid], check=True, capture_output=True))
tell(**errors)
""", pid=child.pid)
        state = processes()[child.pid].state if child.poll() is None else "gone"
        after = treatment(child.pid)
    stopped = state == "S" and after == before
    return stopped and "kill" in seen, f"state {state}, {before} -> {after}; {seen}"


def treatment(pid: int) -> str:
    """How the system treats a process: its limits, priority, scheduler and processors."""
    try:
        limits = Path(f"/proc/{pid}/limits").read_text()
        return f"{hash(limits)} {os.getpriority(os.PRIO_PROCESS, pid)} {os.sched_getscheduler(pid)} {os.sched_getaffinity(pid)}"
    except OSError as error:
        return str(error)


@attack()
def trace_another_process(arena: Arena) -> Outcome:
    """Read and write the memory of a process of the same user."""
    with arena.process(environment={"PLANTED": arena.secret}) as child:
        result = arena.run(arena.session, """
base = '/proc/%d/' % pid
def memory(path):
    with open(path + 'maps') as maps, open(path + 'mem', 'rb') as mem:
        for line in maps:
            if '[stack]' in line:
                start, end = (int(x, 16) for x in line.split()[0].split('-'))
                mem.seek(start)
                return [part for part in mem.read(end - start).split(b'\\0') if b'PLANTED' in part]
for name in ('environ', 'cmdline', 'maps', 'auxv', 'stack', 'syscall', 'cwd', 'root', 'exe', 'fd', 'status', 'task'):
    for way in (lambda: open(base + name, 'rb').read(), lambda: os.listdir(base + name)):
        try:
            print(name, way())
        except OSError as error:
            print(name, errno.errorcode[error.errno])
try:
    print(memory(base))
except OSError as error:
    print('memory', error)
local, remote = (ctypes.c_size_t * 2)(ctypes.addressof(ctypes.create_string_buffer(64)), 64), (ctypes.c_size_t * 2)(0x400000, 64)
tell(attach=call(101, 117, 16, pid, 0, 0), seize=call(101, 117, 0x4206, pid, 0, 0), read=call(310, 270, pid, local, 1, remote, 1, 0),
     write=call(311, 271, pid, local, 1, remote, 1, 0), getfd=call(438, 438, os.pidfd_open(pid) if os.path.exists(base) else 9, 0, 0),
     kcmp=call(312, 272, pid, pid, 2, 0, 0))
""", pid=child.pid)
        untraced = "TracerPid:\t0" in Path(f"/proc/{child.pid}/status").read_text()
    return bool(result.stdout) and not arena.leaks(result) and untraced, result.stdout[-400:]


@attack()
def supervisors_environment(arena: Arena) -> Outcome:
    """Find the secret in the supervisor's environment, through any process that can be seen."""
    with arena.process(environment={SECRET_VARIABLE: arena.secret}):
        result = arena.run(arena.session, """
seen = []
for pid in [str(os.getppid()), '1', 'self', 'thread-self'] + [str(n) for n in range(max(1, supervisor - 50), supervisor + 51)] + pids():
    for name in ('environ', 'cmdline', 'task/%s/environ' % pid):
        try:
            text = open('/proc/%s/%s' % (pid, name), 'rb').read().decode(errors='replace')
        except OSError as error:
            continue
        if 'PROBE_SECRET' in text:
            print(pid, name, text)
        seen.append(pid)
print('looked at', len(seen))
""", supervisor=os.getpid())
    return "looked at" in result.stdout and not arena.leaks(result), result.stdout[-200:]


@attack()
def own_environment(arena: Arena) -> Outcome:
    """Find the secret in what the session itself inherited: its environment, and the memory it was forked with."""
    with arena.fresh() as session:
        result = arena.run(session, """
import re, subprocess
print(dict(os.environ))
print(subprocess.run(['env'], capture_output=True, text=True).stdout)
for way in (lambda: open('/proc/self/environ', 'rb').read(), lambda: open('/proc/1/environ', 'rb').read()):
    try:
        print(way())
    except OSError as error:
        print(error.errno)
found = set()
try:
    maps, mem = open('/proc/self/maps'), open('/proc/self/mem', 'rb', buffering=0)
except OSError as error:
    print('no map of the memory:', error.errno)
else:
    for line in maps:
        fields = line.split()
        if 'w' not in fields[1] or 'v' in line[-8:]: continue
        start, end = (int(x, 16) for x in fields[0].split('-'))
        try:
            mem.seek(start)
            while start < end:
                data = mem.read(min(1 << 20, end - start))
                if not data: break
                found.update(re.findall(rb'PROBE_SECRET=([0-9a-f]{32})', data))
                start += len(data)
        except (OSError, ValueError, OverflowError):
            pass
print(found)
print('done')
""")
    return "done" in result.stdout and not arena.leaks(result), result.stdout[-200:] or result.text[-200:]


@attack()
def see_other_processes(arena: Arena) -> Outcome:
    """Learn what runs on the host."""
    mark = f"31{secrets.randbelow(10**7)}"
    with arena.process("/bin/sleep", mark):
        result = arena.run(arena.session, """
import glob, subprocess
for pid in range(max(1, near - 200), near + 200):
    try:
        print(open('/proc/%d/cmdline' % pid).read().replace(chr(0), ' '))
    except OSError:
        pass
for way in (lambda: subprocess.run(['ps', '-ef'], capture_output=True, text=True).stdout, lambda: glob.glob('/proc/[0-9]*/cmdline'),
            lambda: [open(p).read() for p in glob.glob('/proc/[0-9]*/cmdline')]):
    try:
        print(way())
    except OSError as error:
        print(error.errno)
print('done')
""", near=os.getpid())
    return "done" in result.stdout and mark not in result.stdout, result.stdout[-300:]


@attack(seconds=150)
def daemon_outlives_the_session(arena: Arena) -> Outcome:
    """Leave processes behind: in another session, with signals ignored, exec'ed, with closed descriptors."""
    mark = f"86400.{secrets.randbelow(10**9):09d}"
    with arena.fresh() as session:
        before = settled()
        seen = arena.ask(session, """
import signal, time
def daemon(kind):
    if os.fork() == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
        for number in range(1, 65):
            try:
                signal.signal(number, signal.SIG_IGN)
            except (OSError, ValueError):
                pass
        os.closerange(0, 256)
        ctypes.CDLL(None).prctl(1, 0, 0, 0, 0)
        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
        if kind == 1:
            os.execv('/bin/sleep', ['sleep', mark])
        while kind == 2:
            if os.fork():
                os._exit(0)
            time.sleep(0.05)
        time.sleep(300)
        os._exit(0)
for kind in range(3):
    daemon(kind)
tell(started=True)
""", mark=mark)
        time.sleep(0.3)
        during = descendants()
    new = [process for pid, process in during.items() if pid not in before]
    left = gone(new)
    named = [pid for pid in processes() if mark in cmdline(pid)]
    return seen.get("started") is True and not left and not named, f"{len(new)} new, left: {left} {named}; {seen}"


def cmdline(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


@attack(seconds=150)
def killing_the_supervisor(arena: Arena) -> Outcome:
    """End the host's process with SIGKILL: everything of its sessions must go too."""
    victim = subprocess.Popen([sys.executable, PROBE, "--victim", "--level", str(arena.level)], stdout=subprocess.PIPE,
                              env={**os.environ, "TMPDIR": str(arena.top)})   # what it leaves behind goes with us
    try:
        assert victim.stdout is not None
        line = victim.stdout.readline()
        if line != b"ready\n":
            return False, f"the victim did not start: {line!r}"
        tree = list(descendants(victim.pid).values())
        victim.kill()
        victim.wait()
        left = gone(tree)
        for process in left:
            os.kill(process.pid, signal.SIGKILL)
    finally:
        victim.kill()
        victim.wait()
        victim.stdout.close()
    # Zygote, keeper, worker and three daemons, at the least
    return len(tree) >= 6 and not left, f"{len(tree)} processes, left: {[(p.pid, cmdline(p.pid)) for p in left]}"


@attack()
def signal_the_keeper(arena: Arena) -> Outcome:
    """End, stop or disturb the session's own first process, and take its children."""
    with arena.fresh() as session:
        before = settled()
        seen = arena.ask(session, """
import signal
parent = os.getppid() or 1   # 0: a process outside of the namespace
errors = {}
for number in (signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGSEGV):
    errors[number.name] = attempt(os.kill, parent, number)
errors['memory'] = attempt(lambda: open('/proc/%d/mem' % parent, 'r+b'))
errors['environment'] = attempt(lambda: open('/proc/%d/environ' % parent, 'rb').read())
errors['descriptor'] = attempt(open, '/proc/%d/fd/3' % parent)
errors['scheduler'] = attempt(os.sched_setscheduler, parent, os.SCHED_IDLE, os.sched_param(0))
errors['priority'] = attempt(os.setpriority, os.PRIO_PROCESS, parent, 19)
errors['user'] = attempt(os.setpriority, os.PRIO_USER, os.getuid(), 19)
errors['limit'] = attempt(lambda: __import__('resource').prlimit(parent, 3, (0, 0)))
errors['sibling'] = call(56, 220, 0x8000 | 17, 0, 0, 0, 0)
tell(**errors)
""")
        again = session.run("print('alive')").stdout
        lost = [process for pid, process in before.items() if not alive(process)]
        stopped = [pid for pid, process in descendants().items() if process.state == "T"]
    harmless = all(seen.get(name) for name in ("memory", "environment", "descriptor", "limit", "scheduler", "priority", "user", "sibling"))
    return "alive" in again and not stopped and harmless, f"{again!r} lost {lost} stopped {stopped} {seen}"
