"""A tree of folders: which files of a kind are old, and how much they take."""

from datetime import date
from typing import Any

from codeact.suites.toolforge.dials import Dials
from codeact.suites.toolforge.draws import Draws
from codeact.suites.toolforge.families import _shared as shared
from codeact.suites.toolforge.forged import Forged, the_least

BEGIN = date(2030, 2, 1)
ENDINGS = ("log", "csv", "tmp", "txt")
STEMS = ("access", "batch", "cron", "draft", "export", "fetch", "graph", "hosts", "index", "job", "kiosk", "ledger")

SOLUTION = """
files, linked = [], []
waiting = [{root!r}]
while waiting:
    folder = waiting.pop()
    for entry in every(list_folder, folder):
        path = folder + "/" + entry["name"]
        if entry["type"] == "link":
            linked.append(resolve_link(path))
        elif entry["type"] == "folder":
            waiting.append(path)
        elif path.endswith({ending!r}) and day(entry["changed"]) < day({before!r}):
            files.append((size(entry["size"]), path))
kept = [(taken, path) for taken, path in files if path not in linked]
taken, path = max(kept)
answer = [path, len(kept), sum(taken for taken, path in kept)]
"""


def make(draws: Draws, dials: Dials) -> Forged:
    """Folders as deep as hops; from two hops on, links keep what they lead to."""
    root = f"/data/{draws.pick(shared.CITIES).lower().replace(' ', '-')}"
    before = shared.day_in(draws, BEGIN, 300)
    ending = draws.pick(ENDINGS)
    listing: dict[str, list[shared.Reading]] = {root: []}
    links: dict[str, str] = {}
    old: dict[str, int] = {}
    level, files = [root], []
    for depth in range(dials.hops + 1):
        below = []
        for folder in level:
            stems = draws.picks(STEMS, max(2, dials.items // 2))
            for stem in stems:
                kind = draws.pick((*ENDINGS, ending, ending))
                name = f"{stem}-{draws.integer(10, 99)}.{kind}"
                when = shared.day_in(draws, before, 60)
                when = before - (when - before) if draws.chance(0.6) else when
                taken = draws.integer(1, 900) * draws.pick((10, 1000, 1000, 1_000_000))
                listing[folder].append({
                    "name": name, "type": "file", "changed": shared.spelled_day(draws, when, dials),
                    "size": shared.spelled_size(draws, taken, ("B", "kB", "MB"), dials),
                })  # fmt: skip
                files.append(f"{folder}/{name}")
                if kind == ending and when < before:
                    old[f"{folder}/{name}"] = taken
            if depth < dials.hops:
                n_folders = 1 if depth > 1 else max(1, min(dials.items // 3, 3))
                for name in draws.picks(shared.PEOPLE, n_folders):
                    below.append(f"{folder}/{name.lower()}")
                    listing[below[-1]] = []
                    listing[folder].append({"name": name.lower(), "type": "folder"})
        level = below
    if dials.hops >= 2:
        folders = list(listing)
        for number in range(dials.hops):
            folder = draws.pick(folders)
            target = draws.pick(list(old) or files) if draws.chance(0.7) else draws.pick(files)
            path = f"{folder}/current-{number}"
            links[path] = target
            listing[folder].append({"name": f"current-{number}", "type": "link"})
    listing = {folder: draws.shuffled(rows) for folder, rows in listing.items()}
    kept = {path: taken for path, taken in old.items() if path not in links.values()}
    biggest = the_least(kept, key=lambda path: -kept[path])
    rule = " A file that a link below that folder leads to does not count." if dials.hops >= 2 else ""
    return Forged(
        f"Which files below {root}, at any depth, end in .{ending} and were last changed before {before} (not on that "
        f"day)?{rule} Answer with a list of the path of the largest of them, how many there are, and their sizes "
        "together in bytes (a kB has 1000), as ['/data/somewhere/x.log', 3, 12000].",
        [biggest, len(kept), sum(kept.values())],
        lambda: tools(listing, links, dials),
        SOLUTION.format(root=root, ending="." + ending, before=before.isoformat()),
        distractors=(owner_of, free_space, checksum_of),
    )


def tools(listing: dict[str, list[shared.Reading]], links: dict[str, str], dials: Dials) -> shared.Tools:
    def list_folder(path: str, page_token: str = "") -> dict[str, Any]:
        """What is in a folder: name, type (file, folder or link); of files also changed (date) and size {value,
        unit: B, kB or MB}."""
        return shared.paged(shared.found(listing, path, "folder"), page_token, dials.page)

    def resolve_link(path: str) -> str:
        """The path that a link leads to."""
        return shared.found(links, path, "link")

    return [list_folder, resolve_link]


def owner_of(path: str) -> str:
    """Who owns a file or folder."""
    return shared.PEOPLE[sum(map(ord, path)) % len(shared.PEOPLE)]


def free_space(path: str) -> int:
    """Bytes that are free on the disk of a path."""
    return 52_000_000_000


def checksum_of(path: str) -> int:
    """A number that changes with a file's content."""
    return sum((place + 1) * ord(letter) for place, letter in enumerate(path)) % 65_521
