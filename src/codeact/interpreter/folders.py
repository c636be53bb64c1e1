"""The folders sessions live in: one of this process, one of each session inside it, and nothing left behind.

A process holds a lock on its folder for as long as it lives. Folders nobody holds are of processes that were killed;
the next process that starts removes them. The file that is locked is made first and removed last, as a kill may come at
any moment; a folder without one is left alone, unless it is empty and no longer new.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

from codeact.interpreter.beneath import remove_tree

__all__ = ["Base", "new_folder", "remove"]

PREFIX = "codeact-"
MADE = re.compile(PREFIX + "[a-z0-9_]{8}")
"""As `tempfile` names them."""
LOCK = ".lock"
ATTEMPTS = 10
NEW_SECONDS = 60.0
"""In which an empty folder may yet get its lock."""
_home: tuple[int, Path, int] | None = None
"""Process, folder, descriptor of its lock."""
_lock = threading.Lock()


class Base:
    """A session's folder of ours; its branches share it, and the last one to close it removes it."""

    def __init__(self) -> None:
        self.path = new_folder()
        self._holders = 1

    def share(self) -> None:
        """One more session holds it."""
        with _lock:
            self._holders += 1

    def give_up(self, workspace: Path) -> None:
        """Nobody works in this one any more; others may in others, so it is moved out of their reach first."""
        if self._holders == 0 or self.path not in workspace.parents:
            return
        name = f"gone-{workspace.name}"
        with suppress(OSError):
            workspace.rename(self.path / name)
            remove_tree(self.path, name)

    def close(self) -> None:
        """Of one holder."""
        with _lock:
            self._holders -= 1
        if self._holders == 0:
            remove(self.path)


def new_folder() -> Path:
    """A new, empty folder for one session, which only this user can list."""
    with _lock:
        return Path(tempfile.mkdtemp(prefix="", dir=_own_home()))


def _own_home() -> Path:
    global _home
    if _home is None or _home[0] != os.getpid() or not _home[1].is_dir():
        if _home is not None and _home[0] == os.getpid():
            os.close(_home[2])   # somebody has removed the folder
        folder, lock = _new_home()
        if os.getuid() == 0:
            folder.chmod(0o711)   # sessions of root are another user, who has to walk through
        _home = (os.getpid(), folder, lock)
        threading.Thread(target=_clean_up_after_others, args=(folder,), name="codeact-clean", daemon=True).start()
    return _home[1]


def _new_home() -> tuple[Path, int]:
    for _ in range(ATTEMPTS):
        folder = Path(tempfile.mkdtemp(prefix=PREFIX)).resolve()
        lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return folder, lock
        except BlockingIOError:   # one that cleans up was quicker, and removes it
            os.close(lock)
    raise OSError(f"no folder of a session's can be made in {tempfile.gettempdir()}")


def remove_home() -> None:
    """At the end of the process: its own folder, if nothing is in it any more."""
    global _home
    with _lock:
        if _home is not None and _home[0] == os.getpid():
            _remove_home(_home[1])
            os.close(_home[2])
            _home = None


def _clean_up_after_others(own: Path) -> None:
    for folder in own.parent.glob(PREFIX + "*"):
        try:
            if folder == own or folder.lstat().st_uid != os.getuid():
                continue
            lock = os.open(folder / LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            if MADE.fullmatch(folder.name):
                _remove_unfinished(folder)
            continue
        except OSError:
            continue   # not one of ours
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove_home(folder)
        except OSError:
            pass   # in use
        finally:
            os.close(lock)


def _remove_home(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            remove(entry)
    remove(folder)


def _remove_unfinished(folder: Path) -> None:
    """Of a process killed while it made its folder, or removed it: nothing is in it."""
    try:
        if time.time() - folder.lstat().st_mtime > NEW_SECONDS:
            folder.rmdir()
    except OSError:
        pass   # not one of ours


def remove(folder: Path) -> None:
    """Remove a tree, however deep it is and whatever rights were taken away in it. Nothing may run in it any more."""
    try:
        shutil.rmtree(folder, ignore_errors=True)
    except RecursionError:
        pass
    if folder.exists():
        _flatten(folder)
        shutil.rmtree(folder, ignore_errors=True)


def _flatten(folder: Path) -> None:
    """Move every folder of a tree to its top and make it ours to read: then nothing is deep."""
    token = os.urandom(8).hex()
    pending, moved = [str(folder)], 0
    while pending:
        place = pending.pop()
        try:
            os.chmod(place, 0o700)
            with os.scandir(place) as entries:
                inner = [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
        except OSError:
            continue
        for path in inner:
            if place == str(folder):
                pending.append(path)
                continue
            moved += 1
            target = f"{folder}/{token}-{moved}"
            try:
                os.chmod(path, 0o700)
                os.rename(path, target)
                pending.append(target)
            except OSError:
                continue
