"""The system call filter: both machines' tables through an interpreter, this machine's through the kernel."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import walled
from bpf import interpret

from codeact.kernel.walls import seccomp
from codeact.kernel.walls.refused import ABSENT, ATTRIBUTES, METADATA, REFUSED
from codeact.kernel.walls.syscalls import FIRST_UNREVIEWED, GAPS, MACHINES, NUMBERS, number, numbers

OWN_PID = 4321
PLACES = [(3, 7), (3, 0), (2, 7), (1, 5), (1, 4), (1, 2), (1, 1)]
"""(level, Landlock ABI) as they are found on machines."""

HEADERS = {
    "x86_64": ("/usr/include/x86_64-linux-gnu/asm/unistd_64.h", "/usr/include/asm/unistd_64.h"),
    "aarch64": ("/usr/include/asm-generic/unistd.h",),
}


def policy(level, abi, network=False):
    return seccomp.Policy.of(level=level, abi=abi, network=network, own_pid=OWN_PID)


@pytest.fixture(params=[(machine, *place) for machine in MACHINES for place in PLACES],
                ids=lambda p: f"{p[0]}-level{p[1]}-abi{p[2]}", scope="module")
def filtered(request):
    """`ask(name, *args)` of one filter, with its machine, level and ABI."""
    machine, level, abi = request.param
    program = seccomp.build(machine, policy(level, abi))

    def ask(name, *args):
        return interpret(program, machine, number(machine, name) if isinstance(name, str) else name, args)

    ask.machine, ask.level, ask.abi = machine, level, abi
    ask.has = lambda name: bool(numbers(machine, [name]))
    return ask


def header_numbers(machine):
    """Names to numbers from the system's headers."""
    text = next((Path(path).read_text() for path in HEADERS[machine] if Path(path).exists()), None)
    if text is None:
        pytest.skip(f"no kernel headers for {machine} (package linux-libc-dev)")
    found = {name: int(value) for name, value in re.findall(r"#define __NR_(\w+)\s+(\d+)", text)}
    if machine == "aarch64":
        # A second spelling for calls whose 32-bit form differs; the first of the two blocks is the 64-bit one
        shared = {name: int(value) for name, value in re.findall(r"#define __NR3264_(\w+)\s+(\d+)", text)}
        for name, other in re.findall(r"#define __NR_(\w+) __NR3264_(\w+)", text):
            if other in shared and not name.endswith("64"):
                found[name] = shared[other]
        found = {name: value for name, value in found.items() if not 295 <= value < 424 and name != "syscalls"}
    return found


@pytest.mark.parametrize("machine", MACHINES)
def test_numbers_are_those_of_the_kernel_headers(machine):
    theirs = header_numbers(machine)
    newest = max(theirs.values())
    ours = {name: pair[MACHINES.index(machine)] for name, pair in NUMBERS.items()}
    wrong = {name: (value, theirs.get(name)) for name, value in ours.items()
             if value is not None and value <= newest and theirs.get(name) != value}
    assert not wrong
    missing = [name for name, value in ours.items() if value is None and name in theirs]
    assert not missing


@pytest.mark.parametrize("machine", MACHINES)
def test_no_number_stands_for_two_calls(machine):
    used = numbers(machine, NUMBERS)
    assert len(used) == len(set(used))
    assert max(used) < FIRST_UNREVIEWED
    assert not [value for value in used if GAPS[machine][0] <= value < GAPS[machine][1]]


def test_newer_calls_have_one_number_on_both_machines():
    assert not [name for name, (x86, arm) in NUMBERS.items() if x86 is not None and x86 >= 424 and x86 != arm]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("machine", MACHINES)
def test_every_call_without_a_rule_is_allowed(machine, place):
    program = seccomp.build(machine, policy(*place))
    ordinary = {name: value for name, value in header_numbers(machine).items() if name not in NUMBERS}
    assert len(ordinary) > 150
    assert {name for name, value in ordinary.items() if interpret(program, machine, value) != "allow"} == set()


