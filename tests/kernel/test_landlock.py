"""The file wall: what a process behind Landlock can still do, checked from outside it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest
import walled

from codeact.kernel.walls import landlock

ABI = landlock.abi()

pytestmark = pytest.mark.skipif(ABI < 1, reason="this kernel has no Landlock")

at_least = [abi for abi in (1, 2, 3, 4, 5, 6, 7) if abi <= ABI]


def needs(abi):
    return pytest.mark.skipif(abi > ABI, reason=f"needs Landlock ABI {abi}; this kernel has {ABI}")


@pytest.fixture
def folders(tmp_path):
    """A home that is out of reach, a folder to read and one to write in."""
    for name in ("home", "read", "write"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    (tmp_path / "write" / "way out").symlink_to(tmp_path / "home" / "file")
    return tmp_path


def behind(folders, body, *, abi=99, **settings):
    return walled.run(f"home, reading, writing = ({str(folders)!r} + '/' + name for name in ('home', 'read', 'write'))\n"
                      + body, abi=abi, read=[*walled.SYSTEM, str(folders / "read"), "/no/such/folder"],
                      write=[folders / "write"], **settings)


@pytest.mark.parametrize("abi", at_least)
def test_only_named_folders_can_be_read(folders, abi):
    result = behind(folders, """
result['read'] = open(reading + '/file').read() + open(writing + '/file').read()
result['listed'] = os.listdir(reading) + os.listdir(writing)
result['home'] = [outcome(open, home + '/file'), outcome(os.listdir, home), outcome(open, writing + '/way out')]
result['passwd'] = outcome(open, '/etc/passwd')
""", abi=abi)
    assert result["read"] == "readwrite"
    assert sorted(result["listed"]) == ["file", "file", "way out"]
    assert result["home"] == ["EACCES"] * 3
    assert result["passwd"] == "EACCES"


@pytest.mark.parametrize("abi", at_least)
def test_only_writable_folders_can_be_written(folders, abi):
    result = behind(folders, """
result['write'] = outcome(lambda: open(writing + '/new', 'w').write('x'))
result['folder'] = outcome(os.mkdir, writing + '/folder')
result['remove'] = outcome(os.remove, writing + '/file')
result['refused'] = [outcome(open, path + '/new', 'w') for path in (reading, home)]
result['refused'] += [outcome(open, path + '/file', 'a') for path in (reading, home)]
result['refused'] += [outcome(f, reading + '/other') for f in (os.mkdir, os.mkfifo)]
result['refused'] += [outcome(os.symlink, '/', reading + '/link'), outcome(os.remove, reading + '/file')]
result['moved'] = [outcome(os.rename, writing + '/new', home + '/new'), outcome(os.rename, home + '/file', writing + '/x'),
                   outcome(os.link, home + '/file', writing + '/hard'), outcome(os.link, reading + '/file', writing + '/hard')]
""", abi=abi)
    assert result["write"] is result["folder"] is result["remove"] is None
    assert result["refused"] == ["EACCES"] * 8
    assert None not in result["moved"]
    assert (folders / "write" / "new").read_text() == "x"
    assert sorted(os.listdir(folders / "home")) == sorted(os.listdir(folders / "read")) == ["file"]
    assert not (folders / "write" / "file").exists()


@needs(2)
def test_files_move_between_writable_folders(folders):
    (folders / "write" / "a").mkdir()
    (folders / "write" / "b").mkdir()
    (folders / "write" / "a" / "x").touch()
    result = behind(folders, "result['moved'] = outcome(os.rename, writing + '/a/x', writing + '/b/x')")
    assert result["moved"] is None
    assert (folders / "write" / "b" / "x").exists()


@needs(3)
def test_nothing_outside_is_truncated(folders):
    result = behind(folders, """
result['truncated'] = [outcome(os.truncate, path + '/file', 0) for path in (home, reading, writing)]
result['opened'] = [outcome(os.open, path + '/file', os.O_RDONLY | os.O_TRUNC) for path in (home, reading)]
result['neither'] = [outcome(os.open, path + '/file', 3 | os.O_TRUNC) for path in (home, reading)]
""")
    assert result["truncated"] == ["EACCES", "EACCES", None]
    assert result["opened"] == result["neither"] == ["EACCES"] * 2
    assert (folders / "home" / "file").read_text() == "home"
    assert (folders / "read" / "file").read_text() == "read"
    assert (folders / "write" / "file").read_text() == ""


def test_programs_run_from_readable_folders_only(folders):
    for name in ("home", "read", "write"):
        script = folders / name / "script"
        script.write_text("#!/bin/sh\nexit 7\n")
        script.chmod(0o755)
    result = behind(folders, """
