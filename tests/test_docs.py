"""The documents against the code: the protocol's frames, tags, limits and version, and links that lead somewhere."""

import ast
import re
from pathlib import Path

import pytest

import codeact
from codeact.kernel import values, wire

ROOT = Path(__file__).parent.parent
SOURCE = Path(codeact.__file__).parent
PROTOCOL = (ROOT / "docs/kernel_protocol.md").read_text(encoding="utf-8")
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SPEAKERS = sorted(path for folder in ("kernel", "interpreter", "backends", "tools") for path in (SOURCE / folder).rglob("*.py"))


def spelled(path: Path) -> list[tuple[str, set[str]]]:
    """The frames a file spells, `{"t": "..."}`: type and further fields."""
    nodes = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Dict)]
    found = []
    for node in nodes:
        fields = {key.value: value for key, value in zip(node.keys, node.values) if isinstance(key, ast.Constant)}
        if "t" in fields:
            kind = fields.pop("t")
            assert isinstance(kind, ast.Constant), f"{path} sends a frame whose type cannot be read"
            found.append((kind.value, set(fields)))
    return found


def sent(path: Path) -> set[str]:
    """Types of the frames a file spells."""
    return {kind for kind, _ in spelled(path)}


def handled(path: Path) -> set[str]:
    """Types of the frames a file has a method for: `on_...(self, header)`."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    methods = [node for node in nodes if isinstance(node, ast.FunctionDef) and node.name.startswith("on_")]
    return {node.name.removeprefix("on_") for node in methods if [arg.arg for arg in node.args.args] == ["self", "header"]}


def compared(path: Path) -> set[str]:
    """Types of the frames a file looks for: `...["t"] == "..."`."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Compare) and ast.unparse(node.left).endswith("['t']"):
            found |= {part.value for side in node.comparators for part in ast.walk(side)
                      if isinstance(part, ast.Constant) and isinstance(part.value, str)}  # fmt: skip
    return found


def rows(text: str) -> set[str]:
    """Frame types that the tables of a part of the protocol name."""
    return set(re.findall(r"^\| `([a-z_]+)` \|", text, re.M))


def section(title: str) -> str:
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", PROTOCOL, re.M | re.S)
    assert found, f"the protocol has no section {title}"
    return found[1]


def table(title: str, first_cell: str) -> set[str]:
    """Frame types in the table of a section that begins with this cell."""
    found = re.search(rf"^\| {first_cell} \|.*?(?=\n\n|\Z)", section(title), re.M | re.S)
    assert found, f"the section {title} has no table {first_cell!r}"
    return rows(found[0])


def test_the_protocol_names_every_frame_that_the_code_sends_or_handles():
    known = set().union(*(function(path) for path in SPEAKERS for function in (sent, handled, compared)))
    assert known - rows(PROTOCOL) == set()


def test_the_code_sends_every_frame_that_the_protocol_names():
    assert rows(PROTOCOL) - set().union(*map(sent, SPEAKERS)) == set()


@pytest.mark.parametrize("path", [path for path in SPEAKERS if sent(path)], ids=lambda path: path.name)
def test_each_field_that_the_code_sends_is_named_beside_its_frame(path):
    told = {kind: " ".join(re.findall(rf"^\| `{kind}` \|.*$", PROTOCOL, re.M)) for kind in sent(path)}
    missing = [(kind, field) for kind, fields in spelled(path) for field in fields if not re.search(rf"\b{field}\b", told[kind])]
    assert missing == []


@pytest.mark.parametrize(("title", "files", "first"), [
    # The first frame, which no method handles; answers, which are awaited; what the copy waits for
    ("Zygote", ["zygote.py"], {"start"}), ("Keeper", ["keeper.py"], {"folders", "begin"}),
    ("Worker", ["worker.py", "freezing.py"], {"reply", "enter"}),
])  # fmt: skip
def test_each_process_handles_the_frames_of_its_own_section(title, files, first):
    assert set().union(*(handled(SOURCE / "kernel" / file) for file in files)) | first == table(title, f"host to {title.lower()}")


@pytest.mark.parametrize(("title", "files"), [
    ("Zygote", ["zygote.py"]), ("Keeper", ["keeper.py"]), ("Worker", ["worker.py", "freezing.py", "stubs.py"]),
])  # fmt: skip
def test_each_process_sends_the_frames_of_its_own_section(title, files):
    said = set().union(*(sent(SOURCE / "kernel" / file) for file in files))
    # A keeper's fork speaks for the worker it becomes; a worker's fork for the frozen copy
    said |= {"failed"} if title == "Worker" else set()
    said -= {"Keeper": {"ready"}, "Worker": table("Frozen copy", "copy to host")}.get(title, set())
    assert said == table(title, f"{title.lower()} to host")


def test_the_version_is_the_codes():
    assert re.findall(r"^# Kernel protocol, version (\d+)$", PROTOCOL, re.M) == [str(wire.PROTOCOL_VERSION)]


def test_the_limits_are_the_codes():
    told = dict(re.findall(r"^\| `(MAX_[A-Z_]+)` \| (\d+) \|", PROTOCOL, re.M))
    assert set(told) == {name for name in wire.__all__ if name.startswith("MAX_")}
    assert {name: int(number) for name, number in told.items()} == {name: getattr(wire, name) for name in told}


def test_the_tags_are_the_codes():
    first_cells = re.findall(r"^\| (`\$[^|]*) \|", section("Values"), re.M)
    assert set(re.findall(r"`(\$[a-z]+)`", " ".join(first_cells))) == set(values._READERS)


# Links -----------------------------------------------------------------------------------------------------------------


def prose(path: Path) -> str:
    """A document without its blocks of code."""
    return re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)


def anchors(path: Path) -> set[str]:
    """What GitHub makes of the headings."""
    titles = re.findall(r"^#+ (.+)$", prose(path), re.M)
    return {re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_relative_links_lead_somewhere(document):
    links = re.findall(r"\]\(<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\)", prose(document))
    links += re.findall(r"(?:src|href)=\"([^\"]+)\"", prose(document))
    broken = []
    for link in links:
        if re.match(r"[a-z][a-z0-9+.-]*:", link):
            continue
        place, _, anchor = link.partition("#")
        target = (document.parent / place).resolve() if place else document
        there = target.exists() and ROOT in (target, *target.parents)
        if not there or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_the_readme_names_every_extra_to_install():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    install = DOCUMENTS[0].read_text(encoding="utf-8").partition("\n## Install\n")[2].partition("\n## ")[0]
    parts_of_others = {"chat"}   # comes with web
    missing = set(project["optional-dependencies"]) - set(re.findall(r"`(\w+)`", install)) - parts_of_others
    assert missing == set()
