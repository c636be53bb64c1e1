"""An agent over time: watched, stopped, taken back, saved, killed and gone on with."""

import asyncio
import contextvars
import json
import os
import signal
import subprocess
import sys
import threading

import pytest

from codeact import Interpreter
from codeact.agent import Agent
from codeact.errors import CannotGoBack, ConfigError, InterpreterBusy, InterpreterError, ModelError
from codeact.events import Code, Ended, Note, Output, Started, ToolCalled, Turn
from codeact.loop import Budget, Cancel
from codeact.messages import Completion, Image, Usage
from codeact.models.scripted import ScriptedModel
from codeact.resuming import read
from codeact.trajectory import Stop, load

ANSWER = "<solution>done</solution>"


def execute(code: str) -> str:
    return f"<execute>\n{code}\n</execute>"


def agent_that_says(*replies, **settings) -> Agent:
    return Agent(ScriptedModel(replies), **settings)


def shown(agent: Agent, code: str) -> str:
    return agent.interpreter.run(code).text


# Watching


def test_a_stream_gives_the_events_of_a_task_and_then_its_result():
    with agent_that_says(execute("print(6 * 7)"), ANSWER) as agent:
        events = list(agent.stream("multiply"))
        assert isinstance(events[0], Started)
        assert events[-1] == Ended(Stop.ANSWER)
        assert Output("42\n") in events
        assert agent.result.answer == "done"


def test_a_second_stream_has_the_same_conversation_and_variables():
    with agent_that_says(execute("price = 80"), ANSWER, execute("price + 1"), ANSWER) as agent:
        list(agent.stream("Lisbon"))
        list(agent.stream("now the same for Porto"))
        assert "81" in agent.trajectory.turns[2].observation.text


def test_a_stream_that_is_left_stops_the_task_and_leaves_the_agent_at_rest():
    with agent_that_says(execute("x = 1\nwhile True: pass"), ANSWER) as agent:
        events = agent.stream("loop")
        next(event for event in events if isinstance(event, Code))
        events.close()
        assert shown(agent, "x") == "Out[2]: 1"
        assert agent.trajectory.stop is Stop.CANCELLED


def test_closing_stops_a_task_in_another_thread():
    agent = agent_that_says(execute("while True: pass"), ANSWER)
    events = agent.stream("loop")
    next(event for event in events if isinstance(event, Code))
    agent.close()
    assert agent.trajectory.stop is Stop.CANCELLED
    assert list(events)[-1] == Ended(Stop.CANCELLED)


def test_a_closed_agent_says_so():
    agent = agent_that_says(ANSWER)
    agent.close()
    for after in (lambda: agent.run("x"), lambda: agent.execute("1"), agent.undo):
        with pytest.raises(InterpreterError, match="closed"):
            after()


def test_who_watches_may_close_the_agent():
    agent = agent_that_says(execute("1"), execute("2"), ANSWER)
    with pytest.raises(InterpreterError):
        agent.run("count", observe=lambda event: isinstance(event, Turn) and agent.close())


def test_a_stream_raises_what_the_task_raised():
    with agent_that_says(execute("x = 1")) as agent:
        with pytest.raises(ModelError, match="all have been given"):
            list(agent.stream("run out"))
        assert len(agent.trajectory.turns) == 1  # what was done is kept


def test_a_task_can_be_awaited_and_streamed_in_an_event_loop():
    async def both():
        with agent_that_says(execute("1 + 1"), ANSWER, ANSWER) as agent:
            events = [event async for event in agent.astream("add")]
            return events, await agent.arun("and?")

    events, result = asyncio.run(both())
    assert events[-1] == Ended(Stop.ANSWER)
    assert result.answer == "done"


def test_a_cancelled_wait_has_stopped_the_task_when_it_returns():
    async def cancel_it(agent):
        began = asyncio.Event()
        loop = asyncio.get_running_loop()
        task = asyncio.ensure_future(agent.arun(
            "loop", observe=lambda event: isinstance(event, Code) and loop.call_soon_threadsafe(began.set)))
        await began.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with agent_that_says(execute("while True: pass"), ANSWER) as agent:
        asyncio.run(cancel_it(agent))
        assert shown(agent, "1") == "Out[2]: 1"


