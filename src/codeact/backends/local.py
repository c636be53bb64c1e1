"""Cells in processes of this machine, behind the strongest walls that work here: the back-end used unless told."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from codeact.errors import InterpreterError
from codeact.interpreter.backend import Request
from codeact.interpreter.copies import State
from codeact.interpreter.history import Checkpoint, has_seed, not_put_back
from codeact.interpreter.journal import Entry, all_cells
from codeact.interpreter.live import LiveSession
from codeact.interpreter.mirror import Files, Mirror
from codeact.interpreter.settings import branch_folder
from codeact.interpreter.tend import tend
from codeact.interpreter.variables import ANSWER_SECONDS, Variable, checked

if TYPE_CHECKING:
    from codeact.interpreter.access import NetworkRequest
    from codeact.interpreter.changes import Changes
    from codeact.interpreter.pending import Pending
    from codeact.interpreter.saved import Saved
    from codeact.interpreter.saving import LoadReport, SaveReport, Stage

__all__ = ["LocalBackend", "create"]


class LocalBackend(LiveSession):
    """A session and its history; see `Backend` for what its methods do.

    Args:
        request: What is wanted.

    Raises:
        SandboxUnavailable: The walls asked for cannot be raised here.
        InterpreterGone: The Python does not start.
        ConfigError: A saved session does not fit the rest of the request.
        ValueError, FileNotFoundError: An argument makes no sense.
    """

    def __init__(self, request: Request):
        self.loaded: LoadReport | None = None
        if request.saved is not None:
            from codeact.interpreter import saving

            saving.check_folder(request.saved, request.workspace)
        super().__init__(request)
        if request.saved is not None:
            try:
                self._take_over(request.saved)
            except BaseException:
                self.close()
                raise

    @property
    def level(self) -> int:
        return self._session.level

    @property
    def workspace(self) -> Path:
        return self._session.workspace

    # The user's folder, where cells do not work in it itself (backend.Reviewed) ---------------------------------------

    @property
    def layer(self) -> Literal["overlay", "copy"] | None:
        return self._pending.layer.kind if self._pending is not None and self._pending.layer is not None else None

    @property
    def output_folder(self) -> Path:
        layer = self._pending.layer if self._pending is not None else None
        return self.workspace if layer is None else layer.output

    def changes(self) -> Changes:
        with self._tending:
            return self._reviewed().changes()

    def apply(self, paths: Sequence[str], *, force: bool) -> list[str]:
        with self._tending:
            return self._reviewed().apply(paths, force=force)

    def discard(self, paths: Sequence[str]) -> list[str]:
        with self._tending:
            return self._reviewed().discard(paths)

    def _reviewed(self) -> Pending:
        if self._pending is None:
            raise InterpreterError("cells work in the folder itself, so there are no changes to look at, apply or "
                                   "discard; Interpreter(workspace=DIR, mode='copy') holds them back")
        return self._pending

    # Cells ------------------------------------------------------------------------------------------------------------

    def interrupt(self) -> None:
        self._runner.interrupt()

    @property
    def network_log(self) -> tuple[NetworkRequest, ...]:
        """What was asked of the network where it is held to a list, the latest last."""
        return self._gateway.access.log if self._gateway is not None else ()

    @property
    def packages(self) -> dict[str, str]:
        """What was installed for the session: name -> version."""
        return dict(self._packages.installed) if self._packages is not None else {}

    # States -----------------------------------------------------------------------------------------------------------

    def checkpoint(self, name: str | None) -> Checkpoint:
        with self._tending:
            self._revive()
            self._notice_files()
            return self._history.checkpoint(name, self._runner)

    @property
    def checkpoints(self) -> dict[str, Checkpoint]:
        with self._tending:
            return self._history.list_named()

    def restore(self, mark: Checkpoint) -> list[str]:
        with self._tending:
            self._notice_files()
            lost = self._go_to(mark.entries, rewind=False, files=self._mirror is not None)
            if self._mirror is not None and mark.files is not None:
                left = self._put_back(self._mirror, mark.files)
                lost = [words for words in lost if not (left and "as it is now" in words.replace("they are", "it is"))]
                lost += [not_put_back(left)] if left else []
            return lost

    def _put_back(self, mirror: Mirror, files: Files) -> list[str]:
        left = mirror.put_back(files)
        mirror.touched(self._watch.take()[1])   # our own doing is nobody else's
        return left

    def undo(self, n: int) -> list[str]:
        with self._tending:
            self._notice_files()
            entries = self._history.entries
            first = 1 if entries and entries[0].stored is not None else 0   # a loaded state is the beginning
            return self._go_to(tuple(entries[:max(first, len(entries) - n)]), rewind=False,
                               files=self._mirror is not None)

    def reset(self) -> None:
        with self._tending:
            self._go_to((), rewind=False)

    # Branches ---------------------------------------------------------------------------------------------------------

    def branch(self) -> LocalBackend:
        with self._tending:
            self._revive()
            self._notice_files()
            state = self._history.copies.nearly(self._history.entries)
            if state is None:
                mark = self._history.checkpoint(None, self._runner)
                state = self._history.copies.nearly(self._history.entries)
                if state is None and (self._pending is not None or self._packages is not None):
                    raise InterpreterError(f"no branch can be made now: {mark.reason}; and with mode='copy' or "
                                           "packages it cannot be made by running the cells again")
            files = self._mirror.keep() if self._mirror is not None else Files()
            other: LocalBackend = object.__new__(LocalBackend)
            vars(other).update(vars(self))
            other._own_state()
            other.loaded = None
            with other._or_closed():
                other._gateway = self._gateway.share() if self._gateway is not None else None
                other._pending = self._pending.share() if self._pending is not None else None
                other._holds(other._pending, other._gateway)
                if state is not None:
                    other._share_walls(self, state, files)
                else:
                    other._repeat(tuple(self._history.entries), files)
            return other

    def _share_walls(self, first: LocalBackend, state: State, files: Files) -> None:
        """Become a branch: a fork of a frozen copy, behind the same walls, with a folder of its own."""
        base, mirror, workspace = first._session.base, None, first.workspace
        if first._mirror is not None and base is not None:
            workspace = branch_folder(base.path)
            mirror = first._mirror.branch(workspace, first._mirror.store)
            self._tell_left(mirror.put_back(files))
        session = first._session.branch(str(workspace))
        self._attach(session, mirror, first._history.branch(session, mirror))
        session.resume(state.frozen, reseed=not has_seed(state.entries))
        for entry in first._history.entries[len(state.entries):]:
            self._history.again(entry, self._runner)   # pure ones: nothing can be different

    def _repeat(self, entries: tuple[Entry, ...], files: Files) -> None:
        """Become a branch where a fork is unsafe: a session of its own, in which the cells run again."""
        self._begin()
        lost = self._go_to(entries)
        if self._mirror is not None:
            self._tell_left(self._put_back(self._mirror, files))
        self._tell(" ".join(lost))

    def _tell_left(self, left: list[str]) -> None:
        if left:
            self._tell(f"This is a branch, in a folder of its own; too large to be copied to it: {', '.join(left)}.")

    # Data -------------------------------------------------------------------------------------------------------------

    def variables(self) -> list[Variable]:
        with self._tending:
            for own in (True, False):   # a second time, if need be, with nothing of the user's run
                found = checked(self._ask({"t": "variables", "own": own}, seconds=ANSWER_SECONDS))
                if found is not None:
                    return found
        raise InterpreterError("the kernel does not say what its variables are")

    def save(self, path: Path, number: int) -> SaveReport:
        with self._tending:
            from codeact.interpreter import saving

            self._revive()
            return saving.save(path, self._stage(), all_cells(self._history.entries), number)

    def _stage(self) -> Stage:
        from codeact.interpreter.saving import Stage

        def again(entry: Entry) -> str:
            return self._history.again(entry, self._runner)[0]

        def fresh() -> None:
            self._go_to((), rewind=False)

        return Stage(self.workspace, self._settings.workspace is None, self._ask, again, fresh)

    def _take_over(self, saved: Saved) -> None:
        """Become the session of a file."""
        with self._tending:
            from codeact.interpreter import saving

            self.loaded, entries = saving.load(saved, self._stage())
            touched = self._watch.take()[1]
            if self._mirror is not None:
                self._mirror.touched(touched)
            self._history.begin_with(entries)
            if saved.told:
                self._tell(self.loaded.text)
        tend(self)


def create(*, request: Request) -> LocalBackend:
    """This back-end, for `plugins`."""
    return LocalBackend(request)
