"""`codeact doctor`: what it says here, of this machine, and what it would say on others."""

import errno
import json
import logging
import platform
import re

import pytest

from codeact.cli import _advice, doctor, main
from codeact.errors import SandboxUnavailable
from codeact.interpreter import interpreter, levels, supervisor

KEY = "sk-very-secret-1234567890"


def test_the_table_of_this_machine(monkeypatch, capsys):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_BASE_URL", "https://me:hidden@models.example:8000/v1?token=hidden")
    monkeypatch.setenv("CODEACT_MODEL", "openai:some-model")
    assert main(["doctor"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert re.search(r"^  \d  \w+ +works, first result after \d+ ms", out, re.M)
    assert re.search(r'^  "auto" takes level [123], \w+', out, re.M)
    assert re.search(r"imported once in \d+\.\d+ s, for all sessions; 1 thread after it", out)
    assert re.search(r"^  numpy +ready$", out, re.M)
    assert "https://models.example:8000/v1\n" in out
    assert "openai:some-model" in out
    assert re.search(r"OPENAI_API_KEY +set$", out, re.M)
    assert "hidden" not in out
    assert KEY not in out


def test_the_same_as_json(monkeypatch, capsys):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert main(["doctor", "--json"]) == 0
    out = capsys.readouterr().out
    report = json.loads(out)
    assert KEY not in out
    assert report["model"]["OPENAI_API_KEY is set"] is True
    assert [level["level"] for level in report["levels"]] == [3, 2, 1]
    strongest = next(level for level in report["levels"] if level["works"])
    assert report["auto"] == {"works": True, "level": strongest["level"], "reason": None}
    for level in report["levels"]:
        assert level["works"] or (level["reason"] and level["advice"])


def test_a_python_that_is_none(capsys):
    assert main(["doctor", "--python", "/bin/true"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "codeact doctor: /bin/true is no Python; --python takes the path of a Python 3.9 or later\n"


@pytest.mark.parametrize(("argv", "code", "said"), [
    (["--python", "/nowhere"], 2, "/nowhere: there is no such program"), (["--flag"], 2, "unrecognized"), (["--help"], 0, "--json"),
])  # fmt: skip
def test_usage(argv, code, said, capsys):
    assert main(["doctor", *argv]) == code
    assert said in "".join(capsys.readouterr())


@pytest.fixture
def no_sessions(monkeypatch):
    """No session opens: with the exception that the test puts into the list."""
    raised = [SandboxUnavailable("level 3 (namespaces): it is so. `codeact doctor` says what else")]

    def fail(*args, **options):
        raise raised[-1]

    monkeypatch.setattr(interpreter.Interpreter, "__init__", fail)
    return raised


def test_where_nothing_works_the_reason_is_told(no_sessions, capsys):
    assert main(["doctor"]) == 3
    out = capsys.readouterr().out
    assert "why: it is so\n" in out
    assert '"auto" does not work: it is so\n' in out
    assert "Modules\n  not looked at" in out


def test_there_is_never_a_traceback(no_sessions, capsys):
    no_sessions.append(RuntimeError("a surprise"))
    assert main(["doctor"]) == 3
    out, err = capsys.readouterr()
    assert "RuntimeError: a surprise" in out
    assert "Traceback" not in out + err


def test_logging_is_as_it_was(no_sessions):
    before = logging.getLogger("codeact").level
    main(["doctor"])
    assert logging.getLogger("codeact").level == before


def test_on_other_systems(monkeypatch, capsys):
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(supervisor, "_pools", {})   # those of other tests run on Linux
    assert main(["doctor"]) == 3
    out = capsys.readouterr().out
    assert "the walls need Linux, and this is Darwin" in out
    assert "WSL2" in out
    assert "virtual machine" in out


@pytest.mark.parametrize(("report", "state"), [
    ({"imported": ["pandas"]}, "ready"),
    ({"imported": [], "failed": {"pandas": "ModuleNotFoundError: No module named 'pandas'"}}, "not installed"),
    ({"failed": {"pandas": "ModuleNotFoundError: No module named 'dateutil'"}},
     "failed: ModuleNotFoundError: No module named 'dateutil'"),
    ({"imported": [], "failed": {}}, "starts a thread when imported, and is left to the cells"),
    ({}, "the import of all failed"),
])  # fmt: skip
def test_the_state_of_a_module(report, state):
    assert doctor._state("pandas", report) == state


def test_missing_modules_are_told_with_how_to_get_them():
    modules = {"seconds": 0.1, "threads": 1, "state": {"numpy": "not installed"}}
    assert "pip install 'codeact[science]'" in doctor._module_lines(modules, doctor.sys.executable)[-1]
    assert "/other/python -m pip install numpy" in doctor._module_lines(modules, "/other/python")[-1]


# Other machines --------------------------------------------------------------------------------------------------------


class Machine:
    """What the advice reads of a machine."""

    def __init__(self, monkeypatch) -> None:
        self.files = {"/proc/self/status": "Seccomp:\t0", "/proc/self/mountinfo": "22 28 0:21 / /proc rw - proc proc rw"}
        self.landlock, self.container, self.uid = (7, 0), None, 1000
        monkeypatch.setattr(_advice, "_setting", self.files.get)
        monkeypatch.setattr(_advice, "landlock", lambda: self.landlock)
        monkeypatch.setattr(_advice, "container", lambda: self.container)
        monkeypatch.setattr("os.geteuid", lambda: self.uid)
        self._release = lambda version: monkeypatch.setattr(platform, "release", lambda: version)
        self.release("6.14.0-27-generic")

    def release(self, version: str) -> None:
        self._release(version)

    def advice(self, number: int, reason: str = "[Errno 1] unshare user: Operation not permitted") -> str:
        return "\n".join(_advice.advice(number, reason, "/usr/bin/python3"))


@pytest.fixture
def machine(monkeypatch):
    return Machine(monkeypatch)


@pytest.mark.parametrize("name", ["kernel.unprivileged_userns_clone", "user.max_user_namespaces"])
def test_user_namespaces_switched_off(machine, name):
    machine.files["/proc/sys/" + name.replace(".", "/")] = "0"
    assert f"sudo sysctl -w {name}=1" in machine.advice(3)
    assert "/etc/sysctl.d/" in machine.advice(3)


def test_user_namespaces_as_ubuntu_has_them(machine):
    machine.files["/proc/sys/kernel/apparmor_restrict_unprivileged_userns"] = "1"
    assert re.search(r"    profile codeact /\S*/python3\S* flags=\(unconfined\) \{ userns, \}\n", machine.advice(3))
    machine.uid = 0
    assert "AppArmor" not in machine.advice(3)


def test_in_a_container(machine):
    machine.files["/proc/self/mountinfo"] += "\n30 22 0:5 /null /proc/kcore rw - tmpfs tmpfs rw"
    machine.files["/proc/self/status"] = "Seccomp:\t2"
    machine.container = "Docker"
    said = machine.advice(3)
    assert "/proc is partly covered (/proc/kcore) and system calls are filtered" in said
    assert "--security-opt systempaths=unconfined" in said


def test_as_root_of_a_rootless_container(machine):
    machine.uid, machine.files["/proc/self/uid_map"] = 0, "0 1000 1"
    assert "run codeact as an ordinary user" in machine.advice(3)
    machine.files["/proc/self/uid_map"] = "0 0 4294967295"
    assert "ordinary user" not in machine.advice(3)


def test_where_nothing_known_stands_in_the_way(machine):
    assert "please report this" in machine.advice(3)


@pytest.mark.parametrize(("number", "release", "modules", "said"), [
    (errno.ENOSYS, "5.10.0-28-amd64", None, "came with Linux 5.13, and this is 5.10.0-28-amd64"),
    (errno.EOPNOTSUPP, "6.1.0", "capability,yama", "lsm=landlock,capability,yama"),
    (errno.EOPNOTSUPP, "6.1.0", None, "not switched on at boot"),
    (errno.EPERM, "6.1.0", None, "a filter of system calls hides Landlock"),
    (errno.ENOSYS, "6.1.0", None, "CONFIG_SECURITY_LANDLOCK"),
])  # fmt: skip
def test_no_landlock(machine, number, release, modules, said):
    machine.landlock = (0, number)
    machine.release(release)
    machine.files["/sys/kernel/security/lsm"] = modules
    assert said in machine.advice(2, "Landlock: not offered by this kernel")


def test_an_old_landlock(machine):
    machine.landlock = (4, 0)
    assert "version 4 here, and this level needs 6" in machine.advice(2, "too old")


def test_root_with_a_python_at_home(machine):
    assert "--python /usr/bin/python3" in machine.advice(1, "cells of root ..., who cannot reach /root/python (see /root)")


def test_every_level_has_a_line_and_every_version_of_landlock_a_word():
    assert [number for number, _, _ in doctor._levels()] == [number for number in levels.LEVELS if number]
    assert sorted(_advice.LANDLOCK) == [1, 2, 3, 4, 5, 6]