def test_many_agents_can_be_awaited_at_once():
    all_there = threading.Barrier(40)  # more than an event loop has threads

    class Meeting:
        def complete(self, messages, **options):
            all_there.wait(30)
            return Completion(ANSWER)

    async def gathered(interpreter):
        agents = [Agent(Meeting(), interpreter=interpreter) for _ in range(40)]
        return await asyncio.gather(*[agent.arun("meet") for agent in agents])

    with Interpreter() as interpreter:
        assert {result.answer for result in asyncio.run(gathered(interpreter))} == {"done"}


def test_a_task_in_a_thread_sees_the_context_variables_of_who_began_it():
    trace, seen = contextvars.ContextVar("trace"), []

    class Traced:
        def complete(self, messages, **options):
            seen.append(trace.get("none"))
            return Completion(ANSWER)

    async def both(agent):
        await agent.arun("one")
        return [event async for event in agent.astream("two")]

    trace.set("of the caller")
    with Agent(Traced()) as agent:
        list(agent.stream("zero"))
        asyncio.run(both(agent))
    assert seen == ["of the caller"] * 3


def test_an_agent_at_work_says_so():
    with agent_that_says(execute("input()"), ANSWER) as agent:
        began, go_on = threading.Event(), threading.Event()

        def hold(event):
            if isinstance(event, Code):
                began.set()
                go_on.wait(30)

        thread = threading.Thread(target=agent.run, args=("wait",), kwargs={"observe": hold})
        thread.start()
        began.wait(30)
        for busy in (lambda: agent.run("x"), agent.undo, lambda: agent.execute("1")):
            with pytest.raises(InterpreterBusy, match="at work"):
                busy()
        go_on.set()
        thread.join()


# Limits


def test_a_limit_of_time_interrupts_the_running_cell():
    with agent_that_says(execute("kept = 5\nwhile True: pass"), budget=Budget(max_seconds=0.3)) as agent:
        result = agent.run("loop")
        assert (result.stop, result.answer) == (Stop.TIME_LIMIT, None)
        assert shown(agent, "kept") == "Out[2]: 5"


@pytest.mark.parametrize(
    ("budget", "stop"),
    [
        (Budget(max_turns=2), Stop.TURN_LIMIT),
        (Budget(max_tokens=20), Stop.TOKEN_LIMIT),
        (Budget(max_cost=1.5), Stop.COST_LIMIT),
    ],
)
def test_each_limit_ends_with_what_there_is_and_the_task_can_go_on(budget, stop):
    reply = Completion(execute("open('made.txt', 'w').close()"), usage=Usage(9, 1, 1.0))
    with agent_that_says(reply, reply, ANSWER, budget=budget) as agent:
        result = agent.run("work")
        assert (result.stop, len(result.trajectory.turns)) == (stop, 2)
        assert [path.name for path in result.files] == ["made.txt"]
        assert agent.run(None).answer == "done"


def test_a_limit_of_cost_for_a_model_without_prices_is_remarked_on():
    events, model = [], ScriptedModel([ANSWER])
    model.knows_cost = False
    with Agent(model, budget=Budget(max_cost=1.0)) as agent:
        agent.run("greet", observe=events.append)
    assert "prices" in next(event for event in events if isinstance(event, Note)).text


def test_there_is_nothing_to_go_on_with_after_an_answer():
    with agent_that_says(ANSWER) as agent:
        with pytest.raises(ConfigError, match="say what to do"):
            agent.run(None)
        agent.run("greet")
        with pytest.raises(ConfigError, match="say what to do"):
            agent.run(None)


def test_a_cancel_that_is_set_already_stops_before_the_model_is_asked():
    cancel = Cancel()
    cancel.set()
    with agent_that_says() as agent:
        assert agent.run("x", cancel=cancel).stop is Stop.CANCELLED


def test_repetition_is_told_once_and_then_ends_the_task():
    events = []
    with agent_that_says(*[execute("1 / 0")] * 9) as agent:
        result = agent.run("divide", observe=events.append)
    texts = [turn.observation.text for turn in result.trajectory.turns]
    assert result.stop is Stop.STUCK
    assert len(texts) == 4
    assert ["exactly this" in text for text in texts] == [False, False, True, False]
    assert sum(isinstance(event, Note) for event in events) == 2