import subprocess
result['codes'] = [subprocess.call([path + '/script']) for path in (reading, writing)]
result['home'] = outcome(subprocess.call, [home + '/script'])
""")
    assert result["codes"] == [7, 7]
    assert result["home"] == "EACCES"


def test_the_harmless_devices_work_and_others_cannot_be_made(folders):
    result = behind(folders, """
import stat
result['null'] = outcome(lambda: open('/dev/null', 'w').write('x'))
result['random'] = len(open('/dev/urandom', 'rb').read(8)) + len(os.urandom(8))
result['full'] = outcome(lambda: open('/dev/full', 'wb', buffering=0).write(b'x'))
result['terminal'] = open('/dev/null').isatty()
result['made'] = [outcome(os.mknod, writing + '/node', kind | 0o600, os.makedev(1, 3)) for kind in (stat.S_IFCHR, stat.S_IFBLK)]
result['zero'] = open('/dev/zero', 'rb').read(4).hex()
result['others'] = [outcome(os.open, '/dev/zero', os.O_RDWR), *[outcome(open, path) for path in ('/dev/kmsg', '/dev/mem') if os.path.exists(path)]]
""")
    assert result["null"] is None
    assert result["random"] == 16
    assert result["full"] == "ENOSPC"
    assert result["terminal"] is False
    assert None not in result["made"]
    assert result["zero"] == "00000000"
    assert set(result["others"]) == {"EACCES"}


@needs(4)
def test_tcp_is_denied_but_for_named_ports():
    with socket.create_server(("127.0.0.1", 0)) as allowed, socket.create_server(("127.0.0.1", 0)) as denied:
        ports = [listener.getsockname()[1] for listener in (allowed, denied)]
        result = walled.run(walled.PREAMBLE.replace("if settings[\"abi\"]:\n    landlock", "if False:\n    landlock") + """
landlock.restrict(settings['read'], [], connect_ports=settings['ports'][:1])
for name, port in zip(('allowed', 'denied'), settings['ports']):
    sock = socket.socket()
    result[name] = outcome(sock.connect, ('127.0.0.1', port))
    sock.close()
result['bound'] = outcome(socket.socket().bind, ('127.0.0.1', 0))
""", values={"ports": ports}, preamble="")
        denied.settimeout(0)
        with pytest.raises(BlockingIOError):
            denied.accept()
    assert result == {"allowed": None, "denied": "EACCES", "bound": "EACCES"}


@needs(6)
def test_signals_and_abstract_sockets_end_at_the_session():
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
    name = f"\0codeact-test-{os.getpid()}"
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(name)
            listener.listen()
            result = walled.run("""
import subprocess
result['kill'] = outcome(os.kill, settings['other'], 9)
result['connect'] = outcome(socket.socket(socket.AF_UNIX).connect, settings['name'])
child = subprocess.Popen(['/bin/sleep', '60'])
child.kill()
result['own'] = child.wait()
""", abi=99, values={"other": other.pid, "name": name})
        assert result == {"kill": "EPERM", "connect": "EPERM", "own": -9}
        assert other.poll() is None
    finally:
        other.stdin.close()
        other.wait(timeout=60)


def test_other_processes_memory_and_environment_are_out_of_reach():
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL,
                             env={**os.environ, "SECRET": "x"})
    try:
        result = walled.run("""
base = '/proc/%d/' % settings['other']
result['refused'] = [outcome(open, base + name, 'rb') for name in ('environ', 'mem', 'maps', 'cmdline')]
result['link'] = outcome(os.readlink, base + 'cwd')
result['trace'] = call('ptrace', 16, settings['other'], 0, 0)
""", abi=99, values={"other": other.pid})
        assert result["refused"] == ["EACCES"] * 4
        assert result["link"] in ("EACCES", "EPERM")
        assert result["trace"] == "EPERM"
    finally:
        other.stdin.close()
        other.wait(timeout=60)


def test_folders_can_be_listed_without_being_read(folders):
    result = walled.run("""
landlock.restrict(settings['read'], [], folders=[settings['top']])
result['listed'] = sorted(os.listdir(settings['top'])) + os.listdir(settings['top'] + '/home')
result['read'] = outcome(open, settings['top'] + '/home/file')
""", values={"top": str(folders)})
    assert result == {"listed": ["home", "read", "write", "file"], "read": "EACCES"}


@needs(4)
def test_tcp_can_be_left_to_another_wall():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        result = walled.run("""
landlock.restrict(settings['read'], [], tcp=True)
result['connect'] = outcome(socket.socket().connect, ('127.0.0.1', settings['port']))
""", values={"port": listener.getsockname()[1]})
        listener.settimeout(5)
        listener.accept()[0].close()
    assert result == {"connect": None}


def test_without_landlock_it_is_an_error_that_says_what_is_needed():
    with pytest.raises(OSError, match=r"Linux 5\.13"):
        landlock.restrict([], [], abi_cap=0)
