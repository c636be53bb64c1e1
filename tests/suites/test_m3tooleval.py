"""The suite on invented data: tasks, prompts, and whole runs in all three formats."""

import os
from pathlib import Path

import m3_invented
import pytest

from codeact import plugins
from codeact.actions import CodeAction, ToolCall
from codeact.errors import ConfigError
from codeact.evals.episode import Job, Playing, play
from codeact.models.scripted import ScriptedModel
from codeact.tasks import Task
from codeact.tools.toolbox import Toolbox

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture
def suite(tmp_path):
    return plugins.create("suites", "m3tooleval", data=str(m3_invented.write(tmp_path)))


def task_of(suite, family):
    return next(task for task in suite.tasks() if task.family == family)


def test_tasks_come_in_order_with_answers_of_their_types(suite):
    tasks = suite.tasks()
    assert [task.id for task in tasks] == [entry[0] for entry in m3_invented.TASKS]
    assert tasks[1].expected == ("C", 2)
    assert tasks[4].about == {"decimals": 2}
    assert suite.version.startswith("1-")


@pytest.mark.parametrize("format", ["code", "json", "text"])
@pytest.mark.parametrize("family", ["cryptobotanists_plant_dna_sequencer", "travel_itinerary_planning"])
def test_prompts(suite, format, family):
    task = task_of(suite, family)
    form = plugins.create("formats", format, envelope=suite.settings.envelope)
    told = suite.prompt(task, form.instructions(tuple(Toolbox(suite.tools(task)))))
    text = "\n\n".join(f"[{message.role}]\n{message.content}" for message in told) + "\n"
    path = GOLDEN / f"m3tooleval_{format}_{family}.txt"
    if os.environ.get("CODEACT_WRITE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()


SOLUTIONS = {
    "message_decoder": (
        "print(caesar_decode(convert_hex_to_ascii('6a6d'), 1))",
        [ToolCall("convert_hex_to_ascii", {"hex_string": "6a6d"}),
         ToolCall("caesar_decode", {"message": "jm", "shift": 1})],
        "il",
    ),
    "cryptobotanists_plant_dna_sequencer": (
        "counts = count_nucleotides('CCA')\nprint(find_max_nucleotide(*[x for item in counts.items() for x in item]))",
        [ToolCall("count_nucleotides", {"dna_sequence": "CCA"}),
         ToolCall("find_max_nucleotide", positional=("C", 2, "A", 1))],
        "('C', 2)",
    ),
    "trade_calculator": (
        "print([convert_currency(price, 1.5) for price in (10, 20, 30)])",
        [ToolCall("convert_currency", {"base_price": 10, "conversion_rate": 1.5}),
         ToolCall("calculator", {"expression": "[15.0, 20 * 1.5, 30 * 1.5]"})],
        "[15.0, 30.0, 45.0]",
    ),
    "travel_itinerary_planning": (
        "print(min(*[flight['price'] for flight in find_flights('Hill', 'Lake', '2031-05-01')]))",
        [ToolCall("find_flights", {"from_location": "Hill", "to_location": "Lake", "date": "2031-05-01"}),
         ToolCall("min", positional=(55, 40))],
        "40",
    ),
    "web_browsing": (
        "view()\nscroll_down()\nprint(click_url('/lamp'))",
        [ToolCall("scroll_down"), ToolCall("click_url", {"url": "/lamp"})],
        "9.996",
    ),
}  # fmt: skip


@pytest.mark.parametrize("format", ["code", "json", "text"])
@pytest.mark.parametrize("family", list(SOLUTIONS))
def test_a_solution_succeeds_through_the_real_interpreter_in_every_format(suite, format, family):
    code, calls, answer = SOLUTIONS[family]
    form = plugins.create("formats", format, envelope="m3tooleval")
    actions = [CodeAction(code)] if format == "code" else calls
    model = ScriptedModel([*map(form.spell, actions), f"Answer: {answer}"])
    task = task_of(suite, family)
    playing = Playing(suite, suite.settings, "paper", sandbox="none")
    trajectory = play(playing, Job("scripted", format, task.id), task, model)
    assert [turn.observation.status for turn in trajectory.turns[:-1]] == ["ok"] * len(actions)
    assert answer in trajectory.turns[-2].observation.text
    assert trajectory.about["verdicts"] == {"paper": True, "strict": True}


def test_each_task_has_a_browser_of_its_own(suite):
    task = task_of(suite, "web_browsing")
    first, second = ({tool.__name__: tool for tool in suite.tools(task)} for _ in range(2))
    first["click_url"]("/lamp")
    assert "[Web Page Name: /]" in second["view"]()


def test_without_data_the_way_to_get_it_is_told(monkeypatch, tmp_path):
    monkeypatch.delenv("CODEACT_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(ConfigError, match="codeact data get m3tooleval"):
        plugins.create("suites", "m3tooleval").tasks()
    with pytest.raises(ConfigError, match="--data names"):
        plugins.create("suites", "m3tooleval", data=str(tmp_path)).tasks()


@pytest.mark.parametrize(
    ("name", "data"),
    [("tasks.jsonl", b"{"), ("tasks.jsonl", b'{"id": 1}'), ("travel.json", b"[]"), ("tools.json", b'{"x": [1]}'),
     ("web_pages.jsonl", b"\xff")],
)  # fmt: skip
def test_broken_data_is_told_with_the_way_to_get_it_anew(tmp_path, name, data):
    folder = m3_invented.write(tmp_path)
    (folder / "m3tooleval" / name).write_bytes(data)
    with pytest.raises(ConfigError, match="codeact data get m3tooleval"):
        plugins.create("suites", "m3tooleval", data=str(folder)).tasks()


def test_a_family_without_tools_is_told(suite):
    with pytest.raises(ConfigError, match="codeact data get"):
        suite.tools(Task("x/y", "x", "", 1))
