"""The states of a session: what ran, and the way back to one of them.

A state is a list of cells. A frozen copy (copies.py) holds the state of some such list; what ran since is in the
journal. To go back to a state is to resume the nearest frozen copy on the way to it and to replay the rest.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from codeact.errors import InterpreterGone
from codeact.interpreter.cell import CellRunner
from codeact.interpreter.copies import Copies
from codeact.interpreter.journal import MAX_ALL_BYTES, Entry, ReplayAnswers, Stored, fingerprint
from codeact.interpreter.limits import Limits
from codeact.interpreter.mirror import UNTOLD, Files, Mirror
from codeact.interpreter.session import Session
from codeact.kernel.wire import ProtocolError

__all__ = ["RESTORE_SECONDS", "Checkpoint", "History", "cells_named", "has_seed", "not_put_back"]

RESTORE_SECONDS = 120.0
"""For a worker to take stored variables over."""


@dataclass(eq=False)
class Checkpoint:
    """A state to go back to, with `Interpreter.restore`."""

    entries: tuple[Entry, ...] = field(repr=False)
    name: str | None = None
    files: Files | None = field(default=None, repr=False)
    """The workspace's small files; None for a folder of the user's, which is never put back."""
    taken: float = field(default_factory=time.time)
    """Seconds since the epoch."""
    frozen: bool = True
    """Held by a frozen copy; False where the state cannot be forked and will be replayed."""
    reason: str = ""
    """Why it is not."""
    memory_kb: int | None = None
    """What its frozen copy holds alone, in KiB; known where checkpoints were listed."""

    @property
    def age_seconds(self) -> float:
        """Since it was taken."""
        return time.time() - self.taken

    @property
    def cells(self) -> int:
        """How many cells had run."""
        return len(self.entries)


class History:
    """Keeps a session's states.

    Args:
        session: The session.
        limits: How many states to keep, and how much memory for them.
        mirror: The workspace's small files; None for a folder of the user's, which is never rewound.
        network: Whether cells can act on the network: a replay must not.
    """

    def __init__(self, session: Session, limits: Limits, mirror: Mirror | None, *, network: bool):
        self._limits, self._mirror, self._network = limits, mirror, network
        self.entries: list[Entry] = []
        self.named: dict[str, Checkpoint] = {}
        self._pinned: list[Checkpoint] = []
        self.first_files: Files | None = Files()
        """The workspace's, before any cell."""
        self.copies = Copies(session, limits, mirror, self._is_pinned)
        self.move(session)

    def move(self, session: Session) -> None:
        """Go on with this session's processes."""
        self.session = self.copies.session = session
        session.held = self.copies.alive

    def branch(self, session: Session, mirror: Mirror | None) -> History:
        """A second history with the same past, which goes on in another session."""
        other = History(session, self._limits, mirror, network=self._network)
        other.entries, other.named, other.first_files = list(self.entries), dict(self.named), self.first_files
        for state in self.copies.states:
            other.copies.share(state)
        return other

    # Going on ---------------------------------------------------------------------------------------------------------

    def ran(self, entry: Entry) -> None:
        """A cell has run."""
        self.entries.append(entry)
        if entry.answer_bytes:
            self._forget_oldest_answers()
        self.copies.ran(entry, self.entries)

    def _forget_oldest_answers(self) -> None:
        total = sum(entry.answer_bytes for entry in self.entries)
        for entry in self.entries:
            if total <= MAX_ALL_BYTES:
                break
            if entry.answer_bytes:
                total -= entry.answer_bytes
                entry.forget_answers()

    def _is_pinned(self, entries: tuple[Entry, ...]) -> bool:
        return any(mark.entries == entries for mark in (*self.named.values(), *self._pinned))

    def checkpoint(self, name: str | None, runner: CellRunner) -> Checkpoint:
        """A mark of now, held by a frozen copy where that is safe."""
        mark = Checkpoint(tuple(self.entries), name)
        if name is None:
            self._pinned = [*self._pinned[-15:], mark]
        else:
            self.named[name] = mark
        copies = self.copies
        try:
            copies.settle(runner)
            if copies.held(mark.entries) is None:
                copies.freeze(self.entries)
                copies.settle(runner)
        except (OSError, ProtocolError):
            copies.refusal = "the worker did not answer"
        mark.frozen = copies.held(mark.entries) is not None
        mark.reason = "" if mark.frozen else copies.refusal
        if self._mirror is not None:
            mark.files = self._mirror.keep()
        return mark

    def list_named(self) -> dict[str, Checkpoint]:
        """The named checkpoints, with the memory of each."""
        if self.named and self.session.running is not None:
            each = (self.session.wait_usage(1 << 40, each=True) or {}).get("each_kb", {})
            for mark in self.named.values():
                state = self.copies.held(mark.entries)
                mark.memory_kb = each.get(str(state.frozen.pid)) if state is not None else None
        return dict(self.named)

    # Going back -------------------------------------------------------------------------------------------------------

    def go_to(self, target: tuple[Entry, ...], runner: CellRunner, open_worker: Callable[[], None], *,
              rewind: bool, files: bool = False) -> list[str]:
        """Make `target` the state of the session.

        Args:
            open_worker: Gives a worker started anew its tools.
            rewind: Cells replayed may find the files of our own workspace as they were then: after a crash. Otherwise
                files stay as they are, and a cell that changed some is not replayed.
            files: Those of our own workspace are part of the state, and come back with it.

        Returns:
            What could not be brought back, in words; empty when all was.

        Raises:
            InterpreterGone: No worker can be started.
        """
        self.copies.forget_asked()
        self.session.sweep(self.copies.alive())
        reseed = not has_seed(target)
        held: tuple[Entry, ...] = ()
        then = self.first_files
        for state in self.copies.on_the_way(target):
            try:
                self.session.resume(state.frozen, reseed=reseed)
                held, then = state.entries, state.files
                break
            except InterpreterGone:
                self.copies.let_go(state)
        else:
            self.session.spawn()
            open_worker()
        self.entries = list(held)
        mirror = self._mirror if then is not None else None
        left = mirror.put_back(then) if files and mirror is not None and then is not None else []
        lost, died = self._replay(target[len(held):], runner, mirror if rewind or files else None, then)
        if died:   # strictly less to replay each time, so this ends
            self.go_to(tuple(self.entries), runner, open_worker, rewind=rewind, files=files)
        return lost + [not_put_back(left)] if left else lost

    def _replay(self, rest: tuple[Entry, ...], runner: CellRunner, mirror: Mirror | None,
                then: Files | None) -> tuple[list[str], bool]:
        """Run cells again; what could not be brought back, and whether the worker died of it."""
        rewound = False
        for position, entry in enumerate(rest):
            reason = "it did not run to its end, or what it was answered is too much to keep" \
                if not entry.replayable else \
                "it used the network, which is not used a second time" if entry.network else ""
            if not reason and not rewound and any(later.files for later in rest[position:]):
                # Before the first cell that wrote or may read files: the files as they were then
                rewound = mirror is not None
                if mirror is None:
                    reason = "it changed files, and these stay as they are" if entry.files else ""
                elif then is None or not mirror.can_put_back(then):
                    reason = "files it used are too large or too many to be put back, or were changed by somebody " \
                             "else since"
                else:
                    mirror.put_back(then)
            died = False
            if not reason:
                reason, died = self.again(entry, runner)
            if reason:
                return [_lost(rest[position:], reason)], died
            self.entries.append(entry)
        return [], False

    def again(self, entry: Entry, runner: CellRunner) -> tuple[str, bool]:
        """Run a cell again: what was different from the first time (empty: nothing), and whether the worker died."""
        answers = ReplayAnswers(entry)
        if entry.stored is not None:
            outcome = runner.run({"t": "restore", "n": entry.number}, answers, seconds=RESTORE_SECONDS,
                                 buffers=restore_buffers(entry.stored))
        else:
            outcome = runner.run({"t": "run", "n": entry.number, "code": entry.code, "offline": self._network}, answers,
                                 seconds=max(10.0, 3 * entry.seconds))
        if outcome.dead:
            return "it ended the process", True
        if answers.differs:
            return "it asked tools or the user for something else", False
        if outcome.status not in ("ok", "error"):
            return "it did not end in time", False
        same = not entry.fingerprint or fingerprint(outcome, entry.code) == entry.fingerprint
        return ("" if same else "it showed something else"), False

    def suspects(self, count: int) -> tuple[tuple[Entry, ...], tuple[Entry, ...]]:
        """The cells that led to now, parted before the latest `count` that may have left something running.

        Those that a copy holds are in the first part: it does not hold what runs beside it.
        """
        entries = tuple(self.entries)
        held = next((len(state.entries) for state in self.copies.on_the_way(entries)), 0)
        impure = [n for n in range(held, len(entries)) if not entries[n].pure]
        cut = impure[-min(count, len(impure))] if impure else held
        return entries[:cut], entries[cut:]

    def begin_with(self, entries: Sequence[Entry]) -> None:
        """The session was loaded: this is what led to its state, and its files are as they are to be."""
        self.entries = list(entries)
        if self._mirror is not None:
            self.first_files = self._mirror.keep()
        self.copies.freeze(self.entries)


