"""How much one user may use: disk, and what models cost in money and in tokens, by day or by month (UTC)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from codeact.errors import ConfigError

__all__ = ["NONE", "Quota", "Rate", "day_of"]

NONE = "none"
"""Spells that there is no limit."""
_DAY_SECONDS = 24 * 3600


@dataclass(frozen=True)
class Rate:
    """So much in a day or a month."""

    amount: float
    per: str = "day"

    @classmethod
    def read(cls, text: str) -> Self | None:
        """What `5`, `5/day` or `5/month` says; None for `none`.

        Raises:
            ConfigError: It says nothing of the sort.
        """
        if text == NONE:
            return None
        number, _, per = text.partition("/")
        per = per or "day"
        if (amount := _positive(number)) is None or per not in ("day", "month"):
            raise ConfigError(f"{text[:80]!r} is no limit; right are 5, 5/day, 5/month, and none")
        return cls(amount, per)

    def __str__(self) -> str:
        return f"{self.amount:.15g}/{self.per}"

    def span(self, now: float) -> str:
        """What days of the present span begin with."""
        return day_of(now)[: 10 if self.per == "day" else 7]

    def again(self, now: float) -> str:
        """When the next span begins, in words."""
        if self.per == "day":
            return f"{day_of(now + _DAY_SECONDS)} 00:00 UTC"
        year, month = map(int, day_of(now)[:7].split("-"))
        return f"{year + month // 12}-{month % 12 + 1:02}-01 00:00 UTC"


@dataclass(frozen=True)
class Quota:
    """What one user may use; None: as much as there is."""

    disk: float | None = None
    """MB (2**20 bytes) of files and saved states."""
    cost: Rate | None = None
    """US dollars, as far as models tell what they cost."""
    tokens: Rate | None = None
    """Tokens read and written."""

    @classmethod
    def read(cls, texts: Mapping[str, str | None], otherwise: Quota | None = None) -> Quota:
        """Of `disk`, `cost` and `tokens` as a person spells them; where one is None, as `otherwise` has it.

        Raises:
            ConfigError: One says nothing of the sort.
        """
        otherwise = otherwise or cls()
        disk, cost, tokens = (texts.get(name) for name in ("disk", "cost", "tokens"))
        return cls(otherwise.disk if disk is None else _megabytes(disk),
                   otherwise.cost if cost is None else Rate.read(cost),
                   otherwise.tokens if tokens is None else Rate.read(tokens))

    def spelled(self) -> dict[str, str]:
        """As `read` takes it."""
        return {"disk": NONE if self.disk is None else f"{self.disk:.15g}", "cost": str(self.cost or NONE),
                "tokens": str(self.tokens or NONE)}


def day_of(now: float) -> str:
    """The day of a moment, as 2026-01-31."""
    return time.strftime("%Y-%m-%d", time.gmtime(now))


def _megabytes(text: str) -> float | None:
    if text == NONE:
        return None
    if (amount := _positive(text)) is None:
        raise ConfigError(f"{text[:80]!r} is no limit; right are megabytes (of 2**20 bytes), as 2000, and none")
    return amount


def _positive(text: str) -> float | None:
    try:
        amount = float(text)
    except ValueError:
        return None
    return amount if 0 < amount < 1e15 else None
