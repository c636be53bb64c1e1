"""The folder of ours that the changes to a folder of the user's lie in: where it is, whose it is, who has it open.

Of the session, or, where changes are to be kept, one for each folder of the user's under
`$XDG_STATE_HOME/codeact/changes`. One process at a time has it open. pending.py puts the changes into it.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from codeact.errors import ConfigError, InterpreterBusy
from codeact.interpreter.folders import new_folder, remove
from codeact.interpreter.folders import remove as remove_folder
from codeact.interpreter.keeper import pid_of
from codeact.interpreter.levels import is_root

__all__ = ["Kept", "every_kept", "kept_for", "state_folder"]

END_SECONDS = 10.0


def state_folder() -> Path:
    """Where changes are kept: one folder in it for each folder of the user's."""
    home = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(home).expanduser() / "codeact" / "changes"


def kept_for(source: Path) -> Path:
    """The place of the changes to a folder, whether or not there are any."""
    return state_folder() / hashlib.sha256(os.fsencode(source)).hexdigest()[:16]


def every_kept() -> Iterator[Path]:
    """The folders of the user's that have changes pending."""
    home = state_folder()
    for place in sorted(home.iterdir()) if home.is_dir() else ():
        try:
            record = json.loads((place / "record.json").read_bytes())
            if record["layer"] is not None:
                yield Path(record["folder"])
        except (OSError, ValueError, KeyError, TypeError):
            continue


class Kept:
    """One such folder, open and locked.

    Args:
        source: The user's folder, an absolute path without links in it.
        keep: Take the one in the user's state folder, with what is there; else a passing one.

    Raises:
        ConfigError: It would lie in the user's folder itself, or is of another folder of this name.
        InterpreterBusy: Another process has it open.
    """

    def __init__(self, source: Path, *, keep: bool):
        self.source, self.keep = source, keep
        self.folder = kept_for(source) if keep else new_folder() / "changes"
        home = self.folder.parent.resolve() / self.folder.name
        if source in home.parents:
            if not keep:
                remove(self.folder.parent)
            raise ConfigError(
                f"{source} holds the folder in which changes to it would be kept ({home.parent}); take a folder "
                f"further down, set {'XDG_STATE_HOME' if keep else 'TMPDIR'} to a place outside, or use mode='live' "
                "(--live)")
        self._make_store()
        self._lock = self._locked()
        try:
            self.record: dict[str, Any] = self._read_record()
            """What is known of the changes; its "layer" is None where there are none."""
        except BaseException:
            self.close()
            raise

    @property
    def is_open(self) -> bool:
        """Whether `close` is still to come."""
        return self._lock >= 0

    def close(self) -> None:
        """Let another process have it."""
        os.close(self._lock)
        self._lock = -1

    def remove(self) -> None:
        """Remove the changes; the record first, so that a kill leaves none that are half there."""
        (self.folder / "record.json").unlink(missing_ok=True)
        remove_folder(self.folder if self.keep else self.folder.parent)

    def _make_store(self) -> None:
        mode = 0o711 if is_root() else 0o700   # sessions of root are another user, who may have to walk through
        for folder in (self.folder.parent.parent, self.folder.parent, self.folder) if self.keep else (self.folder,):
            folder.mkdir(mode=mode, parents=True, exist_ok=True)
        for folder in (self.folder.parent, self.folder):
            folder.chmod(mode)

    def _locked(self) -> int:
        lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            raise InterpreterBusy(f"another codeact is at work on the changes to {self.source}; wait until it ends, or "
                                  "stop it") from None
        return lock

    def _read_record(self) -> dict[str, Any]:
        found = self.source.stat()
        new = {"version": 1, "folder": str(self.source), "inode": found.st_ino, "layer": None,
               "created": datetime.now().astimezone().isoformat(timespec="seconds")}
        try:
            record = json.loads((self.folder / "record.json").read_bytes())
        except FileNotFoundError:
            return new
        except ValueError as error:
            raise ConfigError(f"{self.folder}/record.json cannot be read ({error}); the changes in that folder are "
                              "untouched") from None
        if record.get("version") != 1 or record.get("folder") != str(self.source):
            raise ConfigError(f"{self.folder} was written by another version of codeact; the changes in it are "
                              "untouched")
        if record["layer"] is None:
            return new
        if record["inode"] != found.st_ino:
            raise ConfigError(
                f"{self.source} is another folder than the one that the pending changes of {record['created']} belong "
                f"to; they lie in {self.folder}: look at them, and remove that folder when they are no longer wanted")
        return dict(record)

    def write(self, kind: str) -> None:
        """Put down that there are changes, in a layer of this kind."""
        self.record["layer"] = kind
        temporary = self.folder / "record.tmp"
        temporary.write_text(json.dumps(self.record))
        temporary.replace(self.folder / "record.json")

    def note_session(self, pidfd: int) -> None:
        """Remember the session's first process: should this one be killed, the next must wait until that is gone."""
        pid = pid_of(pidfd)
        (self.folder / "session").write_text(f"{pid} {_began(pid)}")

    def wait_for_last_session(self) -> None:
        """Until the processes of an earlier session on this folder are gone.

        Raises:
            InterpreterBusy: They do not go.
        """
        try:
            pid, began = (self.folder / "session").read_text().split()
        except (FileNotFoundError, ValueError):
            return
        deadline = time.monotonic() + END_SECONDS
        while _began(int(pid)) == began:
            if time.monotonic() > deadline:
                raise InterpreterBusy(f"an earlier session still works on {self.source} (process {pid})")
            time.sleep(0.01)


def _began(pid: int) -> str | None:
    """When a process began; None when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in (b"Z", b"X") else fields[19].decode()
