"""The suite of sums, by name."""

from toy import Sums


def create(n: int = 4) -> Sums:
    return Sums(n)
