"""A session in a container: `docker run -i` with the kernel as its program, and a relay on this side of the stream.

Used by backends/docker.py. What the session is made of is what local ones are made of (zygote, keeper, worker, frozen
copies), at level 0: the walls are the container's. Nothing in it is believed: the code in the cells shares its user
with the relay, the zygote and the keeper there, so all that comes over the stream is checked as if a cell had said it,
and limits that must hold are the container's (`--memory`, `--pids-limit`).
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codeact.errors import ConfigError, InterpreterGone
from codeact.interpreter.folders import Base
from codeact.interpreter.keeper import Keeper
from codeact.interpreter.levels import LEVELS, identity, is_root
from codeact.interpreter.session import Session, new_nonce
from codeact.interpreter.settings import ONE_THREAD, SPACE, SPACES, Settings, give
from codeact.kernel.channels import Channels, RelayError
from codeact.kernel.wire import PROTOCOL_VERSION, Connection, Frame, ProtocolError

__all__ = ["ContainerKeeper", "ContainerKind", "command", "open_session"]

KERNEL = Path(__file__).resolve().parent.parent / "kernel"
KERNEL_INSIDE = "/opt/codeact-kernel"
START_SECONDS = 60.0
END_SECONDS = 10.0
OWN_PROCESSES = 32
"""Besides the session's: relay, zygote, keeper and frozen copies."""
OWN_MEMORY_MB = 128
ENVIRONMENT = {**ONE_THREAD, "LANG": "C.UTF-8", "TERM": "dumb", "NO_COLOR": "1", "MPLBACKEND": "Agg",
               "MPLCONFIGDIR": "/tmp/.matplotlib"}


@dataclass(frozen=True)
class ContainerKind:
    """What to start containers with."""

    program: str
    """"docker" or "podman"."""
    image: str
    """Any image with a Python 3.9 or later; nothing is installed in it."""
    runtime: str | None = None
    """Of the container, as "runsc" for gVisor's; None for the program's own choice."""
    python: str = "python3"
    """Inside."""


def command(kind: ContainerKind, settings: Settings, *, name: str, workspace: Path, uid: int, gid: int) -> list[str]:
    """The command line that starts a session's container.

    Args:
        name: Of the container.
        workspace: Shown at the same path inside, writable.
        uid, gid: Whom the code runs as.
    """
    limits = settings.limits
    words = [kind.program, "run", "--rm", "--interactive", "--pull", "never", "--name", name,
             "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--read-only", "--user", f"{uid}:{gid}",
             "--tmpfs", f"/tmp:rw,exec,nosuid,nodev,mode=1777,size={limits.tmp_mb}m", "--shm-size", f"{limits.tmp_mb}m"]
    if settings.network == "none":
        words += ["--network", "none"]
    if limits.processes is not None:
        words += ["--pids-limit", str(limits.processes + OWN_PROCESSES)]
    if limits.memory_mb is not None:
        total = limits.memory_mb + limits.checkpoint_mb + 2 * limits.tmp_mb + OWN_MEMORY_MB
        words += ["--memory", f"{total}m", "--memory-swap", f"{total}m"]
    if kind.runtime is not None:
        words += ["--runtime", kind.runtime]
    if kind.program == "podman" and os.getuid() != 0:
        words += ["--userns", "keep-id"]   # else the user inside is not the one whose workspace it is
    for source, target, options in [(str(KERNEL), KERNEL_INSIDE, ",readonly"), (str(workspace), str(workspace), ""),
                                    *((str(path), str(path), ",readonly") for path in settings.read)]:
        words += ["--mount", f"type=bind,{_field('source', source)},{_field('target', target)}{options}"]
    for variable, value in ENVIRONMENT.items():
        words += ["--env", f"{variable}={value}"]
    return [*words, "--entrypoint", kind.python, kind.image, KERNEL_INSIDE, "relay"]


def _field(name: str, path: str) -> str:
    """One field of `--mount`, which is a line of CSV."""
    text = f"{name}={path}"
    return '"' + text.replace('"', '""') + '"' if any(mark in text for mark in ',"\n') else text


