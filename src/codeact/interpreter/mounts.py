"""For a root host: hands folders to a session as detached mounts.

A session of root's runs as an unprivileged user, who can neither walk into root's folders nor write files that belong
to root. A detached mount carries the folder past the walk, and an id-mapped one shows root's files as that user's (and
the files the session makes, on disk, as root's). An overlay is laid over folders mapped like that.

Source: mount_setattr(2) (MOUNT_ATTR_IDMAP), open_tree(2), user_namespaces(7), the kernel's overlayfs.rst.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import struct
from pathlib import Path

from codeact.errors import SandboxUnavailable

__all__ = ["OVERLAY_OPTIONS", "detached", "overlay"]

OPEN_TREE, MOUNT_SETATTR = 428, 442
AT_FDCWD, AT_EMPTY_PATH, AT_RECURSIVE = -100, 0x1000, 0x8000
OPEN_TREE_CLONE, MOUNT_ATTR_IDMAP = 1, 0x00100000
CLONE_NEWUSER, CLONE_NEWNS = 0x10000000, 0x00020000
MOVE_MOUNT, MOVE_MOUNT_F_EMPTY_PATH = 429, 4
MS_NOSUID, MS_NODEV, MS_REC, MS_PRIVATE = 2, 4, 16384, 1 << 18
PR_SET_PDEATHSIG = 1
PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP = 28, 4

OVERLAY_OPTIONS = "userxattr,index=off,metacopy=off,xino=auto"
"""As in kernel/walls/namespaces.py: what an ordinary user may have, so that one reader understands what root left."""


def detached(path: Path, uid: int, gid: int) -> int:
    """A detached mount of `path`, its root-owned files shown as `uid`'s where they are root's; the caller closes it.

    Raises:
        SandboxUnavailable: The folder belongs to root and its file system cannot map owners.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    fd = int(libc.syscall(OPEN_TREE, AT_FDCWD, os.fsencode(path), OPEN_TREE_CLONE | os.O_CLOEXEC | AT_RECURSIVE))
    if fd < 0:
        raise SandboxUnavailable(f"cannot show {path} to a session: {os.strerror(ctypes.get_errno())}")
    owner = path.stat()
    if owner.st_uid == uid:
        return fd
    try:
        users = _user_namespace(owner.st_uid, owner.st_gid, uid, gid)
    except BaseException:
        os.close(fd)
        raise
    try:
        attributes = struct.pack("=QQQQ", MOUNT_ATTR_IDMAP, 0, 0, users)
        if libc.syscall(MOUNT_SETATTR, fd, b"", AT_EMPTY_PATH, attributes, len(attributes)) < 0:
            reason = os.strerror(ctypes.get_errno())
            os.close(fd)
            raise SandboxUnavailable(
                f"{path} belongs to root, cells run as an unprivileged user, and its file system cannot map one to the "
                f"other ({reason}); run codeact as an ordinary user, or give the folder to one (chown), or use a "
                "workspace elsewhere")
    finally:
        os.close(users)
    return fd


