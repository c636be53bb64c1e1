"""Tools of the family `travel_itinerary_planning`: flights and hotels looked up in the tables of the suite's data."""

import builtins
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from codeact.suites.m3tooleval.calculator import times

__all__ = ["TravelAgency"]

Row = Mapping[str, Any]


class TravelAgency:
    """What may be booked.

    Args:
        locations: The places there are, spelled as in the tables; the data puts them in double quotes.
        flights: Rows with `from_location`, `to_location`, `date`, `price`.
        hotels: Rows with `location`, `preferences`, `price_per_night`, `rating`.
    """

    def __init__(self, locations: Sequence[str], flights: Sequence[Row], hotels: Sequence[Row]) -> None:
        self._locations = frozenset(locations)
        self._flights = flights
        self._hotels = hotels

    def tools(self) -> Sequence[Callable[..., Any]]:
        """The family's tools; they keep nothing."""
        return (self.find_flights, self.book_hotel, budget_calculator, max, min, sum)

    def find_flights(self, from_location: str, to_location: str, date: str) -> list[dict[str, Any]]:
        """The flights of a day from one place to another."""
        wanted = (self._place(from_location), self._place(to_location), date)
        return [dict(row) for row in self._flights
                if (row["from_location"], row["to_location"], row["date"]) == wanted]

    def book_hotel(self, location: str, *preferences: str) -> list[dict[str, Any]]:
        """The hotels of a place that have all that is asked for."""
        place = self._place(location)
        return [{**row, "preferences": list(row["preferences"])} for row in self._hotels
                if row["location"] == place and all(wish in row["preferences"] for wish in preferences)]

    def _place(self, name: str) -> str:
        for spelled in (str(name), f'"{name}"'):
            if spelled in self._locations:
                return spelled
        known = ", ".join(sorted(place.strip('"') for place in self._locations))
        raise ValueError(f"{str(name)[:80]!r} is no valid location; there are {known}")


def budget_calculator(flight_price: float, hotel_price_per_night: float, num_nights: int) -> Any:
    """What flight and nights cost together."""
    return flight_price + times(hotel_price_per_night, num_nights)


def max(*args: float) -> Any:
    """The greatest of the arguments, as the built-in function has it: a single one must be a list."""
    return builtins.max(*args)


def min(*args: float) -> Any:
    """The least of the arguments, as the built-in function has it: a single one must be a list."""
    return builtins.min(*args)


def sum(*args: float) -> Any:
    """All arguments added up; 0 if there are none."""
    return builtins.sum(args)