class ContainerKeeper(Keeper):
    """A line to the keeper in a container.

    Args:
        container: Ended with it.
        connection: To the keeper; owned from now on.
        ended: Readable once the keeper is gone; owned from now on.
    """

    def __init__(self, container: Container, connection: Connection, ended: int):
        super().__init__(connection, ended, 0)
        self.container = container

    def _note(self, frame: Frame) -> None:
        header = frame[0]
        if header["t"] == "usage" and (not isinstance(header.get("each_kb"), dict) or any(
                type(header.get(name)) not in (int, float)
                for name in ("processes", "memory_kb", "frozen_kb", "nameless_kb", "cpu_seconds", "threads"))):
            raise ProtocolError("an account that is none")
        super()._note(frame)

    def _end(self) -> None:
        self.connection.close()
        self.container.close()
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1


class Container:
    """One container, and this side's relay.

    Raises:
        InterpreterGone, ConfigError: It does not start; the message says what to do.
    """

    def __init__(self, kind: ContainerKind, words: Sequence[str], name: str):
        self._kind, self._name = kind, name
        self._errors = bytearray()
        try:
            self.process = subprocess.Popen(list(words), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                            stderr=subprocess.PIPE, cwd="/", start_new_session=True)
        except OSError as error:
            raise ConfigError(f"cannot start {kind.program!r} ({error.strerror}); install it, or use "
                              "backend='local', which needs neither it nor root") from None
        ours, theirs = socket.socketpair()
        self.connection = Connection(ours)
        self._threads = [threading.Thread(target=self._relay, args=(theirs,), name="codeact-relay", daemon=True),
                         threading.Thread(target=self._listen, name="codeact-container", daemon=True)]
        for thread in self._threads:
            thread.start()

    def _relay(self, zygote: socket.socket) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        channels = Channels(self.process.stdout.fileno(), self.process.stdin.fileno(), first=1)
        channels.add(1, zygote)
        try:
            channels.serve()
        except RelayError as error:
            self._errors += f"\n{error}".encode()
        finally:
            self.process.stdin.close()   # with it, the container ends

    def _listen(self) -> None:
        """Keep the last words."""
        assert self.process.stderr is not None
        while data := os.read(self.process.stderr.fileno(), 4096):
            self._errors = (self._errors + data)[-8192:]

    def answer(self, connection: Connection, kind: str) -> dict[str, Any]:
        """The next frame, which is to be of this type.

        Raises:
            InterpreterGone, ConfigError: It is not.
        """
        try:
            frame = connection.receive(timeout=START_SECONDS)
        except (OSError, ProtocolError) as error:
            raise InterpreterGone(f"the container does not answer ({error})") from None
        if frame is None:
            raise self._why_it_ended()
        if frame[0]["t"] != kind:
            raise InterpreterGone(f"the kernel in the container did not start: "
                                  f"{str(frame[0].get('reason', frame[0]['t']))[:500]}")
        return frame[0]

    def _why_it_ended(self) -> Exception:
        try:
            code: int | str = self.process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            code = "none yet"
        self._threads[1].join(END_SECONDS)   # it ends with the program
        said = self._errors.decode(errors="replace").strip()
        program, image = self._kind.program, self._kind.image
        low = said.lower()
        if ("cannot connect" in low and "daemon" in low) or "daemon running" in low:
            return ConfigError(f"{program} is installed, and its daemon does not run here; start it (`systemctl start "
                               f"docker`), or use backend='local', which needs none. It said: {said[-500:]}")
        if "permission denied" in low and "sock" in low:
            return ConfigError(f"this user may not speak to {program}'s daemon; add it to the group docker, or use "
                               f"backend='podman:{image}' or 'local'. It said: {said[-500:]}")
        if "no such image" in low or "unable to find image" in low or "image not known" in low:
            return ConfigError(f"there is no image {image!r} here, and none is fetched unasked; get it with: "
                               f"{program} pull {image}")
        if "executable file not found" in low or "no such file or directory" in low:
            return ConfigError(f"the image {image!r} has no {self._kind.python!r}; take one with Python 3.9 or later, "
                               f"as python:3.12-slim, or name its Python with python=. {program} said: {said[-500:]}")
        return InterpreterGone(f"{program} ended with exit code {code}: {said[-1000:] or 'it said nothing'}")

    def close(self) -> None:
        """End it and wait until it is gone."""
        self.connection.close()   # the relay there ends with it, and with the relay the container
        try:
            self.process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            try:
                subprocess.run([self._kind.program, "kill", self._name], stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=END_SECONDS, check=False)
            except (OSError, subprocess.TimeoutExpired):
                pass
            self.process.kill()
            self.process.wait()
        for thread in self._threads:
            thread.join(END_SECONDS)
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()


