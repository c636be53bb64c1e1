"""How a cell ended: what cell.py finds out, journal.py remembers and report.py tells."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass, field
from typing import Any

from codeact.interpreter.result import ErrorInfo, Status
from codeact.interpreter.streams import Piece

__all__ = ["Outcome", "death_in_words"]


@dataclass
class Outcome:
    """How a cell ended."""

    status: Status = "ok"
    pieces: list[Piece] = field(default_factory=list)
    displays: dict[int, dict[str, str | bytes]] = field(default_factory=dict)
    value: dict[str, str | bytes] | None = None
    error: ErrorInfo | None = None
    chain: tuple[Any, ...] = ()
    """The error as data, unchecked; for styles that lay tracebacks out in another way."""
    pure: bool = False
    """Running it again gives the same, says the kernel."""
    seconds: float = 0.0
    kernel_seconds: float = 0.0
    """As the kernel says it, and no more than `seconds`."""
    dead: bool = False
    """The worker is gone, or must not be used any more."""
    taken: bool = True
    """The worker was sent the cell whole; otherwise it has run none of it."""
    reason: str = ""
    """Why the host stopped it, or how it died, in words for the model."""
    before: str = ""
    """What happened before it could run, in words for the model."""
    after: str = ""
    """What its death meant for the state, in words for the model, where the back-end keeps no states."""
    fault: BaseException | None = None
    """What the host's own program raised meanwhile: an interrupt (KeyboardInterrupt), or an error of a callback."""


def death_in_words(status: int | None) -> str:
    """How a process ended, from wait(2)'s status."""
    if status is None:
        return "ended without a word"
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        try:
            name = signal.Signals(number).name
        except ValueError:
            name = f"signal {number}"
        extra = {"SIGSEGV": ", a segmentation fault", "SIGKILL": ", as when memory runs out"}.get(name, "")
        return f"was killed ({name}{extra})"
    return f"ended itself with exit code {os.waitstatus_to_exitcode(status)}"