def _user_namespace(from_uid: int, from_gid: int, uid: int, gid: int) -> int:
    """A user namespace in which `from_uid` is outside `uid`; held open by a child until its maps are written."""
    libc = ctypes.CDLL(None, use_errno=True)
    ready, go = os.pipe(), os.pipe()
    child = _fork()
    if child == 0:
        try:
            os.write(ready[1], b"1" if libc.unshare(CLONE_NEWUSER) == 0 else b"0")
            os.read(go[0], 1)
        finally:
            os._exit(0)
    try:
        os.close(ready[1])
        if os.read(ready[0], 1) != b"1":
            raise SandboxUnavailable("this kernel makes no user namespaces, which mapping root's files needs")
        for name, inside, outside in (("uid_map", from_uid, uid), ("gid_map", from_gid, gid)):
            Path(f"/proc/{child}/{name}").write_text(f"{inside} {outside} 1")
        return os.open(f"/proc/{child}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        # A word, and not the pipe's end: a child that another thread has forked meanwhile holds that open too
        os.write(go[1], b"1")
        for fd in (ready[0], *go):
            os.close(fd)
        os.waitpid(child, 0)


def _fork() -> int:
    """A child that ends with this process, however that ends; until then this thread waits for it."""
    parent, libc = os.getpid(), ctypes.CDLL(None)
    child = os.fork()
    if child == 0:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(0)
    return child


def overlay(lower: Path, store: Path, uid: int, gid: int) -> int:
    """A detached overlay over `lower` whose changes go to `store`/upper; the caller closes it.

    Args:
        store: A folder of ours, with the empty or used folders "upper" and "work" and the empty "lower" and "merged".
        uid, gid: Whose the files are shown as.

    Raises:
        SandboxUnavailable: This kernel or these file systems cannot.
    """
    below = detached(lower, uid, gid)
    try:
        ours = detached(store, uid, gid)
    except BaseException:
        os.close(below)
        raise
    receive, send = socket.socketpair()
    child = _fork()
    if child == 0:
        try:
            # A mount namespace of its own: what is mounted on the way is gone with this process
            mount = _mount_overlay(below, ours, store, uid, gid)
            socket.send_fds(send, [b"1"], [mount])
        except BaseException as error:
            try:
                send.send(str(error).encode() or b"?")
            except OSError:
                pass
        finally:
            os._exit(0)
    send.close()
    try:
        said, fds, _, _ = socket.recv_fds(receive, 4096, 1)
    finally:
        receive.close()
        os.close(below)
        os.close(ours)
        os.waitpid(child, 0)
    if not fds:
        raise SandboxUnavailable(f"no overlay over {lower}: {said.decode(errors='replace')}")
    return fds[0]


def _mount_overlay(below: int, ours: int, store: Path, uid: int, gid: int) -> int:
    libc = ctypes.CDLL(None, use_errno=True)

    def call(result: int, what: str) -> int:
        if result < 0:
            raise OSError(f"{what}: {os.strerror(ctypes.get_errno())}")
        return result

    call(libc.unshare(CLONE_NEWNS), "unshare")
    call(libc.mount(b"none", b"/", None, ctypes.c_ulong(MS_REC | MS_PRIVATE), None), "making mounts private")
    # Both layers get a place first: Linux before 6.15 takes no detached mounts as layers
    for fd, place in ((below, store / "lower"), (ours, store)):
        call(libc.syscall(MOVE_MOUNT, fd, b"", AT_FDCWD, os.fsencode(place), MOVE_MOUNT_F_EMPTY_PATH), "move_mount")
    # The mapped folders know no root: what the overlay makes for itself is made as the session's user, and yet with
    # root's power over files whose mode forbids their owner to write
    call(libc.prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0), "securebits")
    libc.setfsgid(gid)
    libc.setfsuid(uid)
    options = (f"{OVERLAY_OPTIONS},lowerdir=/proc/self/fd/{below},upperdir=/proc/self/fd/{ours}/upper,"
               f"workdir=/proc/self/fd/{ours}/work")
    place = store / "merged"
    call(libc.mount(b"overlay", os.fsencode(place), b"overlay", ctypes.c_ulong(MS_NOSUID | MS_NODEV),
                    options.encode()), "mount overlay")
    fd = call(libc.syscall(OPEN_TREE, AT_FDCWD, os.fsencode(place), OPEN_TREE_CLONE | os.O_CLOEXEC), "open_tree")
    _test(fd)
    return fd


def _test(mount: int) -> None:
    """An overlay whose work folder does not suit it is mounted read-only, without a word."""
    if os.statvfs(f"/proc/self/fd/{mount}").f_flag & os.ST_RDONLY:
        raise OSError("the file system of the changes does not suit as an upper layer")
