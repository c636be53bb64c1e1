"""The cheapest way from city to city over several legs."""

from datetime import date, timedelta
from typing import Any

from codeact.suites.toolforge.dials import Dials
from codeact.suites.toolforge.draws import Draws
from codeact.suites.toolforge.families import _shared as shared
from codeact.suites.toolforge.forged import Forged, the_least

SOLUTION = """
trips = [(0, [{start!r}], day({first!r}))]
for leg in range({hops}):
    longer = []
    known = {{}}
    for cost, cities, since in trips:
        here = cities[-1]
        if here not in known:
            known[here] = every(departures, here)
        for ride in known[here]:
            when = day(ride["date"])
            if ride["to"] not in cities and since <= when <= day({last!r}) and size(ride["duration"]) <= {longest}:
                longer.append((cost + ride["fare"], cities + [ride["to"]], when + timedelta(days=1)))
    trips = longer
cost, cities = min((cost, cities) for cost, cities, since in trips if cities[-1] == {goal!r})
answer = cities + [cost]
"""


def make(draws: Draws, dials: Dials) -> Forged:
    """Layers of cities, as many legs as hops; rides that are too long or leave too early are of no use."""
    first = shared.day_in(draws, date(2032, 1, 10), 320)
    last = first + timedelta(days=2 * dials.hops)
    longest = draws.integer(6, 9) * 60
    n_between = min(4, max(1, dials.items // 2))
    names = draws.picks(shared.CITIES, 2 + n_between * (dials.hops - 1) + 3)
    start, goal, astray = names[0], names[1], names[-3:]
    layers = [[start]]
    layers += [names[2 + n_between * step : 2 + n_between * (step + 1)] for step in range(dials.hops - 1)]
    layers += [[goal]]
    rides: dict[str, list[shared.Reading]] = {name: [] for name in names}
    true: dict[str, list[tuple[str, date, int, int]]] = {name: [] for name in names}
    for step, layer in enumerate(layers[:-1]):
        for city in layer:
            for number in range(max(dials.items, len(layers[step + 1]) + 1)):
                to = draws.pick(layers[step + 1]) if number % 4 != 3 else draws.pick(astray)
                when = first + timedelta(days=draws.integer(-1, 2) + 2 * step)
                minutes, fare = draws.integer(2, 22) * 30, draws.integer(20, 400)
                true[city].append((to, when, minutes, fare))
                rides[city].append({
                    "to": to, "date": shared.spelled_day(draws, when, dials), "fare": fare,
                    "duration": shared.spelled_size(draws, minutes, ("min", "h"), dials),
                })  # fmt: skip
    trips: list[tuple[int, list[str]]] = []

    def go_on(city: str, since: date, cost: int, cities: list[str]) -> None:
        if len(cities) == dials.hops + 1:
            if city == goal:
                trips.append((cost, cities))
            return
        for to, when, minutes, fare in true[city]:
            if to not in cities and since <= when <= last and minutes <= longest:
                go_on(to, when + timedelta(days=1), cost + fare, [*cities, to])

    go_on(start, first, 0, [start])
    cost, cities = the_least(trips, key=lambda trip: trip[0])
    rides_in_all = "a single ride" if dials.hops == 1 else f"exactly {dials.hops} rides"
    return Forged(
        f"Find the cheapest trip from {start} to {goal} with {rides_in_all}. No ride may leave before {first} or after "
        f"{last}, each ride must leave on a later day than the one before, no ride may take longer than {longest} "
        "minutes, and no city is visited twice. Answer with a list of the cities in the order of the trip, both ends "
        "included, then the total fare, as ['From', 'To', 120].",
        [*cities, cost],
        lambda: tools(rides, dials),
        SOLUTION.format(start=start, goal=goal, first=first.isoformat(), last=last.isoformat(), hops=dials.hops,
                        longest=longest),
        distractors=(hotel_rates, city_sights, luggage_rules),
    )  # fmt: skip


def tools(rides: dict[str, list[shared.Reading]], dials: Dials) -> shared.Tools:
    def departures(city: str, page_token: str = "") -> dict[str, Any]:
        """Rides that leave a city: to, date, fare in thalers, duration {value, unit: min or h}."""
        return shared.paged(shared.found(rides, city, "city"), page_token, dials.page)

    return [departures]


def hotel_rates(city: str) -> dict[str, int]:
    """Thalers a night in a city: {"plain": ..., "fine": ...}."""
    return {"plain": 30 + len(city), "fine": 90 + 3 * len(city)}


def city_sights(city: str) -> list[str]:
    """What to see in a city."""
    return [f"{city} tower", f"the old bridge of {city}"]


def luggage_rules(rider: str) -> str:
    """How much luggage a rider may take."""
    return "two bags of 20 kg"
