"""Attacks on the kernel's own doors: namespaces, mounts, devices, and engines that cells have no use for.

Most can only be seen from inside: the code of these cells is ours, and says truly how each call ended.
"""

from __future__ import annotations

import secrets
from pathlib import Path

from .arena import Arena, Outcome, attack


def all_refused(arena: Arena, code: str, *, but: tuple[str, ...] = (), **values: object) -> Outcome:
    """Run code that tells what each attempt ended in; every one must be an error."""
    seen = arena.ask(arena.session, code, **values)
    through = [name for name, error in seen.items() if error is None and name not in but]
    return not through and "status" not in seen, str(seen)


@attack()
def user_namespaces(arena: Arena) -> Outcome:
    """Become root of a namespace of one's own, which opens most of the kernel's rarer parts."""
    return all_refused(arena, """
import subprocess
libc = ctypes.CDLL(None, use_errno=True)
def cloned(flags):
    pid = libc.syscall(ctypes.c_long(56 if X86 else 220), ctypes.c_long(flags | 17), None, None, None, None)
    if pid == 0:
        os._exit(0)
    if pid < 0:
        raise OSError(ctypes.get_errno(), 'clone')
    os.waitpid(pid, 0)
def cloned3(flags):
    arguments = (ctypes.c_uint64 * 11)(flags, 0, 0, 0, 17)
    pid = libc.syscall(ctypes.c_long(435), arguments, ctypes.c_long(88))
    if pid == 0:
        os._exit(0)
    if pid < 0:
        raise OSError(ctypes.get_errno(), 'clone3')
    os.waitpid(pid, 0)
seen = {}
for name, flag in dict(user=0x10000000, mount=0x20000, net=0x40000000, ipc=0x8000000, uts=0x4000000, pid=0x20000000, cgroup=0x2000000).items():
    seen['unshare ' + name] = call(272, 97, flag)
    seen['clone ' + name] = attempt(cloned, flag)
    seen['clone3 ' + name] = attempt(cloned3, flag)
    seen['setns ' + name] = attempt(lambda: call(308, 268, os.open('/proc/1/ns/' + name.replace('mount', 'mnt'), os.O_RDONLY), 0) or None) or 'no'
seen['unshare time'] = call(272, 97, 0x80)
seen['command'] = attempt(lambda: subprocess.run(['unshare', '-r', 'true'], check=True, capture_output=True))
tell(**{name: error for name, error in seen.items() if not name.startswith('setns')})
""")


@attack()
def mounting(arena: Arena) -> Outcome:
    """Change the file tree: mount, unmount, chroot, pivot_root, and the newer calls for the same."""
    return all_refused(arena, """
libc = ctypes.CDLL(None, use_errno=True)
os.mkdir('tree') if not os.path.isdir('tree') else None
tell(mount=call(165, 40, b'none', b'tree', b'tmpfs', 0, 0), bind=call(165, 40, b'/', b'tree', 0, 4096, 0),
     remount=call(165, 40, b'none', b'/', 0, 32 | 4096, 0), umount=call(166, 39, b'/proc', 2), umount_tmp=call(166, 39, b'/tmp', 2),
     chroot=attempt(os.chroot, 'tree'), pivot=call(155, 41, b'tree', b'tree'), open_tree=call(428, 428, -100, b'/', 1),
     fsopen=call(430, 430, b'tmpfs', 0), setattr=call(442, 442, -100, b'/', 0x8000, bytes(32), 32), move=call(429, 429, -100, b'/', -100, b'tree', 0),
     swapon=call(167, 224, b'tree', 0), quotactl=call(179, 60, 0x80000700, 0, 0, 0), handle=call(304, 265, -100, bytes(16), 0))
""")


@attack()
def io_uring(arena: Arena) -> Outcome:
    """Set up a ring that does file and socket work past any filter."""
    return all_refused(arena, "tell(setup=call(425, 425, 4, bytes(120)), register=call(427, 427, 0, 0, 0, 0), "
                              "enter=call(426, 426, 0, 0, 0, 0, 0, 0))")


@attack()
def ptrace(arena: Arena) -> Outcome:
    """Trace: children, oneself, the worker."""
    return all_refused(arena, """
import time
pid = os.fork()
if pid == 0:
    time.sleep(5)
    os._exit(0)
seen = dict(me=call(101, 117, 0, 0, 0, 0), attach=call(101, 117, 16, pid, 0, 0), seize=call(101, 117, 0x4206, pid, 0, 0),
            worker=call(101, 117, 16, os.getppid(), 0, 0))
try:
    os.kill(pid, 9)
except OSError:
    pass
tell(**seen)
""")


@attack()
def userfaultfd(arena: Arena) -> Outcome:
    """Stop the kernel in the middle of a copy: half of many exploits."""
    return all_refused(arena, "tell(call=call(323, 282, 1), device=attempt(open, '/dev/userfaultfd'))")


@attack()
def bpf_and_perf(arena: Arena) -> Outcome:
    """Load programs into the kernel; count its events."""
    return all_refused(arena, "tell(bpf=call(321, 280, 0, bytes(128), 128), perf=call(298, 241, bytes(128), 0, -1, -1, 0))")


@attack()
def keyrings(arena: Arena) -> Outcome:
    """Use the keys of the user's login, and leave some for the host to find."""
    name = f"codeact-probe-{secrets.token_hex(4)}"
    stopped, detail = all_refused(arena, """
tell(add=call(248, 217, b'user', name.encode(), b'x', 1, -4), session=call(248, 217, b'user', name.encode(), b'x', 1, -3),
     search=call(250, 219, 10, -4, b'user', b'x', 0), request=call(249, 218, b'user', b'x', 0, -4), join=call(250, 219, 1, 0),
     keys=attempt(lambda: open('/proc/keys').read()) if not os.access('/proc/keys', os.R_OK) else 'listed')
""", name=name)
    try:
        planted = name in Path("/proc/keys").read_text()
    except OSError:
        planted = False
    return stopped and not planted, detail


