"""What the attacks aim at, and the means to look at it from outside the walls.

Everything here was made by the probe itself: files in a temporary folder, listeners on loopback, processes of its own.
Permissions of files never stand in the way: what is attacked belongs to the user the session runs as, so that only the
walls can stop it.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .looking import snapshot

Outcome = tuple[bool, str]
"""(stopped, what was seen)."""

MIB = 1 << 20
FIELD = "PROBE:"
SECRET_VARIABLE = "CODEACT_PROBE_SECRET"

PREAMBLE = '''
import ctypes, errno, json, os, sys
def attempt(function, *args, **kwargs):
    """None, or the error's name."""
    try:
        function(*args, **kwargs)
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error.errno))
    except BaseException as error:
        return type(error).__name__
def pids():
    """The processes /proc shows; none where it may not be listed."""
    try:
        return [name for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return []
def tell(**seen):
    print("\\n" + "PROBE:" + json.dumps(seen), flush=True)
X86 = os.uname().machine == "x86_64"
def call(x86, arm, *args):
    """A raw system call: None, or the error's name."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(ctypes.c_long(x86 if X86 else arm), *(ctypes.c_long(a) if isinstance(a, int) else a for a in args)) < 0:
        return errno.errorcode.get(ctypes.get_errno(), str(ctypes.get_errno()))
'''


@dataclass(frozen=True)
class Attack:
    """One attack: a function that tries it and looks at what came of it."""

    name: str
    run: Callable[[Arena], Outcome]
    levels: tuple[int, ...]
    """Levels that promise to stop it."""
    seconds: float


ATTACKS: dict[str, Attack] = {}


def attack(*, levels: tuple[int, ...] = (3, 2, 1), seconds: float = 120) -> Callable[[Callable[[Arena], Outcome]], Any]:
    """Register a function as an attack under its name.

    Args:
        levels: Those that promise to stop it.
        seconds: Until the probe gives up on it.
    """
    def register(function: Callable[[Arena], Outcome]) -> Callable[[Arena], Outcome]:
        name = function.__name__
        assert name not in ATTACKS
        ATTACKS[name] = Attack(name, function, levels, seconds)
        return function

    return register


class Arena:
    """The targets of one run of the probe, and the session that attacks them.

    Args:
        level: Of the walls, as `sandbox=` takes it.
    """

    def __init__(self, level: int):
        self.level = level
        self.secret = secrets.token_hex(16)
        os.environ[SECRET_VARIABLE] = self.secret
        self.top = Path(tempfile.mkdtemp(prefix="codeact-probe-"))
        self.top.chmod(0o755)
        self.home = self.top / "home"
        self._session: Any = None
        self._stack = contextlib.ExitStack()
        self.uid, self.gid = self._who()
        self._furnish()

    def _who(self) -> tuple[int, int]:
        seen = self.ask(self.session, "tell(uid=os.getuid(), gid=os.getgid())")
        return seen["uid"], seen["gid"]

    def _furnish(self) -> None:
        ssh = self.home / ".ssh"
        ssh.mkdir(parents=True)
        self.key = ssh / "id_probe"
        self.key.write_text(self.secret)
        self.notes = self.home / "notes.txt"
        self.notes.write_text("kept " * 100)
        (self.home / "projects").mkdir()
        (self.home / "projects" / f"listed-{self.secret[:8]}").write_text("x")
        with contextlib.suppress(OSError):
            os.setxattr(self.notes, "user.origin", self.secret.encode())
        self.own(self.home)
        for path in (self.key, self.notes):
            path.chmod(0o600)
            os.utime(path, (1_000_000, 1_000_000))

    def own(self, top: Path) -> None:
        """Give a tree to the session's user, where the probe runs as root."""
        if os.getuid() == 0:
            for folder, _, files in os.walk(top):
                for path in (folder, *(os.path.join(folder, name) for name in files)):
                    os.chown(path, self.uid, self.gid, follow_symlinks=False)

    # Sessions -------------------------------------------------------------------------------------------------------

    def open(self, **settings: Any) -> Any:
        """An interpreter of this level, closed at the end of the probe at the latest."""
        from codeact import Interpreter

        return Interpreter(sandbox=self.level, imports=(), **settings)

    @property
    def session(self) -> Any:
        """The session most attacks share; opened anew when one has ended it."""
        if self._session is None:
            self._session = self.open()
        return self._session

    @contextlib.contextmanager
    def fresh(self, **settings: Any) -> Iterator[Any]:
        """A session of an attack's own, with `limits` as a dict."""
        limits = settings.pop("limits", None)
        if limits is not None:
            from codeact import Limits

            settings["limits"] = Limits(**limits)
        session = self.open(**settings)
        try:
            yield session
        finally:
            session.close()

    def run(self, session: Any, code: str, timeout: float = 30, **values: Any) -> Any:
        """Run an attack's code as a cell; `values` are its variables."""
        given = "".join(f"{name} = {str(value) if isinstance(value, Path) else value!r}\n" if not isinstance(value, Path)
                        else f"{name} = {str(value)!r}\n" for name, value in values.items())
        return session.run(PREAMBLE + given + code, timeout=timeout)

    def ask(self, session: Any, code: str, timeout: float = 30, **values: Any) -> dict[str, Any]:
        """What the cell told with `tell(...)`; where it told nothing, how it ended."""
        result = self.run(session, code, timeout, **values)
        lines = [line for line in result.stdout.splitlines() if line.startswith(FIELD)]
        if lines:
            return json.loads(lines[-1][len(FIELD):])
        error = f"{result.error.name}: {result.error.message}" if result.error else result.text[-300:]
        return {"status": result.status, "error": error}

    def leaks(self, result: Any) -> bool:
        """Whether anything that came out of the session holds the secret."""
        parts = [result.text, result.stdout, result.stderr, repr(result.outputs), repr(result.files)]
        return any(self.secret in part for part in parts)

    # Looking --------------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def unchanged(self, *tops: Path) -> Iterator[list[str]]:
        """A list that afterwards names every difference in these trees (default: the home)."""
        tops = tops or (self.home,)
        before = [snapshot(top) for top in tops]
        found: list[str] = []
        yield found
        for top, was in zip(tops, before, strict=True):
            now = snapshot(top)
            found.extend(f"{path}: {was.get(path)} -> {now.get(path)}" for path in sorted(was.keys() | now.keys())
                         if was.get(path) != now.get(path))

    @contextlib.contextmanager
    def process(self, *arguments: str, environment: dict[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
        """A process of the probe's, under the user the session runs as."""
        who: dict[str, Any] = {"user": self.uid, "group": self.gid, "extra_groups": []} if os.getuid() == 0 else {}
        child = subprocess.Popen(arguments or ("/bin/sleep", "600"), env=environment, cwd="/", stdin=subprocess.DEVNULL,
                                 start_new_session=True, **who)
        try:
            yield child
        finally:
            child.kill()
            child.wait()

    @contextlib.contextmanager
    def listener(self, family: int, kind: int, address: Any) -> Iterator[tuple[socket.socket, Any]]:
        """A listening (or receiving) socket of the probe's."""
        with socket.socket(family, kind) as sock:
            sock.bind(address)
            if kind == socket.SOCK_STREAM:
                sock.listen()
            if family == socket.AF_UNIX and isinstance(address, str) and not address.startswith("\0"):
                os.chmod(address, 0o777)
            sock.settimeout(0.3)
            yield sock, sock.getsockname()

    def close(self) -> None:
        """End the session, remove everything."""
        if self._session is not None:
            self._session.close()
        self._stack.close()
        shutil.rmtree(self.top, ignore_errors=True)


def answer(arena: Arena, attack: Attack) -> dict[str, Any]:
    """Run one attack under a time limit; the line the probe prints."""
    finished: dict[str, Any] = {}

    def body() -> None:
        try:
            finished["outcome"] = attack.run(arena)
        except BaseException as error:
            finished["outcome"] = (False, f"the attack broke: {type(error).__name__}: {error}")

    def too_late(*_: object) -> None:
        raise TimeoutError(f"no end within {attack.seconds:g} s")

    previous = signal.signal(signal.SIGALRM, too_late)
    signal.setitimer(signal.ITIMER_REAL, attack.seconds)
    started = time.monotonic()
    try:
        body()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    stopped, detail = finished["outcome"]
    return {"attack": attack.name, "stopped": stopped, "detail": detail[:600],
            "seconds": round(time.monotonic() - started, 2)}


