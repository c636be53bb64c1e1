"""How much of which article has to be ordered."""

from datetime import date
from typing import Any

from codeact.suites.toolforge.dials import Dials
from codeact.suites.toolforge.draws import Draws
from codeact.suites.toolforge.families import _shared as shared
from codeact.suites.toolforge.forged import Ambiguous, Forged

BEGIN = date(2031, 2, 1)

SOLUTION = """
orders = {{}}
for entry in every(stock_of, {store!r}):
    article = entry["article"]
    have = size(entry["stock"])
    if {hops} >= 2:
        have += sum(size(due["amount"]) for due in every(deliveries_of, article)
                    if due["store"] == {store!r} and day(due["date"]) <= day({until!r}))
    if {hops} >= 3:
        details = article_details(article)
        least = details["least_stock"]
    else:
        least = {least}
    if have < least:
        lot = supplier_terms(details["supplier"])["lot"] if {hops} >= 4 else 1
        orders[article] = -(-(least - have) // lot) * lot
answer = [[article, orders[article]] for article in sorted(orders)]
"""


def make(draws: Draws, dials: Dials) -> Forged:
    """By hops: the stock; deliveries on their way; each article's own least stock; the lots of its supplier."""
    stores = draws.picks(shared.CITIES, 3)
    until = shared.day_in(draws, BEGIN, 300)
    least_of_all = draws.integer(4, 8) * 36
    lots = {f"{name} & Co": draws.pick((1, 5, 12, 25, 40)) for name in draws.picks(shared.PEOPLE, 3)}
    articles = [f"A{number}" for number in draws.picks(range(100, 1000), dials.items + 2)]
    details: dict[str, dict[str, Any]] = {}
    stocks: dict[str, list[shared.Reading]] = {store: [] for store in stores}
    due: dict[str, list[shared.Reading]] = {}
    orders: list[list[Any]] = []
    units = ("pcs", "dozen", "gross")
    for article in articles:
        supplier, own_least = draws.pick(list(lots)), draws.integer(4, 8) * 36
        details[article] = {"least_stock": own_least, "supplier": supplier}
        amounts = {store: draws.integer(1, 10) * 36 for store in draws.shuffled(stores)}
        for store, amount in amounts.items():
            stocks[store].append({"article": article, "stock": shared.spelled_size(draws, amount, units, dials)})
        due[article] = []
        for _ in range(max(1, dials.items // 3)):
            store, amount, when = draws.pick(stores), draws.integer(1, 5) * 12, shared.day_in(draws, until, 30)
            when = until - (when - until) if draws.chance(0.5) else when
            due[article].append({"store": store, "date": shared.spelled_day(draws, when, dials),
                                 "amount": shared.spelled_size(draws, amount, units, dials)})  # fmt: skip
            if dials.hops >= 2 and store == stores[0] and when <= until:
                amounts[store] += amount
        short = (own_least if dials.hops >= 3 else least_of_all) - amounts[stores[0]]
        if short > 0:
            lot = lots[supplier] if dials.hops >= 4 else 1
            orders.append([article, short + -short % lot])
    if not 1 <= len(orders) < len(articles):
        raise Ambiguous("none or all are short")
    stocks = {store: draws.shuffled(rows) for store, rows in stocks.items()}
    parts = ["is the stock", f"is the stock plus what will be delivered to this store on or before {until}"]
    rule = f"{least_of_all} pieces" if dials.hops < 3 else "its own least stock (in pieces)"
    lots_rule = ", raised to a multiple of its supplier's lot" if dials.hops >= 4 else ""
    return Forged(
        f"Which articles has the store of {stores[0]} to order? What counts {parts[min(dials.hops, 2) - 1]}, in single "
        f"pieces (a dozen is 12, a gross 144). An article is ordered if that is less than {rule}: as many pieces "
        f"as are missing to it{lots_rule}. Answer with a list of pairs of article and pieces, sorted by article, as "
        "[['A100', 12], ['A200', 60]].",
        sorted(orders),
        lambda: tools(stocks, due, details, lots, dials),
        SOLUTION.format(store=stores[0], until=until.isoformat(), least=least_of_all, hops=dials.hops),
        distractors=(shelf_of, stock_value, colours_of),
    )


def tools(stocks: dict[str, list[shared.Reading]], due: dict[str, list[shared.Reading]],
          details: dict[str, dict[str, Any]], lots: dict[str, int], dials: Dials) -> shared.Tools:  # fmt: skip
    def stock_of(store: str, page_token: str = "") -> dict[str, Any]:
        """What a store has: article, stock {value, unit: pcs, dozen or gross}."""
        return shared.paged(shared.found(stocks, store, "store"), page_token, dials.page)

    def deliveries_of(article: str, page_token: str = "") -> dict[str, Any]:
        """Deliveries of an article on their way: store, date, amount {value, unit: pcs, dozen or gross}."""
        return shared.paged(shared.found(due, article, "article"), page_token, dials.page)

    def article_details(article: str) -> dict[str, Any]:
        """An article: least_stock (pieces), supplier."""
        return dict(shared.found(details, article, "article"))

    def supplier_terms(supplier: str) -> dict[str, int]:
        """A supplier's terms: lot (pieces; orders are multiples of it)."""
        return {"lot": shared.found(lots, supplier, "supplier")}

    made: shared.Tools = [stock_of, deliveries_of, article_details, supplier_terms]
    return made[: dials.hops]


def shelf_of(article: str) -> str:
    """The shelf an article lies on."""
    return f"shelf {sum(map(ord, article)) % 40}"


def stock_value(store: str) -> int:
    """What a store's stock was worth at the last count, in thalers."""
    return 10_000 + 137 * len(store)


def colours_of(article: str) -> list[str]:
    """The colours an article comes in."""
    return ["grey", "green"]
