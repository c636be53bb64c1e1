"""What the published evaluation recorded, beside ours; and every task's own answer."""

import importlib.util
import json
import os
from pathlib import Path

import m3_invented
import pytest

from codeact import plugins

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("CODEACT_DATA") or ROOT.parent / "shared" / "data")
needs_data = pytest.mark.skipif(
    not (DATA / "m3tooleval").exists(), reason="no M3ToolEval in CODEACT_DATA or ../shared/data"
)


@pytest.fixture(scope="module")
def agreement():
    spec = importlib.util.spec_from_file_location("agreement", ROOT / "benchmarks" / "agreement.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@needs_data
@pytest.mark.parametrize("name", ["tool_examples.jsonl", "browser_walks.jsonl", "answer_verdicts.jsonl"])
def test_every_recorded_case_agrees(agreement, name):
    cases = dict(agreement.comparisons(DATA))[f"m3tooleval/{name}"]
    different = [case for case in cases if case[1] != case[2]]
    assert different == []


@needs_data
def test_every_tasks_expected_answer_passes_both_checkers_as_python_prints_it():
    suite = plugins.create("suites", "m3tooleval", data=str(DATA))
    tasks = suite.tasks()
    assert len(tasks) == 82
    wrong = [task.id for task in tasks if not all(suite.check(task, str(task.expected)).values())]
    assert wrong == []
    assert {len(suite.tools(task)) for task in tasks} == {6}


@pytest.fixture
def folder(tmp_path):
    home = m3_invented.write(tmp_path) / "m3tooleval"
    cases = [{"family": "trade_calculator", "tool": "find_minimum", "args": [2, 1], "result": 1},
             {"family": "trade_calculator", "tool": "find_minimum", "args": [], "error": "ValueError"}]
    (home / "tool_examples.jsonl").write_text("\n".join(map(json.dumps, cases)))
    return tmp_path


def test_a_line_a_file_says_how_many_agree(agreement, folder, capsys):
    assert agreement.main(["--data", str(folder)]) == 0
    assert capsys.readouterr().out == "m3tooleval/tool_examples.jsonl: 2/2\n"


def test_what_does_not_agree_is_shown_and_fails_below_the_share(agreement, folder, capsys):
    with (folder / "m3tooleval" / "tool_examples.jsonl").open("a") as file:
        file.write('\n{"family": "trade_calculator", "tool": "find_minimum", "args": [5], "result": 6}\n')
    assert agreement.main(["--data", str(folder), "--show", "1"]) == 1
    assert "2/3" in (out := capsys.readouterr().out)
    assert "ours:     {'result': 5}" in out
    assert agreement.main(["--data", str(folder), "--min", "0.6"]) == 0


@pytest.mark.parametrize("line", ["{", "[]", '{"tool": "x"}'])
def test_a_malformed_line_is_told(agreement, folder, capsys, line):
    (folder / "m3tooleval" / "tool_examples.jsonl").write_text(line)
    assert agreement.main(["--data", str(folder)]) == 2
    assert "tool_examples.jsonl, line 1" in capsys.readouterr().err


def test_a_folder_with_nothing_to_compare_is_told(agreement, tmp_path, capsys):
    assert agreement.main(["--data", str(tmp_path)]) == 2
    assert agreement.main(["--data", str(tmp_path / "none")]) == 2
    assert "is no folder" in capsys.readouterr().err