def test_refused_calls_are_refused(filtered):
    for name in REFUSED:
        if filtered.has(name):
            assert filtered(name) == errno.EPERM, name


def test_absent_calls_do_not_exist(filtered):
    for name in (*ABSENT, "memfd_create"):
        if filtered.has(name):
            assert filtered(name) == errno.ENOSYS, name


def test_calls_newer_than_the_review_do_not_exist(filtered):
    for value in (FIRST_UNREVIEWED, FIRST_UNREVIEWED + 1, 1000, 0x3FFFFFFF, GAPS[filtered.machine][0],
                  GAPS[filtered.machine][1] - 1, -1):
        assert filtered(value) == errno.ENOSYS, value


def test_another_machines_calls_kill(filtered):
    program = seccomp.build(filtered.machine, policy(filtered.level, filtered.abi))
    for machine in {"x86_64", "aarch64", "i386", "arm"} - {filtered.machine}:
        assert interpret(program, machine, 1) == "kill"


@pytest.mark.parametrize("place", PLACES)
def test_the_x32_spelling_of_a_call_kills(place):
    program = seccomp.build("x86_64", policy(*place))
    for value in (0, 101, 547):
        assert interpret(program, "x86_64", 0x40000000 | value) == "kill"


def test_threads_and_processes_start_but_not_namespaces(filtered):
    assert filtered("clone", 17) == "allow"   # fork
    assert filtered("clone", 0x3D0F00) == "allow"   # pthread_create
    assert filtered("clone", 0x4111) == "allow"   # vfork
    for bit in (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000, 0x2000, 0x8000):
        assert filtered("clone", bit | 17) == errno.EPERM, hex(bit)
        assert filtered("clone", (1 << 40) | bit) == errno.EPERM, "the high half must not hide it"


def test_sockets_follow_the_level(filtered):
    for family in (1, 2, 10):
        assert filtered("socket", family, 1) == ("allow" if filtered.level == 3 else errno.EACCES), family
        assert filtered("socket", family | 1 << 32, 1) == filtered("socket", family, 1)
    for family in (0, 3, 4, 15, 16, 17, 21, 29, 30, 31, 38, 40, 44):   # NETLINK, PACKET, CAN, BLUETOOTH, ALG, VSOCK, XDP
        assert filtered("socket", family, 3) == errno.EACCES, family


def test_stream_pairs_always_work(filtered):
    for flags in (0, 0o2000000, 0o4000):
        assert filtered("socketpair", 1, 1 | flags) == "allow"
        assert filtered("socketpair", 1, 5 | flags) == "allow"


def test_pairs_that_can_send_to_a_name_are_refused_where_host_sockets_have_names(filtered):
    expected = "allow" if filtered.level == 3 else errno.EACCES
    assert filtered("socketpair", 1, 2) == expected
    assert filtered("socketpair", 1, 3) == expected   # SOCK_RAW: the kernel makes it a datagram
    assert filtered("socketpair", 30, 1) == expected


def test_no_socket_lingers_at_its_close(filtered):
    """Sent to the host, it would hold the host up."""
    assert filtered("setsockopt", 3, 1, 13) == 0   # pretended
    assert filtered("setsockopt", 3, 1 | 1 << 32, 13 | 1 << 32) == 0
    for level, option in ((1, 2), (6, 13), (6, 1), (0, 13), (1, 9)):
        assert filtered("setsockopt", 3, level, option) == "allow"


@pytest.mark.parametrize("machine", MACHINES)
def test_with_the_hosts_network_unix_sockets_need_scoping(machine):
    for level, abi, unix in ((3, 7, True), (3, 6, True), (3, 5, False), (2, 7, False), (1, 4, False)):
        program = seccomp.build(machine, policy(level, abi, network=True))
        assert interpret(program, machine, number(machine, "socket"), [2, 1]) == "allow"
        answer = interpret(program, machine, number(machine, "socket"), [1, 1])
        assert answer == ("allow" if unix else errno.EACCES)
        answer = interpret(program, machine, number(machine, "socketpair"), [1, 2])
        assert answer == ("allow" if unix else errno.EACCES)


