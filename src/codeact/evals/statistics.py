"""How sure a number is: intervals, and tests of one thing against another on the same tasks. Standard library alone.

A task that is done several times is one cluster: its repeats are alike, so what is drawn anew, swapped or flipped is
always a task with all of its repeats. Nothing here depends on the order of its arguments or on the time; what draws at
random does so from a seed.

Sources: Wilson 1927 (interval of a share); Efron 1979 (bootstrap, percentiles); McNemar 1947 (its exact form is the
binomial test of the pairs that differ); Fisher 1935 (flipping signs); Holm 1979 (many tests at once).
"""

import math
import random
from collections.abc import Sequence
from fractions import Fraction
from itertools import accumulate
from statistics import NormalDist
from typing import NamedTuple

__all__ = ["Interval", "bootstrap", "difference", "holm", "mcnemar", "quantile", "sign_flip", "success", "wilson"]

LEVEL = 0.95
_MAX_DRAWS = 2_000_000
_MAX_WORK = 4_000_000


class Interval(NamedTuple):
    """Where the true value may well lie."""

    low: float
    high: float

    def overlaps(self, other: "Interval") -> bool:
        """Whether they have a value in common."""
        return self.low <= other.high and other.low <= self.high


def wilson(right: int, n: int, *, level: float = LEVEL) -> Interval:
    """Wilson's score interval of a share; from 0 to 1 where nothing was tried."""
    if not 0 <= right <= n:
        raise ValueError(f"{right} of {n} is no share")
    if n == 0:
        return Interval(0.0, 1.0)
    z2 = NormalDist().inv_cdf((1 + level) / 2) ** 2
    share = right / n
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = math.sqrt(z2 * (share * (1 - share) / n + z2 / (4 * n * n))) / (1 + z2 / n)
    # At the ends it is exact, and rounding must not leave the share itself outside.
    return Interval(0.0 if right == 0 else middle - half, 1.0 if right == n else middle + half)


def bootstrap(clusters: Sequence[Sequence[float]], *, level: float = LEVEL, n_draws: int = 2000, seed: int = 0
              ) -> Interval:
    """Interval of the mean of all values, by drawing whole clusters anew (percentiles).

    Args:
        clusters: The values of each task; none is empty.
        n_draws: As often; less often where there are very many clusters.

    Returns:
        A single point where all clusters are alike: then the draws know of no other value.
    """
    if not clusters:
        return Interval(-math.inf, math.inf)
    totals = [(sum(values), len(values)) for values in clusters]
    n, draw = len(totals), random.Random(seed)
    n_draws = max(500, min(n_draws, _MAX_DRAWS // n))
    if len({count for _, count in totals}) == 1:
        sums, n_values = [total for total, _ in totals], sum(count for _, count in totals)
        found = sorted(sum(draw.choices(sums, k=n)) / n_values for _ in range(n_draws))
    else:
        found = []
        for _ in range(n_draws):
            drawn = draw.choices(totals, k=n)
            found.append(sum(total for total, _ in drawn) / sum(count for _, count in drawn))
        found.sort()
    return Interval(quantile(found, (1 - level) / 2), quantile(found, (1 + level) / 2))


def success(tasks: Sequence[Sequence[bool]], *, level: float = LEVEL, seed: int = 0) -> Interval:
    """Interval of a share of successes: Wilson's where each task was done once, else the bootstrap's over tasks.

    Where all tasks came out alike the draws would claim certainty; then it is Wilson's of the tasks, as if repeats had
    told nothing new.
    """
    means = [sum(values) / len(values) for values in tasks]
    if all(len(values) == 1 for values in tasks) or set(means) <= {0.0} or set(means) <= {1.0}:
        return wilson(round(sum(means)), len(tasks), level=level)
    return bootstrap(tasks, level=level, seed=seed)


def difference(differences: Sequence[Fraction], *, limit: float = math.inf, level: float = LEVEL, seed: int = 0
               ) -> Interval:
    """Interval of the mean of paired differences, one for each task.

    Args:
        limit: No difference is larger. With one, tasks that all differ alike (or not at all) get the width that as many
            tasks allow for one that does not, by Wilson, since the draws would claim certainty.
    """
    if not differences:
        return Interval(-limit, limit)
    if len(set(differences)) == 1 and limit < math.inf:
        same, reach = float(differences[0]), wilson(0, len(differences), level=level).high
        return Interval(max(-limit, same - reach), min(limit, same + reach))
    return bootstrap([[float(value)] for value in differences], level=level, seed=seed)


def mcnemar(only_first: int, only_second: int) -> float:
    """Exact two-sided p of as many tasks that only one of two solved: 1 where none is."""
    n, fewer = only_first + only_second, min(only_first, only_second)
    tail: int = sum(math.comb(n, k) for k in range(fewer + 1))
    return min(1.0, float(Fraction(2 * tail, 2**n)))


def sign_flip(differences: Sequence[Fraction], *, max_work: int = _MAX_WORK) -> float:
    """Two-sided p of paired differences: how often their sum would be as far from 0 if each had either sign alike.

    Exact, over all ways of flipping, by adding up how many of them give which sum; for thousands of tasks with a wide
    range of differences by the normal curve, which by then is the same. With differences of 1 it is McNemar's test.

    Args:
        max_work: Additions from which on it is the normal curve.
    """
    values = [value for value in map(Fraction, differences) if value]
    scale = math.lcm(*(value.denominator for value in values))
    sizes = sorted(abs(int(value * scale)) for value in values)
    divisor: int = math.gcd(*sizes) or 1
    sizes = [size // divisor for size in sizes]
    reached = abs(int(sum(values) * scale)) // divisor
    reach = sum(sizes)
    if not reached:
        return 1.0
    if len(sizes) * reach > max_work:
        # Sums lie two apart, so the tail begins one below the sum that was reached.
        spread = math.sqrt(sum(size * size for size in sizes))
        return float(math.erfc((reached - 1) / (spread * math.sqrt(2))))
    # likely[k]: the probability that those flipped to the positive sum up to k
    likely = [1.0]
    for size in sizes:
        half = [0.5 * value for value in likely]
        nothing = [0.0] * size
        likely = [a + b for a, b in zip(half + nothing, nothing + half, strict=True)]
    return min(1.0, 2 * math.fsum(likely[(reach + reached) // 2 :]))


def holm(p_values: Sequence[float]) -> list[float]:
    """The p of each of several tests, raised so that any false alarm among all of them is as rare as it says."""
    order = sorted(range(len(p_values)), key=lambda number: p_values[number])
    raised = accumulate((min(1.0, (len(order) - rank) * p_values[number]) for rank, number in enumerate(order)), max)
    found = dict(zip(order, raised, strict=True))
    return [found[number] for number in range(len(order))]


def quantile(ordered: Sequence[float], share: float) -> float:
    """Between its neighbours, as numpy has it."""
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)
