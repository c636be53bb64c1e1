"""Brings changes into the user's folder, file by file, so that a kill at any moment leaves each file old or new.

pending.py calls `apply` between cells, or when no session runs. A new version is written beside the old one under a
name of ours, and to disk; then the two change places in one step. What is then in our hands is looked at once more: if
it is not the version the change was made from, the two change places again, and it is a conflict. Only then is it
removed. A deleted file is moved to such a name first. What was begun is written down before, so that recovering.py can
clean up after a kill.

The session chose the names and wrote the contents: the user's side is walked by descriptors and no link is followed, so
nothing outside the folder can be touched.

Lost on the way: other names (hard links) of a replaced file keep the old content. A program of the user's that holds
the old file open, and writes to it after the last look, writes to a file that has no name any more.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Sequence
from pathlib import Path

from codeact.errors import ChangeConflict, InterpreterError
from codeact.interpreter import renames
from codeact.interpreter.baseline import Baseline, Version, version
from codeact.interpreter.beneath import copy_bytes, lstat, parent
from codeact.interpreter.changes import Change
from codeact.interpreter.layers import Layer
from codeact.interpreter.recovering import PREFIX, as_expected, recover

__all__ = ["apply"]

def apply(changes: Sequence[Change], layer: Layer, baseline: Baseline) -> list[str]:
    """Bring these changes into the user's folder, those of folders before those of what is in them.

    Args:
        changes: Sorted by path; the ways to them are in the user's folder or among them. None refused.

    Returns:
        The paths that are now in the user's folder as the session left them.

    Raises:
        ChangeConflict: The user changed a file while this ran; it is as the user left it.
        InterpreterError: A file could not be written or read. What came before it is applied.
    """
    # What becomes a folder, and is written: from the top. What goes: from the bottom. Then files where folders were.
    late = [change for change in changes if _replaces_folder(change)]
    gone = [change for change in changes if change.kind == "deleted"]
    first = [change for change in changes if change.kind != "deleted" and not _replaces_folder(change)]
    done: list[str] = []
    for change in [*first, *reversed(gone), *late]:
        try:
            _Move(change, layer, baseline).do()
        except ChangeConflict:
            raise
        except OSError as error:
            raise InterpreterError(
                f"{change.path!r} could not be applied: {error.strerror or error}. {len(done)} changes were applied "
                "before it; the rest is still pending, and can be applied again when this is mended") from None
        done.append(change.path)
    return sorted(done)


def _replaces_folder(change: Change) -> bool:
    return (change.kind == "type changed" and change._user is not None and stat.S_ISDIR(change._user.st_mode))


class _Move:
    """One change on its way."""

    def __init__(self, change: Change, layer: Layer, baseline: Baseline):
        self.change, self.layer, self.baseline = change, layer, baseline
        self.source, self.path = layer.source, change.path
        self.expected: Version | None = version(change._user)
        self.mine_now = version(change._mine)
        """The session's version that was brought over."""
        self.made: os.stat_result | None = None
        """Our version of the user's file."""

    def do(self) -> None:
        mine, user = self.change._mine, self.change._user
        with parent(self.source, self.path) as (fd, name):
            if mine is None:
                self._remove(fd, name)
            elif stat.S_ISDIR(mine.st_mode) and user is not None and stat.S_ISDIR(user.st_mode):
                self._set_mode(fd, name, mine)
            else:
                self._put(fd, name, mine)
            renames.step("noted")
            self.baseline.equal(self.path, self.mine_now, self._user_now())

    def _user_now(self) -> Version | None:
        """The user's version as we left it; one that has changed since then will not compare equal."""
        now = version(lstat(self.source, self.path))
        if now is None or self.made is None or stat.S_ISDIR(now[0]) or now[1:4] == (version(self.made) or now)[1:4]:
            return now
        return version(self.made)

    def _begin(self, puts: bool) -> str:
        """A name of ours beside the file, written down."""
        folder = self.path.rpartition("/")[0]
        name = PREFIX + os.urandom(6).hex() + ".tmp"
        self.temporary = f"{folder}/{name}" if folder else name
        renames.step("begin")
        self.baseline.add(["begin", self.path, self.temporary, self.expected, puts])
        return name

    def _end(self, fd: int) -> None:
        os.fsync(fd)
        renames.step("end")
        self.baseline.add(["end", self.temporary])

    def _put(self, fd: int, name: str, mine: os.stat_result) -> None:
        temporary = self._begin(True)
        try:
            self._make(fd, temporary, mine)
            self.made = os.stat(temporary, dir_fd=fd, follow_symlinks=False)
            renames.step("made")
            self.baseline.add(["made", self.temporary, self.made.st_ino])
            self._swap(fd, temporary, name)
        except BaseException:
            self._tidy()
            raise
        self._end(fd)

    def _tidy(self) -> None:
        """After a failure: what is still ours under this name goes."""
        try:
            recover(self.source, self.baseline)
        except OSError:
            pass   # it is written down; the next call tries again

    def _make(self, fd: int, name: str, mine: os.stat_result) -> None:
        """The session's version, whole and on disk, under a name of ours."""
        mode = stat.S_IMODE(mine.st_mode) & 0o777
        user = self.change._user
        renames.step("make")
        if stat.S_ISDIR(mine.st_mode):
            hide = getattr(self.layer, "hide_user_side", None)
            if hide is not None:
                hide(self.path)
            os.mkdir(name, 0o700, dir_fd=fd)
            made = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
        elif stat.S_ISLNK(mine.st_mode):
            text = self.layer.link(self.path)
            if text is None:
                raise OSError(11, "the session changed it just now", self.path)
            os.symlink(text, name, dir_fd=fd)
            _own(name, fd, self.source, None)
            return
        else:
            made = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=fd)
        try:
            if stat.S_ISREG(mine.st_mode):
                renames.step("half made")
                self._fill(made)
                if user is not None and stat.S_ISREG(user.st_mode):
                    self._keep_attributes(fd, made)
                os.utime(made, ns=(time.time_ns(), min(mine.st_mtime_ns, time.time_ns())))
            _own(made, None, self.source, user)
            os.fchmod(made, mode)
            os.fsync(made)
        finally:
            os.close(made)

    def _fill(self, made: int) -> None:
        given = self.layer.open_mine(self.path)
        if given is None:
            raise OSError(11, "the session changed it just now", self.path)
        try:
            before = os.fstat(given)
            self.mine_now = version(before)
            if not stat.S_ISREG(before.st_mode):
                raise OSError(11, "the session changed it just now", self.path)
            copy_bytes(given, made)
            if version(os.fstat(given)) != version(before) or os.fstat(made).st_size != before.st_size:
                raise OSError(11, "something the session left running is writing to it", self.path)
        finally:
            os.close(given)

    def _keep_attributes(self, fd: int, made: int) -> None:
        """Access lists and other extended attributes of the user's file go with it to the new version."""
        name = self.path.rpartition("/")[2]
        old = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=fd)
        try:
            names = os.listxattr(old)
        except OSError:
            names = []   # this file system has none
        try:
            for attribute in names:
                if attribute.startswith(("user.", "system.posix_acl")):
                    os.setxattr(made, attribute, os.getxattr(old, attribute))
        finally:
            os.close(old)

    def _swap(self, fd: int, temporary: str, name: str) -> None:
        """Our version takes its place; what stood there must be what was expected."""
        if self.expected is None:
            try:
                renames.rename(fd, temporary, name)
            except FileExistsError:
                raise self._conflict() from None
            return
        try:
            swapped = renames.exchange(fd, temporary, name)
        except FileNotFoundError:
            raise self._conflict() from None
        if not swapped:
            self._replace(fd, temporary, name)
            return
        renames.step("swapped")
        try:
            self._drop(fd, temporary)
        except ChangeConflict:
            renames.exchange(fd, temporary, name)
            raise

    def _replace(self, fd: int, temporary: str, name: str) -> None:
        """Where two names cannot be exchanged: look, then put ours in place of the other."""
        found = os.stat(name, dir_fd=fd, follow_symlinks=False)
        if not as_expected(found, self.expected):
            raise self._conflict()
        if stat.S_ISDIR(found.st_mode) or stat.S_ISDIR(os.stat(temporary, dir_fd=fd, follow_symlinks=False).st_mode):
            renames.unlink(fd, name)   # the one replacement that is not one step
        os.rename(temporary, name, src_dir_fd=fd, dst_dir_fd=fd)

    def _remove(self, fd: int, name: str) -> None:
        temporary = self._begin(False)
        try:
            renames.rename(fd, name, temporary)
        except FileNotFoundError:
            self._end(fd)
            return   # gone already, as was wanted
        renames.step("moved away")
        try:
            self._drop(fd, temporary)
        except BaseException:
            self._tidy()
            raise
        self._end(fd)

    def _drop(self, fd: int, temporary: str) -> None:
        """Remove the user's old version, if it is the one that was expected.

        Raises:
            ChangeConflict: It is another one, and is still there.
        """
        found = os.stat(temporary, dir_fd=fd, follow_symlinks=False)
        if not as_expected(found, self.expected):
            raise self._conflict()
        if not stat.S_ISDIR(found.st_mode):
            os.unlink(temporary, dir_fd=fd)
            return
        try:
            os.rmdir(temporary, dir_fd=fd)
        except OSError:
            raise ChangeConflict([self.path], "something is in this folder that the session never saw") from None

    def _set_mode(self, fd: int, name: str, mine: os.stat_result) -> None:
        folder = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
        try:
            os.fchmod(folder, stat.S_IMODE(mine.st_mode) & 0o777 | stat.S_IMODE(os.fstat(folder).st_mode) & 0o7000)
        finally:
            os.close(folder)

    def _conflict(self) -> ChangeConflict:
        return ChangeConflict([self.path], "it was changed just now")


def _own(made: int | str, fd: int | None, source: Path, user: os.stat_result | None) -> None:
    """A root host's new files belong to whom the old file, or the folder, belongs to."""
    if os.geteuid() != 0:
        if user is not None and isinstance(made, int) and os.fstat(made).st_gid != user.st_gid:
            try:
                os.fchown(made, -1, user.st_gid)
            except OSError:
                pass   # a group this user is not in
        return
    owner = user or source.stat()
    os.chown(made, owner.st_uid, owner.st_gid, dir_fd=fd, follow_symlinks=isinstance(made, int))