def test_going_to_and_fro_between_two_is_repetition_too():
    with agent_that_says(*[execute("1 / 0"), execute("2 / 0")] * 9) as agent:
        result = agent.run("divide")
    assert result.stop is Stop.STUCK
    assert ["exactly this" in turn.observation.text for turn in result.trajectory.turns].count(True) == 2


def test_addresses_of_objects_make_no_difference_to_repetition():
    with agent_that_says(*[execute("keep = globals().get('keep', []); keep.append(object()); keep[-1]")] * 9) as agent:
        assert agent.run("look").stop is Stop.STUCK


def test_a_limit_of_time_ends_a_cell_that_heeds_no_interruption():
    stubborn = "import time\nwhile True:\n    try:\n        while True: time.sleep(0.01)\n    except BaseException: pass"
    with agent_that_says(execute(stubborn), budget=Budget(max_seconds=0.2), timeout=3600) as agent:
        assert agent.run("loop").stop is Stop.TIME_LIMIT


def test_after_a_task_that_failed_there_is_no_result_of_an_earlier_one():
    with agent_that_says(ANSWER) as agent:
        agent.run("first")
        with pytest.raises(ModelError):
            agent.run("second")
        assert agent.result is None


def test_a_link_out_of_the_workspace_is_no_file_of_the_result():
    with agent_that_says(execute("import os\nos.symlink('/etc/passwd', 'link')\nopen('real', 'w').close()"), ANSWER) as agent:
        assert [path.name for path in agent.run("make").files] == ["real"]


def test_a_cell_whose_result_changes_is_no_repetition():
    with agent_that_says(execute("n = 0"), *[execute("n += 1; n")] * 5, ANSWER) as agent:
        assert agent.run("count").answer == "done"


# Back and forth


def test_undo_takes_back_the_exchange_and_its_variables():
    with agent_that_says(execute("x = 1"), ANSWER, execute("x = 2\ny = 3"), execute("x = 4"), ANSWER, ANSWER) as agent:
        agent.run("first")
        agent.run("second")
        undone = agent.undo()
        assert (undone.tasks, undone.lost) == (("second",), ())
        assert len(agent.trajectory.turns) == 2
        assert shown(agent, "x, 'y' in globals()").endswith("(1, False)")
        agent.run("third")
        assert [message.content for message in agent.trajectory.messages if message.role == "user"][-1] == "third"


def test_undo_of_everything_begins_anew_and_more_is_no_error():
    with agent_that_says(execute("x = 1"), ANSWER, ANSWER) as agent:
        agent.run("first")
        assert agent.undo(5).tasks == ("first",)
        assert agent.trajectory is None
        assert agent.undo().tasks == ()
        assert "NameError" in shown(agent, "x")
        assert agent.run("again").answer == "done"
        with pytest.raises(ValueError, match="from 1"):
            agent.undo(0)


def test_retry_does_the_last_task_again_from_the_state_before_it():
    with agent_that_says(execute("x = 1"), ANSWER, execute("x += 1"), ANSWER, execute("x += 1"), ANSWER) as agent:
        agent.run("set")
        agent.run("add")
        agent.retry()
        assert shown(agent, "x").endswith("2")
        assert len(agent.trajectory.turns) == 4


def test_pictures_go_again_with_a_task_that_is_done_again():
    one, two = Image("image/png", b"1"), Image("image/png", b"2")
    with agent_that_says(*[ANSWER] * 4) as agent:
        agent.run("look", images=[one])
        agent.retry()
        agent.run("and here", images=[two])
        agent.retry()
        assert [message.images for message in agent.trajectory.messages if message.role == "user"] == [(one,), (two,)]


def test_a_cell_of_the_users_is_told_to_the_model_and_can_be_taken_back():
    with agent_that_says(ANSWER, ANSWER) as agent:
        agent.run("first")
        assert agent.execute("z = 26").error is None
        agent.run("second")
        assert "z = 26" in agent.trajectory.messages[-2].content
        agent.undo(2)
        assert "NameError" in shown(agent, "z")


def test_another_model_goes_on_with_the_conversation():
    with agent_that_says(execute("x = 1"), ANSWER) as agent:
        agent.run("first")
        agent.model = ScriptedModel([execute("x"), ANSWER])
        assert agent.run("second").answer == "done"
        assert "1" in agent.trajectory.turns[2].observation.text