def test_metadata_is_pretended_to_change_without_a_mount_namespace(filtered):
    for name in METADATA:
        if filtered.has(name):
            assert filtered(name, 0, 0, 0) == ("allow" if filtered.level == 3 else 0), name
    for name in ATTRIBUTES:
        if filtered.has(name):
            assert filtered(name) == ("allow" if filtered.level == 3 else errno.ENOTSUP), name


def test_set_id_files_cannot_be_made(filtered):
    openings = [("openat", 2)] + ([("open", 1)] if filtered.has("open") else [])
    for name, flags_at in openings:
        for flags in (0o101, 0o1102, 0o20200002):   # create, create and truncate, O_TMPFILE
            arguments = [0, 0, 0, 0]
            arguments[flags_at:flags_at + 2] = [flags, 0o644]
            assert filtered(name, *arguments) == "allow"
            for bits in (0o4755, 0o2755, 0o6700):
                arguments[flags_at + 1] = bits
                assert filtered(name, *arguments) == errno.EPERM
        # Without O_CREAT the mode is whatever lay in the register
        arguments = [0, 0, 0, 0]
        arguments[flags_at:flags_at + 2] = [0, 0o7777]
        assert filtered(name, *arguments) == "allow"
    for name, mode_at in (("mknodat", 2), ("creat", 1), ("mknod", 1), ("chmod", 1), ("fchmod", 1), ("fchmodat", 2)):
        if filtered.has(name) and not (filtered.level < 3 and "chmod" in name):
            arguments = [0, 0, 0]
            arguments[mode_at] = 0o755
            assert filtered(name, *arguments) == "allow", name
            arguments[mode_at] = 0o4755
            assert filtered(name, *arguments) == errno.EPERM, name


def test_folders_are_not_watched_nor_queues_opened_where_they_are_the_hosts(filtered):
    for name in ("inotify_add_watch", "mq_open", "mq_unlink"):
        assert filtered(name) == ("allow" if filtered.level == 3 else errno.EACCES), name


def test_truncation_that_landlock_does_not_see_is_refused(filtered):
    unseen = filtered.level < 3 and filtered.abi < 3
    assert filtered("truncate") == (errno.EACCES if unseen else "allow")
    for flags in (0o1000, 0o1003):   # O_RDONLY | O_TRUNC, and neither reading nor writing
        assert filtered("openat", 0, 0, flags) == (errno.EACCES if unseen else "allow")
    for flags in (0, 1, 2, 3, 0o1001, 0o1002, 0o1101):
        assert filtered("openat", 0, 0, flags, 0o644) == "allow"


def test_signals_go_only_to_oneself_where_nothing_else_stops_them(filtered):
    unseen = filtered.level < 3 and filtered.abi < 6
    for name in ("kill", "tkill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo"):
        assert filtered(name, OWN_PID, 9) == "allow"
        for other in (1, OWN_PID + 1, 0, -1, -OWN_PID):
            assert filtered(name, other, 9) == (errno.EPERM if unseen else "allow"), (name, other)
    assert filtered("pidfd_send_signal", OWN_PID) == (errno.EPERM if unseen else "allow")
    for command in (8, 10, 15):   # F_SETOWN, F_SETSIG, F_SETOWN_EX: a descriptor that sends signals
        assert filtered("fcntl", 3, command) == (errno.EPERM if unseen else "allow")


def test_other_processes_limits_and_priorities_are_out_of_reach(filtered):
    other = errno.EPERM
    for name in ("prlimit64", "sched_setparam", "sched_setscheduler", "sched_setattr", "sched_setaffinity"):
        assert filtered(name, 0) == filtered(name, OWN_PID) == "allow"
        assert filtered(name, OWN_PID + 1) == other
    assert filtered("setpriority", 0, 0) == "allow"
    assert filtered("setpriority", 0, OWN_PID + 1) == filtered("setpriority", 2, 0) == other
    assert filtered("ioprio_set", 1, 0) == "allow"
    assert filtered("ioprio_set", 1, OWN_PID + 1) == filtered("ioprio_set", 3, 0) == other


