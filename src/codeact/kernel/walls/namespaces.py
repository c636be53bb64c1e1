"""Level 3: namespaces, and the private file tree a session sees.

In steps, so that a session costs a millisecond and not ten. `enter` runs once in the bare zygote: it builds a
read-only base tree of the system, Python and the folders everyone may read. `leave` runs in each session's keeper, a
fork of that zygote, before anybody wants a session: it copies the mount namespace with a private /tmp and /dev/shm,
and makes an empty network. `session_tree` adds the session's own folders, and makes that the whole tree. The keeper
then gives up the power to change it (`seal`), and the session's worker enters it all (`enter_session`).

Not protected against: faults of the Linux kernel itself, which sandbox and host share; system files that every user
may read (/usr, a short list of /etc) are visible inside.

Source: namespaces(7), mount_namespaces(7), pivot_root(2); the study in docs/decisions/0002-walls.md.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import sys
from typing import Dict, List, Optional, Sequence

from .libc import MACHINE, call, libc, syscall

__all__ = ["SYSTEM_PATHS", "enter", "enter_session", "leave", "python_paths", "seal", "session_tree", "set_namespace",
           "unshare"]

FLAGS = {"user": 0x10000000, "pid": 0x20000000, "net": 0x40000000, "ipc": 0x08000000, "uts": 0x04000000,
         "mnt": 0x00020000, "cgroup": 0x02000000}

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_BIND = 1, 2, 4, 8, 32, 4096
MS_REC, MS_PRIVATE, MNT_DETACH = 16384, 1 << 18, 2
PIVOT_ROOT = 155 if MACHINE == "x86_64" else 41
MOVE_MOUNT, MOUNT_SETATTR = 429, 442
AT_FDCWD, AT_EMPTY_PATH, AT_RECURSIVE = -100, 0x1000, 0x8000

SYSTEM_PATHS = ("/usr", "/lib", "/lib32", "/lib64", "/libx32", "/bin", "/sbin", "/opt", "/etc/alternatives",
                "/etc/fonts", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/localtime",
                "/etc/timezone", "/etc/mime.types", "/etc/matplotlibrc", "/etc/ssl/certs", "/etc/ssl/openssl.cnf",
                "/etc/ca-certificates",
                "/etc/pki/tls/certs", "/etc/protocols", "/etc/services", "/nix/store", "/sys/devices/system/cpu")
"""What every session may read of the system."""

NETWORK_PATHS = ("/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/gai.conf")
"""Also readable where the network is not walled off."""

DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")

OVERLAY_OPTIONS = "userxattr,index=off,metacopy=off,xino=auto"
"""As an ordinary user may have it, and with plain layers, which the host can read (as in interpreter/mounts.py)."""

_SCRATCH = "/tmp"   # any existing folder: its cover is only ever seen by the zygote
_OLD, _NEW = "/old", "/new"
_COVERED = ("/tmp", "/dev/shm")


def python_paths() -> List[str]:
    """Folders this Python needs: its prefixes, its library, what its `sys.path` names.

    A home folder itself (or anything that contains it) is never opened by this: only folders inside it.
    """
    home = os.path.realpath(os.path.expanduser("~"))
    found = {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix, os.path.dirname(os.__file__),
             os.path.dirname(os.path.realpath(sys.executable)), *sys.path}
    real = {os.path.realpath(path) for path in found if path} | {os.path.abspath(path) for path in found if path}
    return sorted(path for path in real
                  if os.path.exists(path) and path != "/" and not (home + "/").startswith(path.rstrip("/") + "/"))


def unshare(*names: str) -> None:
    """Leave the named namespaces for new ones; raises OSError."""
    flags = 0
    for name in names:
        flags |= FLAGS[name]
    call(libc.unshare(flags), "unshare " + "+".join(names))


def set_namespace(fd: int, name: str) -> None:
    """Enter the namespace behind a descriptor; raises OSError."""
    call(libc.setns(fd, FLAGS[name]), "setns " + name)


def map_ids(uid: int, gid: int) -> None:
    """In a user namespace just made: the same one user and group inside as outside."""
    for path, text in (("setgroups", "deny"), ("uid_map", "%d %d 1" % (uid, uid)), ("gid_map", "%d %d 1" % (gid, gid))):
        with open("/proc/self/" + path, "w") as file:
            file.write(text)


def mount(source: str, target: str, kind: Optional[str] = None, flags: int = 0, data: Optional[str] = None) -> None:
    """mount(2); raises OSError."""
    encoded = [None if text is None else os.fsencode(text) for text in (source, target, kind, data)]
    call(libc.mount(encoded[0], encoded[1], encoded[2], ctypes.c_ulong(flags), encoded[3]), "mount " + target)


def tmpfs(target: str, size_mb: int, mode: str = "755") -> None:
    """A file system in memory, at most `size_mb` MiB."""
    os.makedirs(target, exist_ok=True)
    mount("tmpfs", target, "tmpfs", MS_NOSUID | MS_NODEV, "%s,mode=%s" % (_room(size_mb), mode))


def _room(size_mb: int) -> str:
    return "size=%dm,nr_inodes=%d" % (size_mb, 4096 + 64 * size_mb)


def bind(source: str, target: str, *, writable: bool = False) -> None:
    """Show `source` at `target`, without set-user-id and devices; made if missing."""
    _mount_point(source, target)
    mount(source, target, None, MS_BIND | MS_REC)
    _restrict(target, writable)


def attach(mount_fd: int, target: str, *, writable: bool) -> None:
    """Put a detached mount, handed over by the host, at the folder `target`."""
    os.makedirs(target, exist_ok=True)
    syscall("move_mount " + target, MOVE_MOUNT, mount_fd, ctypes.c_char_p(b""), AT_FDCWD,
            ctypes.c_char_p(os.fsencode(target)), 4)
    _restrict(target, writable)


def _mount_point(source: str, target: str) -> None:
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    elif not os.path.exists(target):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))


def _restrict(target: str, writable: bool) -> None:
    attributes = struct.pack("=QQQQ", (0 if writable else MS_RDONLY) | MS_NOSUID | MS_NODEV, 0, 0, 0)
    try:
        syscall("mount_setattr " + target, MOUNT_SETATTR, AT_FDCWD, ctypes.c_char_p(os.fsencode(target)), AT_RECURSIVE,
                ctypes.c_char_p(attributes), len(attributes))
    except OSError:
        # Linux before 5.12: one mount at a time; what lies mounted deeper stays as it was on the host
        mount(target, target, None, MS_REMOUNT | MS_BIND | (0 if writable else MS_RDONLY) | MS_NOSUID | MS_NODEV)


def _same_link(path: str, target: str) -> bool:
    """Repeat a symbolic link such as /bin -> usr/bin instead of following it."""
    if not os.path.islink(path):
        return False
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if not os.path.lexists(target):
        os.symlink(os.readlink(path), target)
    return True


def _build_base(paths: Sequence[str], caches: Sequence[str], uid: int, gid: int, files: Dict[str, str]) -> None:
    """Make the base tree at `_NEW`, the host's at `_OLD`, and enter the scratch tree that holds both."""
    mount("none", "/", None, MS_REC | MS_PRIVATE)
    mount("tmpfs", _SCRATCH, "tmpfs", MS_NOSUID | MS_NODEV, "size=4m,mode=755")
    os.makedirs(_SCRATCH + _OLD)
    tmpfs(_SCRATCH + _NEW, 16)
    call(libc.syscall(PIVOT_ROOT, os.fsencode(_SCRATCH), os.fsencode(_SCRATCH + _OLD)), "pivot_root")
    os.chdir("/")
    os.mkdir("/proc")
    mount(_OLD + "/proc", "/proc", None, MS_BIND | MS_REC)
    # Shorter paths first, so that a folder inside another one is not covered by it
    for path in sorted(set(paths), key=len):
        if os.path.lexists(_OLD + path) and not _same_link(_OLD + path, _NEW + path) and not _covered(path, paths):
            bind(_OLD + path, _NEW + path)
    for path in caches:
        bind(_OLD + path, _NEW + path, writable=True)
    for path in DEVICES:
        bind_device(path)
    for path, text in files.items():
        os.makedirs(os.path.dirname(_NEW + path), exist_ok=True)
        if not os.path.lexists(_NEW + path):
            with open(_NEW + path, "w") as file:
                file.write(text)
    for link, text in (("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")):
        os.symlink(text, _NEW + "/dev/" + link)
    for folder in ("/dev/shm", "/tmp", "/proc", "/var/tmp", "/run", "/sys"):
        os.makedirs(_NEW + folder, exist_ok=True)
    # A fully visible /proc must be there, or the kernel lets no session mount its own
    mount(_OLD + "/proc", _NEW + "/proc", None, MS_BIND | MS_REC)
    if os.getuid() != uid:
        _give_folders(_NEW, uid, gid)