def test_images_of_the_user_go_with_the_task():
    picture = Image("image/png", b"1")
    with agent_that_says(ANSWER, ANSWER) as agent:
        agent.run("look", images=[picture])
        agent.run("and here", images=[picture])
        assert [message.images for message in agent.trajectory.messages if message.role == "user"] == [(picture,)] * 2


# Files


def test_a_saved_run_is_a_trajectory_file_at_every_moment(tmp_path):
    path = tmp_path / "runs" / "a.jsonl"
    seen = []
    with agent_that_says(execute("1"), ANSWER, ANSWER, save=path) as agent:
        agent.run("first", observe=lambda event: seen.append(len(load(path)[-1].turns)))
        agent.run("second")
        assert load(path) == [agent.trajectory]
    assert sorted(set(seen)) == [0, 1, 2]
    assert path.stat().st_mode & 0o077 == 0


def test_undone_turns_are_gone_from_the_saved_conversation_too(tmp_path):
    with agent_that_says(ANSWER, ANSWER, save=tmp_path / "a.jsonl") as agent:
        agent.run("first")
        agent.run("second")
        agent.undo()
        assert load(tmp_path / "a.jsonl") == [agent.trajectory]


def test_a_first_message_that_was_taken_back_stays_away_when_the_conversation_is_resumed(tmp_path):
    path = tmp_path / "a.jsonl"
    with agent_that_says(execute("x = 1"), ANSWER, save=path) as agent:
        agent.run("first")
        agent.undo()
    with Agent.resume(path, ScriptedModel([ANSWER])) as agent:
        assert agent.trajectory is None
        assert not agent.unanswered
        assert agent.interpreter.variables() == []
        agent.run("second")
        assert [message.content for message in agent.trajectory.prompt if message.role == "user"] == ["second"]
        assert load(path)[-1] == agent.trajectory


def test_a_file_that_another_agent_writes_is_refused(tmp_path):
    with agent_that_says(save=tmp_path / "a.jsonl"), pytest.raises(ConfigError, match="another program"):
        agent_that_says(save=tmp_path / "a.jsonl")


def test_a_file_that_cannot_be_written_is_named():
    with pytest.raises(ConfigError, match="cannot write to /proc/nothing"):
        agent_that_says(save="/proc/nothing/a.jsonl")


def test_resume_goes_on_with_conversation_variables_and_files(tmp_path):
    path = tmp_path / "a.jsonl"
    with agent_that_says(execute("x = [1]\nopen('n.txt', 'w').write('n')"), ANSWER, save=path) as agent:
        agent.run("first")
    with Agent.resume(path, ScriptedModel([execute("x.append(2); x, open('n.txt').read()"), ANSWER])) as agent:
        assert agent.resumed.lost == ()
        result = agent.run("second")
        assert "([1, 2], 'n')" in result.trajectory.turns[2].observation.text
        assert load(path)[-1].turns == result.trajectory.turns
        with pytest.raises(CannotGoBack, match=r"before the conversation was resumed; since then: 1 message$"):
            agent.undo(2)
        agent.undo()
        with pytest.raises(CannotGoBack, match="since then: 0 messages"):
            agent.undo()


def test_who_goes_on_with_other_settings_has_the_system_say_so(tmp_path):
    path = tmp_path / "a.jsonl"
    with agent_that_says(execute("x = 1"), ANSWER, save=path) as agent:
        before = agent.run("first").trajectory.prompt
    with Agent.resume(path, ScriptedModel([ANSWER]), format="json", instructions="Be brief.") as agent:
        after = agent.run("again").trajectory.prompt
    assert "Be brief." in after[0].content
    assert "JSON" in after[0].content
    assert after[1:] == before[1:]
    with Agent.resume(path, ScriptedModel([ANSWER])) as agent:
        assert agent.run("as before").trajectory.prompt == before


def test_resume_runs_again_what_the_saved_state_has_not_seen(tmp_path):
    path = tmp_path / "a.jsonl"
    with agent_that_says(execute("x = 1"), execute("x += 1"), ANSWER, save=path) as agent:
        agent.run("count")
    for state in tmp_path.glob("*.state-*"):
        state.unlink()
    with Agent.resume(path, ScriptedModel([])) as agent:
        assert (agent.resumed.n_replayed, agent.resumed.lost) == (2, ())
        assert shown(agent, "x").endswith("2")


