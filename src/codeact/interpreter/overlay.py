"""A layer of ours over a folder of the user's, by the kernel's overlayfs: what is written goes to `upper`.

Nothing is scanned or copied beforehand. A deleted file is a whiteout in `upper` (a device 0:0); a folder whose old
content is gone is marked opaque. pending.py makes one for each session at level 3 that is to leave the folder as it is.

The host never changes `upper` while a session has it mounted, but for that mark; it then writes through the mount
itself, as the session does. What lies in it is a session's: hostile names, links and special files are expected
(beneath.py).

Not shown to a session: other file systems mounted inside the user's folder.

Source: the kernel's overlayfs.rst.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from codeact.interpreter.beneath import Root, lstat, open_file, open_folder, parent, readlink, remove_tree
from codeact.interpreter.keeper import pid_of
from codeact.interpreter.layers import MAX_PATH_BYTES, Difference, acting_as, join, listing, put, set_mode
from codeact.interpreter.watch import Watch

__all__ = ["Overlay"]

OPAQUE = "user.overlay.opaque"


class Overlay:
    """The user's folder with a layer of ours on top.

    Args:
        source: The user's folder.
        store: A folder of ours; "upper", "work" and places to mount at are made in it.
    """

    kind: Literal["overlay", "copy"] = "overlay"

    def __init__(self, source: Path, store: Path):
        self.source, self.store = source, store
        self.output = self.upper = store / "upper"
        self.merged = -1
        """An open descriptor of the session's view; -1 without a session."""
        for name in ("upper", "work", "lower", "merged"):
            (store / name).mkdir(mode=0o755, parents=True, exist_ok=True)
        inherit = stat.S_IMODE(source.stat().st_mode) & 0o777
        self.upper.chmod(inherit)   # it is the folder's own mode inside

    # While a session runs ---------------------------------------------------------------------------------------------

    def attach(self, pidfd: int) -> None:
        """A session has it mounted: look into it through the session's keeper, before any code of the session runs.

        Raises:
            OSError: It cannot be reached.
        """
        self.close()
        fd = os.open(f"/proc/{pid_of(pidfd)}/root{self.source}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        if os.fstat(fd).st_dev in (self.source.stat().st_dev, self.upper.stat().st_dev):
            os.close(fd)
            raise OSError(22, "the session shows the folder itself, and no overlay", str(self.source))
        self.merged = fd

    def watch(self) -> Watch:
        return _UpperWatch(self)

    def close(self) -> None:
        if self.merged >= 0:
            os.close(self.merged)
            self.merged = -1

    def hide_user_side(self, path: str) -> None:
        """Before a folder of the session's is made on the user's side: the two are not to be merged meanwhile."""
        if self.merged < 0:
            return
        _mark_opaque(self.upper, path)

    # What differs -----------------------------------------------------------------------------------------------------

    def differing(self) -> Iterator[Difference]:
        pending = [("", False)]
        while pending:
            path, hidden = pending.pop()
            fd = open_folder(self.upper, path)
            if fd is None:
                continue
            try:
                hidden = hidden or _is_opaque(fd)
                found = {name: os.stat(name, dir_fd=fd, follow_symlinks=False) for name in os.listdir(fd)}
            finally:
                os.close(fd)
            theirs = listing(self.source, path)
            for name, mine in found.items():
                inner = join(path, name)
                user = theirs.get(name)
                both_folders = user is not None and stat.S_ISDIR(user.st_mode) and stat.S_ISDIR(mine.st_mode)
                if _is_whiteout(mine):
                    yield from self._gone(inner, user)
                    continue
                yield inner, mine, user
                if stat.S_ISDIR(mine.st_mode):
                    if len(os.fsencode(inner)) < MAX_PATH_BYTES:
                        pending.append((inner, hidden or not both_folders))
                elif user is not None and stat.S_ISDIR(user.st_mode):
                    yield from self._gone_below(inner)
            if hidden:
                for name, user in theirs.items():
                    if name not in found:
                        yield from self._gone(join(path, name), user)

    def _gone(self, path: str, user: os.stat_result | None) -> Iterator[Difference]:
        if user is None:
            return   # gone on both sides
        yield path, None, user
        if stat.S_ISDIR(user.st_mode):
            yield from self._gone_below(path)

    def _gone_below(self, path: str) -> Iterator[Difference]:
        pending = [path]
        while pending:
            path = pending.pop()
            for name, user in listing(self.source, path).items():
                yield f"{path}/{name}", None, user
                if stat.S_ISDIR(user.st_mode):
                    pending.append(f"{path}/{name}")

    def mine(self, path: str) -> os.stat_result | None:
        found = lstat(self.upper, path)
        return None if found is None or _is_whiteout(found) else found

    def open_mine(self, path: str) -> int | None:
        return open_file(self.upper, path, os.O_RDONLY)

    def link(self, path: str) -> str | None:
        return readlink(self.upper, path)

    # Giving changes up ------------------------------------------------------------------------------------------------

    def discard(self, path: str, user: os.stat_result | None) -> bool:
        live = self.merged >= 0
        root: Root = self.merged if live else self.upper
        # A root host's files in it are shown as the session's; below, on disk, they are its own
        owner = (os.fstat(self.merged).st_uid, os.fstat(self.merged).st_gid) if live else None
        mine = self.mine(path)
        if mine is not None and user is not None and stat.S_ISDIR(mine.st_mode) and stat.S_ISDIR(user.st_mode):
            with acting_as(owner):
                set_mode(root, path, stat.S_IMODE(user.st_mode) & 0o777)
            return True
        if not live:
            self._open_up(path)
            if lstat(self.upper, path) is not None:
                remove_tree(self.upper, path)
            return False
        with acting_as(owner):
            remove_tree(root, path)
        if user is not None:
            put(self.source, root, path, user, owner)
        return user is not None

    def _open_up(self, path: str) -> None:
        """Where a folder on the way was deleted as a whole: say so of each thing in it instead."""
        parts = path.split("/")
        for i in range(1, len(parts)):
            folder = "/".join(parts[:i])
            found = lstat(self.upper, folder)
            if found is not None and _is_whiteout(found):
                with parent(self.upper, folder) as (fd, name):
                    os.unlink(name, dir_fd=fd)
                    user = lstat(self.source, folder)
                    os.mkdir(name, 0o700 if user is None else stat.S_IMODE(user.st_mode) & 0o777, dir_fd=fd)
                for name in listing(self.source, folder):
                    self._whiteout(f"{folder}/{name}")

    def settle(self) -> None:
        """While nothing has it mounted: replace each mark "old content is gone" by a whiteout for each thing gone.

        Then every change is an entry of its own, and can be removed by itself.
        """
        pending = [""]
        while pending:
            path = pending.pop()
            fd = open_folder(self.upper, path)
            if fd is None:
                continue
            try:
                found = {name: os.stat(name, dir_fd=fd, follow_symlinks=False) for name in os.listdir(fd)}
                pending += [join(path, name) for name, mine in found.items() if stat.S_ISDIR(mine.st_mode)]
                if not _is_opaque(fd):
                    continue
                for name, user in listing(self.source, path).items():
                    if name not in found:
                        self._whiteout(join(path, name))
                    elif stat.S_ISDIR(user.st_mode) and stat.S_ISDIR(found[name].st_mode):
                        _mark_opaque(self.upper, join(path, name))   # as it was, by lying in this one
                os.removexattr(fd, OPAQUE)   # last, as a kill may come at any moment
            finally:
                os.close(fd)

    def _whiteout(self, path: str) -> None:
        with parent(self.upper, path) as (fd, name):
            os.mknod(name, stat.S_IFCHR, os.makedev(0, 0), dir_fd=fd)


class _UpperWatch(Watch):
    """Watches a layer, and the merged view of the folders in it: a write to a file that is there already is seen only
    in that view.

    Args:
        layer: Whose.
    """

    def __init__(self, layer: Overlay):
        self._layer = layer
        super().__init__(layer.upper)

    def _watch_also(self, folder: str) -> None:
        # Once the layer lets go of the session there is none: its number may be another file's
        fd = open_folder(self._layer.merged, folder) if self._layer.merged >= 0 else None
        if fd is not None:
            try:
                self._inotify.add(self, fd, folder)
            finally:
                os.close(fd)

    def _counts(self, found: os.stat_result) -> bool:
        return not _is_whiteout(found)


def _is_whiteout(found: os.stat_result) -> bool:
    """Whether an entry of an upper layer says that the file of this name is deleted."""
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == 0


def _is_opaque(fd: int) -> bool:
    try:
        return os.getxattr(fd, OPAQUE) == b"y"
    except OSError:
        return False


def _mark_opaque(root: Root, path: str) -> None:
    fd = open_folder(root, path)
    if fd is not None:
        try:
            os.setxattr(fd, OPAQUE, b"y")
        finally:
            os.close(fd)
