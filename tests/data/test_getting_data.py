"""Data fetched with git from a repository made here, extracted behind the walls, compared, and put in its place."""

import dataclasses
import json
import os
import shutil
import subprocess
from pathlib import Path

import m3_original
import pytest

from codeact.cli.data import main
from codeact.data import canonical, extracting, fetching, getting, places, sources
from codeact.errors import ConfigError

DATA = Path(os.environ.get("CODEACT_DATA") or Path(__file__).parents[3] / "shared" / "data") / "m3tooleval"
needs_data = pytest.mark.skipif(not DATA.exists(), reason="no M3ToolEval in CODEACT_DATA or ../shared/data")
needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="no git")


@pytest.fixture
def original(tmp_path):
    return m3_original.write(tmp_path / "original")


def git(folder, *words):
    flags = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", "-C", str(folder), *flags, *words], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def repository(original):
    git(original, "init", "-q")
    (original / "else.txt").write_text("not needed")
    git(original, "add", ".")
    git(original, "commit", "-qm", "all")
    return original


def rows(folder, name):
    return canonical.lines((folder / name).read_text())


def test_tasks_tools_tables_and_pages_are_found_by_what_they_do(original, tmp_path):
    told: list[str] = []
    home = getting.get("m3tooleval", to=tmp_path / "to", given=str(original), tell=told.append)
    assert [(row["id"], row["expected_output"], row["expected_type"]) for row in rows(home, "tasks.jsonl")] == [
        ("message_decoder/pair", ["a", 1], "tuple"), ("message_decoder/turned", "ba", "str"),
        ("travel_itinerary_planning/trip", 5, "int"), ("web_browsing/six", 6, "int")]  # fmt: skip
    tools = json.loads((home / "tools.json").read_text())
    assert tools["message_decoder"] == [
        {"name": "reverse_string", "signature": "reverse_string(string: str) -> str", "description": "Turns it."}]
    travel = json.loads((home / "travel.json").read_text())
    assert travel["locations"] == ['"A"', '"B"']
    assert [row["price"] for row in travel["flights"]] == [7, 5]
    assert len(travel["hotels"]) == 1
    assert {row["name"]: row["content"].count("\n") for row in rows(home, "web_pages.jsonl")} == {"/": 1, "/b": 5}
    assert any(line.startswith("warning:") for line in told)


REAL = """
import json, pathlib
from ..base import Task, Tool
ROOT = pathlib.Path(__file__).parents[2]
TRAVEL = json.loads((ROOT / "travel.json").read_text())
def place(name):
    name = name if name.startswith('"') else f'"{name}"'
    if name not in TRAVEL["locations"]:
        raise ValueError(name)
    return name
def find_flights(a, b, date):
    a, b = place(a), place(b)
    return [f for f in TRAVEL["flights"] if (f["from_location"], f["to_location"], f["date"]) == (a, b, date)]
def book_hotel(location):
    return [h for h in TRAVEL["hotels"] if h["location"] == place(location)]
TOOLS = {family: [Tool(t["name"], t["description"], globals().get(t["name"]), t["signature"]) for t in tools]
         for family, tools in json.loads((ROOT / "tools.json").read_text()).items()}
def all_tasks():
    for line in (ROOT / "tasks.jsonl").open():
        row = json.loads(line)
        expected = row["expected_output"]
        expected = tuple(expected) if row["expected_type"] == "tuple" else expected
        yield Task(row["id"], TOOLS[row["family"]], row["instruction"], expected, row["is_single_tool_task"])
"""


@needs_data
def test_the_real_tables_come_out_as_they_went_in(tmp_path):
    folder = m3_original.write(tmp_path / "original", decoder=REAL, travel="", web="") / m3_original.FOLDER
    for name in extracting.FILES:
        shutil.copy(DATA / name, folder / name)
        (folder / name).chmod(0o644)
    home = getting.get("m3tooleval", to=tmp_path / "to", given=str(folder))
    assert getting.differing(sources.M3TOOLEVAL, home) == getting.differing(sources.M3TOOLEVAL, DATA) == []

@needs_git
def test_a_git_repository_is_a_source_and_only_the_folder_is_taken(repository, tmp_path):
    into = tmp_path / "into"
    into.mkdir()
    commit = git(repository, "rev-parse", "HEAD")
    assert fetching.fetch(str(repository), commit, m3_original.FOLDER, into) == commit
    assert {path.name for path in into.iterdir()} == {".git", "scripts"}
    home = getting.get("m3tooleval", to=tmp_path / "to", given=str(repository))
    assert len(rows(home, "tasks.jsonl")) == 4
    assert [path.name for path in home.parent.iterdir()] == ["m3tooleval"]


