"""A graph of services: what fails with one, and how long the slowest way through it is."""

import itertools
from datetime import date, timedelta
from typing import Any

from codeact.suites.toolforge.dials import Dials
from codeact.suites.toolforge.draws import Draws
from codeact.suites.toolforge.families import _shared as shared
from codeact.suites.toolforge.forged import Ambiguous, Forged, the_least

BEGIN = date(2031, 2, 1)

SOLUTION = """
ways = []
waiting = [([{start!r}], 0)]
known = {{}}
while waiting:
    way, total = waiting.pop()
    name = way[-1]
    if name not in known:
        known[name] = service_details(name), every(dependencies_of, name)
    details, links = known[name]
    total += size(details["latency"])
    needed = [link["service"] for link in links if link["kind"] == "call" and day(link["until"]) >= day({today!r})]
    if needed:
        waiting += [(way + [other], total) for other in needed]
    else:
        ways.append((total, way))
total, way = max(ways)
answer = [way[-1], len(known), total]
"""


def make(draws: Draws, dials: Dials) -> Forged:
    """As many layers below the first service as hops; some links are no calls, and some have run out."""
    today = shared.day_in(draws, BEGIN, 300)
    width = min(6, max(2, dials.items // 2))
    names = [f"{name.lower().replace(' ', '-')}-{draws.pick(('api', 'db', 'cache', 'queue'))}"
             for name in draws.picks(shared.CITIES, 1 + width * dials.hops + 3)]  # fmt: skip
    start, spare = names[0], names[-3:]
    layers = [[start], *(names[1 + width * n : 1 + width * (n + 1)] for n in range(dials.hops))]
    latency = {name: draws.integer(1, 80) * 10 for name in names}
    calls: dict[str, list[str]] = {name: [] for name in names}
    links: dict[str, list[shared.Reading]] = {name: [] for name in names}
    for upper, lower in itertools.pairwise(layers):
        for name in upper:
            n_links = max(2, min(dials.items // 2, 4))
            for other in [*draws.picks(lower, n_links), draws.pick(spare)]:
                kind, over = draws.pick(("call", "call", "log")), draws.chance(0.25)
                until = shared.day_in(draws, today, 200)
                until = today - (until - today) - timedelta(days=1) if over else until
                counts = kind == "call" and until >= today
                links[name].append({"service": other, "kind": kind, "until": shared.spelled_day(draws, until, dials)})
                if counts:
                    calls[name].append(other)
    reached = _reached(start, calls)
    if len(reached) < dials.hops + 1:
        raise Ambiguous("the graph is not deep enough")
    # From below: the slowest way on from each service, with its end
    slowest: dict[str, list[tuple[int, str]]] = {}
    for layer in [spare, *reversed(layers)]:
        for name in layer:
            on = [(total + latency[name], end) for other in calls[name] for total, end in slowest[other]]
            slowest[name] = on or [(latency[name], name)]
    total, end = the_least(slowest[start], key=lambda entry: -entry[0])
    details = {name: {"owner": draws.pick(shared.PEOPLE),
                      "latency": shared.spelled_size(draws, latency[name], ("ms", "ds"), dials)}
               for name in names}  # fmt: skip
    return Forged(
        "A service needs those that its links of kind call lead to, as long as the link's day (until) is not before "
        f"{today}; those need others in the same way, and so on. A way begins at {start}, goes from a service to one "
        "it needs, and ends at a service that needs none; its latency is the sum of the latencies on it, both ends "
        "included. Answer with a list of the last service of the way with the highest latency, how many services can "
        f"be reached from {start} by such links (itself included), and that latency in milliseconds, as ['some-db', "
        "5, 420].",
        [end, len(reached), total],
        lambda: tools(details, links, dials),
        SOLUTION.format(start=start, today=today.isoformat()),
        distractors=(uptime_of, page_owner, version_of),
    )


def _reached(start: str, calls: dict[str, list[str]]) -> list[str]:
    reached = [start]
    for name in reached:
        reached += [other for other in dict.fromkeys(calls[name]) if other not in reached]
    return reached


def tools(details: dict[str, dict[str, Any]], links: dict[str, list[shared.Reading]], dials: Dials) -> shared.Tools:
    def service_details(service: str) -> dict[str, Any]:
        """A service: owner, latency {value, unit: ms, or ds for a tenth of a second}."""
        return dict(shared.found(details, service, "service"))

    def dependencies_of(service: str, page_token: str = "") -> dict[str, Any]:
        """Links from a service to others: service, kind (call or log), until (date, the last day it holds)."""
        return shared.paged(shared.found(links, service, "service"), page_token, dials.page)

    return [service_details, dependencies_of]


def uptime_of(service: str) -> int:
    """Days since a service was restarted."""
    return sum(map(ord, service)) % 90


def page_owner(service: str, text: str) -> str:
    """Wake a service's owner; returns "sent"."""
    return "sent"


def version_of(service: str) -> str:
    """The version of a service."""
    return f"{len(service) % 5}.{len(service)}"
