"""For a root host: hands folders to a session as detached mounts.

A session of root's runs as an unprivileged user, who can neither walk into root's folders nor write files that belong
to root. A detached mount carries the folder past the walk, and an id-mapped one shows root's files as that user's (and
the files the session makes, on disk, as root's).

Source: mount_setattr(2) (MOUNT_ATTR_IDMAP), open_tree(2), user_namespaces(7).
"""

from __future__ import annotations

import ctypes
import os
import struct
from pathlib import Path

from codeact.errors import SandboxUnavailable

__all__ = ["detached"]

OPEN_TREE, MOUNT_SETATTR = 428, 442
AT_FDCWD, AT_EMPTY_PATH, AT_RECURSIVE = -100, 0x1000, 0x8000
OPEN_TREE_CLONE, MOUNT_ATTR_IDMAP = 1, 0x00100000
CLONE_NEWUSER = 0x10000000


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
    users = _user_namespace(owner.st_uid, owner.st_gid, uid, gid)
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
    child = os.fork()
    if child == 0:
        try:
            if libc.unshare(CLONE_NEWUSER) == 0:
                os.write(ready[1], b"1")
                os.close(go[1])
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
        os.close(ready[0])
        os.close(go[0])
        os.close(go[1])
        os.waitpid(child, 0)
