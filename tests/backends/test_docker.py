"""Containers: the command line, what is said when something is missing, and what a hostile container can do.

The relay and the kernel are real, over a stand-in for the program (docker_stand_in.py). With a Docker that works, the
test at the end runs in a real container.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

import docker_stand_in
from codeact import ConfigError, Interpreter, InterpreterGone, Limits
from codeact.backends import docker
from codeact.interpreter.container import KERNEL, ContainerKind, command
from codeact.interpreter.settings import Settings

IMAGE = "python:3.12-slim"


@pytest.fixture
def stand_in(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("bin")
    docker_stand_in.put_on_path(folder)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


def words(program="docker", runtime=None, workspace=Path("/data/work"), **settings) -> list[str]:
    return command(ContainerKind(program, IMAGE, runtime), Settings(**settings), name="codeact-1", workspace=workspace,
                   uid=1000, gid=1001)  # fmt: skip


def value(line: list[str], name: str) -> str:
    assert line.count(name) == 1, f"{name}: {line}"
    return line[line.index(name) + 1]


def values(line: list[str], name: str) -> list[str]:
    return [line[i + 1] for i, word in enumerate(line) if word == name]


def test_the_command_line_raises_every_wall():
    line = words(limits=Limits(memory_mb=1000, checkpoint_mb=500, tmp_mb=100, processes=50))
    assert line[:2] == ["docker", "run"]
    assert {"--rm", "--interactive", "--read-only"} <= set(line)
    assert value(line, "--network") == "none"
    assert value(line, "--cap-drop") == "ALL"
    assert value(line, "--security-opt") == "no-new-privileges"
    assert value(line, "--user") == "1000:1001"
    assert value(line, "--pids-limit") == "82"
    assert value(line, "--memory") == value(line, "--memory-swap") == "1828m"
    assert value(line, "--pull") == "never"
    assert "size=100m" in value(line, "--tmpfs")
    assert "nosuid" in value(line, "--tmpfs")
    assert line[-4:] == ["python3", IMAGE, "/opt/codeact-kernel", "relay"]
    assert not {"--privileged", "--cap-add", "--volume", "-v", "--device", "--pid", "--ipc", "--runtime", "--userns"} & set(line)


def test_folders_are_shown_at_their_own_paths_and_only_the_workspace_is_writable():
    line = words(workspace=Path('/data/a, "b"'), read=(Path("/facts"),))
    assert values(line, "--mount") == [
        f"type=bind,source={KERNEL},target=/opt/codeact-kernel,readonly",
        'type=bind,"source=/data/a, ""b""","target=/data/a, ""b"""',
        "type=bind,source=/facts,target=/facts,readonly"]


