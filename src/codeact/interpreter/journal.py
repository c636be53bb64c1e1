"""What is remembered of each cell, so that it can be run again where no frozen copy holds its effects.

A cell's tool calls and inputs are kept with their answers: in a replay the same questions get the same answers and
nothing happens in the world a second time. Its output is kept as a fingerprint: at the first difference the replay
stops.
"""

from __future__ import annotations

import json
import re
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from codeact.interpreter.outcome import Outcome
from codeact.tools.calls import Calls

if TYPE_CHECKING:
    from codeact.interpreter.package_calls import PackageCalls

__all__ = ["Entry", "HostAnswers", "ReplayAnswers", "Stored", "all_cells", "fingerprint", "weight"]

MAX_ANSWER_BYTES = 16 << 20
"""Of the answers kept for one cell, as they lie in memory; with more it cannot be replayed."""
MAX_ALL_BYTES = 256 << 20
"""Of the answers to all cells of a session; with more, the oldest are given up."""

PACKAGE_TOOL = "%pip"
"""What a cell calls to have packages installed; no tool can be named so."""

_TIMED = re.compile(r"^\s*%{1,2}time(?:it)?\b|=\s*%time(?:it)?\b", re.M)
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{6,}")

Reply = tuple[dict[str, Any], list[bytes]]


@dataclass(eq=False)
class Entry:
    """One cell that ran."""

    code: str
    number: int
    seconds: float
    fingerprint: str
    """Of what it showed; empty for a pure cell, which need not be checked."""
    replayable: bool
    """It ran to its end, by itself or with an exception, and all its answers were kept."""
    pure: bool
    """Running it again is sure to give the same."""
    files: bool
    """It changed files."""
    network: bool = False
    """Bytes crossed the network's proxy while it ran."""
    calls: dict[str, list[Reply]] = field(default_factory=dict)
    inputs: list[str | None] = field(default_factory=list)
    touched: frozenset[str] = frozenset()
    """The files it changed, relative to the workspace."""
    answer_bytes: int = 0
    """What `calls` and `inputs` take of memory, about."""
    stored: Stored | None = None
    """Instead of a cell: variables that were loaded from a file. Running it again is loading them again."""


    def forget_answers(self) -> None:
        """Give them up: it cannot be replayed any more."""
        self.calls, self.inputs, self.answer_bytes, self.replayable = {}, [], 0, False


@dataclass(frozen=True)
class Stored:
    """A session's state as the kernel spelled it, and the cells that led to it."""

    state: bytes
    parts: Sequence[bytes]
    entries: tuple[Entry, ...]


def all_cells(entries: Sequence[Entry]) -> list[Entry]:
    """The cells that ran, those before a load included."""
    return [cell for entry in entries for cell in (entry.stored.entries if entry.stored else (entry,))]


def fingerprint(outcome: Outcome, code: str) -> str:
    """What a cell showed, but for memory addresses, as a short digest; empty where it told times."""
    if _TIMED.search(code):
        return ""
    shown = [[kind, _ADDRESS.sub("0x", content) if isinstance(content, str) else 0]
             for kind, content in outcome.pieces]
    shown.append([str((outcome.value or {}).get("text/plain", ""))])
    shown.append([outcome.error.name, outcome.error.message] if outcome.error else [])
    return _digest(_ADDRESS.sub("0x", json.dumps(shown)).encode())


def _question(header: dict[str, Any], buffers: Sequence[memoryview]) -> str:
    asked = json.dumps([header.get("tool"), header.get("arguments")], sort_keys=True)
    return _digest(asked.encode(), *buffers)


def weight(answer: Any, enough: int) -> int:
    """Bytes of memory that an answer takes, strings and numbers included; where it is more than `enough`, some more."""
    total, todo = 0, [answer]
    while todo and total <= enough:
        one = todo.pop()
        total += sys.getsizeof(one)
        if isinstance(one, dict):
            todo += one
            todo += one.values()
        elif isinstance(one, list | tuple):
            todo += one
    return total


def _digest(*parts: bytes | memoryview) -> str:
    """The same in every process: a saved session is loaded in another one."""
    from hashlib import blake2b  # loads a library for cryptography

    digest = blake2b(digest_size=16)
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()


class HostAnswers:
    """Answers a cell's questions for real, and keeps the answers.

    Args:
        calls: Runs the tools.
        on_input: Asks a person for a line (prompt, hidden); None where nobody is there.
        packages: Installs packages; None where none may be.
    """

    def __init__(self, calls: Calls, on_input: Callable[[str, bool], str | None] | None,
                 packages: PackageCalls | None = None):
        self._calls, self._on_input, self._packages = calls, on_input, packages
        self._lock = threading.Lock()
        self.bytes = 0
        """Of what is kept, about."""
        self.calls: dict[str, list[Reply]] = {}
        self.inputs: list[str | None] = []
        self.tool_failed = False
        """Whether a tool, which runs on the host, ended with an error."""

    @property
    def complete(self) -> bool:
        """Whether every answer was small enough to keep."""
        return self.bytes <= MAX_ANSWER_BYTES

    def call(self, header: dict[str, Any], buffers: Sequence[memoryview], reply: Callable[..., None]) -> None:
        question = _question(header, buffers)

        def keep_and_reply(answer: dict[str, Any], parts: Sequence[bytes] = ()) -> None:
            kept = {key: value for key, value in answer.items() if key != "id"}
            with self._lock:
                self.tool_failed |= not answer.get("ok", True)
                if self._has_room_for(kept, *parts):
                    self.calls.setdefault(question, []).append((kept, list(parts)))
            reply(answer, parts)

        if self._packages is not None and header.get("tool") == PACKAGE_TOOL:
            self._packages.call(header, buffers, keep_and_reply)
        else:
            self._calls.start(header["id"], header, buffers, keep_and_reply)

    def input(self, prompt: str, hidden: bool) -> str | None:
        line = self._on_input(prompt, hidden) if self._on_input is not None else None
        with self._lock:
            if self._has_room_for(line):
                self.inputs.append(line)
        return line

    def _has_room_for(self, *answer: Any) -> bool:
        had_room = self.complete
        if had_room:
            self.bytes += 200 + weight(answer, MAX_ANSWER_BYTES - self.bytes)
        has_room = self.complete
        if had_room and not has_room:   # of no use without this one
            self.calls.clear()
            self.inputs.clear()
        return has_room

    def waiting(self) -> bool:
        return bool(self._calls.waiting_for_approval)

    def cancel(self) -> None:
        self._calls.cancel_all()
        if self._packages is not None:
            self._packages.cancel()


class ReplayAnswers:
    """Answers a replayed cell's questions from its entry; a question that was never asked ends the replay."""

    def __init__(self, entry: Entry):
        self._calls = {question: list(replies) for question, replies in entry.calls.items()}
        self._inputs = list(entry.inputs)
        self.differs = False

    def call(self, header: dict[str, Any], buffers: Sequence[memoryview], reply: Callable[..., None]) -> None:
        replies = self._calls.get(_question(header, buffers))
        if replies:
            answer, parts = replies.pop(0)
            reply({**answer, "id": header["id"]}, parts)
        else:
            self.differs = True
            reply({"t": "reply", "id": header["id"], "ok": False,
                   "error": {"name": "RuntimeError", "message": "not asked the first time"}}, [])

    def input(self, prompt: str, hidden: bool) -> str | None:
        if self._inputs:
            return self._inputs.pop(0)
        self.differs = True
        return None

    def waiting(self) -> bool:
        return False

    def cancel(self) -> None:
        pass
