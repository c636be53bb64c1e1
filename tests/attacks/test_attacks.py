"""Every attack, at every level, as root and as an ordinary user; the outcome is judged from outside the walls.

The probe runs once for each (identity, level) and tells all outcomes; each test looks at its own line. Root's part of
the levels without namespaces runs under the system's Python where the usual one lies in root's home, as cells of root
run as someone who cannot reach it.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from suite import ATTACKS

from codeact.kernel.walls import landlock

HERE = Path(__file__).parent
SRC = HERE.parents[1] / "src"
NOBODY = 59_733
"""A user id that nobody has."""


def demoted() -> dict[str, Any]:
    """What makes a child process an ordinary user's."""
    return {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.getuid() == 0 else {}


@functools.cache
def python_for(identity: str, level: int) -> str | None:
    """A Python that this identity's cells can reach; None where there is none."""
    if identity == "root" and level == 3:
        return sys.executable
    for candidate in (sys.executable, "/usr/bin/python3"):
        try:
            code = "import sys; sys.exit(sys.version_info < (3, 11))"
            if subprocess.run([candidate, "-c", code], cwd="/", capture_output=True, **demoted()).returncode == 0:
                return candidate
        except OSError:
            continue
    return None


@functools.cache
def missing(level: int) -> str | None:
    """What this machine lacks for a level, found without codeact's own probing; None where it has everything."""
    if level < 3:
        return None if landlock.abi() >= (6 if level == 2 else 1) else f"Landlock ABI {landlock.abi()}"
    code = "import ctypes, sys; sys.exit(ctypes.CDLL(None).unshare(0x10000000 | 0x20000) != 0)"
    python = python_for("user", 3) or sys.executable
    done = subprocess.run([python, "-c", code], cwd="/", capture_output=True, **demoted())
    return None if done.returncode == 0 else "no user namespaces for ordinary users"


@functools.cache
def readable_copy() -> tuple[Path, Path]:
    """The sources and this folder, where any user can read them."""
    for folder in (HERE, *HERE.parents):
        if folder.stat().st_mode & 0o005 != 0o005:
            break
    else:
        return SRC, HERE
    top = Path(tempfile.mkdtemp(prefix="codeact-source-"))
    top.chmod(0o755)
    for folder in (SRC, HERE):
        shutil.copytree(folder, top / folder.name, ignore=shutil.ignore_patterns("__pycache__"))
    return top / SRC.name, top / HERE.name


@functools.cache
def outcomes(identity: str, level: int) -> dict[str, dict[str, Any]]:
    """The lines of one run of the probe, by attack; the reason why there are none as the entry ""."""
    python = python_for(identity, level)
    assert python is not None
    ordinary = identity == "user"
    source, folder = readable_copy() if ordinary else (SRC, HERE)
    with tempfile.TemporaryDirectory(prefix="codeact-user-") as home:
        if ordinary and os.getuid() == 0:
            os.chown(home, NOBODY, NOBODY)
        environment = {"PATH": os.environ["PATH"], "HOME": home, "PYTHONPATH": str(source), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run([python, str(folder / "probe.py"), "--level", str(level)], cwd="/", env=environment,
                              capture_output=True, text=True, timeout=600, **(demoted() if ordinary else {}))
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    found = {line["attack"]: line for line in lines if "attack" in line}
    if not lines:
        found[""] = {"detail": done.stderr.strip()[-500:]}
    return found


EVERY_TIME = {("user", 3), ("user", 2), ("root", 3)}
"""Half a minute each; the others are marked slow: `pytest -m 'slow or not slow' tests/attacks` runs all."""

CASES = [pytest.param(identity, level, name, id=f"{name}-{identity}-level{level}",
                      marks=[] if (identity, level) in EVERY_TIME else [pytest.mark.slow])
         for identity in ("user", "root") for level in (3, 2, 1)
         for name, attack in ATTACKS.items() if level in attack.levels]


@pytest.mark.skipif(sys.platform != "linux", reason="the walls need Linux")
@pytest.mark.parametrize(("identity", "level", "name"), CASES)
def test_attack_is_stopped(identity: str, level: int, name: str) -> None:
    if identity == "root" and os.getuid() != 0:
        pytest.skip("needs root")
    if lacking := missing(level):
        pytest.skip(f"this machine does not offer level {level}: {lacking}")
    if python_for(identity, level) is None:
        pytest.skip("no Python 3.11 that an ordinary user can reach")
    found = outcomes(identity, level)
    assert name in found, found.get("", {}).get("detail") or "the probe ended before this attack"
    assert found[name]["stopped"], found[name]["detail"]
