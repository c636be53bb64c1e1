"""A web shop behind a browser with one page open: what is wanted is on product, seller and voucher pages."""

from fractions import Fraction
from typing import Any

from codeact.suites.toolforge.dials import Dials
from codeact.suites.toolforge.draws import Draws
from codeact.suites.toolforge.families import _shared as shared
from codeact.suites.toolforge.forged import Forged, rounded, the_least

SHELVES = ("lamps", "kettles", "chairs", "clocks", "ladders", "baskets")

SOLUTION = """
page = open_page("home")
page = click(next(link["link"] for link in page["links"] if link["text"] == {shelf!r}))
names = []
while True:
    names += [link["text"] for link in page["links"] if link["kind"] == "product"]
    following = [link["link"] for link in page["links"] if link["kind"] == "next"]
    if not following:
        break
    page = click(following[0])
prices = []
for name in names:
    page = open_page("product: " + name)
    facts = page["facts"]
    if facts["stars"] < {stars} or size(facts["mass"]) > {most}:
        continue
    price = facts["price"]
    if {hops} >= 2:
        page = click(next(link["link"] for link in page["links"] if link["kind"] == "seller"))
        if {hops} == 2:
            price += page["facts"]["delivery"]
    if {hops} >= 3:
        delivery = page["facts"]["delivery"]
        page = click(next(link["link"] for link in page["links"] if link["kind"] == "voucher"))
        price = price * (100 - page["facts"]["percent_off"]) / 100 + delivery
    if {hops} >= 4:
        page = click(next(link["link"] for link in page["links"] if link["kind"] == "fee"))
        price += page["facts"]["handling"]
    prices.append((price, name))
price, name = min(prices)
answer = [name, round(price, 2)]
"""


def make(draws: Draws, dials: Dials) -> Forged:
    """By hops: product pages; their sellers' delivery; the sellers' vouchers; the vouchers' handling fees."""
    shelves = draws.picks(SHELVES, 3)
    stars, most = draws.integer(2, 3), draws.integer(4, 6) * 1000
    sellers = draws.picks(shared.PEOPLE, 3)
    pages = {"home": _page("home", {}, [(f"shelf: {name}", name, "shelf") for name in shelves])}
    home = ("home", "home", "home")
    delivery, percent, handling = {}, {}, {}
    for seller in sellers:
        delivery[seller], percent[seller] = draws.integer(3, 30), draws.integer(1, 30)
        handling[seller] = draws.integer(1, 9)
        for kind, facts, links in (
            ("seller", {"delivery": delivery[seller]}, [(f"voucher: {seller}", "a voucher", "voucher"), home]),
            ("voucher", {"percent_off": percent[seller]}, [(f"fee: {seller}", "the small print", "fee"), home]),
            ("fee", {"handling": handling[seller]}, [home]),
        ):
            pages[f"{kind}: {seller}"] = _page(f"{kind}: {seller}", facts, links)
    prices: list[tuple[Fraction, str]] = []
    for shelf in shelves:
        names = [f"{word} {shelf[:-1]}" for word in draws.picks(shared.CITIES, dials.items)]
        for name in names:
            seller, price, n_stars = draws.pick(sellers), draws.integer(20, 240), draws.integer(1, 5)
            mass = draws.integer(1, 16) * 500
            spelled = shared.spelled_size(draws, mass, ("kg", "t"), dials)
            pages[f"product: {name}"] = _page(f"product: {name}", {"price": price, "stars": n_stars, "mass": spelled},
                                              [(f"seller: {seller}", f"sold by {seller}", "seller"), home])  # fmt: skip
            if shelf == shelves[0] and n_stars >= stars and mass <= most:
                total = Fraction(price * (100 - percent[seller]), 100) if dials.hops >= 3 else Fraction(price)
                total += delivery[seller] if dials.hops >= 2 else 0
                total += handling[seller] if dials.hops >= 4 else 0
                prices.append((total, name))
        _fill(pages, shelf, names, dials.page)
    least, name = the_least(prices, key=lambda entry: entry[0])
    steps = ["", " plus the delivery on the page of its seller", " lowered by the voucher on its seller's page",
             " plus the handling fee in the voucher's small print"]  # fmt: skip
    ways = ["its price", f"its price{steps[1]}", f"its price{steps[2]},{steps[1]}",
            f"its price{steps[2]},{steps[1]},{steps[3]}"]  # fmt: skip
    return Forged(
        f"In the shop, among the {shelves[0]} with at least {stars} stars and a mass of at most {most} kg, which "
        f"costs least? What a product costs is {ways[dials.hops - 1]}. The first page is \"home\"; only what is "
        "linked on the open page can be clicked. Answer with a list of the product's name and what it costs, rounded "
        "to 2 decimals, as ['Some lamp', 12.5].",
        [name, rounded(least, 2)],
        lambda: tools(pages),
        SOLUTION.format(shelf=shelves[0], stars=stars, most=most, hops=dials.hops),
        distractors=(shop_hours, gift_wrap, search_help),
    )