def test_a_damaged_state_is_made_anew_from_the_cells(tmp_path, caplog):
    path = tmp_path / "a.jsonl"
    with agent_that_says(execute("x = 1"), ANSWER, save=path) as agent:
        agent.run("count")
    for state in tmp_path.glob("*.state-*"):
        state.write_bytes(b"PK garbage")
    with Agent.resume(path, ScriptedModel([])) as agent:
        assert shown(agent, "x").endswith("1")
    assert "cannot be loaded" in caplog.text


def test_cells_that_called_tools_are_not_run_a_second_time(tmp_path):
    calls = []

    def pay(amount: int) -> str:
        """Pay."""
        calls.append(amount)
        return "paid"

    path = tmp_path / "a.jsonl"
    with agent_that_says(execute("a = 1"), execute("b = pay(5)"), execute("c = 3"), ANSWER, tools=[pay], save=path) as agent:
        agent.run("pay", observe=lambda event: isinstance(event, Code) and "pay" in event.code and agent._keeping(ToolCalled("pay", {})))
    for state in tmp_path.glob("*.state-*"):
        state.unlink()
    with Agent.resume(path, ScriptedModel([ANSWER]), tools=[pay]) as agent:
        assert calls == [5]
        assert agent.resumed.n_replayed == 1
        assert "turn 2" in agent.resumed.lost[0]
        agent.run("go on")
        assert "called tools" in agent.trajectory.messages[-2].content  # the model is told


def test_an_unfinished_last_line_is_passed_over_and_written_anew(tmp_path):
    path = tmp_path / "a.jsonl"
    with agent_that_says(execute("x = 1"), ANSWER, save=path) as agent:
        agent.run("first")
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"type": "turn", "compl')
    with Agent.resume(path, ScriptedModel([ANSWER])) as agent:
        agent.run("second")
        assert load(path) == [agent.trajectory]


@pytest.mark.parametrize(("content", "message"), [("", "no conversation"), (None, "cannot read")])
def test_there_has_to_be_something_to_resume(tmp_path, content, message):
    path = tmp_path / "a.jsonl"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError, match=message):
        Agent.resume(path, ScriptedModel([]))


def test_a_file_that_does_not_name_a_model_wants_one(tmp_path):
    with agent_that_says(ANSWER, save=tmp_path / "a.jsonl") as agent:
        agent.run("first")
    with pytest.raises(ConfigError, match="which model"):
        Agent.resume(tmp_path / "a.jsonl")


VICTIM = """
import sys
from codeact.agent import Agent
from codeact.events import Turn
from codeact.models.scripted import ScriptedModel

replies = [f"<execute>\\nx{n} = {n}\\n</execute>" for n in range(200)]

def tell(event):
    if isinstance(event, Turn):
        print(event.action.code, flush=True)

with Agent(ScriptedModel(replies), save=sys.argv[1]) as agent:
    agent.run("count", observe=tell)
"""


@pytest.mark.parametrize("n_lines", [1, 7, 19])
def test_nothing_that_was_shown_is_lost_when_the_program_is_killed(tmp_path, n_lines):
    path = tmp_path / "a.jsonl"
    child = subprocess.Popen([sys.executable, "-c", VICTIM, str(path)], stdout=subprocess.PIPE, text=True)
    told = [child.stdout.readline() for _ in range(n_lines)]
    os.kill(child.pid, signal.SIGKILL)
    told += child.stdout.readlines()
    child.stdout.close()
    child.wait()
    turns = read(path).trajectory.turns
    assert len(turns) >= len(told) >= n_lines
    with Agent.resume(path, ScriptedModel([execute("x0"), ANSWER])) as agent:
        assert agent.resumed.lost == ()
        assert shown(agent, f"x{len(turns) - 1}").endswith(str(len(turns) - 1))
        assert agent.run(None).answer == "done"
        assert [json.loads(line)["type"] for line in path.read_text().splitlines()][-1] == "end"


# Agents among the tools