def has_seed(entries: tuple[Entry, ...]) -> bool:
    """A fork repeats its parent's random numbers. Who chose a seed wants that; anyone else does not."""
    return any("seed" in entry.code for entry in entries)


def restore_buffers(stored: Stored) -> list[bytes]:
    """What goes with a "restore" frame: the state, the texts of the cells, the state's binary values."""
    cells = [[entry.number, entry.code] for entry in stored.entries]
    return [stored.state, json.dumps(cells).encode(), *stored.parts]


def _lost(entries: tuple[Entry, ...], reason: str) -> str:
    return (f"what {cells_named(entries)} did to the variables could not be brought back: "
            f"cell {entries[0].number} was to run again, but {reason}")


def cells_named(entries: Sequence[Entry]) -> str:
    """"cell 3", or "cells 3 to 5"."""
    first, last = entries[0].number, entries[-1].number
    return f"cell {first}" if first == last else f"cells {first} to {last}"


def not_put_back(paths: list[str]) -> str:
    """Tells which files stayed as they are."""
    if UNTOLD in paths:
        large = [path for path in paths if path != UNTOLD]
        return f"{UNTOLD} is as it is now" + (f"; {not_put_back(large)}" if large else "")
    named = ", ".join(paths[:5]) + (f" and {len(paths) - 5} more" if len(paths) > 5 else "")
    return f"{named} is as it is now: too large to be kept" if len(paths) == 1 else \
        f"{named} are as they are now: too large to be kept"
