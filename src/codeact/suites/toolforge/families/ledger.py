"""What a customer's accounts come to on a day, or what was spent on something."""

from datetime import date
from fractions import Fraction
from typing import Any

from codeact.suites.toolforge.dials import Dials
from codeact.suites.toolforge.draws import Draws
from codeact.suites.toolforge.families import _shared as shared
from codeact.suites.toolforge.forged import Ambiguous, Forged, rounded

BEGIN = date(2031, 2, 1)
KINDS = ("rent", "wages", "goods", "fees")

SOLUTION = """
total = 0
count = 0
for account in every(accounts_of, {customer!r}):
    entries = every(entries_of, account["account"])
    undone = [entry["reverses"] for entry in entries if entry["reverses"] is not None]
    part = 0
    for entry in entries:
        if entry["reverses"] is not None or entry["entry"] in undone or entry["kind"] != {kind!r}:
            continue
        if not day({first!r}) <= day(entry["date"]) <= day({last!r}):
            continue
        amount = entry["cents"] / 100
        if {hops} >= 3:
            details = merchant_details(entry["merchant"])
            if details["exempt"]:
                continue
        if {hops} >= 4:
            amount *= 1 - refund_percent(details["group"]) / 100
        part += amount
        count += 1
    if {hops} >= 2:
        part *= exchange_rate(account["currency"])
    total += part
answer = [round(total, 2), count]
"""


def make(draws: Draws, dials: Dials) -> Forged:
    """By hops: amounts; currencies of accounts; exempt merchants; refunds of the merchants' groups."""
    customers = draws.picks(shared.PEOPLE, 3)
    kind = draws.pick(KINDS)
    first = shared.day_in(draws, BEGIN, 200)
    last = shared.day_in(draws, first, 40)
    rates = {code: draws.integer(55, 190) for code in ("CRN", "DUK", "FLO")}
    refunds = {group: draws.integer(1, 25) for group in ("A", "B", "C")}
    merchants = {f"{name} Ltd": {"exempt": draws.chance(0.25), "group": draws.pick(list(refunds))}
                 for name in draws.picks(shared.CITIES, max(3, dials.items // 2))}  # fmt: skip
    accounts: dict[str, list[shared.Reading]] = {name: [] for name in customers}
    entries: dict[str, list[shared.Reading]] = {}
    total, count = Fraction(0), 0
    numbers = iter(draws.picks(range(1000, 10000), 3 * 8 * 2 * (dials.items + 2)))
    for customer in customers:
        for _ in range(max(1, dials.items // 3)):
            account, currency = f"ACC-{next(numbers)}", draws.pick(list(rates))
            accounts[customer].append({"account": account, "currency": currency if dials.hops >= 2 else "thaler"})
            entries[account] = []
            for _ in range(dials.items + 2):
                number, cents, merchant = next(numbers), draws.integer(100, 90_000), draws.pick(list(merchants))
                when, what = shared.day_in(draws, first, (last - first).days + 8), draws.pick((*KINDS, kind, kind))
                undone = draws.chance(0.15)
                row = {"entry": number, "date": shared.spelled_day(draws, when, dials), "cents": cents, "kind": what,
                       "merchant": merchant, "reverses": None}  # fmt: skip
                entries[account].append(row)
                if undone:
                    again = shared.spelled_day(draws, shared.day_in(draws, when, 9), dials)
                    entries[account].append({**row, "entry": next(numbers), "date": again, "reverses": number})
                exempt = dials.hops >= 3 and merchants[merchant]["exempt"]
                if customer != customers[0] or undone or exempt or what != kind or when > last:
                    continue
                amount = Fraction(cents, 100)
                amount *= 1 - Fraction(refunds[str(merchants[merchant]["group"])], 100) if dials.hops >= 4 else 1
                total += amount * (Fraction(rates[currency], 100) if dials.hops >= 2 else 1)
                count += 1
            entries[account] = draws.shuffled(entries[account])
    if count < 1:
        raise Ambiguous("nothing counts")
    steps = ["", " Sums of accounts in other currencies are turned into thalers.",
             " Merchants that are exempt are left out.",
             " From each amount the refund of its merchant's group is taken off."]  # fmt: skip
    return Forged(
        f"What did {customers[0]} spend on {kind} from {first} to {last}, both days included, over all accounts? An "
        "entry that another one reverses does not count, whenever that was, and neither does the one that reverses "
        f"it.{''.join(steps[: dials.hops])} Answer with a list of the total in thalers, rounded once at the end to 2 "
        "decimals, and the number of entries that were counted, as [123.45, 6].",
        [rounded(total, 2), count],
        lambda: tools(accounts, entries, rates, merchants, refunds, dials),
        SOLUTION.format(customer=customers[0], kind=kind, first=first.isoformat(), last=last.isoformat(),
                        hops=dials.hops),
        distractors=(credit_limit, card_numbers, branch_of),
    )  # fmt: skip


def tools(accounts: dict[str, list[shared.Reading]], entries: dict[str, list[shared.Reading]], rates: dict[str, int],
          merchants: dict[str, dict[str, Any]], refunds: dict[str, int], dials: Dials) -> shared.Tools:  # fmt: skip
    def accounts_of(customer: str, page_token: str = "") -> dict[str, Any]:
        """A customer's accounts: account, currency."""
        return shared.paged(shared.found(accounts, customer, "customer"), page_token, dials.page)

    def entries_of(account: str, page_token: str = "") -> dict[str, Any]:
        """Entries of an account: entry (number), date, cents (hundredths of its currency), kind, merchant, reverses
        (the number of the entry it takes back, or None)."""
        return shared.paged(shared.found(entries, account, "account"), page_token, dials.page)

    def exchange_rate(currency: str) -> float:
        """Thalers for one unit of a currency."""
        return shared.found(rates, currency, "currency") / 100

    def merchant_details(merchant: str) -> dict[str, Any]:
        """A merchant: exempt (true or false), group."""
        return dict(shared.found(merchants, merchant, "merchant"))

    def refund_percent(group: str) -> int:
        """The refund of a group of merchants, in percent."""
        return shared.found(refunds, group, "group")

    made: shared.Tools = [accounts_of, entries_of, exchange_rate, merchant_details, refund_percent]
    return made[: dials.hops + 1]


def credit_limit(customer: str) -> int:
    """How many thalers a customer may owe."""
    return 1000 * len(customer)


def card_numbers(customer: str) -> list[str]:
    """The last digits of a customer's cards."""
    return [str(1000 + 37 * len(customer))]


def branch_of(account: str) -> str:
    """The branch that keeps an account."""
    return shared.CITIES[sum(map(ord, account)) % len(shared.CITIES)]
