"""What a session of level 3 finds mounted: the first lock by itself, as the second (Landlock) hides what it lets through."""

from pathlib import Path

import pytest

from codeact import Interpreter, SandboxUnavailable
from codeact.interpreter.keeper import pid_of

DEVICES = {f"/dev/{name}" for name in ("null", "zero", "full", "random", "urandom")}


@pytest.fixture
def mounted(tmp_path):
    """Place -> options of the mount that shows there, with a folder that may be read and one to work in."""
    for name in ("given", "work"):
        (tmp_path / name).mkdir(mode=0o777)
    tmp_path.chmod(0o755)
    try:
        py = Interpreter(sandbox=3, imports=(), workspace=tmp_path / "work", mode="live", read=[tmp_path / "given"])
    except SandboxUnavailable as error:
        pytest.skip(str(error))
    with py:
        lines = Path(f"/proc/{pid_of(py._backend._session.keeper.pidfd)}/mountinfo").read_text().splitlines()
    return {fields[4]: fields[5].split(",") for fields in map(str.split, lines)}, tmp_path


def test_nothing_can_be_written_to_but_the_folders_that_are_the_sessions_own(mounted):
    options, folder = mounted
    writable = {place for place, given in options.items() if "rw" in given}
    assert writable == {str(folder / "work"), "/tmp", "/dev/shm", "/proc"} | (DEVICES & options.keys())
    assert "ro" in options["/"]
    assert "ro" in options[str(folder / "given")]


def test_no_set_id_program_and_no_device_works_but_the_five_that_are_shown(mounted):
    options, _ = mounted
    assert all({"nosuid", "nodev"} <= set(given) for place, given in options.items() if place not in DEVICES)
