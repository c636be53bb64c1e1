"""The line that says where a run stands: done, right, rate, money, time left."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from codeact.evals.runner import Progress

__all__ = ["ProgressLine", "described", "ended"]

_DRAWN_SECONDS, _LOGGED_SECONDS = 0.1, 15.0
_WHY = {"cancelled": "stopped", "token_limit": "stopped at the limit of tokens (--max-tokens)",
        "cost_limit": "stopped at the limit of money (--max-cost)"}


class ProgressLine:
    """Drawn over itself on a terminal; elsewhere, such as in a log, a line now and then."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._drawn = stream.isatty()
        self._next = 0.0

    def __call__(self, progress: Progress) -> None:
        """A job is done."""
        now, over = time.monotonic(), progress.n_done + progress.n_failed == progress.n_jobs
        if now < self._next and not over:
            return
        self._next = now + (_DRAWN_SECONDS if self._drawn else _LOGGED_SECONDS)
        text = described(progress)
        if self._drawn:
            width = shutil.get_terminal_size().columns - 1
            self._stream.write(f"\r\x1b[K{text[:width]}")
        else:
            self._stream.write(f"{text}\n")
        self._stream.flush()

    def close(self) -> None:
        """Leave the last one standing."""
        if self._drawn:
            self._stream.write("\n")
            self._stream.flush()


def described(progress: Progress) -> str:
    """As `120/738 16 % | code 61 %, json 55 % | 2.1/s, 4 min left | 1.2M tokens, $0.42 | 3 failed`."""
    parts = [f"{progress.n_done:,}/{progress.n_jobs:,} {progress.n_done / max(progress.n_jobs, 1):.0%}"]
    if progress.n_of:
        right = (f"{form} {progress.n_right[form] / n:.0%} right" for form, n in sorted(progress.n_of.items()))
        parts.append(", ".join(right))
    if progress.per_second:
        left = progress.seconds_left
        ahead = f", {_span(left)} left" if left and progress.stop is None else ""
        parts.append(f"{progress.per_second:.3g}/s{ahead}")
    if progress.usage.tokens:
        cost = f", ${progress.usage.cost:.2f}" if progress.usage.cost else ""
        parts.append(f"{_amount(progress.usage.tokens)} tokens{cost}")
    if progress.n_failed:
        parts.append(f"{progress.n_failed} failed")
    return " | ".join(parts)


def ended(progress: Progress, path: Path) -> str:
    """What is said at the end: how it ended, and what to do next."""
    said = []
    n_left = progress.n_jobs - progress.n_done
    if progress.stop is not None:
        said.append(f"{_WHY.get(progress.stop, progress.stop.value)}, with {n_left:,} of {progress.n_jobs:,} left")
    elif progress.n_failed:
        said.append(f"{progress.n_failed:,} could not be done, not for the model's fault (failures.jsonl says why)")
    if n_left:
        said.append(f"to go on:   codeact eval resume {path}")
    if progress.n_done:
        said.append(f"to read it: codeact eval report {path} --html report.html")
    return "\n".join(said)


def _span(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _amount(number: int) -> str:
    for size, letter in ((1_000_000, "M"), (1000, "k")):
        if number >= size:
            return f"{number / size:.1f}{letter}"
    return str(number)
