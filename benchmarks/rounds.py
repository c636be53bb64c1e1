"""How benchmarks/interpreter.py measures: every engine once a round, in bounded time, and only right answers count."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import engines
from figures import Figure, Plan, Row

__all__ = ["Rounds", "check"]

SETTLE_SECONDS = 0.02
"""Before a sample of opening a session: what the one before left to the system's background is over."""


class Rounds:
    """The engines, and how they are measured in turn. In its subclasses `row_NAME` returns what it measured."""

    def __init__(self, ours: engines.Codeact, others: dict[str, Any], plan: Plan):
        self.ours, self.others, self.plan = ours, others, plan
        self.all: dict[str, Any] = {"codeact": ours, **others}

    def _rounds(self, count: int) -> Iterator[int]:
        """At most `count`, and no new one when the row's time is over."""
        deadline = time.monotonic() + self.plan.seconds
        for number in range(count):
            if number and time.monotonic() > deadline:
                return
            yield number

    def _in_turn(self, row: Row, count: int, measure: Callable[[str], float]) -> Row:
        """Call `measure(engine's name)` for every engine in each round."""
        samples: dict[str, list[float]] = {name: [] for name in self.all if name not in row.cells}
        for number in self._rounds(count):
            # Not always in one order: who follows whom can matter
            names = list(samples)
            for name in names[number % len(names):] + names[:number % len(names)]:
                samples[name].append(measure(name))
        row.ours = Figure(samples.pop("codeact"))
        row.others = {name: Figure(found) for name, found in samples.items()}
        return row

    def _opening(self, engine: Any, code: str, expected: str) -> float:
        """Milliseconds from nothing to the result of a session's first action."""
        time.sleep(SETTLE_SECONDS)
        started = time.perf_counter()
        session = engine.open()
        try:
            shown = session.run(code)
            took = time.perf_counter() - started
            check(shown, expected)
        finally:
            session.close()
        return took * 1000

    @contextmanager
    def _open_sessions(self) -> Iterator[dict[str, Any]]:
        """One session of each engine, which has answered once."""
        with ExitStack() as stack:
            sessions = {}
            for name, engine in self.all.items():
                sessions[name] = engine.open()
                stack.callback(sessions[name].close)
                check(sessions[name].run("print(1+1)"), "2")
            yield sessions

    def _timed(self, session: Any, code: str) -> float:
        started = time.perf_counter()
        session.run(code)
        return (time.perf_counter() - started) * 1000


def check(shown: Any, expected: str) -> None:
    """A figure counts only if the answer was right.

    Raises:
        RuntimeError: It was not.
    """
    text = shown if isinstance(shown, str) else shown.text
    if text.strip().removeprefix("Out[1]: ") != expected:
        raise RuntimeError(f"answered {text.strip()[:200]!r} instead of {expected!r}")
