"""A saved conversation is gone on with truly: no state of other turns, no cell done twice, no file of the user's cut."""

import os
import threading
from pathlib import Path

import pytest

from codeact.agent import Agent
from codeact.errors import ConfigError, InterpreterError
from codeact.events import Code, ToolCalled
from codeact.loop import Cancel
from codeact.models.scripted import ScriptedModel
from codeact.recording import Recorder
from codeact.resuming import Resumed, Unfinished, read, replay
from codeact.trajectory import Stop, load

ANSWER = "<solution>done</solution>"


def execute(code: str) -> str:
    return f"<execute>\n{code}\n</execute>"


def agent_that_says(*replies, **settings) -> Agent:
    return Agent(ScriptedModel(replies), **settings)


def without_states(path: Path) -> None:
    for state in path.parent.glob(f"{path.name}.state-*"):
        state.unlink()


def unsaved(agent: Agent) -> Agent:
    def save(path):
        raise InterpreterError("no room")

    agent.interpreter.save = save
    return agent


def resumed(path: Path, **settings) -> Agent:
    return Agent.resume(path, ScriptedModel([ANSWER]), **settings)


# Which file


@pytest.mark.parametrize("content", ["notes of mine, no newline", "# Title\n\nwords\nlast", '{"name": "package"}'])
def test_a_file_of_the_users_is_not_written_to(tmp_path, content):
    path = tmp_path / "notes.txt"
    path.write_text(content)
    with pytest.raises(ConfigError, match="something else than trajectories"):
        Recorder(path)
    assert path.read_text() == content


def test_a_pipe_is_no_place_for_a_trajectory(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="regular file"):
        Recorder(tmp_path / "pipe")


@pytest.mark.parametrize("content", [b"", b'{"ty', b'{"type": "start", "vers'])
def test_a_first_line_that_was_cut_off_is_written_anew(tmp_path, content):
    path = tmp_path / "a.jsonl"
    path.write_bytes(content)
    with agent_that_says(ANSWER, save=path) as agent:
        agent.run("greet")
        assert load(path) == [agent.trajectory]


def test_a_line_that_found_no_room_leaves_the_file_as_it_was(tmp_path):
    class Full:
        """Writes the first half of one line, then there is no room."""

        def __init__(self, file):
            self.file, self.n_left = file, 20

        def write(self, data):
            if not self.n_left:
                raise OSError(28, "No space left on device")
            n, self.n_left = self.file.write(bytes(data)[: self.n_left]), 0
            return n

        def __getattr__(self, name):
            return getattr(self.file, name)

    path = tmp_path / "a.jsonl"
    with agent_that_says(execute("x = 1"), execute("x = 2"), ANSWER, save=path) as agent:
        file = agent._keeping._recorder._file

        def fill(event):
            if isinstance(event, Code) and "2" in event.code:
                agent._keeping._recorder._file = Full(file)

        with pytest.raises(ConfigError, match="No space left"):
            agent.run("work", observe=fill)
        agent._keeping._recorder._file = file
        assert load(path)[-1].turns == agent.trajectory.turns
        assert agent.run("go on").answer == "done"
        assert load(path) == [agent.trajectory]


def test_taking_back_a_cell_of_ones_own_before_any_task_leaves_a_file_that_can_be_read(tmp_path):
    path = tmp_path / "a.jsonl"
    with agent_that_says(ANSWER, save=path) as agent:
        agent.execute("z = 1")
        agent.undo()
        agent.run("greet")
        assert load(path) == [agent.trajectory]


# Which state


def test_the_state_of_another_conversation_in_the_file_is_not_taken(tmp_path):
    path = tmp_path / "a.jsonl"
    with agent_that_says(execute("old = 1"), ANSWER, save=path) as agent:
        agent.run("first")
    with unsaved(agent_that_says(execute("new = 1"), ANSWER, save=path)) as agent:
        agent.run("second")
    with resumed(path) as agent:
        assert agent.interpreter.run("new, 'old' in globals()").text.endswith("(1, False)")


def test_the_state_of_turns_that_were_taken_back_is_not_taken(tmp_path):
    path = tmp_path / "a.jsonl"
    with agent_that_says(execute("a = 1"), ANSWER, execute("wrong = 1"), ANSWER, execute("right = 1"), ANSWER, save=path) as agent:
        agent.run("first")
        agent.run("second")
        unsaved(agent).undo()
        agent.run("third")
    with resumed(path) as agent:
        assert agent.interpreter.run("a, right, 'wrong' in globals()").text.endswith("(1, 1, False)")


def test_a_cell_of_the_users_own_comes_back_and_is_told(tmp_path):
    path = tmp_path / "a.jsonl"
    with agent_that_says(ANSWER, save=path) as agent:
        agent.run("first")
        agent.execute("z = 26")
    with resumed(path) as agent:
        assert agent.resumed.lost == ()
        agent.run("second")
        assert "z = 26" in agent.trajectory.messages[-2].content
        assert "26" in agent.interpreter.run("z").text