def open_session(kind: ContainerKind, settings: Settings, base: Base | None = None, space: str = SPACE) -> Session:
    """A session in a new container.

    Args:
        base: Our folder of a session that is gone: the new one takes it over, with its workspace `space`.

    Raises:
        ConfigError, InterpreterGone: It does not start; the message says what to do.
    """
    if shutil.which(kind.program) is None:
        raise ConfigError(f"backend={kind.program + ':' + kind.image!r}: there is no program {kind.program!r} here; "
                          "install it, or use backend='local', which needs neither it nor root")
    if base is None:
        base = Base()
    else:
        base.share()
    container: Container | None = None
    try:
        spaces = base.path / SPACES
        workspace = settings.workspace or spaces / space
        if workspace.exists():
            uid, gid = _user_of(workspace)
        else:
            uid, gid = identity(LEVELS[3])
            for folder in (spaces, workspace):
                if not folder.exists():
                    folder.mkdir()
                    give(folder, uid, gid)
        if is_root():
            base.path.chmod(0o711)
        name = f"codeact-{os.urandom(6).hex()}"
        shown = settings.workspace or spaces   # of ours as a whole: a branch finds its own folder beside the first
        container = Container(kind, command(kind, settings, name=name, workspace=shown, uid=uid, gid=gid), name)
        keeper = _greet(container, uid, gid)
    except BaseException:
        if container is not None:
            container.close()
        base.close()
        raise
    session = Session(keeper, base)
    session.config = _config(settings, workspace)
    try:
        session.spawn(lambda: keeper.send({"t": "begin", "config": session.config}, timeout=START_SECONDS))
    except BaseException:
        session.close()
        raise
    return session


def _user_of(workspace: Path) -> tuple[int, int]:
    """Whom the code runs as: the caller, or for root the owner of the folder to work in.

    Raises:
        ConfigError: That would be root.
    """
    if os.getuid() != 0:
        return os.getuid(), os.getgid()
    found = workspace.lstat()   # a session's own may have become a link
    if found.st_uid == 0:
        raise ConfigError(f"{workspace} belongs to root, and no code runs as root in a container of codeact's; "
                          "give the folder to an ordinary user (chown), or leave workspace= out")
    return found.st_uid, found.st_gid


def _greet(container: Container, uid: int, gid: int) -> ContainerKeeper:
    """A keeper, forked by the zygote in the container."""
    connection = container.connection
    try:
        # What has ended already says so in the answer that does not come
        _send(connection, {"t": "start", "level": 0, "network": True, "abi_cap": 99, "abi_least": 0, "caches": [],
                           "uid": uid, "gid": gid})
        if container.answer(connection, "ready").get("protocol") != PROTOCOL_VERSION:
            raise InterpreterGone("the kernel in the container speaks another version of the protocol")
        _send(connection, {"t": "session"})
        container.answer(connection, "forked")
        return ContainerKeeper(container, Connection(socket.socket(fileno=connection.take_fd())), connection.take_fd())
    except (ProtocolError, OSError) as error:
        raise InterpreterGone(str(error)) from None


def _config(settings: Settings, workspace: Path) -> dict[str, Any]:
    # A limit on the user's processes would count those outside the container too: --pids-limit does not
    limits = settings.limits
    return {"workspace": str(workspace), "home": str(workspace), "tmp": "/tmp", "nonce": new_nonce(),
            "output_bytes": limits.output_kb << 10, "environment": {},
            "limits": {**limits.for_kernel(), "processes": None}, "read": [], "write": []}


def _send(connection: Connection, header: dict[str, Any], fds: Sequence[int] = ()) -> None:
    try:
        connection.send(header, fds=fds, timeout=START_SECONDS)
    except OSError:
        pass   # it has ended: the answer that does not come is explained by what it said last