def _page(address: str, facts: dict[str, Any], links: list[tuple[str, str, str]]) -> dict[str, Any]:
    """A page; links get numbers, so that they have to be read."""
    numbered = [{"link": number, "text": text, "kind": kind} for number, (_, text, kind) in enumerate(links, start=1)]
    return {"address": address, "facts": facts, "links": numbered, "_to": [target for target, _, _ in links]}


def _fill(pages: dict[str, dict[str, Any]], shelf: str, names: list[str], size: int) -> None:
    """The pages of a shelf."""
    size = size or len(names)
    for begin in range(0, len(names), size):
        here = f"shelf: {shelf}" + (f", page {begin // size + 1}" if begin else "")
        links = [(f"product: {name}", name, "product") for name in names[begin : begin + size]]
        if begin + size < len(names):
            links.append((f"shelf: {shelf}, page {begin // size + 2}", "more", "next"))
        pages[here] = _page(here, {"shelf": shelf}, [*links, ("home", "home", "home")])


def tools(pages: dict[str, dict[str, Any]]) -> shared.Tools:
    """A browser: the only state is which page is open."""
    trail = ["home"]

    def shown() -> dict[str, Any]:
        return {key: value for key, value in pages[trail[-1]].items() if key != "_to"}

    def open_page(address: str) -> dict[str, Any]:
        """Open a page: "home", or "product: NAME". Returns its address, facts, and links {link: number, text, kind};
        prices, delivery and handling are in thalers, a mass is {value, unit: kg or t}."""
        if address != "home" and not address.startswith("product: "):
            raise PermissionError(f"{address!r:.80} cannot be opened from outside; click a link that leads there")
        shared.found(pages, address, "page")
        trail.append(address)
        return shown()

    def click(link: int) -> dict[str, Any]:
        """Click a link of the open page by its number; returns the page it leads to, as open_page does."""
        targets = pages[trail[-1]]["_to"]
        if not 1 <= link <= len(targets):
            raise ValueError(f"the page {trail[-1]!r} has links 1 to {len(targets)}, and no {link}")
        trail.append(targets[link - 1])
        return shown()

    def back() -> dict[str, Any]:
        """Go back to the page before; returns it, as open_page does."""
        if len(trail) > 1:
            trail.pop()
        return shown()

    return [open_page, click, back]


def shop_hours(day: str) -> str:
    """When the shop's telephone is answered on a day of the week."""
    return "closed" if day.lower() == "sunday" else "9 to 17"


def gift_wrap(product: str) -> int:
    """Thalers for wrapping a product as a gift."""
    return 2 + len(product) % 3


def search_help(words: str) -> list[str]:
    """Titles of help pages on some words."""
    return [f"About {words:.40}", "How to return a product"]