@pytest.mark.parametrize("n_later", [0, 1])
def test_a_cell_of_the_users_own_that_cannot_come_back_is_named(tmp_path, n_later):
    path = tmp_path / "a.jsonl"
    with agent_that_says(execute("a = 1"), ANSWER, execute("b = z"), ANSWER, save=path) as agent:
        agent.run("first")
        agent.execute("z = 26")
        if n_later:
            agent.run("second")
    without_states(path)
    with resumed(path) as agent:
        assert agent.resumed.n_replayed == 1
        assert "ran" in agent.resumed.lost[0] or "run code of your own" in agent.resumed.lost[0]


# Which cells


def test_a_cell_that_was_never_begun_is_not_run_when_the_conversation_is_resumed(tmp_path):
    path, cancel = tmp_path / "a.jsonl", Cancel()

    class Interrupted(ScriptedModel):
        def complete(self, messages, **options):
            done = super().complete(messages, **options)
            if "refused" in done.text:
                cancel.set()  # after the reply, before its code
            return done

    with Agent(Interrupted([execute("a = 1"), execute("refused = 1")]), save=path) as agent:
        assert agent.run("work", cancel=cancel).stop is Stop.CANCELLED
    without_states(path)
    with resumed(path) as agent:
        assert agent.resumed == Resumed(n_replayed=1)
        assert agent.interpreter.run("a, 'refused' in globals()").text.endswith("(1, False)")
        assert [exchange.n_cells for exchange in agent._conversation.exchanges] == [1]


def test_a_cell_that_was_interrupted_is_not_begun_again(tmp_path):
    path, cancel = tmp_path / "a.jsonl", Cancel()
    with agent_that_says(execute("a = 1\nprint('on', flush=True)\nwhile True: pass"), save=path) as agent:
        agent.run("loop", observe=lambda event: getattr(event, "text", "").startswith("on") and cancel.set(), cancel=cancel)
    without_states(path)
    with resumed(path) as agent:
        assert agent.resumed.n_replayed == 0
        assert "interrupted" in agent.resumed.lost[0]


def under_way(path: Path, **settings) -> None:
    """A file whose program ended in a cell."""
    with agent_that_says(execute("a = 1"), ANSWER, save=path, **settings) as agent:
        agent.run("first")
        agent._keeping(Code("pay(5)\nwait()"))
        agent._keeping(ToolCalled("pay", {"amount": "5"}))


def test_the_model_is_told_of_a_cell_under_way_and_of_the_tools_it_had_called(tmp_path):
    def pay(amount: int) -> str:
        """Pay."""
        raise AssertionError("a second time")

    under_way(tmp_path / "a.jsonl", tools=[pay])
    with resumed(tmp_path / "a.jsonl", tools=[pay]) as agent:
        assert agent.resumed.lost[0].endswith("it had called pay")
        agent.run("go on")
        assert "pay(5)\nwait()" in agent.trajectory.messages[-2].content


def test_a_cell_under_way_that_could_not_act_on_the_world_is_as_if_it_had_not_begun(tmp_path):
    under_way(tmp_path / "a.jsonl")
    with resumed(tmp_path / "a.jsonl") as agent:
        assert agent.resumed.lost == ()


def test_a_cell_that_has_ended_is_not_under_way(tmp_path):
    path = tmp_path / "a.jsonl"
    with agent_that_says(execute("a = 1"), ANSWER, save=path) as agent:
        agent.run("first")
    assert (read(path).under_way, read(path).called) == ("", ())


@pytest.mark.parametrize("settings", [{"own_workspace": False, "network": False}, {"own_workspace": True, "network": True}])
def test_where_cells_reach_the_world_one_under_way_may_have_acted(tmp_path, settings):
    under_way(tmp_path / "a.jsonl")
    unfinished = read(tmp_path / "a.jsonl")
    assert isinstance(unfinished, Unfinished)
    assert "may have done part" in replay(unfinished, lambda code: None, **settings).lost[-1]


def test_two_that_resume_the_same_file_at_once_are_one_and_a_refusal(tmp_path):
    path = tmp_path / "a.jsonl"
    with agent_that_says(ANSWER, save=path) as agent:
        agent.run("first")
    found, start = [], threading.Barrier(2)

    def try_it():
        start.wait(30)
        try:
            found.append(resumed(path))
        except ConfigError as error:
            found.append(error)

    threads = [threading.Thread(target=try_it) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    agents = [one for one in found if isinstance(one, Agent)]
    for one in agents:
        one.close()
    assert len(agents) == 1
    assert "another program" in str(next(one for one in found if isinstance(one, ConfigError)))
