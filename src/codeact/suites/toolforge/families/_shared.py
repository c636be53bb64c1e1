"""What tools of all families have in common: pages, dates and units as they come, names of things."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any, TypeVar

from codeact.suites.toolforge.dials import Dials
from codeact.suites.toolforge.draws import Draws

__all__ = ["CITIES", "PAGES", "PEOPLE", "UNITS", "Reading", "Tools", "day_in", "found", "paged", "spelled_day",
           "spelled_size"]  # fmt: skip

T = TypeVar("T")

Reading = dict[str, Any]
"""A record as a tool gives it."""
Tools = list[Callable[..., Any]]

PAGES = "Returns {'items': [...], 'next_token': text or None}; pass that token as page_token to get the next items."
"""Said of every tool that has pages."""

CITIES = ("Altmere", "Brinholm", "Corvale", "Dunmarsh", "Eastrey", "Fennick", "Galdor", "Harrow Bay", "Ilvane",
          "Jorsted", "Kelpie Point", "Lorrim", "Maddock", "Northwick", "Osterley", "Pellworm", "Quarry Hill", "Rosmere",
          "Skarne", "Tarbet", "Ulverby", "Vexley", "Wrenfield", "Yarrow", "Zelhem", "Ashdown", "Bramber", "Cleeve",
          "Drayford", "Elmstead", "Farrow", "Grisedale", "Hexby", "Islip", "Keswin", "Lydd", "Marrick", "Nethercote",
          "Orford", "Penrose")  # fmt: skip
PEOPLE = ("Abena", "Bashir", "Chiara", "Dmitri", "Elif", "Farah", "Goran", "Hana", "Ines", "Jonas", "Kavya", "Lars",
          "Mei", "Nadia", "Oluwa", "Priya", "Quentin", "Rosa", "Samir", "Tomas", "Uma", "Viktor", "Wanda", "Ximena",
          "Yusuf", "Zofia", "Anouk", "Bram", "Cem", "Dalia", "Emre", "Freya", "Gita", "Henk", "Ivo", "Jana", "Kofi",
          "Lena", "Marek", "Nils")  # fmt: skip

UNITS: Mapping[str, int] = {"kg": 1, "t": 1000, "min": 1, "h": 60, "pcs": 1, "dozen": 12, "gross": 144,
                            "B": 1, "kB": 1000, "MB": 1_000_000, "Pa": 1, "hPa": 100, "kPa": 1000,
                            "ms": 1, "ds": 100}  # fmt: skip
"""How many of the least unit of its kind each unit is."""
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def found(table: Mapping[str, T], key: str, what: str) -> T:
    """The entry of a key.

    Raises:
        KeyError: There is none; worded for whoever calls a tool.
    """
    if key not in table:
        raise KeyError(f"there is no {what} {key!r:.80}")
    return table[key]


def paged(rows: Sequence[Any], page_token: str, size: int) -> dict[str, Any]:
    """A page of rows; size 0: all of them.

    Raises:
        ValueError: The token is none that was given out.
    """
    begin = 0
    if page_token:
        number = page_token.removeprefix("after-")
        if number == page_token or not (number.isascii() and number.isdigit() and int(number[:9]) < len(rows)):
            raise ValueError(f"no such page token: {page_token!r:.80}; pass the next_token of the page before")
        begin = int(number)
    end = begin + size if size else len(rows)
    return {"items": list(rows[begin:end]), "next_token": f"after-{end}" if end < len(rows) else None}


def day_in(draws: Draws, begin: date, n_days: int) -> date:
    """One of so many days from a first one."""
    return begin + timedelta(days=draws.integer(0, n_days - 1))


def spelled_day(draws: Draws, day: date, dials: Dials) -> str:
    """A date as a record has it."""
    name = _MONTHS[day.month - 1]
    ways = (day.isoformat(), f"{day.day} {name} {day.year}", f"{name} {day.day}, {day.year}")
    chosen = draws.pick(ways)  # also where it is not asked for, so that the world is the same
    return chosen if dials.mixed else ways[0]


def spelled_size(draws: Draws, value: int, units: Sequence[str], dials: Dials) -> dict[str, Any]:
    """A size of so many least units as a record has it: `{"value": 3, "unit": "t"}`; always whole numbers.

    Args:
        units: Of one kind, the least one first.
    """
    chosen = draws.pick([unit for unit in units if value % UNITS[unit] == 0])
    unit = chosen if dials.mixed else units[0]
    return {"value": value // UNITS[unit], "unit": unit}
