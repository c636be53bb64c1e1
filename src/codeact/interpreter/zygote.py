"""A zygote, seen from the host: starts it, lets it preload, has it fork sessions, keeps some of these on standby.

Standby sessions are complete sessions nobody has claimed yet. They are made in the background, once the zygote has
imported what users need. supervisor.py holds one zygote of each kind.
"""

from __future__ import annotations

import logging
import os
import socket
import stat
import subprocess
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar

from codeact.errors import InterpreterGone, SandboxUnavailable
from codeact.interpreter.ahead import process_for
from codeact.interpreter.folders import Base
from codeact.interpreter.keeper import START_SECONDS, Keeper, readable
from codeact.interpreter.levels import Level, identity, is_root
from codeact.interpreter.limits import Limits
from codeact.interpreter.mounts import detached, overlay
from codeact.interpreter.session import Newborn, Session, new_nonce
from codeact.interpreter.settings import SPACE, SPACES, Settings, cache_folder, give
from codeact.kernel.wire import MAX_FDS, PROTOCOL_VERSION, Connection, ProtocolError

__all__ = ["Zygote"]

Asked = TypeVar("Asked")

log = logging.getLogger("codeact.interpreter")

STANDBY = 2
STANDBY_KINDS = 4
"""Sessions of so many kinds (of limits) stand by; those of the kind that was asked for longest ago are given up."""
PRELOAD_AFTER_SECONDS = 0.1
"""A program that runs one cell and ends is through by then, and wants the processor for itself."""
AHEAD_AFTER_SECONDS, REFILL_AFTER_SECONDS = 0.01, 0.05
"""The one who has just taken a session wants the processor first."""
NETWORK_ETC = ("/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/gai.conf")
"""Without them no name resolves."""


SCOPES_SIGNALS = 6
"""Version of Landlock that keeps a worker from killing a keeper which is not its namespace's first process."""


