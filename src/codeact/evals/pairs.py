"""Two sides on the same tasks: by how much they differ, and whether that is more than noise."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from codeact.evals.results import Row, by_task
from codeact.evals.statistics import Interval, difference, holm, mcnemar, sign_flip

__all__ = ["Flip", "Gap", "Pair", "corrected", "pair"]

ALPHA = 0.05


@dataclass(frozen=True)
class Gap:
    """First side less second, task by task."""

    value: float
    interval: Interval
    """Of 95 %, by drawing tasks anew."""
    p: float
    """Two-sided, of this test alone."""
    p_holm: float
    """Of this test among all that are shown together."""

    @property
    def is_noise(self) -> bool:
        """Whether chance gives such a gap more often than once in twenty."""
        return self.p_holm > ALPHA


@dataclass(frozen=True)
class Flip:
    """A task on which two sides differ."""

    task: str
    family: str
    first: float
    """Share of its repeats that were right."""
    second: float


@dataclass(frozen=True)
class Pair:
    """Two sides on the tasks that both have done."""

    n_tasks: int
    test: str
    """`McNemar`, or `sign flips` where tasks were repeated."""
    success: Gap
    """From -1 to 1."""
    turns: Gap
    flips: tuple[Flip, ...]

    @property
    def n_first(self) -> int:
        """Tasks on which the first did better."""
        return sum(flip.first > flip.second for flip in self.flips)

    @property
    def n_second(self) -> int:
        """Tasks on which the second did better."""
        return len(self.flips) - self.n_first


def pair(first: Sequence[Row], second: Sequence[Row], checker: str, *, seed: int = 0) -> Pair:
    """Compare two sides by a checker's verdicts; tasks that only one has done are left out."""
    left, right = by_task(first), by_task(second)
    tasks = [task for task in left if task in right]
    gaps, turns, flips = [], [], []
    for task in tasks:
        one, other = _mean_right(left[task], checker), _mean_right(right[task], checker)
        gaps.append(one - other)
        turns.append(_mean_turns(left[task]) - _mean_turns(right[task]))
        if one != other:
            flips.append(Flip(task, left[task][0].family, float(one), float(other)))
    once = all(len(left[task]) == len(right[task]) == 1 for task in tasks)
    n_first = sum(gap > 0 for gap in gaps)
    p = mcnemar(n_first, len(flips) - n_first) if once else sign_flip(gaps)
    p_turns = sign_flip(turns)
    return Pair(
        len(tasks),
        "McNemar" if once else "sign flips",
        Gap(_mean(gaps), difference(gaps, limit=1.0, seed=seed), p, p),
        Gap(_mean(turns), difference(turns, seed=seed), p_turns, p_turns),
        tuple(flips),
    )


def corrected(pairs: Sequence[Pair]) -> list[Pair]:
    """The same pairs with `p_holm` over all of them; success and turns each for itself."""
    success = holm([one.success.p for one in pairs])
    turns = holm([one.turns.p for one in pairs])
    return [replace(one, success=replace(one.success, p_holm=p), turns=replace(one.turns, p_holm=p_turns))
            for one, p, p_turns in zip(pairs, success, turns, strict=True)]


def _mean_right(rows: Sequence[Row], checker: str) -> Fraction:
    return Fraction(sum(bool(row.verdicts.get(checker)) for row in rows), len(rows))


def _mean_turns(rows: Sequence[Row]) -> Fraction:
    return Fraction(sum(row.n_turns for row in rows), len(rows))


def _mean(values: Sequence[Fraction]) -> float:
    return float(sum(values) / len(values)) if values else 0.0
