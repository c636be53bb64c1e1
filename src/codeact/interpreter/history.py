"""The states of a session: what ran, which frozen copies hold which states, and the way back to one of them.

A state is a list of cells. A frozen copy holds the state of some such list; what ran since is in the journal. To go
back to a state is to resume the nearest frozen copy on the way to it and to replay the rest.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from codeact.errors import InterpreterGone
from codeact.interpreter.cell import CellRunner
from codeact.interpreter.journal import MAX_ALL_BYTES, Entry, ReplayAnswers, Stored, fingerprint
from codeact.interpreter.limits import Limits
from codeact.interpreter.mirror import UNTOLD, Files, Mirror
from codeact.interpreter.session import Frozen, Running, Session
from codeact.kernel.wire import Connection, ProtocolError

__all__ = ["RESTORE_SECONDS", "Checkpoint", "History", "State", "cells_named", "has_seed", "not_put_back"]

RESTORE_SECONDS = 120.0
"""For a worker to take stored variables over."""
LISTEN_SECONDS = 0.1
"""Between two looks whether the user would not wait any more."""
REPLAY_CHEAPER_CELLS = 300
REPLAY_CHEAPER_SECONDS = 0.02
"""So many pure cells, or so long a run of them, are left to a replay rather than a fork each."""
REPLAY_IN_BRANCH_CELLS, REPLAY_IN_BRANCH_SECONDS = 5, 0.002
"""So few pure cells, and so short, a branch runs again rather than have the session forked once more."""


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


@dataclass(eq=False)
class State:
    """A frozen copy, and what it is a copy of."""

    frozen: Frozen
    entries: tuple[Entry, ...]
    files: Files | None


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
        self.states: list[State] = []
        self.named: dict[str, Checkpoint] = {}
        self._pinned: list[Checkpoint] = []
        self.first_files: Files | None = Files()
        """The workspace's, before any cell."""
        self.move(session)
        self._asked: dict[int, tuple[Entry, ...]] = {}
        self._ids = 0
        self._loose_cells, self._loose_seconds, self._loose_pure = 0, 0.0, True
        """What ran since the latest copy was asked for."""
        self.refusal = ""
        """Why the latest state could not be frozen; empty when it could."""

    def move(self, session: Session) -> None:
        """Go on with this session's processes."""
        self.session = session
        session.held = self.alive

    def branch(self, session: Session, mirror: Mirror | None) -> History:
        """A second history with the same past, which goes on in another session."""
        other = History(session, self._limits, mirror, network=self._network)
        other.entries, other.named, other.first_files = list(self.entries), dict(self.named), self.first_files
        for state in self.states:
            state.frozen.share()
            other.states.append(state)
        return other

    # Freezing ---------------------------------------------------------------------------------------------------------

    def alive(self) -> list[Frozen]:
        """The frozen copies there are."""
        return [state.frozen for state in self.states]

    def ran(self, entry: Entry) -> None:
        """A cell has run; freeze its state soon, if replaying it could go wrong or take long."""
        self.entries.append(entry)
        if entry.answer_bytes:
            self._forget_oldest_answers()
        self._loose_cells += 1
        self._loose_seconds += entry.seconds
        self._loose_pure = self._loose_pure and entry.pure
        if self._loose_pure:
            if self._loose_cells <= REPLAY_CHEAPER_CELLS and self._loose_seconds <= REPLAY_CHEAPER_SECONDS:
                return
        elif entry.pure and self.refusal:
            return   # what forbade the fork is still there
        self.freeze(later=True)

    def _forget_oldest_answers(self) -> None:
        total = sum(entry.answer_bytes for entry in self.entries)
        for entry in self.entries:
            if total <= MAX_ALL_BYTES:
                break
            if entry.answer_bytes:
                total -= entry.answer_bytes
                entry.forget_answers()

    def freeze(self, *, later: bool = False) -> None:
        """Ask the worker for a frozen copy of now; it comes while nobody waits.

        Args:
            later: In a moment, when the host has told how the cell ended.
        """
        running = self.session.running
        if running is None:
            return
        if 0 < self.session.level < 3:
            # A worker at these levels does not see its own threads: the keeper does
            usage = self.session.wait_usage(1 << 40)
            if usage is not None and usage.get("threads", 1) != 1:
                self.refusal = "a thread is running"
                return
        self._ids += 1
        self._asked[self._ids] = tuple(self.entries)
        self._loose_cells, self._loose_seconds, self._loose_pure = 0, 0.0, True
        try:
            running.connection.send({"t": "checkpoint", "id": self._ids, "later": later}, timeout=10)
        except (OSError, ProtocolError):
            self._asked.pop(self._ids)   # its death is noticed when the next cell is sent

    def take(self, header: dict[str, Any], running: Running) -> None:
        """The worker's answer to `freeze`.

        Raises:
            ProtocolError: It answers what was not asked.
        """
        number = header.get("id")
        entries = self._asked.pop(number, None) if type(number) is int else None
        if entries is None:
            raise ProtocolError("an answer to no question")
        if header["t"] == "refused":
            self.refusal = str(header.get("reason", ""))[:500]
            self._loose_pure = False
            return
        pid = header.get("pid")
        fd = running.connection.take_fd()
        try:
            if type(pid) is not int:
                raise OSError("a checkpoint without a process")
            channel = Connection(_stream(fd))
        except OSError as error:
            os.close(fd)
            raise ProtocolError(str(error)) from None
        self.refusal = ""
        self.states.append(State(Frozen(channel, pid), entries, self._mirror.keep() if self._mirror else None))
        self._make_room()

    def _make_room(self) -> None:
        """Let go of the oldest copies: those nobody named or holds, and under pressure also those; a state that lost
        its copy is still there, to be replayed."""
        parent = self.session.running.parent if self.session.running is not None else None   # it tells how that ended
        loose = [state for state in self.states if state.frozen is not parent and not self._is_pinned(state.entries)]
        surplus = loose[:max(0, len(loose) - max(1, self._limits.checkpoints))]
        crowded = (self.session.usage or {}).get("frozen_kb", 0) > self._limits.checkpoint_mb << 10
        if crowded and not surplus and len(self.states) > 1:
            surplus = (loose[:-1] or self.states[:-1])[:1]
        for state in surplus:
            self._let_go(state)

    def _let_go(self, state: State) -> None:
        self.states.remove(state)
        state.frozen.close()

    def _is_pinned(self, entries: tuple[Entry, ...]) -> bool:
        return any(mark.entries == entries for mark in (*self.named.values(), *self._pinned))

    def _held(self, entries: tuple[Entry, ...]) -> State | None:
        return next((state for state in self.states if state.entries == entries), None)

    def nearly_now(self) -> State | None:
        """The latest frozen copy that lacks at most a few pure cells, run again in less time than a fork takes."""
        for state in reversed(self.states):
            rest = self.entries[len(state.entries):]
            if len(rest) > REPLAY_IN_BRANCH_CELLS or sum(entry.seconds for entry in rest) > REPLAY_IN_BRANCH_SECONDS:
                return None
            if state.entries == tuple(self.entries[:len(state.entries)]):
                return state if all(entry.pure for entry in rest) else None
        return None

    @property
    def is_settled(self) -> bool:
        """Whether every copy asked for has come."""
        return not self._asked

    def settle(self, runner: CellRunner, seconds: float = 30.0) -> None:
        """Wait until every copy asked for has come.

        Raises:
            ProtocolError, OSError: The worker is not to be trusted any more, or gone; or the user would not wait.
        """
        running = self.session.running
        if self._asked:
            runner.listen()
        deadline = time.monotonic() + seconds
        if self._asked and running is not None:
            running.connection.send({"t": "hurry"}, timeout=10)
        while self._asked and running is not None:
            if runner.stop_asked:
                raise TimeoutError("interrupted by the user")
            try:
                frame = running.connection.receive(timeout=max(0.0, min(LISTEN_SECONDS, deadline - time.monotonic())))
            except TimeoutError:
                if time.monotonic() > deadline:
                    raise
                continue
            if frame is None:
                raise OSError("the worker is gone")
            if frame[0]["t"] in ("checkpointed", "refused"):
                self.take(frame[0], running)
            elif time.monotonic() > deadline:   # it may go on talking of something else for ever
                raise TimeoutError("the worker does not answer")

    def checkpoint(self, name: str | None, runner: CellRunner) -> Checkpoint:
        """A mark of now, held by a frozen copy where that is safe."""
        mark = Checkpoint(tuple(self.entries), name)
        if name is None:
            self._pinned = [*self._pinned[-15:], mark]
        else:
            self.named[name] = mark
        try:
            self.settle(runner)
            if self._held(mark.entries) is None:
                self.freeze()
                self.settle(runner)
        except (OSError, ProtocolError):
            self.refusal = "the worker did not answer"
        state = self._held(mark.entries)
        mark.frozen, mark.reason = state is not None, "" if state is not None else self.refusal
        if self._mirror is not None:
            mark.files = self._mirror.keep()
        return mark

    def list_named(self) -> dict[str, Checkpoint]:
        """The named checkpoints, with the memory of each."""
        if self.named and self.session.running is not None:
            each = (self.session.wait_usage(1 << 40, each=True) or {}).get("each_kb", {})
            for mark in self.named.values():
                state = self._held(mark.entries)
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
        self._asked.clear()
        self.session.sweep(self.alive())
        reseed = not has_seed(target)
        held: tuple[Entry, ...] = ()
        then = self.first_files
        for state in sorted(self.states, key=lambda state: -len(state.entries)):
            if state.entries != target[:len(state.entries)]:
                continue
            try:
                self.session.resume(state.frozen, reseed=reseed)
                held, then = state.entries, state.files
                break
            except InterpreterGone:
                self._let_go(state)
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
        lengths = [len(state.entries) for state in self.states if state.entries == entries[:len(state.entries)]]
        held = max(lengths, default=0)
        impure = [n for n in range(held, len(entries)) if not entries[n].pure]
        cut = impure[-min(count, len(impure))] if impure else held
        return entries[:cut], entries[cut:]

    def begin_with(self, entries: Sequence[Entry]) -> None:
        """The session was loaded: this is what led to its state, and its files are as they are to be."""
        self.entries = list(entries)
        if self._mirror is not None:
            self.first_files = self._mirror.keep()
        self.freeze()

    def close(self) -> None:
        """Let every copy go."""
        for state in list(self.states):
            self._let_go(state)


def _stream(fd: int) -> socket.socket:
    """The socket that a worker sent.

    Raises:
        OSError: It is none, or of another kind, of which nobody knows how it behaves.
    """
    sock = socket.socket(fileno=fd)
    if (sock.family, sock.type) != (socket.AF_UNIX, socket.SOCK_STREAM):
        sock.detach()
        raise OSError("a checkpoint without a stream")
    return sock


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
