"""A session's frozen copies: asked for after a cell, taken as they come, let go where there are too many."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from codeact.interpreter.cell import CellRunner
from codeact.interpreter.journal import Entry
from codeact.interpreter.limits import Limits
from codeact.interpreter.mirror import Files, Mirror
from codeact.interpreter.session import Frozen, Running, Session
from codeact.kernel.wire import Connection, ProtocolError

__all__ = ["Copies", "State"]

LISTEN_SECONDS = 0.1
"""Between two looks whether the user would not wait any more."""
REPLAY_CHEAPER_CELLS = 300
REPLAY_CHEAPER_SECONDS = 0.02
"""So many pure cells, or so long a run of them, are left to a replay rather than a fork each."""
REPLAY_IN_BRANCH_CELLS, REPLAY_IN_BRANCH_SECONDS = 5, 0.002
"""So few pure cells, and so short, a branch runs again rather than have the session forked once more."""


@dataclass(eq=False)
class State:
    """A frozen copy, and what it is a copy of."""

    frozen: Frozen
    entries: tuple[Entry, ...]
    files: Files | None


class Copies:
    """Asks a session's worker for frozen copies, and keeps them.

    Args:
        session: The session; who moves to another one sets it.
        limits: How many to keep, and how much memory for them.
        mirror: The workspace's small files, which go with a copy; None for a folder of the user's.
        is_pinned: Whether a state is to be kept as long as there is room: somebody named it.
    """

    def __init__(self, session: Session, limits: Limits, mirror: Mirror | None,
                 is_pinned: Callable[[tuple[Entry, ...]], bool]):
        self.session, self._limits, self._mirror, self._is_pinned = session, limits, mirror, is_pinned
        self.states: list[State] = []
        """The oldest first."""
        self._asked: dict[int, tuple[Entry, ...]] = {}
        self._ids = 0
        self._loose_cells, self._loose_seconds, self._loose_pure = 0, 0.0, True
        """What ran since the latest copy was asked for."""
        self.refusal = ""
        """Why the latest state could not be frozen; empty when it could."""

    def alive(self) -> list[Frozen]:
        """The frozen copies there are."""
        return [state.frozen for state in self.states]

    def share(self, state: State) -> None:
        """Hold a copy of another session's too."""
        state.frozen.share()
        self.states.append(state)

    # Asking -----------------------------------------------------------------------------------------------------------

    def ran(self, entry: Entry, entries: list[Entry]) -> None:
        """A cell has run, the last of these; freeze the state soon, if replaying it could go wrong or take long."""
        self._loose_cells += 1
        self._loose_seconds += entry.seconds
        self._loose_pure = self._loose_pure and entry.pure
        if self._loose_pure:
            if self._loose_cells <= REPLAY_CHEAPER_CELLS and self._loose_seconds <= REPLAY_CHEAPER_SECONDS:
                return
        elif entry.pure and self.refusal:
            return   # what forbade the fork is still there
        self.freeze(entries, later=True)

    def freeze(self, entries: list[Entry], *, later: bool = False) -> None:
        """Ask the worker for a frozen copy of now; it comes while nobody waits.

        Args:
            entries: What led to it.
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
        self._asked[self._ids] = tuple(entries)
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

    def forget_asked(self) -> None:
        """The worker that was asked is gone."""
        self._asked.clear()

    # Keeping ----------------------------------------------------------------------------------------------------------

    def held(self, entries: tuple[Entry, ...]) -> State | None:
        """The copy of this very state."""
        return next((state for state in self.states if state.entries == entries), None)

    def on_the_way(self, target: tuple[Entry, ...]) -> list[State]:
        """The copies of states that lead to this one, the nearest first."""
        return sorted((state for state in self.states if state.entries == target[:len(state.entries)]),
                      key=lambda state: -len(state.entries))

    def nearly(self, entries: list[Entry]) -> State | None:
        """The latest frozen copy that lacks at most a few pure cells, run again in less time than a fork takes."""
        for state in reversed(self.states):
            rest = entries[len(state.entries):]
            if len(rest) > REPLAY_IN_BRANCH_CELLS or sum(entry.seconds for entry in rest) > REPLAY_IN_BRANCH_SECONDS:
                return None
            if state.entries == tuple(entries[:len(state.entries)]):
                return state if all(entry.pure for entry in rest) else None
        return None

    def let_go(self, state: State) -> None:
        """It ends; its state can still be replayed."""
        self.states.remove(state)
        state.frozen.close()

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
            self.let_go(state)

    def close(self) -> None:
        """Let every copy go."""
        for state in list(self.states):
            self.let_go(state)


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
