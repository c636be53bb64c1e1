"""Random draws that are the same on every machine and in every version of Python.

Only what the documentation of `random` promises is used: a seed of text, and `random()`.
"""

from collections.abc import Sequence
from random import Random
from typing import TypeVar

__all__ = ["Draws"]

T = TypeVar("T")


class Draws:
    """Draws from a seed of text."""

    def __init__(self, seed: str) -> None:
        self._random = Random(seed)

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return self._random.random() < probability

    def integer(self, low: int, high: int) -> int:
        """A whole number, both ends included."""
        return low + int(self._random.random() * (high - low + 1))

    def pick(self, items: Sequence[T]) -> T:
        """One of them."""
        return items[self.integer(0, len(items) - 1)]

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """All of them, in another order."""
        return self.picks(items, len(items))

    def picks(self, items: Sequence[T], n: int) -> list[T]:
        """So many different ones, in any order; all of them if there are no more."""
        left = list(items)
        return [left.pop(self.integer(0, len(left) - 1)) for _ in range(min(n, len(left)))]