@attack()
def write_kernel_settings(arena: Arena) -> Outcome:
    """Open the kernel's settings for writing (nothing is written)."""
    return all_refused(arena, """
paths = ['/proc/sys/kernel/core_pattern', '/proc/sys/kernel/hostname', '/proc/sys/net/ipv4/ip_forward', '/proc/sys/vm/drop_caches',
         '/proc/sysrq-trigger', '/proc/sys/kernel/randomize_va_space', '/sys/kernel/uevent_helper', '/sys/power/state',
         '/sys/fs/cgroup/cgroup.procs', '/proc/self/uid_map', '/proc/self/gid_map', '/proc/self/setgroups', '/proc/1/oom_score_adj',
         '/proc/self/attr/current', '/proc/timer_list', '/proc/acpi/wakeup', '/sys/kernel/debug', '/proc/self/loginuid']
tell(**{path: attempt(os.open, path, os.O_WRONLY) if os.access(os.path.dirname(path), os.X_OK) else 'out of reach' for path in paths})
""", but=("/proc/self/attr/current", "/proc/self/uid_map", "/proc/self/gid_map", "/proc/self/setgroups", "/proc/self/loginuid"))


@attack()
def read_kernel_secrets(arena: Arena) -> Outcome:
    """Read what helps an exploit: kernel addresses, its log, physical memory."""
    return all_refused(arena, """
def symbols():
    with open('/proc/kallsyms') as file:
        if not any(int(line.split()[0], 16) for line in (file.readline() for _ in range(2000)) if line):
            raise PermissionError(errno.EPERM, 'zeros')
tell(kcore=attempt(lambda: open('/proc/kcore', 'rb').read(16)), kallsyms=attempt(symbols), kmsg=attempt(open, '/dev/kmsg'),
     syslog=call(103, 116, 3, bytes(64), 64), proc_kmsg=attempt(open, '/proc/kmsg'), debug=attempt(os.listdir, '/sys/kernel/debug'),
     tracing=attempt(os.listdir, '/sys/kernel/tracing'), slab=attempt(open, '/proc/slabinfo'), pages=attempt(open, '/proc/kpageflags'))
""")


@attack()
def devices(arena: Arena) -> Outcome:
    """Open the machine's devices, those that are there and those one can make."""
    return all_refused(arena, """
import glob, stat
seen = {}
harmless = {'/dev/null', '/dev/zero', '/dev/full', '/dev/random', '/dev/urandom', '/dev/stdin', '/dev/stdout', '/dev/stderr'}
paths = ['/dev/mem', '/dev/kmem', '/dev/port', '/dev/kvm', '/dev/vda', '/dev/sda', '/dev/nvme0n1', '/dev/fuse', '/dev/net/tun', '/dev/tty',
         '/dev/console', '/dev/ptmx', '/dev/tty0', '/dev/loop-control', '/dev/vsock', '/dev/vhost-net', '/dev/uinput', '/dev/input/event0']
try:
    paths += [p for p in glob.glob('/dev/*') if p not in harmless and not os.path.isdir(p) and not p.startswith('/dev/fd')]
except OSError:
    pass
for path in sorted(set(paths))[:80]:
    seen[path] = attempt(os.open, path, os.O_RDONLY | os.O_NONBLOCK)
for name, kind, numbers in (('disk', stat.S_IFBLK, (254, 0)), ('disk8', stat.S_IFBLK, (8, 0)), ('mem', stat.S_IFCHR, (1, 1)), ('kmsg', stat.S_IFCHR, (1, 11))):
    for place in ('.', '/tmp', '/dev/shm'):
        path = place + '/' + name
        def make():
            os.mknod(path, kind | 0o666, os.makedev(*numbers))
            os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        seen[path] = attempt(make)
tell(**seen)
""")


@attack()
def become_someone_else(arena: Arena) -> Outcome:
    """Take another identity: root, other groups, capabilities, a set-id program."""
    with arena.fresh() as session:
        seen = arena.ask(session, """
import subprocess
before = os.getresuid()
errors = dict(root=attempt(os.setuid, 0), groups=attempt(os.setgroups, [0]), gid=attempt(os.setgid, 0), other=attempt(os.setresuid, 1, 1, 1),
              capabilities=call(126, 91, (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)(*[0xFFFFFFFF] * 6)))
capabilities = (ctypes.c_uint32 * 6)(*[7] * 6)
call(125, 90, (ctypes.c_uint32 * 2)(0x20080522, 0), capabilities)
prctl = ctypes.CDLL(None).prctl
for program in ('su', 'sudo', 'mount', 'passwd', 'ping', 'newgrp', 'newuidmap'):
    try:
        out = subprocess.run([program, '--version'], capture_output=True, timeout=5, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired):
        pass
child = subprocess.run(['sh', '-c', 'id -u'], capture_output=True, text=True).stdout.strip()
tell(errors=errors, same=before == os.getresuid(), child=child, capabilities=list(capabilities),
     no_new_privs=prctl(39, 0, 0, 0, 0), seccomp=prctl(21, 0, 0, 0, 0), uid=os.getuid())
""")
    stopped = (seen.get("same") is True and seen.get("uid") != 0 and all(seen["errors"].values())
               and not any(seen["capabilities"]) and seen["no_new_privs"] == 1 and seen["seccomp"] == 2 and seen["child"] == str(seen["uid"]))
    return stopped, str(seen)
