"""The page of a report: whole by itself, and safe whatever a model wrote; figures beside it."""

import base64
import gzip
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest
from made_runs import ANSWER, eight, played, run_of

from codeact.actions import CodeAction
from codeact.evals import page, plots
from codeact.evals.results import read
from codeact.evals.summary import summarize
from codeact.messages import Completion
from codeact.trajectory import Observation, Turn

EVIL = "</script><script>document.title = 'RAN'</script><img src=x onerror=\"document.title = 'RAN'\"><b>"
PIXEL = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")


class Reader(HTMLParser):
    """Tags with their attributes, and the text of scripts by their id."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: dict[str | None, str] = {}
        self._script: str | None = None

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._script = dict(attrs).get("id", "program") if tag == "script" else None

    def handle_data(self, data):
        if self._script:
            self.scripts[self._script] = self.scripts.get(self._script, "") + data

    def handle_endtag(self, tag):
        self._script = None

    def data(self, name: str):
        return json.loads(gzip.decompress(base64.b64decode(self.scripts[name])))


def hostile():
    svg = {"image/svg+xml": f"<svg onload=\"{EVIL}\"/>"}
    turn = Turn(Completion(EVIL, reasoning=EVIL), CodeAction(f"print({EVIL!r})", EVIL, EVIL), Observation(EVIL, outputs=({"image/png": PIXEL}, svg)), 0.1)
    return played("a/1", True, model=f"x:{EVIL}", turns=(turn, ANSWER), prompt=EVIL, expected=EVIL, answers=[EVIL], family=EVIL)


def written(path, trajectories, **options) -> tuple[Reader, str]:
    folder = run_of(path / "run", trajectories)
    page.save(summarize(read([folder])), [folder], path / "report.html", **options)
    text = (path / "report.html").read_text(encoding="utf-8")
    reader = Reader()
    reader.feed(text)
    return reader, text


def test_the_page_loads_nothing_from_elsewhere_and_runs_its_own_script_alone(tmp_path):
    reader, text = written(tmp_path, eight(code="1100", json="1000"))
    policy = next(attrs["content"] for tag, attrs in reader.tags if attrs.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    assert "http:" not in policy + text.replace("http://www.w3.org", "")
    links = [value for _, attrs in reader.tags for name, value in attrs.items() if name in ("src", "href", "srcset", "action")]
    assert links
    assert all(link.startswith("data:image/svg+xml;base64,") for link in links)
    assert not [name for _, attrs in reader.tags for name in attrs if name.startswith("on") or name == "style"]
    import hashlib

    for content in re.findall(r"<style>(.*?)</style>|<script>(.*?)</script>", text, re.S):
        assert base64.b64encode(hashlib.sha256("".join(content).encode()).digest()).decode() in policy


def test_the_page_has_the_tables_and_every_trajectory(tmp_path):
    reader, text = written(tmp_path, eight(code="1100", json="1000"))
    assert "50.0 [15, 85]" in text
    entries = reader.data("index")["entries"]
    assert [(entry["format"], entry["right"], entry["turns"]) for entry in entries][:3] == [("code", True, 2), ("code", True, 2), ("code", False, 4)]
    whole = reader.data("chunk-0")
    assert len(whole) == len(entries) == 8
    assert whole[0]["turns"][0]["code"] == "add(1, 2)"
    assert (whole[0]["turns"][1]["kind"], whole[0]["turns"][1]["code"]) == ("answer", "3")


def test_what_a_model_wrote_is_never_markup(tmp_path):
    reader, text = written(tmp_path, [hostile()])
    assert "document.title" not in text.replace("document.title = &#x27;RAN&#x27;", "")
    assert len([tag for tag, attrs in reader.tags if tag == "script"]) == 3
    turn = reader.data("chunk-0")[0]["turns"][0]
    assert turn["output"] == EVIL
    assert [mime for mime, _ in turn["images"]] == ["image/png"]


def test_the_script_never_makes_markup_of_text():
    script = page._file("page.js")
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|new Function|DOMParser|setAttribute", script)


def test_long_texts_are_cut_with_a_note_and_trajectories_beyond_a_number_are_listed_only(tmp_path):
    long = Turn(Completion("x"), CodeAction("1"), Observation("a" * 30_000 + "z"))
    reader, text = written(tmp_path, [played("a/1", True, turns=(long, ANSWER)), *eight(code="111")], max_trajectories=2)
    output = reader.data("chunk-0")[0]["turns"][0]["output"]
    assert len(output) < 21_000
    assert "10001 characters are left out here" in output
    assert output.endswith("z")
    assert [entry["chunk"] for entry in reader.data("index")["entries"]] == [0, 0, -1, -1]
    assert "2 of 4 trajectories are listed but cannot be opened here" in text


def test_text_that_is_no_text_is_kept(tmp_path):
    odd = Turn(Completion("x"), CodeAction("1"), Observation("\ud800 \0 \u2028"))
    reader, _ = written(tmp_path, [played("a/1", True, turns=(odd, ANSWER))])
    assert reader.data("chunk-0")[0]["turns"][0]["output"] == "\ud800 \0 \u2028"


def test_many_trajectories_come_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(page, "_CHUNK", 2_000)
    reader, _ = written(tmp_path, eight(code="1" * 40))
    places = [(entry["chunk"], entry["place"]) for entry in reader.data("index")["entries"]]
    assert places[-1][0] > 3
    assert all(reader.data(f"chunk-{chunk}")[place]["answers"] == ["3"] for chunk, place in places)


@pytest.mark.skipif(not shutil.which("chromium"), reason="needs Debian's chromium: apt-get install chromium")
def test_in_a_browser_a_hostile_trajectory_opens_as_text_and_nothing_of_it_runs(tmp_path):
    written(tmp_path, [hostile()])
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=5000",
               "--dump-dom", f"file://{tmp_path / 'report.html'}#t0"]  # fmt: skip
    try:
        dom = subprocess.run(command, capture_output=True, text=True, timeout=120).stdout
    except subprocess.TimeoutExpired:
        pytest.skip("chromium does not come up on this machine")
    if not dom:
        pytest.skip("chromium does not run on this machine")
    reader = Reader()
    reader.feed(dom)
    assert next(attrs for tag, attrs in reader.tags if tag == "html").get("data-ready") == "yes"
    assert "<title>sums 1</title>" in dom
    assert not [tag for tag, attrs in reader.tags if tag == "b" or attrs.get("onerror")]
    assert "&lt;img src=x onerror=" in dom
    assert [attrs["src"][:22] for tag, attrs in reader.tags if tag == "img" and "this turn" in attrs.get("alt", "")] == ["data:image/png;base64,"]
    assert 'class="tok-string"' in dom


def test_figures_are_files_of_two_kinds_and_the_same_each_time(tmp_path):
    summary = summarize(read([run_of(tmp_path / "run", [*eight(code="1100", json="1000"), *eight("openai:$x_1$", code="11")])]))
    paths = plots.save(summary, tmp_path / "figures")
    assert sorted(path.name for path in paths) == sorted(f"{name}.{kind}" for name in ("success", "turns", "adoption", "ends") for kind in ("png", "svg"))
    assert all(path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n" for path in paths if path.suffix == ".png")
    assert plots.draw(summary, "success") == plots.draw(summary, "success") == (tmp_path / "figures/success.svg").read_bytes()


def test_a_page_of_a_run_without_a_finished_job_opens_all_the_same(tmp_path):
    reader, text = written(tmp_path, [])
    assert reader.data("index")["entries"] == []
    assert "No job is finished yet" in text
