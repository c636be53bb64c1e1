"""The chat environment: what the model is told first, and what it is told about each action."""

import os
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from codeact.actions import Answer, CodeAction, Malformed, Say, ToolCall
from codeact.environments.chat import ChatEnvironment
from codeact.events import Code, Display, Output, ignore
from codeact.interpreter.output import Display as ShownDisplay
from codeact.interpreter.output import Text
from codeact.loop import NEVER, Cancel
from codeact.messages import Message
from codeact.tools.toolbox import Toolbox
from codeact.trajectory import Observation, Stop

GOLDEN = Path(__file__).parents[1] / "golden"
PNG = {"text/plain": "<Figure>", "image/png": b"\x89PNG"}
TABLE = {"text/plain": "a table", "text/html": "<table>"}


@dataclass(frozen=True)
class Error:
    name: str = "ValueError"
    message: str = "no"
    traceback: str = "Traceback (most recent call last):\nValueError: no\n"


@dataclass(frozen=True)
class Result:
    text: str = "Out[1]: 2"
    status: str = "ok"
    outputs: list = field(default_factory=list)
    error: Error | None = None
    files: list[str] = field(default_factory=list)


class FakeRunner:
    """Gives one result for every cell, after some output."""

    def __init__(self, workspace: Path, result: Result = Result(), outputs=()) -> None:
        self.workspace, self.result, self.outputs = workspace, result, outputs
        self.cells: list[tuple[str, float]] = []
        self.interrupted = False

    def run(self, code, *, timeout=None, on_output=None):
        self.cells.append((code, timeout))
        for output in self.outputs:
            on_output(output)
        return self.result

    def interrupt(self):
        self.interrupted = True

    def close(self):
        pass


def hotels(city: str, nights: int = 1) -> list[dict[str, object]]:
    """Hotels in a city.

    Cheapest first.
    """
    return []


def weather(city: str) -> str:
    """Weather of today."""
    return ""


@pytest.fixture
def runner(tmp_path):
    return FakeRunner(tmp_path)


def step(runner, action, **options):
    events = []
    env = ChatEnvironment(runner, "task", **options)
    return env.step(action, observe=events.append, cancel=NEVER), events


def test_the_prompt_of_a_bare_environment(runner):
    env = ChatEnvironment(runner, "What is 1 + 1?")
    system, user = env.reset()
    assert user == Message("user", "What is 1 + 1?")
    compare_with_golden("chat_bare.txt", system.content)


def test_the_prompt_tells_tools_files_and_limits(runner):
    (runner.workspace / "sales.csv").write_text("x" * 1234)
    (runner.workspace / ".hidden").write_text("")
    (runner.workspace / "old").mkdir()
    tools = tuple(Toolbox([hotels, weather]))
    env = ChatEnvironment(
        runner, "task", tools=tools, timeout=5.5, memory_mb=512, network="all", read=["/srv/data"]
    )
    compare_with_golden("chat_full.txt", env.reset()[0].content)


def test_a_crowded_workspace_is_not_listed_whole(runner):
    for number in range(100):
        (runner.workspace / f"{number:03}.txt").write_text("")
    prompt = ChatEnvironment(runner, "task").reset()[0].content
    assert "039.txt (0 bytes) and 60 more" in prompt
    assert "040.txt" not in prompt


def test_code_is_run_and_its_result_shown_to_the_model(runner):
    observation, events = step(runner, CodeAction("1 + 1"), timeout=7)
    assert observation == Observation("Out[1]: 2")
    assert runner.cells == [("1 + 1", 7)]
    assert events == [Code("1 + 1")]


def test_what_a_cell_shows_is_passed_on_in_order(tmp_path):
    result = Result(outputs=[PNG, {"text/plain": "2"}], error=Error(), status="error")
    shown = [Text("stdout", "a"), ShownDisplay(PNG), Text("stderr", "b")]
    observation, events = step(FakeRunner(tmp_path, result, shown), CodeAction("f()"))
    assert events == [
        Code("f()"),
        Output("a", "stdout"),
        Display(PNG),
        Output("b", "stderr"),
        Output("2\n", "value"),
        Output("Traceback (most recent call last):\nValueError: no\n", "error"),
    ]
    assert observation.outputs == (PNG,)
    assert observation.status == "error"


def test_a_value_that_is_more_than_text_is_a_display(tmp_path):
    _, events = step(FakeRunner(tmp_path, Result(outputs=[TABLE])), CodeAction("f()"))
    assert events == [Code("f()"), Display(TABLE)]


def test_files_are_named_to_the_model(tmp_path):
    observation, _ = step(FakeRunner(tmp_path, Result(files=["a.csv", "b/c.png"])), CodeAction("f()"))
    assert observation.text == "Out[1]: 2\n[files written: a.csv, b/c.png]"
    assert observation.files == ("a.csv", "b/c.png")


def test_the_model_is_told_that_its_invention_was_ignored(runner):
    observation, _ = step(runner, CodeAction("f()", ignored="Observation:\n3" + "x" * 1000))
    assert "was ignored, as the code had not run yet: 'Observation: 3xxx" in observation.text
    assert len(observation.text) < 400


@pytest.mark.parametrize("action", [Answer("42"), Say("hello")])
def test_answers_and_words_end_the_rollout(runner, action):
    observation, events = step(runner, action)
    assert (observation.stop, observation.status, events) == (Stop.ANSWER, "none", [])
    assert runner.cells == []


def test_a_malformed_reply_is_answered_with_the_right_form(runner):
    observation, _ = step(runner, Malformed("write it like this"))
    assert observation == Observation("write it like this", status="none")


def test_a_tool_call_is_a_cell_that_calls_the_tool(runner):
    def hotels(**options: object) -> None: ...

    tools = tuple(Toolbox([hotels]))
    step(runner, ToolCall("hotels", {"city": "Lisbon's", "nights": 2}), tools=tools)
    step(runner, ToolCall("hotels", {"from": 1, "nights": 2}, positional=("x",)), tools=tools)
    assert [code for code, _ in runner.cells] == ["""hotels(city="Lisbon's", nights=2)""", "hotels('x', nights=2, **{'from': 1})"]


def test_a_call_of_what_is_no_tool_runs_nothing(runner):
    def hotels() -> None: ...

    for tools, told in (((), "There are no tools."), (tuple(Toolbox([hotels])), "The tools are: hotels.")):
        observation, events = step(runner, ToolCall("exec", positional=("import os",)), tools=tools)
        assert observation == Observation(f"There is no tool 'exec'. {told}", status="none")
        assert events == []
    assert runner.cells == []


def test_cancelling_interrupts_the_cell(tmp_path):
    cancel = Cancel()

    class Cancelling(FakeRunner):
        def run(self, code, **options):
            assert cancel.set()
            return super().run(code, **options)

    runner = Cancelling(tmp_path)
    ChatEnvironment(runner, "task").step(CodeAction("f()"), observe=ignore, cancel=cancel)
    assert runner.interrupted


def compare_with_golden(name: str, text: str) -> None:
    """Compare with a file of tests/golden; `CODEACT_GOLDEN=write` writes it anew."""
    if os.environ.get("CODEACT_GOLDEN") == "write":
        (GOLDEN / name).write_text(text + "\n", encoding="utf-8")
    assert text + "\n" == (GOLDEN / name).read_text(encoding="utf-8")
