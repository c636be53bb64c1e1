"""What the published evaluation recorded, beside ours; and every task's own answer."""

import importlib.util
import json
import os
from collections import Counter
from pathlib import Path

import m3_invented
import pytest

from codeact import plugins
from codeact.actions import CodeAction, ToolCall
from codeact.evals.episode import Job, Playing, play
from codeact.models.scripted import ScriptedModel

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


def call_that_gives(suite, task):
    """A call of one of the task's own tools whose result is the expected answer; None if no simple one does."""
    expected = task.expected
    match task.family:
        case "message_decoder" if isinstance(expected, str):
            return ToolCall("reverse_string", {"string": expected[::-1]})
        case "message_decoder":
            return ToolCall("maximum_value", positional=(expected, 0))
        case "cryptobotanists_plant_dna_sequencer" if isinstance(expected, tuple):
            return ToolCall("find_max_nucleotide", positional=(*expected, "other", 0))
        case "cryptobotanists_plant_dna_sequencer" if isinstance(expected, dict):
            return ToolCall("count_nucleotides", {"dna_sequence": "".join(key * n for key, n in expected.items())})
        case "cryptobotanists_plant_dna_sequencer" if expected is False:
            return ToolCall("is_valid_dna_sequence", {"dna_sequence": "?"})
        case "trade_calculator":
            return ToolCall("calculator", {"expression": str(expected)})
        case "travel_itinerary_planning":
            return ToolCall("sum", positional=(expected - 1, 1))
        case "web_browsing":
            browser = {tool.__name__: tool for tool in suite.tools(task)}
            pages = (DATA / "m3tooleval" / "web_pages.jsonl").read_text().splitlines()
            names = [json.loads(line)["name"] for line in pages]
            found = [name for name in names if str(expected) in browser["click_url"](name)]
            return ToolCall("click_url", {"url": found[0]}) if found else None
    return None


@needs_data
@pytest.mark.parametrize("format", ["code", "json", "text"])
def test_a_right_value_gets_from_a_real_tool_to_a_right_verdict_in_every_format(format):
    suite = plugins.create("suites", "m3tooleval", data=str(DATA))
    form = plugins.create("formats", format, envelope="m3tooleval")
    playing = Playing(suite, suite.settings, "paper", sandbox="none")
    done: Counter[str] = Counter()
    for task in suite.tasks():
        call = call_that_gives(suite, task)
        if call is None or done[task.family] == 4:
            continue
        done[task.family] += 1
        given = [*map(repr, call.positional), *(f"{key}={value!r}" for key, value in call.arguments.items())]
        action = CodeAction(f"print({call.name}({', '.join(given)}))") if format == "code" else call
        model = ScriptedModel([form.spell(action), "Answer: no", f"Answer: {task.expected}"])
        trajectory = play(playing, Job("scripted", format, task.id), task, model)
        assert str(task.expected) in trajectory.turns[0].observation.text
        assert trajectory.about["verdicts"] == {"paper": True, "strict": True}
        assert trajectory.about["n_acted"] == 1
    assert len(done) == 5
    assert min(done.values()) >= 3


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