def test_terminals_cannot_be_typed_into(filtered):
    for command in (0x5412, 0x541C, 0x541D, 0x5423, 0x8901, 0x8902):
        assert filtered("ioctl", 0, command) == errno.EPERM
        assert filtered("ioctl", 0, command | 1 << 32) == errno.EPERM, "the kernel drops the high half"
    for command in (0x5401, 0x5413, 0x541B, 0x5421, 0x5451, 0x80045430):
        assert filtered("ioctl", 0, command) == "allow"


def test_ioctl_changes_no_file_that_is_open_for_reading(filtered):
    # FS_IOC_SETFLAGS, FS_IOC_FSSETXATTR, FS_IOC_ENABLE_VERITY, BTRFS_IOC_SNAP_CREATE
    for command in (0x40086602, 0x401C5820, 0x40806685, 0x50009401):
        assert filtered("ioctl", 3, command) == ("allow" if filtered.level == 3 else errno.ENOTTY)
    assert filtered("ioctl", 3, 0x40049409) == "allow"


def test_leases_are_refused(filtered):
    assert filtered("fcntl", 3, 1024) == filtered("fcntl", 3, 1026) == errno.EPERM
    for command in (0, 1, 2, 3, 4, 1030, 1032):
        assert filtered("fcntl", 3, command) == "allow"


def test_memory_that_no_limit_counts_is_refused(filtered):
    for flags in (0x21, 0x20 | 0x03, 0x21 | 0x8000):
        assert filtered("mmap", 0, 4096, 3, flags, -1) == errno.EPERM
    for flags in (0x22, 0x01, 0x02, 0x4022):
        assert filtered("mmap", 0, 4096, 3, flags, -1) == "allow"


@pytest.mark.parametrize("machine", MACHINES)
def test_memory_that_a_control_group_counts_can_be_allowed(machine):
    program = seccomp.build(machine, policy(2, 7)._replace(uncounted_memory=True))
    assert interpret(program, machine, number(machine, "mmap"), [0, 4096, 3, 0x21]) == "allow"
    assert interpret(program, machine, number(machine, "memfd_create")) == "allow"
    assert interpret(program, machine, number(machine, "shmget")) == errno.ENOSYS


def test_personality_may_only_be_asked_for(filtered):
    assert filtered("personality", 0xFFFFFFFF) == filtered("personality", 0) == "allow"
    assert filtered("personality", 0x0040000) == errno.EPERM


@pytest.mark.parametrize("machine", MACHINES)
def test_signals_can_be_forbidden_on_top(machine):
    program = seccomp.forbid_signals(machine)
    assert interpret(program, machine, number(machine, "kill"), [OWN_PID, 9]) == errno.EPERM
    assert interpret(program, machine, number(machine, "tgkill"), [OWN_PID, 9]) == errno.EPERM
    assert interpret(program, machine, number(machine, "openat"), [0, 0, 0, 0]) == "allow"


def test_an_unknown_machine_is_an_error():
    with pytest.raises(LookupError, match="riscv64"):
        seccomp.build("riscv64", policy(3, 7))


# In the kernel ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("level", "abi"), [(3, 0), (2, 7), (1, 4)])
def test_the_kernel_takes_the_filter_and_ordinary_python_works(level, abi, tmp_path):
    result = walled.run("""
import subprocess, threading
a, b = socket.socketpair()
a.sendall(b'x')
result['pair'] = b.recv(1).decode()
thread = threading.Thread(target=lambda: result.update(thread=True))
thread.start(); thread.join()
result['child'] = subprocess.run(['/bin/echo', 'hello'], capture_output=True, text=True).stdout.strip()
result['socket'] = outcome(socket.socket, socket.AF_INET)
result['unshare'] = call('unshare', 0x10000000)
result['ptrace'] = call('ptrace', 0, 0, 0, 0)
result['io_uring'] = call('io_uring_setup', 1, 0)
result['keyctl'] = call('keyctl', 0, -3, 0)
result['datagrams'] = outcome(socket.socketpair, socket.AF_UNIX, socket.SOCK_DGRAM)
""", level=level, abi=abi, write=[tmp_path, "/dev/null"])
    refused = None if level == 3 else "EACCES"
    assert result == {"pair": "x", "thread": True, "child": "hello", "socket": refused, "unshare": "EPERM",
                      "ptrace": "EPERM", "io_uring": "EPERM", "keyctl": "EPERM", "datagrams": refused}


