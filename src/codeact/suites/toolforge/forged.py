"""What a family makes, and what it checks so that there is one right answer."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeVar

__all__ = ["Ambiguous", "Forged", "rounded", "the_least"]

T = TypeVar("T")


class Ambiguous(Exception):
    """A draw with no answer or more than one; it is thrown away, and the next is made."""


@dataclass(frozen=True)
class Forged:
    """A question over a small world, with its answer."""

    instruction: str
    """The question, with the form of the answer."""
    expected: Any
    """The answer, computed from the world itself."""
    tools: Callable[[], Sequence[Callable[..., Any]]]
    """Makes the tools the question needs, over a world of their own."""
    solution: str
    """The answer again, in Python over the tools; the last statement sets `answer`.

    It may use what `oracle.HEADER` defines.
    """
    distractors: Sequence[Callable[..., Any]] = ()
    """Tools of the same world that do not help."""


def the_least(items: Iterable[T], key: Callable[[T], Any]) -> T:
    """The item with the smallest key.

    Raises:
        Ambiguous: There is none, or two are equal.
    """
    ranked = sorted(((key(item), place, item) for place, item in enumerate(items)), key=lambda entry: entry[:2])
    if not ranked or (len(ranked) > 1 and ranked[0][0] == ranked[1][0]):
        raise Ambiguous("no single least")
    return ranked[0][2]


def rounded(value: Fraction, decimals: int) -> float:
    """The value at so many decimals.

    Raises:
        Ambiguous: It lies so near to the middle of two that rounding is a matter of taste or of floating point.
    """
    scaled = value * 10**decimals
    below = scaled.numerator // scaled.denominator
    if abs(scaled - below - Fraction(1, 2)) < Fraction(1, 100):
        raise Ambiguous("rounding is in doubt")
    return float((below + (scaled - below > Fraction(1, 2))) / 10**decimals)