def _give_folders(top: str, uid: int, gid: int) -> None:
    """Hand the folders of the base tree itself to the sessions' user, who will make mount points in them."""
    device = os.lstat(top).st_dev
    os.chown(top, uid, gid)
    with os.scandir(top) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False) and os.lstat(entry.path).st_dev == device:
                _give_folders(entry.path, uid, gid)


def bind_device(path: str) -> None:
    """Show one device node of the host, which stays usable."""
    if os.path.exists(_OLD + path):
        _mount_point(_OLD + path, _NEW + path)
        mount(_OLD + path, _NEW + path, None, MS_BIND)


def _covered(path: str, paths: Sequence[str]) -> bool:
    return any(path != other and path.startswith(other.rstrip("/") + "/") and not os.path.islink(_OLD + other)
               for other in paths)


def accounts(uid: int, gid: int) -> Dict[str, str]:
    """The few files of /etc that programs look up users and hosts in, with nobody real in them."""
    return {
        "/etc/passwd": "root:x:0:0:root:/nonexistent:/usr/sbin/nologin\nuser:x:%d:%d:user:/tmp:/bin/sh\n" % (uid, gid),
        "/etc/group": "root:x:0:\nuser:x:%d:\n" % gid,
        "/etc/hosts": "127.0.0.1 localhost sandbox\n::1 localhost\n",
        "/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
    }