def test_an_agent_can_be_a_tool_of_another():
    researcher = Agent(ScriptedModel([Completion(execute("40 + 2"), usage=Usage(5, 5)), "It is 42."]), name="research",
                       description="Finds things out.")
    asks = execute("print(research('what is it?'))")
    with researcher, Agent(ScriptedModel([Completion(asks, usage=Usage(1, 1)), ANSWER]), tools=[researcher]) as agent:
        result = agent.run("find out")
        assert "It is 42." in result.trajectory.turns[0].observation.text
        assert '"""Finds things out."""' in result.trajectory.messages[0].content
        assert researcher.asked == Usage(5, 5)
        assert result.usage == Usage(6, 6)


def test_an_agent_that_comes_to_no_answer_is_an_error_in_the_cell():
    helper = agent_that_says(execute("1"), budget=Budget(max_turns=1))
    asks = execute("try: helper('x')\nexcept RuntimeError as error: print(error)")
    with helper, agent_that_says(asks, ANSWER, tools=[helper.as_tool("helper")]) as agent:
        result = agent.run("ask")
        assert "helper() ended without an answer: turn_limit" in result.trajectory.turns[0].observation.text


def test_several_agents_can_be_asked_at_once():
    class Echo:
        def complete(self, messages, **options):
            return Completion(f"<solution>{messages[-1].content.upper()}</solution>")

    asks = execute("import concurrent.futures as f\nwith f.ThreadPoolExecutor() as pool:\n    print(list(pool.map(echo, 'abc')))")
    with Agent(Echo(), name="echo") as echo, agent_that_says(asks, ANSWER, tools=[echo]) as agent:
        assert "['A', 'B', 'C']" in agent.run("ask").trajectory.turns[0].observation.text


def test_stopping_an_agent_stops_those_it_asks():
    began = threading.Event()

    class Endless:
        def complete(self, messages, **options):
            began.set()
            return Completion(execute("import time\nwhile True: time.sleep(0.01)"))

    with Agent(Endless(), name="endless") as helper, agent_that_says(execute("endless('x')"), ANSWER, tools=[helper]) as agent:
        cancel = Cancel()
        thread = threading.Thread(target=agent.run, args=("ask",), kwargs={"cancel": cancel})
        thread.start()
        began.wait(30)
        cancel.set()
        thread.join(30)
        assert not thread.is_alive()
        assert agent.trajectory.stop is Stop.CANCELLED


def test_an_agent_in_an_interpreter_of_the_users_is_no_tool():
    from codeact import Interpreter

    with Interpreter() as interpreter, Agent(ScriptedModel([]), interpreter=interpreter) as agent, \
            pytest.raises(ConfigError, match="cannot be a tool"):
        agent.as_tool()


def test_stopping_one_who_asks_an_agent_does_not_stop_what_another_asks():
    at_work = threading.Barrier(3)
    go_on = threading.Event()

    class Slow:
        def complete(self, messages, *, cancel, **options):
            with cancel.calling(lambda: go_on.set() if messages[-1].content == "first" else None):
                at_work.wait(30)
                go_on.wait(30)
            return Completion(f"<solution>{messages[-1].content} is done</solution>")

    slow = Agent(Slow(), name="slow")
    shared = slow.as_tool()  # the very same tool for both
    with slow, agent_that_says(execute("slow('first')"), ANSWER, tools=[shared]) as one, \
            agent_that_says(execute("slow('second')"), ANSWER, tools=[shared]) as other:
        cancel = Cancel()
        threads = [threading.Thread(target=one.run, args=("ask",), kwargs={"cancel": cancel}),
                   threading.Thread(target=other.run, args=("ask",))]
        for thread in threads:
            thread.start()
        at_work.wait(30)
        cancel.set()
        for thread in threads:
            thread.join(30)
        assert one.result.stop is Stop.CANCELLED
        assert "second is done" in other.trajectory.turns[0].observation.text


def test_the_cost_of_agents_asked_by_agents_counts_for_the_first():
    def costing(text):
        return Completion(text, usage=Usage(1, 1))

    with Agent(ScriptedModel([costing("deep")]), name="inner") as inner, \
            Agent(ScriptedModel([costing(execute("inner('x')")), costing(ANSWER)]), name="middle", tools=[inner]) as middle, \
            Agent(ScriptedModel([costing(execute("middle('x')")), costing(ANSWER)]), tools=[middle]) as outer:
        result = outer.run("ask")
        assert result.usage == outer.usage == Usage(5, 5)
        assert (inner.asked, middle.asked) == (Usage(1, 1), Usage(3, 3))
