"""The back-ends and levels that every question of the conformance suite is put to, and what some cannot do."""

import os
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path

import pytest
from cannot import reason_for

import docker_stand_in
from codeact import Interpreter, SandboxUnavailable
from jupyter_gateway import Gateway

LEVELS = {"level3": 3, "level2": 2, "level1": 1, "level0": 0}
OTHERS = ["docker", "inprocess", "jupyter", "gateway"]
SYSTEM_PYTHON = "/usr/bin/python3"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """In this process a file that a cell leaves open warns as if a test had; kernels are slow to start."""
    for item in items:
        if item.path.parent != Path(__file__).parent:
            continue
        kind = getattr(item, "callspec", None) and item.callspec.params.get("backend")  # type: ignore[attr-defined]
        if kind == "inprocess":
            item.add_marker(pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"))
        elif kind in ("jupyter", "gateway"):
            item.add_marker(pytest.mark.slow)


@lru_cache
def python_for(level: int) -> str | None:
    """At levels 1 and 2 root's cells cannot reach a Python in root's home: the system's then."""
    return SYSTEM_PYTHON if os.getuid() == 0 and 0 < level < 3 and os.path.exists(SYSTEM_PYTHON) else None


@lru_cache
def why_not(level: int) -> str:
    """Why this machine cannot raise these walls; empty when it can."""
    try:
        Interpreter(sandbox=level, python=python_for(level), imports=()).close()
    except SandboxUnavailable as error:
        return str(error)
    return ""


@pytest.fixture(params=[*LEVELS, *OTHERS], scope="module")
def backend(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """What runs the cells: "level3" ... "level0" of the local back-end, or another one; Docker's over a stand-in."""
    kind = str(request.param)
    if kind in LEVELS and (reason := why_not(LEVELS[kind])):
        pytest.skip(reason)
    if kind in ("jupyter", "gateway"):
        pytest.importorskip("ipykernel")
        pytest.importorskip("jupyter_client")
    with pytest.MonkeyPatch.context() as patch:
        if kind == "docker":
            folder = tmp_path_factory.mktemp("bin")
            docker_stand_in.put_on_path(folder)
            patch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
        yield kind


@pytest.fixture(scope="module")
def gateway(backend: str) -> Iterator[Gateway | None]:
    """A kernel gateway of this module's own."""
    if backend != "gateway":
        yield None
        return
    pytest.importorskip("kernel_gateway")
    pytest.importorskip("websocket")
    with Gateway() as started:
        yield started


@pytest.fixture
def level(backend: str) -> int:
    return LEVELS.get(backend, 0)


@pytest.fixture(autouse=True)
def _skip_what_cannot_be(request: pytest.FixtureRequest, backend: str) -> None:
    if reason := reason_for(backend, request.node.originalname):
        pytest.skip(f"{backend}: {reason}")


@pytest.fixture
def make(backend: str, level: int, gateway: Gateway | None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Interpreter]]:
    """Opens interpreters of this back-end and closes them."""
    made: list[Interpreter] = []

    def make(*args: object, **options: object) -> Interpreter:
        given: dict[str, object] = {"imports": ()}
        if backend in LEVELS:
            given |= {"sandbox": level, "python": python_for(level)}
        elif backend == "docker":
            given |= {"backend": "docker:python:3.12-slim"}
        elif backend == "inprocess":
            given |= {"backend": "inprocess", "workspace": tmp_path_factory.mktemp("workspace")}
        elif backend == "jupyter":
            given |= {"backend": "jupyter:python3"}
        else:
            assert gateway is not None
            given |= {"backend": f"jupyter:{gateway.url}"}
        made.append(Interpreter(*args, **{**given, **options}))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for interpreter in made:
        interpreter.close()


@pytest.fixture
def load(level: int) -> Iterator[Callable[..., Interpreter]]:
    """Loads saved sessions at this level and closes them."""
    made: list[Interpreter] = []

    def load(path: object, **options: object) -> Interpreter:
        options = {"sandbox": level, "python": python_for(level), "imports": (), **options}
        made.append(Interpreter.load(path, **options))  # type: ignore[arg-type]
        return made[-1]

    yield load
    for interpreter in made:
        interpreter.close()


@pytest.fixture
def py(make: Callable[..., Interpreter]) -> Interpreter:
    return make()