def enter(paths: Sequence[str], caches: Sequence[str], *, uid: int, gid: int, network: bool) -> int:
    """In the bare zygote, once: go behind new user, mount and pid namespaces, with the base tree built.

    Returns in a child that is the first process of the new pid namespace; the caller's process waits for it and ends
    as it ends. When that first process goes, the kernel kills every session.

    Args:
        paths: What is readable, besides the devices.
        caches: Folders of ours that stay writable for the zygote's own imports.
        uid, gid: Who the sessions are; a root caller becomes them here.
        network: Keep the host's network namespace.

    Returns:
        A descriptor of the new pid namespace, to come back to after `unshare("pid")`.

    Raises:
        OSError: A step is forbidden on this machine; the message names it.
    """
    files = accounts(uid, gid)
    if network:
        paths = [*paths, *NETWORK_PATHS]
    names = ["user", "mnt", "pid"] + ([] if network else ["net"])
    if os.getuid() == 0 and uid != 0:
        # As root: the tree first, for what only root can reach (a Python under /root); then nobody in particular
        unshare("mnt")
        _build_base(paths, caches, uid, gid, files)
        become(uid, gid)
        unshare(*names)
        map_ids(uid, gid)
        # What came along from root's namespace is locked in its place; a copy of it is not, and can become the root
        mount(_NEW, _NEW, None, MS_BIND | MS_REC)
    else:
        unshare(*names)
        map_ids(uid, gid)
        _build_base(paths, caches, uid, gid, files)
    child = os.fork()
    if child:
        for fd in range(3, 256):
            try:
                os.close(fd)
            except OSError:
                pass
        os.waitpid(child, 0)
        os._exit(0)
    # The zygote needs a /proc of its own pid namespace
    mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    return os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)


def become(uid: int, gid: int) -> None:
    """Stop being root for good."""
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    from .libc import PR_SET_DUMPABLE, prctl

    prctl(PR_SET_DUMPABLE, 1)   # a change of user cleared it, and with it the right to write our own uid_map


def zygote_tree() -> None:
    """In the preloading zygote: keep the base tree alone, so that imported packages do not see the host's files."""
    unshare("mnt")
    _pivot_into_new()


