"""What a session writes beside its workspace, where the walls let it: it fills the same disk. Used by live.py.

Of a workspace of ours the walls open the folder around it too, as branches get theirs there later; at the levels
without a file tree of its own, /tmp is a folder of ours on disk.

Not seen: what a branch writes into another one's workspace, which is that one's to answer for.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from codeact.interpreter.session import Session
from codeact.interpreter.settings import SPACES
from codeact.interpreter.watch import Watch

__all__ = ["Beside"]


class Beside:
    """Counts it.

    Args:
        session: Gives the session; after a death another one goes on in the same folders.
    """

    def __init__(self, session: Callable[[], Session]):
        self._session, self._began = session, time.time()
        self._watches: list[Watch] | None = None

    def _look(self) -> list[Watch]:
        """Made when they are first asked, as many a session ends before; what is there by then is counted too."""
        now = self._session()
        if now.base is None:
            return []
        spaces, tmp = now.base.path / SPACES, Path(now.config["tmp"])
        watches: list[Watch] = []
        if spaces in now.workspace.parents:
            watches.append(_Strays(spaces, now.workspace.name, self._session, self._began))
        if now.base.path in tmp.parents:
            watches.append(Watch(tmp, self._began))
        return watches

    def used_bytes(self) -> int:
        """Bytes on disk."""
        if self._watches is None:
            self._watches = self._look()
        return sum(watch.used_bytes() for watch in self._watches)

    def close(self) -> None:
        """Stop watching."""
        for watch in self._watches or ():
            watch.close()


class _Strays(Watch):
    """Looks at all of the folder that holds the workspaces, but for the workspaces in it."""

    def __init__(self, root: Path, own: str, session: Callable[[], Session], since: float):
        self._own, self._session = own, session
        super().__init__(root, since)

    def _enters(self, path: str) -> bool:
        return path.partition("/")[0] != self._own

    def used_bytes(self) -> int:
        super().used_bytes()
        branches = {member.workspace.name for member in list(self._session().keeper.members)}
        return sum(size for path, size in self._sizes.items() if path.partition("/")[0] not in branches)
