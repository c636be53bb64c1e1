"""Strands of a made-up code: cleaned, turned, mapped, then searched for a motif."""

from typing import Any

from codeact.suites.toolforge.dials import Dials
from codeact.suites.toolforge.draws import Draws
from codeact.suites.toolforge.families import _shared as shared
from codeact.suites.toolforge.forged import Ambiguous, Forged, the_least

BASES = "KLMN"

SOLUTION = """
counts = []
for entry in every(list_samples, {batch!r}):
    if size(entry["mass"]) < {least}:
        continue
    sample = entry["sample"]
    strand = read_strand(sample)
    text = strand["text"]
    if {hops} >= 3:
        cut = window_of(sample)
        text = text[cut["begin"]:cut["end"]]
    if {hops} >= 2 and strand["direction"] == "backward":
        text = "".join(reversed(text))
    if {hops} >= 4:
        text = counterpart(text, strand["table"])
    n = sum(text.startswith({motif!r}, place) for place in range(len(text)))
    counts.append((n, sample))
n, sample = max(counts)
answer = [sample, n, sum(n for n, sample in counts)]
"""


def make(draws: Draws, dials: Dials) -> Forged:
    """By hops: the strand itself; turned if read backward; cut to a window first; mapped by its table at the end."""
    batches = [f"batch {number}" for number in draws.picks(range(100, 1000), 2)]
    motif = "".join(draws.pick(BASES) for _ in range(2))
    motif += draws.pick([base for base in BASES if base not in motif] or BASES)
    least = draws.integer(2, 5) * 1000
    tables = {name: draws.shuffled(BASES) for name in ("T1", "T2", "T3")}
    samples: dict[str, list[shared.Reading]] = {batch: [] for batch in batches}
    strands: dict[str, dict[str, Any]] = {}
    windows: dict[str, dict[str, int]] = {}
    counts: list[tuple[int, str]] = []
    for batch in batches:
        for _ in range(dials.items):
            sample = f"S{draws.integer(1000, 9999)}"
            if sample in strands:
                raise Ambiguous("two of one name")
            pieces = [motif if draws.chance(0.25) else motif[::-1] if draws.chance(0.2) else draws.pick(BASES)
                      for _ in range(24 + 4 * dials.items)]  # fmt: skip
            text = "".join(pieces)
            table = draws.pick(list(tables))
            strands[sample] = {"text": text, "direction": draws.pick(("forward", "backward")), "table": table}
            windows[sample] = {"begin": draws.integer(3, 8), "end": len(text) - draws.integer(3, 8)}
            mass = draws.integer(1, 24) * 500
            samples[batch].append({"sample": sample, "mass": shared.spelled_size(draws, mass, ("kg", "t"), dials)})
            if batch == batches[0] and mass >= least:
                counts.append((_count(strands[sample], windows[sample], tables[table], motif, dials.hops), sample))
    n, sample = the_least(counts, key=lambda entry: -entry[0])
    if n == 0:
        raise Ambiguous("the motif is nowhere")
    steps = ["", " A strand whose direction is backward is read from its end to its beginning.",
             " Before it is read, only the part inside the sample's window is kept.",
             " As read, each letter is then replaced by its counterpart in the strand's table."]  # fmt: skip
    return Forged(
        f"Take the samples of {batches[0]} with a mass of at least {least} kg. How often is the motif {motif} in each "
        f"of their strands? Occurrences may overlap.{''.join(steps[: dials.hops])} Answer with a list of the sample "
        "that has it most often, how often it has it, and how often all those samples have it together, as ['S1000', "
        "3, 8].",
        [sample, n, sum(count for count, _ in counts)],
        lambda: tools(samples, strands, windows, tables, dials),
        SOLUTION.format(batch=batches[0], least=least, motif=motif, hops=dials.hops),
        distractors=(strand_hash, sample_donor, freezer_of),
    )


def _count(strand: dict[str, Any], window: dict[str, int], table: list[str], motif: str, hops: int) -> int:
    """By turning the motif, not the strand: another way than the solution's."""
    text = strand["text"][window["begin"] : window["end"]] if hops >= 3 else strand["text"]
    wanted = "".join(BASES[table.index(letter)] for letter in motif) if hops >= 4 else motif
    wanted = wanted[::-1] if hops >= 2 and strand["direction"] == "backward" else wanted
    return sum(text[place : place + len(wanted)] == wanted for place in range(len(text)))


def tools(samples: dict[str, list[shared.Reading]], strands: dict[str, dict[str, Any]],
          windows: dict[str, dict[str, int]], tables: dict[str, list[str]], dials: Dials) -> shared.Tools:  # fmt: skip
    def list_samples(batch: str, page_token: str = "") -> dict[str, Any]:
        """Samples of a batch: sample (its name), mass {value, unit: kg or t}."""
        return shared.paged(shared.found(samples, batch, "batch"), page_token, dials.page)

    def read_strand(sample: str) -> dict[str, str]:
        """A sample's strand: text (of the letters K, L, M, N), direction (forward or backward), table."""
        return dict(shared.found(strands, sample, "sample"))

    def window_of(sample: str) -> dict[str, int]:
        """What part of a sample's strand is sound: begin and end, places counted from 0, the end not included."""
        return dict(shared.found(windows, sample, "sample"))

    def counterpart(text: str, table: str) -> str:
        """The text with each letter replaced by its counterpart in a table (T1, T2, T3)."""
        letters = shared.found(tables, table, "table")
        return "".join(letters[BASES.index(letter)] if letter in BASES else letter for letter in text)

    made: shared.Tools = [list_samples, read_strand, window_of, counterpart]
    return made[: max(2, dials.hops)]


def strand_hash(text: str) -> int:
    """A number that tells strands apart."""
    return sum((place + 1) * ord(letter) for place, letter in enumerate(text)) % 9973


def sample_donor(sample: str) -> str:
    """Who gave a sample."""
    return shared.PEOPLE[sum(map(ord, sample)) % len(shared.PEOPLE)]


def freezer_of(batch: str) -> int:
    """The freezer a batch is kept in."""
    return 1 + len(batch) % 4
