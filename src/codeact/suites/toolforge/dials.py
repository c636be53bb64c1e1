"""How hard a task is: sizes that are set one by one, and five steps of difficulty that set all of them."""

from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from codeact.errors import ConfigError

__all__ = ["LEVELS", "MAX_TURNS", "Dials", "dials_for"]


@dataclass(frozen=True)
class Dials:
    """The sizes of a task."""

    items: int = 3
    """Records of each kind, 2 to 40."""
    hops: int = 1
    """What has to be looked up or done one after the other to learn something of one record, 1 to 4."""
    distractors: int = 0
    """Tools that do not help, 0 to 8."""
    failing: int = 0
    """Tools that fail at first, 0 to 4."""
    fails: int = 1
    """How often each of those fails, 1 to 3."""
    page: int = 0
    """Records on a page, 0 to 40; 0: all on one."""
    mixed: int = 0
    """1: dates are spelled in several ways, sizes given in several units."""

    def asdict(self) -> dict[str, Any]:
        """As plain values, for a task's `about`."""
        return asdict(self)


LEVELS = {
    1: Dials(items=3, hops=1),
    2: Dials(items=4, hops=2, distractors=1, failing=1),
    3: Dials(items=6, hops=2, distractors=3, failing=1, page=4, mixed=1),
    4: Dials(items=8, hops=3, distractors=4, failing=2, page=4, mixed=1),
    5: Dials(items=11, hops=4, distractors=6, failing=3, fails=2, page=4, mixed=1),
}
"""Dials by difficulty."""
MAX_TURNS = {1: 20, 2: 30, 3: 40, 4: 60, 5: 90}
"""Turns by difficulty: enough for one call a turn, with some to spare."""
_LIMITS = {"items": (2, 40), "hops": (1, 4), "distractors": (0, 8), "failing": (0, 4), "fails": (1, 3), "page": (0, 40),
           "mixed": (0, 1)}


def dials_for(difficulty: int, changes: str | None = None) -> Dials:
    """The dials of a difficulty, some of them changed: `"items=20,page=0"`.

    Raises:
        ConfigError: There is no such difficulty or dial, or a value is out of its range.
    """
    if difficulty not in LEVELS:
        raise ConfigError(f"toolforge has no difficulty {difficulty!r}; it goes from {min(LEVELS)} to {max(LEVELS)}")
    changed: dict[str, Any] = {}
    for part in filter(None, (changes or "").split(",")):
        name, _, value = (piece.strip() for piece in part.partition("="))
        if name not in _LIMITS:
            known = ", ".join(field.name for field in fields(Dials))
            raise ConfigError(f"toolforge has no dial {name!r}; there are: {known} (as in \"items=20,page=0\")")
        low, high = _LIMITS[name]
        if not (value.isascii() and value.isdigit() and low <= int(value[:9]) <= high):
            raise ConfigError(f"toolforge's dial {name} goes from {low} to {high}, not {value!r}")
        changed[name] = int(value)
    return replace(LEVELS[difficulty], **changed)
