"""Tickets and their customers: which group had to wait longest."""

from datetime import date, timedelta
from fractions import Fraction
from typing import Any

from codeact.suites.toolforge.dials import Dials
from codeact.suites.toolforge.draws import Draws
from codeact.suites.toolforge.families import _shared as shared
from codeact.suites.toolforge.forged import Forged, rounded, the_least

SOLUTION = """
waits = {{}}
known = {{}}
for ticket in every(list_tickets, {queue!r}):
    if ticket["closed"] is None or ticket["priority"] not in {priorities!r}:
        continue
    group = ticket["customer"]
    if {hops} >= 2:
        if group not in known:
            customer = customer_details(group)
            known[group] = customer["region"]
            if {hops} >= 3:
                known[group] = plan_details(customer["plan"])["team"]
            if {hops} >= 4:
                known[group] = team_details(known[group])["lead"]
        group = known[group]
    waits.setdefault(group, []).append((day(ticket["closed"]) - day(ticket["opened"])).days)
mean, group = max((sum(days) / len(days), group) for group, days in waits.items())
answer = [group, round(mean, 2)]
"""


def make(draws: Draws, dials: Dials) -> Forged:
    """By hops: by customer; the customer's region; the team of the customer's plan; that team's lead."""
    queues = draws.picks(("billing", "setup", "repairs", "returns"), 2)
    priorities = draws.picks(("low", "normal", "high", "urgent"), 2)
    teams = {f"team {number}": name for number, name in zip(range(1, 4), draws.picks(shared.PEOPLE, 3), strict=True)}
    plans = {plan: draws.pick(list(teams)) for plan in ("basic", "plus", "gold", "trial")}
    n_customers = max(2, dials.items // 2)
    customers = {
        f"K{number}": {"region": draws.pick(("north", "south", "east")), "plan": draws.pick(list(plans))}
        for number in draws.picks(range(100, 1000), n_customers)
    }
    tickets: dict[str, list[shared.Reading]] = {queue: [] for queue in queues}
    waits: dict[str, list[int]] = {}
    for queue in queues:
        for number in draws.picks(range(1000, 9999), 3 * dials.items):
            name, priority = draws.pick(list(customers)), draws.pick(("low", "normal", "high", "urgent"))
            opened, days = shared.day_in(draws, date(2030, 1, 10), 600), draws.integer(0, 45)
            closed = shared.spelled_day(draws, opened + timedelta(days=days), dials)
            is_open = draws.chance(0.2)
            tickets[queue].append({
                "ticket": number, "customer": name, "priority": priority,
                "opened": shared.spelled_day(draws, opened, dials), "closed": None if is_open else closed,
            })  # fmt: skip
            if queue == queues[0] and not is_open and priority in priorities:
                plan = customers[name]["plan"]
                by_hops = (name, customers[name]["region"], plans[plan], teams[plans[plan]])
                waits.setdefault(by_hops[dials.hops - 1], []).append(days)
    means = [(Fraction(sum(days), len(days)), group) for group, days in waits.items()]
    mean, group = the_least(means, key=lambda entry: -entry[0])
    groups = ["customer", "region of customers", "team (the one that serves the customer's plan)",
              "lead (of the team that serves the customer's plan)"]  # fmt: skip
    return Forged(
        f"Take the closed tickets of the queue {queues[0]} with priority {priorities[0]} or {priorities[1]}. For "
        f"which {groups[dials.hops - 1]} was the mean number of days from opened to closed highest? Answer with a "
        "list of its name as the system has it and that mean, rounded to 2 decimals, as ['some name', 12.25].",
        [group, rounded(mean, 2)],
        lambda: tools(tickets, customers, plans, teams, dials),
        SOLUTION.format(queue=queues[0], priorities=tuple(priorities), hops=dials.hops),
        distractors=(close_ticket, satisfaction_of, macros_of),
    )


def tools(tickets: dict[str, list[shared.Reading]], customers: dict[str, dict[str, str]], plans: dict[str, str],
          teams: dict[str, str], dials: Dials) -> shared.Tools:  # fmt: skip
    def list_tickets(queue: str, page_token: str = "") -> dict[str, Any]:
        """Tickets of a queue: ticket, customer, priority, opened (date), closed (date; None while it is open)."""
        return shared.paged(shared.found(tickets, queue, "queue"), page_token, dials.page)

    def customer_details(customer: str) -> dict[str, str]:
        """A customer: region, plan."""
        return dict(shared.found(customers, customer, "customer"))

    def plan_details(plan: str) -> dict[str, str]:
        """A plan: team (that serves it)."""
        return {"team": shared.found(plans, plan, "plan")}

    def team_details(team: str) -> dict[str, str]:
        """A team: lead (a person)."""
        return {"lead": shared.found(teams, team, "team")}

    made: shared.Tools = [list_tickets, customer_details, plan_details, team_details]
    return made[: dials.hops]


def close_ticket(ticket: int) -> str:
    """Close a ticket that is done; returns "noted"."""
    return "noted"


def satisfaction_of(customer: str) -> int:
    """How content a customer was when last asked, 1 to 10."""
    return 1 + sum(map(ord, customer)) % 10


def macros_of(queue: str) -> list[str]:
    """Ready-made replies of a queue."""
    return [f"Thank you for writing to {queue}.", "We are looking into it."]
