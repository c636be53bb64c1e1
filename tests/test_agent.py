"""The library's face, over the real interpreter: one conversation, one set of variables, tools on the host."""

import pytest

from codeact import Interpreter
from codeact.agent import Agent
from codeact.errors import ConfigError, UnknownPlugin
from codeact.events import Code, Turn
from codeact.loop import Budget
from codeact.messages import Usage
from codeact.models.scripted import ScriptedModel
from codeact.trajectory import Stop

ANSWER = "<solution>done</solution>"


def execute(code: str) -> str:
    return f"<execute>\n{code}\n</execute>"


def exchange_rate(currency: str) -> float:
    """Euros for one unit of `currency`."""
    return {"USD": 0.5}[currency]


def test_a_task_gives_its_answer_its_files_and_its_trajectory():
    with Agent(ScriptedModel([execute("open('a.txt', 'w').write('hi')"), ANSWER])) as agent:
        result = agent.run("write a file")
        assert (result.answer, result.stop, result.usage) == ("done", Stop.ANSWER, Usage())
        assert [path.read_text() for path in result.files] == ["hi"]
        assert len(result.trajectory.turns) == 2
        assert result.trajectory.about["task"] == "write a file"
        assert result.trajectory.about["level"] == agent.interpreter.level


def test_a_second_task_goes_on_with_conversation_and_variables():
    with Agent(ScriptedModel([execute("x = 20"), ANSWER, execute("print(x + 1)"), ANSWER])) as agent:
        agent.run("first")
        result = agent.run("second")
    said = [message.content for message in result.trajectory.messages]
    assert said[1] == "first"
    assert said[5] == "second"
    assert said[7].startswith("21")
    assert result.files == ()


def test_a_task_that_ran_out_of_turns_can_be_gone_on_with():
    with Agent(ScriptedModel([execute("x = 1"), execute("print(x)"), ANSWER]), budget=Budget(max_turns=2)) as agent:
        assert agent.run("count").answer is None
        assert agent.run("go on").answer == "done"


def test_a_tool_is_described_to_the_model_and_runs_on_the_host():
    with Agent(ScriptedModel([execute("exchange_rate('USD') * 2"), ANSWER]), tools=[exchange_rate]) as agent:
        result = agent.run("convert")
    assert 'def exchange_rate(currency: str) -> float:\n    """Euros' in result.trajectory.messages[0].content
    assert "1.0" in result.trajectory.turns[0].observation.text


def test_a_given_interpreter_is_used_and_left_open():
    with Interpreter() as interpreter:
        interpreter.run("x = 5")
        with Agent(ScriptedModel([execute("x"), ANSWER]), interpreter=interpreter) as agent:
            assert "5" in agent.run("look").trajectory.turns[0].observation.text
        assert "5" in interpreter.run("x").text


def test_what_belongs_to_a_given_interpreter_is_refused():
    with Interpreter() as interpreter, pytest.raises(ConfigError, match="give tools, network to it"):
        Agent(ScriptedModel([]), interpreter=interpreter, tools=[exchange_rate], network="all")


def test_a_run_is_watched_as_it_happens():
    events = []
    with Agent(ScriptedModel([execute("1"), ANSWER])) as agent:
        agent.run("look", observe=events.append)
    assert Code("1") in events
    assert sum(isinstance(event, Turn) for event in events) == 2


def test_a_model_may_be_named(tmp_path):
    (tmp_path / "script.jsonl").write_text('"hello"')
    with Agent(f"scripted:{tmp_path}/script.jsonl") as agent:
        assert agent.run("greet").answer == "hello"
    with pytest.raises(UnknownPlugin, match=r"available: .*openai.*scripted"):
        Agent("nobody:x")
