"""A program, not a module to import: pip on the host for a session's Python, unable to start other programs.

pip.py runs it with that Python (3.9 or later, so nothing of codeact is imported here). pip itself is trusted; what it
is not to do is run code of the packages it fetches, as it would for a source distribution that some metadata names by
its address. So no program can be started from here, whatever pip has been asked for.

    python pip_program.py "" 100 probe               what is installed, as JSON
    python pip_program.py RUNNER 100 install ...     pip; of another Python where RUNNER is its `__pip-runner__.py`
"""

from __future__ import annotations

import ctypes
import json
import resource
import runpy
import signal
import sys
from importlib import metadata

PR_SET_PDEATHSIG = 1
STARTS = ("subprocess.Popen", "os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn",
          "pty.spawn")


def main(runner: str, max_file_mb: str, *arguments: str) -> None:
    """Run pip with these arguments, or tell what is installed."""
    del sys.path[0]   # the folder of this file
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))
    limit = int(max_file_mb) << 20
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    if arguments == ("probe",):
        print(json.dumps(probe()))
        return
    sys.addaudithook(refuse)
    sys.argv = ["pip", *arguments]
    if runner:
        runpy.run_path(runner, run_name="__main__")
    else:
        runpy.run_module("pip", run_name="__main__", alter_sys=True)


def probe() -> dict[str, object]:
    """The version of Python, and every package that it would import, with its version; the first of a name counts."""
    installed: dict[str, str] = {}
    for found in metadata.distributions():
        try:
            installed.setdefault(found.metadata["Name"], found.version)
        except Exception:
            continue   # broken: pip does not see it either
    return {"python": sys.version_info[:2], "installed": {name: version for name, version in installed.items()
                                                          if isinstance(name, str) and isinstance(version, str)}}


def refuse(event: str, arguments: object) -> None:
    """An audit hook."""
    if event in STARTS:
        raise PermissionError("pip may not start programs on the host")


if __name__ == "__main__":
    main(*sys.argv[1:])
