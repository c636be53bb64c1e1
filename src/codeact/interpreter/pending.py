"""The changes of a session to a folder of the user's, from the first cell until they are applied or discarded.

`Interpreter(workspace=DIR, mode="copy")` holds one, and `codeact changes`, `apply` and `discard` open one that a
command has left. It brings together where the changes lie (overlay.py, layers.py), which versions they were made from
(baseline.py), the list of them (changes.py), the way into the user's folder (applying.py) and out of ours
(giving_up.py). The folder of ours that all of it lies in is kept.py's.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from codeact.errors import ChangeConflict, InterpreterError, SandboxUnavailable
from codeact.interpreter.applying import apply
from codeact.interpreter.baseline import Baseline, version
from codeact.interpreter.beneath import lstat
from codeact.interpreter.changes import Change, Changes, find, shown
from codeact.interpreter.choosing import choose, with_ways, would_lose
from codeact.interpreter.copying import bring_up_to_date
from codeact.interpreter.folders import remove
from codeact.interpreter.giving_up import give_up, settle
from codeact.interpreter.kept import Kept
from codeact.interpreter.layers import Copy, Layer
from codeact.interpreter.levels import is_root
from codeact.interpreter.overlay import Overlay
from codeact.interpreter.recovering import recover
from codeact.interpreter.session import Session
from codeact.interpreter.watch import Watch

__all__ = ["Pending"]

log = logging.getLogger("codeact.interpreter")

MAX_NAMED = 5


class Pending:
    """The changes to one folder.

    Args:
        source: The user's folder, an absolute path without links in it.
        keep: Leave what is not applied for later, in the user's state folder; go on with what is there.

    Raises:
        ConfigError: The changes would lie in the folder itself, or are of another folder of this name.
        InterpreterBusy: Another process has them open.
    """

    def __init__(self, source: Path, *, keep: bool):
        self.source, self.keep = source, keep
        self._kept = Kept(source, keep=keep)
        self.store = self._kept.folder
        self.layer: Layer | None = None
        self._holders = 1
        self._live = False
        self._baseline: Baseline | None = None
        try:
            kind = self._kept.record["layer"]
            if kind is not None:
                self._open(kind)
        except BaseException:
            self._kept.close()
            raise

    @property
    def kind(self) -> str | None:
        """"overlay" or "copy"; None until a session has begun."""
        return self.layer.kind if self.layer else None

    @property
    def created(self) -> str:
        """When the changes began, in ISO 8601."""
        return str(self._kept.record["created"])

    def _open(self, kind: str, owner: tuple[int, int] | None = None) -> Baseline:
        """Make the layer of this kind ours."""
        if self._baseline is None or self._baseline.exact != (kind == "copy"):
            self._baseline = Baseline(self.store / f"{kind}.jsonl", exact=kind == "copy")
        if self.layer is not None:
            self.layer.close()
        self.layer = Overlay(self.source, self.store / "overlay") if kind == "overlay" else \
            Copy(self.source, self.store / "copy", self._baseline, owner)
        return self._baseline

    # A session --------------------------------------------------------------------------------------------------------

    def open_session(self, level: int, owner: tuple[int, int],
                     make: Callable[[Path, Path | None], Session]) -> Session:
        """Start a session whose workspace is the folder as the changes leave it. Called by pool.py.

        Args:
            level: Which walls stand.
            owner: Whom it runs as.
            make: Starts it: workspace, and the folder of an overlay over it.

        Raises:
            SandboxUnavailable: It cannot be started, or not with the changes that are pending.
            ConfigError: The folder is too large to be copied.
        """
        if self.kind != "copy":
            if level == 3:
                try:
                    return self._open_overlay(make)
                except (SandboxUnavailable, OSError) as error:
                    reason = str(error)
            else:
                reason = f"walls of level {level} have none"
            if self._kept.record["layer"] == "overlay":
                raise SandboxUnavailable(
                    f"changes to {self.source} are pending in an overlay, and none can be had now: {reason}. Apply or "
                    "discard them first")
            log.info("no overlay over %s (%s): it is copied", self.source, reason)
        return self._open_copy(owner if is_root() and level in (1, 2) else None, make)

    def _open_overlay(self, make: Callable[[Path, Path | None], Session]) -> Session:
        self._kept.wait_for_last_session()   # it may be a branch's, whose layer is still in use
        baseline = self._open("overlay")
        layer = self.layer
        assert isinstance(layer, Overlay)
        try:
            if self._kept.record["layer"] is not None:
                if not self._live:
                    self._settle()
                # What is pending was made from what the user had when an earlier session began
                baseline.seen({path: version(user) for path, _, user in layer.differing()})
            baseline.start()
            session = make(self.source, layer.store)
            try:
                layer.attach(session.keeper.pidfd)
                self._kept.note_session(session.keeper.pidfd)
            except BaseException:
                session.close()
                raise
        except BaseException:
            if self._kept.record["layer"] is None:
                layer.close()
                self.layer = self._baseline = None
            raise
        self._kept.write("overlay")
        self._live = True
        return session

    def _open_copy(self, owner: tuple[int, int] | None, make: Callable[[Path, Path | None], Session]) -> Session:
        folder = self.store / "copy"
        if self._kept.record["layer"] is None:   # nothing, or what a kill left half copied
            remove(folder)
            (self.store / "copy.jsonl").unlink(missing_ok=True)
            self._baseline = None
        folder.mkdir(mode=0o755, exist_ok=True)
        baseline = self._open("copy", owner)
        if not self._live:
            recover(self.source, baseline)
            try:
                bring_up_to_date(self.source, folder, baseline, owner)
            except BaseException:
                if self._kept.record["layer"] is None:
                    baseline.close()
                    self.layer = self._baseline = None
                    remove(folder)
                raise
        session = make(folder, None)
        self._kept.write("copy")
        self._live = True
        return session

    def watch(self) -> Watch:
        """What tells the files a cell touched."""
        assert self.layer is not None
        return self.layer.watch()

    def note(self, touched: Iterable[str]) -> None:
        """After a cell: remember which versions of the user's files there were."""
        if self._baseline is not None and not self._baseline.exact:
            self._baseline.seen({path: version(lstat(self.source, path)) for path in touched
                                 if not self._baseline.knows(path)})

    def share(self) -> Pending:
        """Held by a branch of the session too."""
        self._holders += 1
        return self

    def close(self) -> None:
        """The session is over, and its branches: keep what is pending, or drop it and say so."""
        self._holders -= 1
        if not self._kept.is_open or self._holders > 0:
            return
        left: Sequence[Change] = ()
        try:
            if self.layer is not None:
                self._live = False
                self.layer.close()
                left = self.changes()
        except (OSError, InterpreterError) as error:
            log.warning("the changes to %s could not be listed: %s", self.source, error)
            left = [Change("?", "modified", None, None)]
        if not left:
            self._kept.remove()
        elif not self.keep:
            names = ", ".join(shown(change.path) for change in left[:MAX_NAMED])
            log.warning("%d changes to %s were not applied and are dropped with the session: %s%s. apply() brings them "
                        "over; keep_changes=True keeps them for `codeact apply`", len(left), self.source, names,
                        ", ..." if len(left) > MAX_NAMED else "")
            self._kept.remove()
        if self._baseline is not None:
            self._baseline.close()
        self._kept.close()

    # What is done with them -------------------------------------------------------------------------------------------

    def changes(self) -> Changes:
        """What is not applied.

        Raises:
            InterpreterError: It is too much to list.
        """
        if self.layer is None or self._baseline is None:
            return Changes(self.source, [])
        return find(self.layer, self._baseline)

    def apply(self, paths: Sequence[str], *, force: bool) -> list[str]:
        """Bring changes into the user's folder; all or nothing where the user has changed one of the files meanwhile.

        Args:
            paths: Files, or folders with all in them; none for everything that is not refused.
            force: Also over changes of the user's.

        Returns:
            The paths applied.

        Raises:
            ChangeConflict: The user has changed files of these; nothing was written.
            ValueError: Nothing is changed at one of the paths, or it is refused.
            InterpreterError: A file could not be written.
        """
        if force and not paths:
            raise ValueError("force needs the paths that may be overwritten, by name")
        if self.layer is None or self._baseline is None:
            choose(Changes(self.source, []), paths)
            return []
        self._recover()
        every = self.changes()
        named_ones = choose(every, paths)
        chosen = with_ways(every, named_ones, ("added", "type changed"))
        refused = {change.path for change in chosen if change.refused}
        if asked := refused & {path.rstrip("/").removeprefix("./") for path in paths}:
            reasons = "; ".join(f"{change.path!r} is {change.refused}" for change in chosen if change.path in asked)
            raise ValueError(f"never applied: {reasons}")
        chosen = [change for change in chosen if change.path not in refused and not would_lose(change, refused)]
        forced = {change.path for change in named_ones} if force else set()
        if conflicts := [change for change in chosen if change.conflict and change.path not in forced]:
            raise ChangeConflict([change.path for change in conflicts], str(conflicts[0].conflict))
        applied = apply(chosen, self.layer, self._baseline)
        if not self._live:
            self._settle()
        return applied

    def discard(self, paths: Sequence[str]) -> list[str]:
        """Give changes up: the session's files are as the user's again.

        Args:
            paths: As for `apply`; none for everything.

        Returns:
            The paths discarded.

        Raises:
            ValueError: Nothing is changed at one of the paths.
            InterpreterError: A file could not be brought back.
        """
        if self.layer is None or self._baseline is None:
            choose(Changes(self.source, []), paths)
            return []
        self._recover()
        if not self._live and isinstance(self.layer, Overlay):
            self.layer.settle()
        every = self.changes()
        chosen = choose(every, paths)
        if self._live or not isinstance(self.layer, Overlay):   # a layer at rest can say what is left of a folder
            chosen = with_ways(every, chosen, ("deleted",))
        for change in chosen:
            give_up(change.path, self.layer, self._baseline)
        return [change.path for change in chosen]

    def _recover(self) -> None:
        assert self._baseline is not None
        try:
            recover(self.source, self._baseline)
        except OSError as error:
            raise InterpreterError("an earlier apply was interrupted, and cannot be cleaned up after: "
                                   f"{error}") from None

    def _settle(self) -> None:
        """While no session runs: take out of the layer what is applied, so that the user's files show again."""
        if isinstance(self.layer, Overlay):
            self._recover()
            assert self._baseline is not None
            settle(self.layer, self._baseline)