@needs_git
@pytest.mark.parametrize(("commit", "folder"), [("0" * 40, m3_original.FOLDER), ("HEAD", "nowhere"), ("--x", "a")])
def test_what_a_repository_does_not_have_is_told(repository, tmp_path, commit, folder):
    into = tmp_path / "into"
    into.mkdir()
    with pytest.raises(ConfigError, match=r"no such commit|holds no folder|not our ref|is no repository"):
        fetching.fetch(str(repository), commit, folder, into)


def test_a_folder_that_is_not_there_is_told_before_git_is_asked(tmp_path):
    with pytest.raises(ConfigError, match=r"--from /nowhere: there is no such folder; name one with the original's files"):
        getting.get("m3tooleval", to=tmp_path, given="/nowhere")
    assert list(tmp_path.iterdir()) == []


@needs_git
def test_of_what_git_says_the_reason_is_told_and_not_its_advice(tmp_path):
    with pytest.raises(ConfigError, match=r"fatal: '?.*'? does not appear to be a git repository. Look whether"):
        getting.get("m3tooleval", to=tmp_path, given=f"file://{tmp_path}")


def test_without_git_another_way_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="--from DIR"):
        getting.get("m3tooleval", to=tmp_path)
    assert list(tmp_path.iterdir()) == []


@needs_git
def test_data_of_the_public_home_must_be_what_it_was(repository, tmp_path, monkeypatch):
    commit = git(repository, "rev-parse", "HEAD")
    moved = dataclasses.replace(sources.M3TOOLEVAL, url=str(repository), commit=commit)
    monkeypatch.setitem(sources.SOURCES, "m3tooleval", moved)
    with pytest.raises(ConfigError, match="nothing was kept"):
        getting.get("m3tooleval", to=tmp_path / "to")
    assert list((tmp_path / "to").iterdir()) == []
    digests = {name: canonical.digest(name, text)
               for name, text in extracting.extract(repository / m3_original.FOLDER).items()}
    monkeypatch.setitem(sources.SOURCES, "m3tooleval", dataclasses.replace(moved, digests=digests))
    home = getting.get("m3tooleval", to=tmp_path / "to")
    told: list[str] = []
    assert getting.get("m3tooleval", to=tmp_path / "to", tell=told.append) == home
    assert told == [f"{home} is complete already"]


@pytest.mark.parametrize(
    "code",
    ["while True: pass", "import os; os._exit(1)", "raise KeyboardInterrupt", "x = [0] * 10**12",
     "import os\nwhile True: os.write(1, b'x' * 1000000)", "import __main__; __main__.json = None",
     "import json; json.dumps = lambda *_: '\\ud800'", "import gc; gc.get_objects = lambda: 1 / 0", "import json; json.dumps = lambda *_: 'no json'"],
)  # fmt: skip
def test_a_hostile_source_gives_a_clear_error_and_no_file(tmp_path, code):
    folder = m3_original.write(tmp_path / "original", base=code) / m3_original.FOLDER
    with pytest.raises(ConfigError, match="original"):
        extracting.extract(folder, timeout=5)


def test_a_source_sees_nothing_of_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", "hunter2")
    secret = tmp_path / "secret.txt"
    secret.write_text("hunter2")
    spy = f"""
import os
from ..base import Task
def read():
    try:
        return open({str(secret)!r}).read()
    except OSError as error:
        return type(error).__name__
SEEN = [Task("message_decoder/spy", [], repr(dict(os.environ)) + read(), "x")]
"""
    folder = m3_original.write(tmp_path / "original", decoder=spy) / m3_original.FOLDER
    text = extracting.extract(folder)["tasks.jsonl"]
    assert "message_decoder/spy" in text
    assert "hunter2" not in text


def test_one_content_has_one_digest_whatever_the_order():
    assert canonical.digest("x.jsonl", '{"a": 1, "b": 2}\n{"c": 3}\n') == canonical.digest(
        "x.jsonl", '{"c":3}\n{"b":2,"a":1}')
    assert canonical.digest("x.jsonl", "1") != canonical.digest("x.jsonl", "2")
    with pytest.raises(ValueError, match="Expecting"):
        canonical.digest("x.json", "")


def test_the_command_lists_and_gets(original, tmp_path, monkeypatch, capsys):
    monkeypatch.delenv(places.VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert main(["list"]) == 0
    assert "m3tooleval: 82 tasks" in (out := capsys.readouterr().out)
    assert "not here" in out
    assert main(["get", "m3tooleval", "--from", str(original)]) == 0
    home = tmp_path / "cache" / "codeact" / "data" / "m3tooleval"
    assert capsys.readouterr().out == f"{home}\n"
    assert main(["where"]) == 0
    assert capsys.readouterr().out == f"{home.parent}\n"
    assert main(["get", "nothing"]) == 2
    assert "available: m3tooleval" in capsys.readouterr().err