@pytest.mark.parametrize(("level", "abi"), [(2, 7), (1, 4), (1, 1)])
def test_a_files_metadata_stays_as_it_is(level, abi, tmp_path):
    file = tmp_path / "notes"
    file.write_text("kept")
    file.chmod(0o640)
    os.utime(file, (1000, 1000))
    result = walled.run("""
path = settings['path']
result['errors'] = [outcome(os.chmod, path, 0o777), outcome(os.utime, path, (5, 5)), outcome(os.chown, path, 1, 1),
                    outcome(os.setxattr, path, 'user.note', b'x')]
with open(path) as file:
    result['errors'].append(outcome(os.fchmod, file.fileno(), 0o777))
    result['errors'].append(outcome(os.utime, file.fileno(), (5, 5)))
result['truncated'] = outcome(os.truncate, path, 0)
for flags in (os.O_RDONLY | os.O_TRUNC, 3 | os.O_TRUNC):
    try:
        os.close(os.open(path, flags))
    except OSError:
        pass
""", level=level, abi=abi, read=[*walled.SYSTEM, str(tmp_path)], values={"path": str(file)})
    assert result["errors"] == [None] * 6
    assert result["truncated"] == "EACCES"
    state = file.stat()
    assert (file.read_text(), state.st_mode & 0o7777, state.st_mtime, state.st_uid) == ("kept", 0o640, 1000, os.getuid())
    assert os.listxattr(file) == []


@pytest.mark.parametrize(("level", "abi"), [(2, 7), (1, 4)])
def test_another_process_is_not_signalled(level, abi):
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        result = walled.run("""
pid = settings['other']
result['kill'] = outcome(os.kill, pid, 9)
result['parent'] = outcome(os.kill, os.getppid(), 0)
result['self'] = outcome(os.kill, os.getpid(), 0)
result['limit'] = outcome(__import__('resource').prlimit, pid, 0, (1, 1))
result['priority'] = outcome(os.setpriority, os.PRIO_PROCESS, pid, 10)
a, b = socket.socketpair()
import fcntl
result['owner'] = outcome(fcntl.fcntl, a, fcntl.F_SETOWN, pid)
fcntl.fcntl(a, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)
b.sendall(b'x')
""", level=level, abi=abi, values={"other": other.pid})
        assert result["kill"] == result["parent"] == "EPERM"
        assert result["self"] is None
        assert result["limit"] == result["priority"] == "EPERM"
        assert other.poll() is None
        assert os.getpriority(os.PRIO_PROCESS, other.pid) == os.getpriority(os.PRIO_PROCESS, 0)
    finally:
        other.stdin.close()
        assert other.wait(timeout=60) is not None


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="x86_64 has the second ABI")
def test_a_call_by_the_x32_number_ends_the_process():
    code = walled.PREAMBLE + "\nctypes.CDLL(None).syscall(ctypes.c_long(0x40000000 + 39))\n"
    done = subprocess.run([sys.executable, "-c", code, '{"level": 3, "abi": 0}'], capture_output=True,
                          env={**os.environ, "PYTHONPATH": walled.SRC}, timeout=30)
    assert done.returncode == -signal.SIGSYS


def test_a_broken_filter_is_an_error_with_a_reason():
    result = walled.run("""
try:
    seccomp.install(b'\\xff' * 8)
except OSError as error:
    result['error'] = str(error)
result['socket'] = outcome(lambda: socket.socket().close())
""")
    assert "seccomp" in result["error"]
    assert result["socket"] is None
