"""Where the chat keeps what outlives it: what was typed, and the conversations. For the user's eyes only.

Conversations are trajectories (`trajectory.py`) under `$XDG_DATA_HOME/codeact/conversations`, a file each, named by
the moment it began; what was typed is under `$XDG_STATE_HOME/codeact/typed`. Folders are made with mode 700, files
with mode 600. A conversation holds all that was said and shown: nothing removes secrets from it.
"""

import os
import re
import time
from pathlib import Path

__all__ = ["conversations", "forget_old_states", "last_conversation", "new_conversation", "typed"]

_MAX_TYPED = 1_000_000
"""Bytes of what was typed; of more, the newer half is kept."""
_KEPT_STATES = 20
"""Conversations whose interpreter's state is kept; of older ones, cells are run again where that is safe."""


def typed() -> Path | None:
    """The file of what was typed in earlier chats, made if need be; None where it cannot be."""
    path = _private(_base("XDG_STATE_HOME", ".local/state") / "codeact" / "typed")
    if path is not None and path.stat().st_size > _MAX_TYPED:
        newer = path.read_bytes()[-_MAX_TYPED // 2 :]
        path.write_bytes(newer[max(0, newer.find(b"\n# ")) :])   # from the beginning of an entry
    return path


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


def forget_old_states() -> None:
    """Remove the saved states of all but the latest conversations: they are as large as what the cells held."""
    try:
        found = sorted(conversations().glob("*.jsonl"), reverse=True)   # their names are the moments they began
        old = {path.name for path in found[_KEPT_STATES:]}
        for state in conversations().glob("*.jsonl.state-*"):
            if state.name.partition(".state-")[0] in old:
                state.unlink(missing_ok=True)
    except OSError:
        pass


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
