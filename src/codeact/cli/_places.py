"""Where the chat keeps what outlives it: what was typed, and the conversations. For the user's eyes only.

Conversations are trajectories (`trajectory.py`) under `$XDG_DATA_HOME/codeact/conversations`, a file each, named by
the moment it began; what was typed is under `$XDG_STATE_HOME/codeact/typed`. Folders are made with mode 700, files
with mode 600. A conversation holds all that was said and shown: nothing removes secrets from it.
"""

import os
import re
import time
from pathlib import Path

__all__ = ["conversations", "last_conversation", "new_conversation", "typed"]


def typed() -> Path | None:
    """The file of what was typed in earlier chats, made if need be; None where it cannot be."""
    return _private(_base("XDG_STATE_HOME", ".local/state") / "codeact" / "typed")


def conversations() -> Path:
    """The folder of conversations; it need not be there."""
    return _base("XDG_DATA_HOME", ".local/share") / "codeact" / "conversations"


def new_conversation() -> Path | None:
    """A new, empty file for a conversation; None where none can be made."""
    began = time.strftime("%Y-%m-%dT%H-%M-%S")
    for number in range(1, 100):
        path = conversations() / (f"{began}.jsonl" if number == 1 else f"{began}-{number}.jsonl")
        if not path.exists():
            return _private(path)
    return None


def last_conversation() -> Path | None:
    """The one that was written to last; None where there is none with anything in it."""
    try:
        found = [path for path in conversations().iterdir() if path.suffix == ".jsonl"]
        written = [(path.stat().st_mtime_ns, path) for path in found if path.stat().st_size]
    except OSError:
        return None
    return max(written)[1] if written else None


def _base(variable: str, default: str) -> Path:
    named = os.environ.get(variable, "")
    # The specification says that a relative path is to be passed over.
    return Path(named) if named and re.match("/", named) else Path.home() / default


def _private(path: Path) -> Path | None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW, 0o600))
    except OSError:
        return None
    return path
