"""Opens a session on a zygote's processes: its folders, the walls around them, its first worker."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

from codeact.errors import SandboxUnavailable
from codeact.interpreter.folders import Base
from codeact.interpreter.keeper import START_SECONDS, Keeper
from codeact.interpreter.levels import is_root
from codeact.interpreter.mounts import detached, overlay
from codeact.interpreter.session import Newborn, Session, new_nonce
from codeact.interpreter.settings import SPACES, Settings, give
from codeact.interpreter.zygote import Zygote
from codeact.kernel.wire import MAX_FDS

__all__ = ["Processes", "open_on"]

Processes = tuple[Keeper, Newborn]
"""Of the next session, whatever it will be."""

NETWORK_ETC = ("/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/gai.conf")
"""Without them no name resolves."""
SCOPES_SIGNALS = 6
"""Version of Landlock that keeps a worker from killing a keeper which is not its namespace's first process."""


def open_on(zygote: Zygote, settings: Settings, base: Base | None, space: str, ahead: Processes | None) -> Session:
    """A session of these settings.

    Args:
        base: Our folder of a session that is gone: the new one takes it over, with its workspace.
        space: That workspace's name.
        ahead: Processes for it that were forked already; owned from now on.

    Raises:
        InterpreterGone: The zygote is gone.
        SandboxUnavailable: A folder cannot be shown to it.
    """
    level = zygote.level.number
    if base is None:
        base = Base()
    else:
        base.share()
    try:
        keeper, newborn = ahead or (zygote.fork_keeper(), None)
    except BaseException:
        base.close()
        raise
    session = Session(keeper, base, zygote.fork_worker if level == 3 else None)
    try:
        session.spawn(lambda: _begin(zygote, session, settings, base.path, space), newborn)
        if level == 3 and zygote.hello.get("landlock", 0) >= SCOPES_SIGNALS:
            keeper.rest(lambda theirs: zygote.fork_stand_in(session.config["workspace"], theirs, keeper.pidfd))
    except BaseException:
        session.close()
        raise
    return session


def _begin(zygote: Zygote, session: Session, settings: Settings, base: Path, space: str) -> None:
    """Tell a keeper what it is for."""
    config = session.config = _prepare(zygote, settings, base, space)
    keeper, fds = session.keeper, []
    try:
        if zygote.level.number == 3:
            # What only root can reach is handed over; it also maps the owner of the files to the session's user
            for path, by_fd in (*config["writable"], *config["readable"]):
                if by_fd:
                    fds.append(overlay(Path(path), settings.overlay, zygote.uid, zygote.gid)
                               if settings.overlay is not None and Path(path) == settings.workspace else
                               detached(Path(path), zygote.uid, zygote.gid))
        # A few descriptors a frame: what comes above that the other side drops
        for start in range(0, len(fds), MAX_FDS):
            keeper.send({"t": "folders"}, fds=fds[start:start + MAX_FDS], timeout=START_SECONDS)
        keeper.send({"t": "begin", "config": config}, timeout=START_SECONDS)
    finally:
        for fd in fds:
            os.close(fd)


def _prepare(zygote: Zygote, settings: Settings, base: Path, space: str) -> dict[str, Any]:
    """The session's folders, and its config."""
    level, uid, gid = zygote.level.number, zygote.uid, zygote.gid
    spaces, tmp = base / SPACES, base / "tmp"
    workspace = settings.workspace or spaces / space
    for folder in (spaces, workspace, tmp):
        if base in folder.parents and not folder.exists():
            folder.mkdir()
            give(folder, uid, gid)
    if is_root():
        base.chmod(0o711)
    if level in (1, 2):
        _check_reach([*map(Path, zygote.hello["prefixes"]), workspace], uid)
    shown = settings.workspace or spaces   # of ours as a whole: a branch finds its own folder beside the first
    writable = [shown] if level == 3 else [shown, tmp]
    config = {
        "workspace": str(workspace), "home": str(workspace), "tmp": "/tmp" if level == 3 else str(tmp),
        "nonce": new_nonce(), "output_bytes": settings.limits.output_kb << 10, "environment": {},
        "limits": settings.limits.for_kernel(),
        "read": [*zygote.hello["paths"], *zygote.caches, *map(str, settings.read)]
        + (list(NETWORK_ETC) if zygote.settings.network == "all" else []),
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

        add_packages(config, settings, base, uid, gid, zygote.hello["python"])
    return config


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
