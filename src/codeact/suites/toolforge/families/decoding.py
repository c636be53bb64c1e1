"""Fragments of a message, each to be decoded by steps of its own, then put in order."""

from datetime import date
from typing import Any

from codeact.suites.toolforge.dials import Dials
from codeact.suites.toolforge.draws import Draws
from codeact.suites.toolforge.families import _shared as shared
from codeact.suites.toolforge.forged import Ambiguous, Forged

BEGIN = date(2030, 1, 5)
LETTERS = "abcdefghijklmnopqrstuvwxyz"
WORDS = ("amber", "basin", "candle", "dapple", "ember", "fathom", "gravel", "hollow", "island", "jasper", "kettle",
         "lantern", "meadow", "nettle", "orchard", "pebble", "quarry", "ribbon", "saddle", "thistle", "umber", "velvet",
         "willow", "yarrow")  # fmt: skip

SOLUTION = """
found = []
for entry in every(list_fragments, {channel!r}):
    if day(entry["sent"]) != day({sent!r}):
        continue
    fragment = read_fragment(entry["fragment"])
    text = fragment["text"]
    for step in fragment["steps"]:
        if step["do"] == "reverse":
            text = reverse_text(text)
        elif step["do"] == "shift":
            text = shift_letters(text, step["by"])
        else:
            text = apply_sheet(text, step["sheet"])
    found.append((fragment["position"], text))
answer = " ".join(text for position, text in sorted(found))
"""


def make(draws: Draws, dials: Dials) -> Forged:
    """As many steps for a fragment as hops; fragments of another day are on the channel too."""
    sent = shared.day_in(draws, BEGIN, 300)
    channels = [f"channel {number}" for number in draws.picks(range(10, 100), 2)]
    sheets = {f"sheet {name.lower()}": draws.shuffled(LETTERS) for name in draws.picks(shared.CITIES, 3)}
    listed: dict[str, list[shared.Reading]] = {channel: [] for channel in channels}
    fragments: dict[str, dict[str, Any]] = {}
    answer: list[tuple[int, str]] = []
    for channel in channels:
        positions = draws.picks(range(1, 100), dials.items)
        for place, position in enumerate(positions):
            counts = place < 2 or draws.chance(0.6)
            word = draws.pick(WORDS)
            text = word
            steps: list[dict[str, Any]] = []
            for _ in range(dials.hops):
                text, step = _encoded(draws, text, sheets)
                steps.insert(0, step)
            name = f"F{draws.integer(1000, 9999)}"
            if name in fragments:
                raise Ambiguous("two of one name")
            fragments[name] = {"position": position, "text": text, "steps": steps}
            when = sent if counts else shared.day_in(draws, BEGIN, 300)
            if not counts and when == sent:
                raise Ambiguous("the other day is the same")
            listed[channel].append({"fragment": name, "sent": shared.spelled_day(draws, when, dials)})
            if counts and channel == channels[0]:
                answer.append((position, word))
        listed[channel] = draws.shuffled(listed[channel])
    return Forged(
        f"A message was sent over {channels[0]} on {sent} in fragments. Decode each fragment of that day by its steps, "
        "in the order given, each on the result of the one before; then put the decoded words in the order of their "
        "positions. Answer with the words, one space between two, as: first second third.",
        " ".join(word for _, word in sorted(answer)),
        lambda: tools(listed, fragments, sheets, dials),
        SOLUTION.format(channel=channels[0], sent=sent.isoformat()),
        distractors=(letter_frequencies, channel_owner, to_morse),
    )


def _encoded(draws: Draws, text: str, sheets: dict[str, list[str]]) -> tuple[str, dict[str, Any]]:
    """A text from which a step leads back to this one."""
    do = draws.pick(("reverse", "shift", "sheet"))
    if do == "reverse":
        return text[::-1], {"do": do}
    if do == "shift":
        by = draws.integer(1, 25)
        return _shifted(text, -by), {"do": do, "by": by}
    name = draws.pick(list(sheets))
    return "".join(LETTERS[sheets[name].index(letter)] for letter in text), {"do": do, "sheet": name}


def _shifted(text: str, by: int) -> str:
    return "".join(LETTERS[(LETTERS.index(letter) + by) % 26] if letter in LETTERS else letter for letter in text)


def tools(listed: dict[str, list[shared.Reading]], fragments: dict[str, dict[str, Any]], sheets: dict[str, list[str]],
          dials: Dials) -> shared.Tools:  # fmt: skip
    def list_fragments(channel: str, page_token: str = "") -> dict[str, Any]:
        """Fragments on a channel: fragment (its name), sent (date)."""
        return shared.paged(shared.found(listed, channel, "channel"), page_token, dials.page)

    def read_fragment(fragment: str) -> dict[str, Any]:
        """A fragment: position (whole number), text, and steps that decode it, each {"do": "reverse"}, {"do": "shift",
        "by": letters} or {"do": "sheet", "sheet": name}."""
        return dict(shared.found(fragments, fragment, "fragment"))

    def reverse_text(text: str) -> str:
        """The text from back to front."""
        return text[::-1]

    def shift_letters(text: str, by: int) -> str:
        """Each letter moved on in the alphabet by so many places, from z to a again."""
        return _shifted(text, by)

    def apply_sheet(text: str, sheet: str) -> str:
        """Each letter replaced by what a sheet has for it."""
        letters = shared.found(sheets, sheet, "sheet")
        return "".join(letters[LETTERS.index(letter)] if letter in LETTERS else letter for letter in text)

    return [list_fragments, read_fragment, reverse_text, shift_letters, apply_sheet]


def letter_frequencies(text: str) -> dict[str, int]:
    """How often each letter is in a text."""
    return {letter: text.count(letter) for letter in LETTERS if letter in text}


def channel_owner(channel: str) -> str:
    """Who uses a channel."""
    return shared.PEOPLE[sum(map(ord, channel)) % len(shared.PEOPLE)]


def to_morse(letter: str) -> str:
    """The Morse code of a vowel."""
    return {"a": ".-", "e": ".", "i": "..", "o": "---", "u": "..-"}.get(letter, "?")
