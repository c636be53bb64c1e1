"""Limits and capabilities of one process, checked from outside it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import walled

from codeact.kernel.walls import rlimits

NONE = {"memory_mb": None, "processes": None, "file_mb": None, "open_files": None}


def limited(limits, body, *, own_namespace=True, before=""):
    return walled.run(f"{before}\nrlimits.apply({ {**NONE, **limits}!r}, own_namespace={own_namespace})\n" + body)


def test_memory_beyond_the_limit_is_a_memory_error_and_the_process_lives():
    result = limited({"memory_mb": 64}, """
try:
    bytearray(128 << 20)
    result['first'] = 'allocated'
except MemoryError:
    result['first'] = 'MemoryError'
result['second'] = len(bytearray(32 << 20))
""")
    assert result == {"first": "MemoryError", "second": 32 << 20}


def test_what_the_process_already_has_does_not_count():
    result = limited({"memory_mb": 64}, "result['more'] = len(bytearray(48 << 20))", before="held = bytearray(256 << 20)")
    assert result == {"more": 48 << 20}


def test_a_file_beyond_the_limit_is_an_error_and_not_death(tmp_path):
    path = tmp_path / "big"
    result = walled.run("""
rlimits.apply({"file_mb": 1}, own_namespace=True)
with open(settings['path'], 'wb', buffering=0) as file:
    result['written'] = [outcome(file.write, bytes(1 << 20)), outcome(file.write, b'x')]
result['alive'] = True
""", values={"path": str(path)})
    assert result == {"written": [None, "EFBIG"], "alive": True}
    assert path.stat().st_size == 1 << 20


def test_descriptors_are_limited():
    result = limited({"open_files": 32}, """
files = []
result['error'] = outcome(lambda: [files.append(os.open('/', os.O_RDONLY)) for _ in range(64)])
result['opened'] = len(files) < 32
""")
    assert result == {"error": "EMFILE", "opened": True}


def test_no_core_is_ever_written():
    assert limited({}, "import resource; result['core'] = resource.getrlimit(resource.RLIMIT_CORE)") == {"core": [0, 0]}


def test_none_means_no_limit():
    result = limited({}, """
import resource
result['limits'] = [resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_DATA, resource.RLIMIT_FSIZE)]
""")
    import resource

    assert result["limits"] == [resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_DATA, resource.RLIMIT_FSIZE)]


def test_a_limit_is_never_raised():
    result = limited({"open_files": 64}, """
import resource
rlimits.apply({'open_files': 1000}, own_namespace=True)
result['limit'] = resource.getrlimit(resource.RLIMIT_NOFILE)
""")
    assert result["limit"] == [64, 64]


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to become a user of whom nothing else runs")
def test_processes_are_counted_on_top_of_those_the_user_has():
    # Another user: root is exempt, and a number of our own would meet processes of other tests
    already = subprocess.Popen(["/bin/sleep", "60"], user=61234, group=61234, extra_groups=[])
    try:
        result = walled.run("""
os.setgroups([]); os.setresgid(61234, 61234, 61234); os.setresuid(61234, 61234, 61234)
rlimits.apply({'processes': 3}, own_namespace=False)
children = []
def start():
    pid = os.fork()
    if pid == 0:
        signal.pause()
    children.append(pid)
for _ in range(8):
    result['error'] = outcome(start) or result.get('error')
result['started'] = len(children)
for pid in children:
    os.kill(pid, 9)
    os.waitpid(pid, 0)
""")
    finally:
        already.kill()
        already.wait()
    assert result == {"error": "EAGAIN", "started": 3}


def test_threads_of_a_user_include_those_of_one_process():
    before = rlimits.threads_of_user(os.getuid())
    child = subprocess.Popen([sys.executable, "-c", """
import threading
for _ in range(20):
    threading.Thread(target=threading.Event().wait, daemon=True).start()
print("up", flush=True)
input()
"""], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert child.stdout.readline() == b"up\n"
        # Other programs of this user come and go meanwhile
        assert rlimits.threads_of_user(os.getuid()) >= before + 21 - 10
    finally:
        child.stdin.close()
        child.stdout.close()
        child.kill()
        child.wait()


def test_no_capability_is_left():
    result = walled.run("""
rlimits.drop_capabilities()
with open('/proc/self/status') as file:
    result.update(line.split() for line in file if line.startswith('Cap'))
result['chroot'] = call('chroot', ctypes.c_char_p(b'/'))
import subprocess
with subprocess.Popen(['/bin/cat', '/proc/self/status'], stdout=subprocess.PIPE, text=True) as child:
    result['child'] = [line.split()[1] for line in child.stdout if line.startswith('CapEff')]
""")
    assert {result[name] for name in ("CapInh:", "CapPrm:", "CapEff:", "CapAmb:")} == {"0" * 16}
    assert result["chroot"] == "EPERM"
    if os.getuid() == 0:
        assert result["CapBnd:"] == "0" * 16
        assert result["child"] == ["0" * 16]
