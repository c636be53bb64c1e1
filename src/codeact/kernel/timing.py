"""`%time` and `%timeit`: how long code takes, in the words people know from notebooks. Called by commands.py."""

from __future__ import annotations

import time
from typing import Any, Callable, Dict, List, Optional, Tuple

from .guard import keep_builtins

__all__ = ["Stopwatch", "in_units", "measure"]

keep_builtins(globals())


class Stopwatch:
    """Measures a block; `report` says what it took."""

    def __enter__(self) -> "Stopwatch":
        self._wall, self._cpu = time.perf_counter(), _processor_times()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self._wall
        user, system = _processor_times()
        self.user, self.system = user - self._cpu[0], system - self._cpu[1]

    def report(self) -> str:
        return "CPU times: user %s, sys: %s, total: %s\nWall time: %s\n" % (
            in_units(self.user), in_units(self.system), in_units(self.user + self.system), in_units(self.seconds))


def _processor_times() -> Tuple[float, float]:
    import os

    times = os.times()
    return times.user, times.system


def in_units(seconds: float, digits: int = 3) -> str:
    """`0.0015` -> `1.5 ms`; from a minute on minutes and seconds."""
    if seconds >= 60:
        minutes, rest = divmod(int(seconds), 60)
        hours, minutes = divmod(minutes, 60)
        return ("%dh " % hours if hours else "") + "%dmin %ds" % (minutes, rest)
    if seconds <= 0:
        return "0 ns"
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return "%.*g %s" % (digits, seconds / size, unit)
    return "%.*g ns" % (digits, seconds / 1e-9)


def measure(statement: str, setup: str, namespace: Dict[str, Any], *, loops: Optional[int] = None,
            repeat: int = 7) -> str:
    """Run a statement many times and say how long one run takes.

    Args:
        loops: Runs in one measurement; None: as many as take a tenth of a second.
    """
    import timeit

    timer = timeit.Timer(statement, setup, globals=namespace)
    if loops is None:
        loops = _enough_loops(timer.timeit)
    runs: List[float] = [seconds / loops for seconds in timer.repeat(repeat, loops)]
    mean = sum(runs) / len(runs)
    deviation = (sum((run - mean) ** 2 for run in runs) / len(runs)) ** 0.5
    return "%s ± %s per loop (mean ± std. dev. of %d run%s, %s loop%s each)\n" % (
        in_units(mean), in_units(deviation), repeat, "s" * (repeat != 1), format(loops, ","), "s" * (loops != 1))


def _enough_loops(run: Callable[[int], float]) -> int:
    loops = 1
    while run(loops) < 0.1 and loops < 10 ** 9:
        loops *= 10
    return loops
