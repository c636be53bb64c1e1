"""The back-ends and levels that every question of the conformance suite is put to."""

import os
from collections.abc import Callable, Iterator
from functools import lru_cache

import pytest

from codeact import Interpreter, SandboxUnavailable

LEVELS = {3: "namespaces", 2: "landlock", 1: "landlock-narrow", 0: "none"}
SYSTEM_PYTHON = "/usr/bin/python3"


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


@pytest.fixture(params=sorted(LEVELS, reverse=True), ids=lambda level: f"level{level}", scope="module")
def level(request: pytest.FixtureRequest) -> int:
    reason = why_not(request.param)
    if reason:
        pytest.skip(reason)
    return int(request.param)


@pytest.fixture
def make(level: int) -> Iterator[Callable[..., Interpreter]]:
    """Opens interpreters at this level and closes them."""
    made: list[Interpreter] = []

    def make(*args: object, **options: object) -> Interpreter:
        options = {"sandbox": level, "python": python_for(level), "imports": (), **options}
        made.append(Interpreter(*args, **options))  # type: ignore[arg-type]
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