class Zygote:
    """A zygote process, its preloading child, and the standby sessions forked from it.

    Args:
        settings: Its kind.
        level: The walls to raise.

    Raises:
        SandboxUnavailable: This machine cannot raise them.
        InterpreterGone: The Python of the settings does not start.
    """

    def __init__(self, settings: Settings, level: Level):
        self.settings, self.level = settings, level
        self.uid, self.gid = identity(level)
        self.caches = [cache_folder(self.uid, self.gid)] if level.number == 3 else []
        self._lock = threading.Lock()
        """Of what stands by."""
        self._asking = threading.Lock()
        """Held by whoever speaks to a zygote, which may take a while."""
        self._pools: dict[Limits, deque[Session]] = {}
        self._taken: SimpleQueue[Settings | None] = SimpleQueue()
        """Settings of sessions taken, for the thread that puts new ones on standby; None for one of which none do."""
        self._ahead: tuple[Keeper, Newborn] | None = None
        """The next session's processes, forked while nobody waited; the keeper has left the zygote's namespaces."""
        self.preloaded: Connection | None = None
        self.preload_report: dict[str, Any] = {}
        self.preload_done = threading.Event()
        self._end = threading.Event()
        self._start()

    def _start(self) -> None:
        try:
            self.process, ours = process_for(self.settings.python)
        except OSError as error:
            raise InterpreterGone(f"{self.settings.python} cannot be started ({error.strerror}); python=... takes the "
                                  "path of a Python 3.9 or later") from None
        self.connection = Connection(ours)
        try:
            self._greet()
        except BaseException:
            self.close()
            raise

    def _greet(self) -> None:
        start = {
            "t": "start", "level": self.level.number, "network": self.settings.network == "all",
            "abi_cap": self.level.abi_cap, "abi_least": self.level.abi_least,
            "caches": self.caches, "uid": self.uid, "gid": self.gid}
        try:
            self.connection.send(start)
        except OSError:
            pass   # it has ended; what it said last is in the answer that does not come
        self.hello = self._answer(self.connection, "ready")
        if self.hello.get("protocol") != PROTOCOL_VERSION:
            raise InterpreterGone("the kernel speaks another version of the protocol")

    def _answer(self, connection: Connection, kind: str, seconds: float = START_SECONDS) -> dict[str, Any]:
        try:
            frame = connection.receive(timeout=seconds)
        except (OSError, ProtocolError) as error:
            frame = ({"t": "failed", "reason": str(error)}, [])
        if frame is not None and frame[0]["t"] == kind:
            return frame[0]
        reason = str(frame[0].get("reason", frame[0]["t"])) if frame else "it ended at once" + self._last_words()
        raise SandboxUnavailable(f"level {self.level.number} ({self.level.name}): {reason}")

    def _last_words(self) -> str:
        if self.process.stderr is None:
            return ""
        try:
            self.process.wait(1)
        except subprocess.TimeoutExpired:
            return ""
        words = self.process.stderr.read().decode(errors="replace").strip()
        return f": {words.splitlines()[-1]}" if words else ""

    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._end.is_set()

    def has_ended(self, seconds: float = 1.0) -> bool:
        """Whether its process has, or does so in this time."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def begin_preload(self) -> None:
        """Start importing what users need, in the background, and then to keep sessions on standby."""
        threading.Thread(target=self._work_in_background, name="codeact-zygote", daemon=True).start()

    def _work_in_background(self) -> None:
        self._preload()
        self._fill_pools()

    def _preload(self) -> None:
        self._end.wait(PRELOAD_AFTER_SECONDS)
        imports = list(self.settings.imports)
        try:
            while imports and not self.is_closed():
                ours, theirs = socket.socketpair()
                with self._asking:
                    self.connection.send({"t": "preload", "imports": imports}, fds=[theirs.fileno()], timeout=5)
                theirs.close()
                connection = Connection(ours)
                frame = connection.receive(timeout=300)
                if frame is not None and frame[0]["t"] == "ready":
                    self.preload_report = frame[0]
                    self.preloaded = connection
                    break
                connection.close()
                if frame is None and self.is_closed():
                    break   # the program ended first
                if frame is None or frame[0]["t"] != "threads":
                    log.warning("importing %s in the zygote failed; sessions start without", ", ".join(imports))
                    break
                # A thread would not survive the fork: leave out the module that started it
                module = str(frame[0].get("module"))
                log.warning("%s starts a thread when imported; sessions start without it", module)
                imports = [name for name in imports if name != module]
        except (OSError, ProtocolError) as error:
            log.debug("preloading ended: %s", error)
        finally:
            self.preload_done.set()

    # Sessions ---------------------------------------------------------------------------------------------------------

    def session(self, settings: Settings, base: Base | None = None, space: str = SPACE) -> Session:
        """A session of these settings: from standby where there is one, else a new one.

        Args:
            base: Our folder of a session that is gone: the new one takes it over, with its workspace.
            space: That workspace's name.

        Raises:
            InterpreterGone: The zygote is gone.
            SandboxUnavailable: A folder cannot be shown to it.
        """
        if settings.pending is not None:
            return settings.pending.open_session(
                self.level.number, (self.uid, self.gid), lambda workspace, overlay: self._make(
                    replace(settings, workspace=workspace, overlay=overlay, pending=None), base, space))
        if settings.workspace is not None or settings.read or settings.proxied or settings.packages or base is not None:
            made = self._make(settings, base, space)
            self._taken.put(None)
            return made
        with self._lock:
            pool = self._pools[settings.limits] = self._pools.pop(settings.limits, deque())   # the latest last
            session = pool.popleft() if pool else None
        if session is not None:
            session.warm_up()
        made = session or self._make(settings)
        self._taken.put(settings)
        return made

    def _fill_pools(self) -> None:
        """The background thread's job for the rest of its life: a new session on standby for each one taken, and the
        next one's processes forked."""
        while True:
            settings = self._taken.get()
            self._end.wait(AHEAD_AFTER_SECONDS)
            if self.is_closed():
                return
            self._fork_ahead()
            if settings is None:
                continue
            self._give_up_old_kinds()
            pool = self._pools.get(settings.limits)
            if pool is None or len(pool) >= STANDBY:
                continue
            self._end.wait(REFILL_AFTER_SECONDS)
            try:
                while not self.is_closed() and len(pool) < STANDBY:
                    session = self._make(settings)
                    try:
                        session.rehearse()
                    except BaseException:
                        session.close()
                        raise
                    with self._lock:
                        if not self.is_closed():
                            pool.append(session)
                            continue
                    session.close()
            except (InterpreterGone, SandboxUnavailable, OSError) as error:
                log.debug("no standby session: %s", error)
            self._fork_ahead()

    def _fork_ahead(self) -> None:
        """Fork the processes of the next session, whatever it will be, if it is not done yet (level 3)."""
        if self.level.number != 3 or self.preloaded is None:
            return
        with self._lock:
            if self._ahead is not None or self.is_closed():
                return
            keeper = None
            try:
                keeper = self._from_a_zygote(self._fork_keeper, bare=True)
                self._ahead = keeper, Newborn.told_of(self._fork_worker_now, keeper.pidfd)
            except (InterpreterGone, SandboxUnavailable, OSError) as error:
                log.debug("nothing forked ahead: %s", error)
                if keeper is not None:
                    keeper.close()

    def _take_ahead(self) -> tuple[Keeper, Newborn] | None:
        """What was forked ahead, unless it has ended meanwhile; the lock is held."""
        ahead, self._ahead = self._ahead, None
        if ahead is None:
            return None
        keeper, newborn = ahead
        if not readable(keeper.pidfd, 0) and not readable(newborn.connection, 0):
            return ahead
        newborn.close()
        keeper.close()
        return None

    def _give_up_old_kinds(self) -> None:
        with self._asking:
            old = [self._pools.pop(limits) for limits in list(self._pools)[:-STANDBY_KINDS]]
        for pool in old:
            for session in pool:
                session.close()

    def _make(self, settings: Settings, base: Base | None = None, space: str = SPACE) -> Session:
        level = self.level.number
        if base is None:
            base = Base()
        else:
            base.share()
        newborn = None
        try:
            with self._asking:
                if ahead := self._take_ahead():
                    keeper, newborn = ahead
                else:
                    keeper = self._from_a_zygote(self._fork_keeper, bare=level == 3)
        except BaseException:
            base.close()
            raise
        session = Session(keeper, base, self._fork_worker if level == 3 else None)
        try:
            session.spawn(lambda: self._begin(session, settings, base.path, space), newborn)
            if level == 3 and self.hello.get("landlock", 0) >= SCOPES_SIGNALS:
                keeper.rest(lambda theirs: self._fork_stand_in(session, theirs))
        except BaseException:
            session.close()
            raise
        return session

    def _fork_keeper(self, zygote: Connection) -> Keeper:
        """A keeper, which waits for its frame "begin"."""
        zygote.send({"t": "session"}, timeout=START_SECONDS)
        self._answer(zygote, "forked")
        return Keeper(Connection(socket.socket(fileno=zygote.take_fd())), zygote.take_fd(), self.level.number)

    def _begin(self, session: Session, settings: Settings, base: Path, space: str) -> None:
        """Tell a keeper what it is for."""
        config = session.config = self._prepare(settings, base, space)
        keeper, fds = session.keeper, []
        try:
            if self.level.number == 3:
                # What only root can reach is handed over; it also maps the owner of the files to the session's user
                for path, by_fd in (*config["writable"], *config["readable"]):
                    if by_fd:
                        fds.append(overlay(Path(path), settings.overlay, self.uid, self.gid)
                                   if settings.overlay is not None and Path(path) == settings.workspace else
                                   detached(Path(path), self.uid, self.gid))
            # A few descriptors a frame: what comes above that the other side drops
            for start in range(0, len(fds), MAX_FDS):
                keeper.send({"t": "folders"}, fds=fds[start:start + MAX_FDS], timeout=START_SECONDS)
            keeper.send({"t": "begin", "config": config}, timeout=START_SECONDS)
        finally:
            for fd in fds:
                os.close(fd)

    def _prepare(self, settings: Settings, base: Path, space: str) -> dict[str, Any]:
        """The session's folders, and its config."""
        level, uid, gid = self.level.number, self.uid, self.gid
        spaces, tmp = base / SPACES, base / "tmp"
        workspace = settings.workspace or spaces / space
        for folder in (spaces, workspace, tmp):
            if base in folder.parents and not folder.exists():
                folder.mkdir()
                give(folder, uid, gid)
        if is_root():
            base.chmod(0o711)
        if level in (1, 2):
            _check_reach([*map(Path, self.hello["prefixes"]), workspace], uid)
        shown = settings.workspace or spaces   # of ours as a whole: a branch finds its own folder beside the first
        writable = [shown] if level == 3 else [shown, tmp]
        config = {
            "workspace": str(workspace), "home": str(workspace), "tmp": "/tmp" if level == 3 else str(tmp),
            "nonce": new_nonce(), "output_bytes": settings.limits.output_kb << 10, "environment": {},
            "limits": settings.limits.for_kernel(),
            "read": [*self.hello["paths"], *self.caches, *map(str, settings.read)]
            + (list(NETWORK_ETC) if self.settings.network == "all" else []),
            "write": list(map(str, writable)) + (["/tmp", "/dev/shm"] if level == 3 else []),
            "writable": [[str(path), is_root()] for path in writable],
            "readable": [[str(path), is_root()] for path in settings.read], "tmp_mb": settings.limits.tmp_mb,
            "overlays": [[str(settings.workspace), str(settings.overlay)]]
            if settings.overlay is not None and not is_root() else []}
        if settings.proxied:
            from codeact.interpreter.gateway import PROXY_PORT, proxy_environment  # what few sessions need

            config.update(proxy_port=PROXY_PORT, environment=proxy_environment(PROXY_PORT))
        if settings.packages:
            from codeact.interpreter.package_folder import add_packages

            add_packages(config, settings, base, uid, gid, self.hello["python"])
        return config

    def _fork_worker(self, fds: list[int]) -> None:
        """Have a worker forked into a keeper's walls (level 3)."""
        with self._asking:
            self._fork_worker_now(fds)

    def _fork_worker_now(self, fds: list[int]) -> None:
        """The same; the lock is held."""
        self._from_a_zygote(lambda zygote: zygote.send({"t": "worker"}, fds=fds, timeout=START_SECONDS))

    def _fork_stand_in(self, session: Session, theirs: socket.socket) -> None:
        """Have a keeper forked behind the walls of a session whose first process rests (level 3)."""
        with self._asking:
            self.connection.send({"t": "keeper", "workspace": session.config["workspace"]}, timeout=5,
                                 fds=[theirs.fileno(), session.keeper.pidfd])

    def _from_a_zygote(self, ask: Callable[[Connection], Asked], *, bare: bool = False) -> Asked:
        """Ask the preloaded zygote, if there is one, and else the bare one; the lock is held."""
        if self.is_closed():
            raise InterpreterGone("the interpreter's process has been shut down")
        if self.preloaded is not None and not bare:
            try:
                return ask(self.preloaded)
            except (OSError, SandboxUnavailable) as error:
                log.warning("the zygote with %s is gone (%s); sessions start without",
                            ", ".join(self.settings.imports), error)
                self.preloaded.close()
                self.preloaded = None
        try:
            return ask(self.connection)
        except (OSError, ProtocolError) as error:
            raise InterpreterGone(f"the zygote is gone ({error})") from None

    def close(self) -> None:
        """End the zygote, and with it every session forked from it."""
        with self._asking, self._lock:
            self._end.set()
            self._taken.put(None)
            pools, self._pools = list(self._pools.values()), {}
            ahead, self._ahead = self._ahead, None
        if ahead is not None:
            keeper, newborn = ahead
            newborn.close()
            keeper.close()
        for pool in pools:
            for session in pool:
                session.close()
        if self.preloaded is not None:
            self.preloaded.close()
        self.connection.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stderr is not None:
            self.process.stderr.close()


def _check_reach(places: list[Path], uid: int) -> None:
    """At levels 1 and 2 a session walks to its files itself: as root's unprivileged stand-in it may not get there."""
    if not is_root():
        return
    for place in places:
        for folder in (place, *place.parents):
            found = folder.stat()
            if found.st_uid != uid and not found.st_mode & stat.S_IXOTH:
                raise SandboxUnavailable(
                    f"cells of root run as an unprivileged user, who cannot reach {place} (see {folder}); use a Python "
                    "and a workspace outside root's home (python='/usr/bin/python3'), or run as an ordinary user")
    workspace = places[-1]
    found = workspace.stat()
    if found.st_uid != uid and not found.st_mode & stat.S_IWOTH:
        raise SandboxUnavailable(f"at this level cells of root, who run as an unprivileged user, cannot write to "
                                 f"{workspace}; run codeact as the user it belongs to, or use a workspace elsewhere")
