"""The folder of a session's own packages: where it lies, and how the session's Pythons find it.

opening.py makes it for sessions that ask for packages; packages.py fills it. It is the host's, outside the workspace:
the session can read it and no other session can. What is in it comes last on `sys.path`, after the standard library and
all that its Python has, so that nothing in it takes the place of either.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from codeact.interpreter.levels import is_root
from codeact.interpreter.settings import Settings, give

__all__ = ["add_packages", "modules_folder"]

_START = '''\
"""Puts the session's packages last on the path, in each Python of this version that a cell starts."""
import sys
here = __file__.rpartition("/")[0]
sys.path[:] = [path for path in sys.path if path != here]
own = sys.modules.pop("sitecustomize")
try:
    import sitecustomize   # another one, if there is any
except ImportError:
    sys.modules["sitecustomize"] = own
if sys.version_info[:2] == {version!r} and {folder!r} not in sys.path:
    sys.path.append({folder!r})
'''


def modules_folder(base: Path) -> Path:
    """Where the modules go; `base` is our folder of the session."""
    return base / "packages" / "modules"


def add_packages(config: dict[str, Any], settings: Settings, base: Path, uid: int, gid: int, python: str) -> None:
    """Make the folder, if need be, and add it to what a kernel is told of its session.

    Args:
        base: Our folder of the session.
        uid, gid: Who the session is.
        python: The version of its Python, as "3.11.4".
    """
    modules = modules_folder(base)
    top, start = modules.parent, modules.with_name("start")
    for folder in (top, modules, start):
        if not folder.is_dir():
            folder.mkdir()
            folder.chmod(0o755)
    version = tuple(map(int, re.findall(r"\d+", python)[:2]))
    program = start / "sitecustomize.py"
    program.write_text(_START.format(version=version, folder=str(modules)))
    program.chmod(0o644)
    give(top, uid, gid)   # so that it can be shown on any file system; the session can only read it
    config["packages"] = {"modules": str(modules), "may_install": settings.packages == "allow"}
    config["environment"] = {**config["environment"], "PYTHONPATH": str(start)}
    config["read"] = [*config["read"], str(top)]
    config["readable"] = [*config["readable"], [str(top), is_root()]]
