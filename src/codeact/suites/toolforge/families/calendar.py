"""The first time at which everybody who has to come is free."""

from datetime import date as Date
from datetime import timedelta
from typing import Any

from codeact.suites.toolforge.dials import Dials
from codeact.suites.toolforge.draws import Draws
from codeact.suites.toolforge.families import _shared as shared
from codeact.suites.toolforge.forged import Ambiguous, Forged

OPENS, CLOSES, STEP = 9 * 60, 17 * 60, 30
"""Minutes of a day."""
EVENTS_A_DAY = 8
"""Of all who come together: days are crowded, and some hour is free at last."""

SOLUTION = """
people = {people!r}
if {hops} >= 2:
    people = [entry["person"] for entry in every(members_of, {team!r})]
if {hops} >= 3:
    people = [(deputy_of(person)["deputy"] or person) for person in people]
busy = []
owners = people
if {hops} >= 4:
    owners = people + [room_of({team!r})]
for owner in dict.fromkeys(owners):
    for event in every(events_of, owner):
        if event["status"] != "declined":
            hours, minutes = event["start"].split(":")
            begin = 60 * int(hours) + int(minutes)
            busy.append((day(event["date"]), begin, begin + size(event["length"])))
answer = None
when = day({first!r})
while answer is None:
    for begin in range({opens}, {closes} - {length} + 1, {step}):
        if not any(date_ == when and start < begin + {length} and begin < end for date_, start, end in busy):
            answer = when.isoformat() + "T%02d:%02d" % divmod(begin, 60)
            break
    when += timedelta(days=1)
"""


def make(draws: Draws, dials: Dials) -> Forged:
    """By hops: the people are named; members of a team; the deputies of those; and a room."""
    first = shared.day_in(draws, Date(2031, 1, 6), 300)
    length = draws.integer(2, 4) * STEP
    team = f"team {draws.pick(shared.CITIES)}"
    room = f"room {draws.integer(10, 99)}"
    n_people = max(2, dials.items // 2)
    names = draws.picks(shared.PEOPLE, n_people + 8)
    people, others = names[:n_people], names[n_people:]
    deputies = {name: draws.pick(others) if dials.hops >= 3 and draws.chance(0.4) else None for name in people}
    coming = [deputies[name] or name for name in people] + ([room] if dials.hops >= 4 else [])
    diaries: dict[str, list[shared.Reading]] = {owner: [] for owner in [*names, room]}
    n_days = 2 + len(coming) * (dials.items + 2) // EVENTS_A_DAY
    taken: list[tuple[Date, int]] = []  # half hours
    for owner in diaries:
        for _ in range(dials.items + 2):
            when = shared.day_in(draws, first, n_days)
            begin = draws.integer(OPENS // STEP, CLOSES // STEP - 2) * STEP
            lasts = draws.integer(1, 6) * STEP
            status = draws.pick(("accepted", "accepted", "accepted", "tentative", "declined"))
            diaries[owner].append({
                "date": shared.spelled_day(draws, when, dials), "start": f"{begin // 60:02}:{begin % 60:02}",
                "length": shared.spelled_size(draws, lasts, ("min", "h"), dials), "status": status,
            })  # fmt: skip
            if status != "declined" and owner in coming:
                taken += [(when, minute) for minute in range(begin, begin + lasts, STEP)]
    days = [first + timedelta(days=day) for day in range(n_days + 1)]
    free = next((when, minute) for when in days for minute in range(OPENS, CLOSES - length + 1, STEP)
                if not any((when, minute + later) in taken for later in range(0, length, STEP)))  # fmt: skip
    if free[1] == OPENS:
        raise Ambiguous("a day without events is found without looking")
    who = [", ".join(people[:-1]) + f" and {people[-1]}", f"the members of {team}",
           f"the members of {team}, where a member who has a deputy is replaced by that deputy,",
           f"the members of {team} (a member who has a deputy is replaced by that deputy) and the room of {team}"]
    return Forged(
        f"When can {who[dials.hops - 1]} first be had together for {length} minutes? Take days from {first} on, "
        "weekends too; the time must begin on a full or half hour, not before 09:00, and end by 17:00. Events that "
        "were declined do not count, all others do; one thing may begin when another ends. Answer with the date and "
        "time at which it begins, as 2031-01-06T09:30.",
        f"{free[0].isoformat()}T{free[1] // 60:02}:{free[1] % 60:02}",
        lambda: tools(team, people, deputies, room, diaries, dials),
        SOLUTION.format(people=people, team=team, first=first.isoformat(), length=length, hops=dials.hops, opens=OPENS,
                        closes=CLOSES, step=STEP),
        distractors=(office_of, lunch_menu, time_zone_of),
    )  # fmt: skip


def tools(team: str, people: list[str], deputies: dict[str, str | None], room: str,
          diaries: dict[str, list[shared.Reading]], dials: Dials) -> shared.Tools:  # fmt: skip
    def events_of(owner: str, page_token: str = "") -> dict[str, Any]:
        """Events of a person or a room: date, start (HH:MM), length {value, unit: min or h}, status."""
        return shared.paged(shared.found(diaries, owner, "person or room"), page_token, dials.page)

    def members_of(team: str, page_token: str = "") -> dict[str, Any]:
        """Who is in a team: person."""
        return shared.paged([{"person": name} for name in shared.found(teams, team, "team")], page_token, dials.page)

    def deputy_of(person: str) -> dict[str, str | None]:
        """Who stands in for a person now: {"deputy": a name or None}."""
        return {"deputy": shared.found(deputies, person, "member")}

    def room_of(team: str) -> str:
        """The room a team meets in."""
        return shared.found(dict.fromkeys(teams, room), team, "team")

    teams = {team: people}
    made: shared.Tools = [events_of, members_of, deputy_of, room_of]
    return made[: dials.hops]


def office_of(person: str) -> int:
    """The number of a person's office."""
    return 100 + sum(map(ord, person)) % 90


def lunch_menu(date: str) -> list[str]:
    """What there is for lunch on a date."""
    return ["soup", "pie"]


def time_zone_of(person: str) -> str:
    """The time zone a person works in; diaries are all in that of the house."""
    return "house time"
