"""What kind of session is wanted, and the little of this program that sessions are told: their environment."""

from __future__ import annotations

import os
import select
import shutil
import stat
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codeact.errors import InterpreterGone
from codeact.interpreter.levels import is_root
from codeact.interpreter.limits import Limits

if TYPE_CHECKING:
    from codeact.interpreter.pending import Pending

__all__ = ["DEFAULT_IMPORTS", "SPACE", "SPACES", "Settings", "branch_folder", "cache_folder", "environment",
           "fault_of_python", "give", "python_program", "user_folder"]

LEAST_PYTHON = (3, 9)
_ASK_SECONDS = 10.0

DEFAULT_IMPORTS = ("numpy", "pandas", "matplotlib.pyplot")
"""Imported once and inherited by every session, where installed. Small: what is imported makes each fork slower."""

SPACES, SPACE = "spaces", "workspace"
"""Where workspaces of ours lie in a session's folder, and the first one's name."""

PASSED_ON = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "LC_NUMERIC", "LC_TIME", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR")
"""The only variables of ours that code may see."""

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS",
                            "NUMEXPR_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "RAYON_NUM_THREADS"), "1")


@dataclass(frozen=True)
class Settings:
    """What must be equal for two interpreters to share a zygote and its standby sessions."""

    python: str = sys.executable
    imports: tuple[str, ...] = DEFAULT_IMPORTS
    sandbox: str | int = "auto"
    network: str = "none"
    workspace: Path | None = None
    """A folder of the user's; None for a fresh one."""
    proxied: bool = False
    """Whether the session hands the host a listener for a proxy; its network is "none" otherwise."""
    read: tuple[Path, ...] = ()
    packages: str = ""
    """Whether the session has a folder of packages of its own: "" for none, "given" for those named at its start,
    "allow" for those too that its cells ask for."""
    limits: Limits = field(default_factory=Limits)
    pending: Pending | None = field(default=None, compare=False)
    """What the session's changes to the workspace go to; None lets cells change it."""
    overlay: Path | None = None
    """A folder of ours: what is written to the workspace goes to "upper" in it (level 3)."""

    def zygote_key(self) -> tuple[Any, ...]:
        """Limits, folders, packages and a listener are a session's own."""
        return (self.python, self.imports, self.sandbox, self.network)


def environment(python: str) -> dict[str, str]:
    """The environment of a zygote and of all its sessions: nothing of ours but `PASSED_ON`."""
    kept = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    path = os.pathsep.join([os.path.dirname(os.path.abspath(python)), kept.get("PATH", os.defpath)])
    return {"LANG": "C.UTF-8", **kept, "PATH": path, "HOME": os.path.expanduser("~"), **ONE_THREAD, "TERM": "dumb",
            "MPLBACKEND": "Agg", "MPLCONFIGDIR": cache_folder(None, None), "NO_COLOR": "1",
            # pandas with Arrow would start jemalloc's thread, and a process with threads cannot be forked safely
            "ARROW_DEFAULT_MEMORY_POOL": "system", "JE_ARROW_MALLOC_CONF": "background_thread:false"}


def cache_folder(uid: int | None, gid: int | None) -> str:
    """Where the zygote keeps what is slow to find out, such as matplotlib's list of fonts. Made if need be.

    Args:
        uid, gid: Whom it is given to; None leaves it as it is.
    """
    home = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))
    folder = home / "codeact" / "matplotlib"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        folder = Path(tempfile.gettempdir()) / f"codeact-cache-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise InterpreterGone(f"{folder} is no folder")
    if uid is not None and gid is not None and is_root():
        give(folder, uid, gid)
        for file in folder.glob("*.json"):
            os.chown(file, uid, gid, follow_symlinks=False)
    return str(folder)


def branch_folder(base: Path) -> Path:
    """A new workspace beside the first one, in a session's folder of ours.

    Made ready where no cell can reach it, and then moved: while something of the session's runs, a name in `SPACES` may
    lead elsewhere a moment after it was made, and as root we would hand over what it leads to.
    """
    spaces = base / SPACES
    like = spaces.lstat()
    folder = Path(tempfile.mkdtemp(prefix="branch-", dir=base))
    folder.chmod(stat.S_IMODE(like.st_mode) & 0o777)
    give(folder, like.st_uid, like.st_gid)
    return folder.rename(spaces / folder.name)


def give(folder: Path, uid: int, gid: int) -> None:
    """Hand a folder of ours to the user that sessions run as, where that is another one."""
    if is_root():
        os.chown(folder, uid, gid, follow_symlinks=False)


def user_folder(path: str | Path, argument: str) -> Path:
    """A folder of the user's, as an absolute path; `argument` is named when it will not do.

    Raises:
        FileNotFoundError, ValueError: It will not.
    """
    folder = Path(path).expanduser().resolve()
    if not folder.is_dir():
        why = "it is a file; name the folder it is in" if folder.exists() else "there is no such folder"
        raise FileNotFoundError(f"{argument}={str(path)!r}: {why}")
    if folder == Path(folder.anchor):
        raise ValueError(f"{argument}={str(path)!r}: the root of the file system would open everything")
    return folder


def python_program(python: str | None) -> str:
    """The path of a Python; our own for None.

    Raises:
        FileNotFoundError: There is no such program.
    """
    if python is None:
        return sys.executable
    found = shutil.which(str(Path(python).expanduser()))
    if found is None:
        raise FileNotFoundError(f"python={python!r}: there is no such program")
    return str(Path(found).absolute())


def fault_of_python(python: str) -> str | None:
    """Why a program cannot run cells whatever the walls, in words; None where it is a Python of an age that can.

    Asked only when a session could not be started: it runs the program, as this user.
    """
    wants = f"python=... takes the path of a Python {'.'.join(map(str, LEAST_PYTHON))} or later"
    try:
        with subprocess.Popen([python, "-I", "-S", "-c", "import sys; print('python', *sys.version_info[:2])"],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              env=environment(python), cwd="/") as process:
            assert process.stdout is not None
            assert process.stderr is not None
            try:
                # What is no Python may print for ever, or never
                if not select.select([process.stdout], [], [], _ASK_SECONDS)[0]:
                    return None
                words = os.read(process.stdout.fileno(), 100).split()
                wrong = not words and select.select([process.stderr], [], [], 1.0)[0]
                said = os.read(process.stderr.fileno(), 300).decode(errors="replace").strip() if wrong else ""
            finally:
                process.kill()
    except OSError as error:
        return f"{python} cannot be started ({error.strerror}); {wants}"
    if len(words) != 3 or words[0] != b"python" or not all(word.isdigit() for word in words[1:]):
        says = f" that works (it says: {said.splitlines()[0]})" if said else ""
        return f"{python} is no Python{says}; {wants}"
    version = int(words[1]), int(words[2])
    if version < LEAST_PYTHON:
        return f"{python} is Python {version[0]}.{version[1]}; {wants}"
    return None