def overlay(lower: str, store: str, target: str) -> None:
    """Show `lower` at `target` with what was changed on top, which goes to `store`/upper.

    Through descriptors, as a name may hold what separates options. Raises OSError.
    """
    os.makedirs(target, exist_ok=True)
    below = os.open(lower, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    ours = os.open(store, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        layers = ",lowerdir=/proc/self/fd/%d,upperdir=/proc/self/fd/%d/upper,workdir=/proc/self/fd/%d/work"
        mount("overlay", target, "overlay", MS_NOSUID | MS_NODEV, OVERLAY_OPTIONS + layers % (below, ours, ours))
    except OSError as error:
        raise OSError(error.errno, "no overlay over %s: %s" % (lower[len(_OLD):], error.strerror)) from None
    finally:
        os.close(below)
        os.close(ours)
    if os.statvfs(target).f_flag & os.ST_RDONLY:
        # Where the work folder does not suit, the kernel mounts read-only and says nothing
        raise OSError(22, "no overlay over %s: the file system of the changes does not suit" % lower[len(_OLD):])


def leave(caches: Sequence[str], *, network: bool) -> None:
    """In a keeper, first process of its pid namespace: what is the same for every session, before there is one.

    Namespaces other than the user's, with a private /tmp and /dev/shm (`session_tree` says how large) and an empty
    network with loopback up. They belong to the zygote's user namespace, in which no session has any power.

    Args:
        caches: Folders made writable by `enter`, read-only from here on.
        network: Keep the host's network namespace.
    """
    unshare("mnt", "ipc", "uts", *([] if network else ["net"]))
    for folder in _COVERED:
        _cover(folder)
    for path in caches:
        _restrict(_NEW + path, False)
    try:
        socket.sethostname("sandbox")
    except OSError:
        pass
    if not network:
        _loopback_up()


def session_tree(writable: Dict[str, Optional[int]], readable: Dict[str, Optional[int]], tmp_mb: int,
                 overlays: Dict[str, str]) -> None:
    """In the keeper, after `leave`: go into the session's own file tree, with a /proc.

    Args:
        writable: Host path -> None, or a detached mount of it that the host hands over (as root only it can reach
            the path, and only it can map the owner of the files to the sessions' user).
        readable: The same, shown read-only.
        tmp_mb: Size of /tmp, and of /dev/shm, in MiB.
        overlays: Host path -> a folder with "upper" and "work": the path is shown, writes go there.
    """
    for folder in _COVERED:
        mount("tmpfs", _NEW + folder, "tmpfs", MS_REMOUNT | MS_NOSUID | MS_NODEV, _room(tmp_mb))
    for paths, may_write in ((readable, False), (writable, True)):
        for path, mount_fd in paths.items():
            if mount_fd is None:
                bind(_OLD + path, _NEW + path, writable=may_write)
            else:
                attach(mount_fd, _NEW + path, writable=may_write)
    for path, store in overlays.items():
        overlay(_OLD + path, _OLD + store, _NEW + path)
    _restrict_root()
    _pivot_into_new()
    mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)


def _cover(folder: str) -> None:
    """An empty, private folder over one of the base tree; what the base shows inside (a Python under /tmp) stays."""
    with open("/proc/self/mountinfo") as file:
        places = [line.split()[4] for line in file]
    inside = {place: os.open(place, os.O_PATH | os.O_CLOEXEC) for place in places
              if place.startswith(_NEW + folder + "/")}
    tmpfs(_NEW + folder, 1, "1777")
    for place, fd in inside.items():
        shown = "/proc/self/fd/%d" % fd
        _mount_point(shown, place)
        mount(shown, place, None, MS_BIND)
        _restrict(place, False)
        os.close(fd)


def _restrict_root() -> None:
    mount(_NEW, _NEW, None, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV)


def _pivot_into_new() -> None:
    os.chdir(_NEW)
    call(libc.syscall(PIVOT_ROOT, b".", b"."), "pivot_root")
    call(libc.umount2(b".", MNT_DETACH), "umount2")
    os.chdir("/")


def seal(*, uid: int, gid: int) -> None:
    """In the keeper: a user namespace of its own, with no power over the tree nor the network."""
    unshare("user")
    map_ids(uid, gid)


def enter_session(keeper: int, *, network: bool) -> None:
    """In a worker, already in the keeper's pid namespace: enter its other namespaces too.

    Args:
        keeper: A pidfd of it (Linux 5.8).
        network: It has the host's network.

    Raises:
        OSError: The system does not allow it.
    """
    names = ["user", "mnt", "ipc", "uts"] + ([] if network else ["net"])
    flags = 0
    for name in names:
        flags |= FLAGS[name]
    call(libc.setns(keeper, flags), "setns " + "+".join(names))


def _loopback_up() -> None:
    import fcntl

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, 0x8914, struct.pack("16sH14x", b"lo", 1 | 64))   # SIOCSIFFLAGS: up, running
