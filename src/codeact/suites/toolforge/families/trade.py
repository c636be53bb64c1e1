"""Which offer is cheapest once lots, currencies, freight and duty are counted in."""

from datetime import date, timedelta
from fractions import Fraction
from typing import Any

from codeact.suites.toolforge.dials import Dials
from codeact.suites.toolforge.draws import Draws
from codeact.suites.toolforge.families import _shared as shared
from codeact.suites.toolforge.forged import Forged, rounded, the_least

GOODS = ("copper wire", "oak planks", "sea salt", "wool felt", "cedar oil", "glass beads", "tin sheet", "barley malt")
REGIONS = ("north", "east", "south", "west")

SOLUTION = """
costs = []
for offer in every(list_offers, {good!r}):
    if day(offer["ready"]) > day({deadline!r}):
        continue
    lots = -(-{need} // size(offer["lot"]))
    cost = lots * offer["price_per_lot"]
    if {hops} >= 2:
        cost *= exchange_rate(offer["currency"])
    if {hops} >= 4:
        cost *= 1 + duty_percent(offer["region"]) / 100
    if {hops} >= 3:
        cost += freight_fee(offer["port"]) * lots
    costs.append((cost, offer["port"]))
cost, port = min(costs)
answer = [port, round(cost, 2)]
"""


def make(draws: Draws, dials: Dials) -> Forged:
    """Offers of one good among those of others; by hops: price, exchange rate, freight, duty."""
    goods = draws.picks(GOODS, 3)
    good = goods[0]
    need = draws.integer(21, 95) * 100
    deadline = shared.day_in(draws, date(2031, 2, 1), 300)
    rates = {code: draws.integer(55, 190) for code in ("CRN", "DUK", "FLO")}  # in hundredths
    duties = {region: draws.integer(2, 28) for region in REGIONS}
    freights: dict[str, int] = {}
    offers: dict[str, list[shared.Reading]] = {name: [] for name in goods}
    costs: list[tuple[Fraction, str]] = []
    for name in goods:
        for port in draws.picks(shared.CITIES, dials.items):
            freights.setdefault(port, draws.integer(10, 90))
            lot, price = draws.integer(2, 12) * 50, draws.integer(300, 900)
            currency, region = draws.pick(list(rates)), draws.pick(REGIONS)
            late = draws.chance(0.3)
            ready = deadline + timedelta(days=draws.integer(1, 40) if late else -draws.integer(0, 40))
            price = max(1, price * lot // 400)
            offers[name].append({
                "port": port, "region": region, "ready": shared.spelled_day(draws, ready, dials),
                "lot": shared.spelled_size(draws, lot * 10, ("kg", "t"), dials), "price_per_lot": price,
                "currency": currency if dials.hops >= 2 else "thaler",
            })  # fmt: skip
            if name == good and not late:
                lots = -(-need // (lot * 10))
                cost = Fraction(lots * price)
                cost *= Fraction(rates[currency], 100) if dials.hops >= 2 else 1
                cost *= 1 + Fraction(duties[region], 100) if dials.hops >= 4 else 1
                cost += lots * freights[port] if dials.hops >= 3 else 0
                costs.append((cost, port))
    best, port = the_least(costs, key=lambda entry: rounded(entry[0], 2))
    steps = ["Cost is the number of lots times the price of a lot"]
    steps += [", turned into thalers by the exchange rate"] if dials.hops >= 2 else [" (in thalers)"]
    steps += [", raised by the duty of the offer's region"] if dials.hops >= 4 else []
    steps += [", plus the port's freight fee in thalers for each lot"] if dials.hops >= 3 else []
    when = deadline.isoformat()
    return Forged(
        f"We need at least {need} kg of {good}, all from one offer, in whole lots, ready on or before {when}. "
        f"{''.join(steps)}. Which port's offer costs least in all? "
        "Answer with a list of the port and its total cost in thalers, rounded at the end to 2 decimals, as "
        "['Town', 123.45].",
        [port, rounded(best, 2)],
        lambda: tools(offers, rates, freights, duties, dials),
        SOLUTION.format(good=good, need=need, deadline=when, hops=dials.hops),
        distractors=(port_harbour_master, insurance_quote, good_grades),
    )


def tools(offers: dict[str, list[shared.Reading]], rates: dict[str, int], freights: dict[str, int],
          duties: dict[str, int], dials: Dials) -> shared.Tools:  # fmt: skip
    def list_offers(good: str, page_token: str = "") -> dict[str, Any]:
        """Offers of a good: port, region, ready (date), lot {value, unit: kg or t}, price_per_lot, currency."""
        return shared.paged(shared.found(offers, good, "good"), page_token, dials.page)

    def exchange_rate(currency: str) -> float:
        """Thalers for one unit of a currency."""
        return shared.found(rates, currency, "currency") / 100

    def freight_fee(port: str) -> int:
        """Thalers for the freight of one lot from a port."""
        return shared.found(freights, port, "port")

    def duty_percent(region: str) -> int:
        """Duty on what comes from a region, in percent of its value."""
        return shared.found(duties, region, "region")

    made: shared.Tools = [list_offers, exchange_rate, freight_fee, duty_percent]
    return made[: dials.hops]


def port_harbour_master(port: str) -> str:
    """Who runs a port."""
    return shared.PEOPLE[len(port) % len(shared.PEOPLE)]


def insurance_quote(good: str, kilograms: int) -> float:
    """Thalers a year to insure a stock of a good."""
    return round(kilograms * (3 + len(good)) / 500, 2)


def good_grades(good: str) -> list[str]:
    """The grades a good is sold in."""
    return ["prime", "common"]