def test_nothing_of_our_environment_is_passed_on(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-planted")
    line = words()
    assert all("=" in variable for variable in values(line, "--env"))   # a bare name would take its value from ours
    assert "planted" not in " ".join(line)
    assert "--env-file" not in line


def test_runtime_network_and_limits_are_as_typed(monkeypatch):
    assert value(words(runtime="runsc"), "--runtime") == "runsc"
    assert "--network" not in words(network="all")
    line = words(limits=Limits(memory_mb=None, processes=None))
    assert not {"--memory", "--pids-limit"} & set(line)
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    assert value(words("podman"), "--userns") == "keep-id"


@pytest.mark.parametrize(("spec", "kind"), [
    ("python:3.12-slim", ContainerKind("docker", "python:3.12-slim")),
    ("host:5000/a/b@sha256:ab?runtime=runsc", ContainerKind("docker", "host:5000/a/b@sha256:ab", "runsc")),
])  # fmt: skip
def test_images_and_runtimes_are_read_from_the_name(spec, kind):
    assert docker.kind_of("docker", spec, docker.Request(), None) == kind


@pytest.mark.parametrize("spec", ["", "?runtime=runsc", "--privileged", "a b", "a?memory=1"])
def test_a_name_that_means_no_image_is_refused(spec):
    with pytest.raises(ConfigError, match="docker"):
        docker.kind_of("docker", spec, docker.Request(), None)


@pytest.mark.parametrize(("image", "error", "words"), [
    ("missing", ConfigError, "docker pull missing"),
    ("nodaemon", ConfigError, "daemon does not run"),
    ("nopython", ConfigError, "has no 'python3'"),
    ("old", InterpreterGone, "needs 3.9 or later"),
    ("garbage", InterpreterGone, "no sense"),
])  # fmt: skip
def test_what_is_missing_is_said_and_nothing_stays(stand_in, image, error, words):
    before = set(threading.enumerate())
    with pytest.raises(error, match=words):
        Interpreter(backend=f"docker:{image}")
    assert not [thread for thread in set(threading.enumerate()) - before if thread.name.startswith("codeact-relay")]


def test_without_the_program_it_says_so(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="no program 'podman'"):
        Interpreter(backend="podman:image")


def test_walls_of_ours_cannot_be_asked_for(stand_in):
    with pytest.raises(ConfigError, match="sandbox"):
        Interpreter(backend=f"docker:{IMAGE}", sandbox="namespaces")


@pytest.mark.skipif(os.getuid() != 0, reason="only root's code could be root")
def test_code_never_runs_as_root(stand_in, tmp_path):
    with pytest.raises(ConfigError, match="belongs to root"):
        Interpreter(backend=f"docker:{IMAGE}", workspace=tmp_path)


def test_level_is_0_and_podman_and_runtimes_work_alike(stand_in):
    with Interpreter(backend=f"podman:{IMAGE}") as py:
        assert py.level == py.run("1").level == 0
    with Interpreter(backend=functools.partial(docker.create, IMAGE, runtime="runsc")) as py:
        assert py.run("1+1").text == "Out[1]: 2"


def test_when_the_container_goes_the_state_comes_back_in_another(stand_in):
    with Interpreter(backend=f"docker:{IMAGE}") as py:
        py.run("x = 1")
        py.run("open('f.txt', 'w').write('kept')")
        session = py._backend._session
        session.keeper.container.process.kill()
        session.keeper.container._threads[0].join(20)   # until this side knows
        result = py.run("x, open('f.txt').read()")
        assert result.text.startswith("Out[3]: (1, 'kept')"), result.text
        assert "started again" in result.text
        assert py._backend._session is not session


def test_a_cell_that_kills_all_it_can_reach_loses_nothing(stand_in):
    with Interpreter(backend=f"docker:{IMAGE}") as py:
        py.run("x = 7")
        # The relay, the zygote and the keeper have the cell's own user
        result = py.run("import os, signal\nfor pid in [os.getppid(), os.getpid()]: os.kill(pid, signal.SIGKILL)")
        assert result.status == "died"
        assert py.run("x").text.endswith("7")


def test_an_end_leaves_no_process_and_no_folder(stand_in):
    py = Interpreter(backend=f"docker:{IMAGE}")
    py.run("import subprocess; p = subprocess.Popen(['sleep', '4243.4243'], start_new_session=True)")
    process, workspace = py._backend._session.keeper.container.process, py.workspace
    py.close()
    assert process.poll() is not None
    assert not workspace.exists()


def works() -> str:
    """Why no real container can be started here; empty when one can."""
    if shutil.which("docker") is None:
        return "there is no docker here"
    found = subprocess.run(["docker", "image", "inspect", IMAGE], capture_output=True, text=True)
    return "" if found.returncode == 0 else f"no container can be started here: {found.stderr.strip().splitlines()[0]}"


@pytest.mark.docker
def test_a_real_container_holds():
    if reason := works():
        pytest.skip(reason)
    with Interpreter(backend=f"docker:{IMAGE}") as py:
        assert py.run("x = 1\nx + 1").text == "Out[1]: 2"
        mark = py.checkpoint()
        py.run("x = 5")
        py.restore(mark)
        assert py.run("x").text.endswith("1")
        assert py.run("import socket; socket.create_connection(('1.1.1.1', 53), 2)").error is not None
        assert py.run("open('/etc/planted', 'w')").error is not None
        assert py.run("import os; os._exit(1)").status == "died"
        assert py.run("x, os.getuid() != 0").text.endswith("(1, True)")


def test_a_branch_lives_in_the_same_container_in_a_folder_of_its_own(stand_in):
    with Interpreter(backend=f"docker:{IMAGE}") as py:
        py.run("x = [1]\nopen('f.txt', 'w').write('first')")
        with py.branch() as branch:
            assert branch.run("x.append(2)\nopen('f.txt').read(), x").text.endswith("('first', [1, 2])")
            branch.run("open('f.txt', 'w').write('second')")
            assert py.run("open('f.txt').read(), x").text.endswith("('first', [1])")
            assert branch.undo() == []
            assert branch.run("open('f.txt').read()").text.endswith("'first'")
