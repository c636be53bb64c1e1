"""The loop: who stops it, what it passes on, and that it stays as short as the README says."""

import ast
import inspect
import threading
from collections.abc import Sequence
from dataclasses import replace

import pytest

from codeact.actions import Answer, CodeAction, Malformed, Say
from codeact.errors import Cancelled, ContextOverflow, ModelError
from codeact.events import Ended, Event, Started, Text
from codeact.formats.code import CodeFormat
from codeact.loop import NEVER, Budget, Cancel, rollout
from codeact.messages import Completion, Message, Usage
from codeact.models.scripted import ScriptedModel
from codeact.trajectory import Observation, Stop, Trajectory, Turn

RUN = "<execute>\n1 + 1\n</execute>"
ANSWER = "<solution>2</solution>"


class EchoEnvironment:
    """Answers every action with its own text; answers end it."""

    format = CodeFormat()

    def reset(self):
        return [Message("system", "be brief"), Message("user", "what is 1 + 1?")]

    def step(self, action, *, observe, cancel):
        match action:
            case CodeAction(code):
                return Observation(f"ran {code}")
            case Malformed(message):
                return Observation(message)
            case Answer() | Say():
                return Observation("", stop=Stop.ANSWER)
        raise AssertionError(action)


class FailingModel:
    def __init__(self, error: BaseException) -> None:
        self.error = error

    def complete(self, messages, *, stop, tools=(), observe, cancel):
        raise self.error


class CountingModel:
    """Says the same for ever, and what it costs."""

    def __init__(self, usage: Usage = Usage(10, 5, 0.5)) -> None:
        self.usage = usage

    def complete(self, messages, *, stop, tools=(), observe, cancel):
        return Completion(RUN, usage=self.usage)


def run(replies: Sequence[str], **options) -> Trajectory:
    return rollout(ScriptedModel(replies), EchoEnvironment(), **options)


def test_a_rollout_ends_with_the_answer():
    trajectory = run([RUN, ANSWER])
    assert trajectory.stop is Stop.ANSWER
    assert trajectory.answer == "2"
    assert [type(turn.action) for turn in trajectory.turns] == [CodeAction, Answer]


def test_the_model_sees_what_the_environment_answered():
    seen: list[list[Message]] = []

    class Watching(ScriptedModel):
        def complete(self, messages, **options):
            seen.append(list(messages))
            return super().complete(messages, **options)

    rollout(Watching([RUN, ANSWER]), EchoEnvironment())
    assert seen[1] == [*seen[0], Message("assistant", RUN), Message("user", "ran 1 + 1")]


def test_a_malformed_reply_is_answered_and_the_rollout_goes_on():
    trajectory = run(["<execute></execute>", ANSWER])
    assert isinstance(trajectory.turns[0].action, Malformed)
    assert trajectory.answer == "2"


def test_a_truncated_reply_is_not_run():
    class Truncating(ScriptedModel):
        def complete(self, messages, **options):
            text = super().complete(messages, **options).text
            return Completion(text, finish="length" if "<solution>" not in text else "stop")

    trajectory = rollout(Truncating(["<execute>\nopen('x', 'w')", ANSWER]), EchoEnvironment())
    assert isinstance(trajectory.turns[0].action, Malformed)


@pytest.mark.parametrize("dropped", ["", "Observation: 2"])
def test_what_a_model_wrote_past_a_stop_string_is_ignored_in_the_action(dropped):
    class WritingOn(ScriptedModel):
        def complete(self, *args, **options):
            return replace(super().complete(*args, **options), dropped=dropped)

    done = rollout(WritingOn(["<execute>\n1\n</execute>", "<solution>2</solution>"]), EchoEnvironment())
    assert done.turns[0].action == CodeAction("1", ignored=dropped)
    assert done.turns[1].action == Answer("2")


def test_events_arrive_in_order_from_start_to_end():
    events: list[Event] = []
    trajectory = run([RUN, ANSWER], observe=events.append)
    kinds = [type(event) for event in events if not isinstance(event, Text)]
    assert kinds == [Started, Turn, Turn, Ended]
    assert events[-1] == Ended(Stop.ANSWER)
    assert [event for event in events if isinstance(event, Turn)] == list(trajectory.turns)


@pytest.mark.parametrize(
    ("budget", "n_turns", "stop"),
    [
        (Budget(max_turns=3), 3, Stop.TURN_LIMIT),
        (Budget(max_turns=None, max_tokens=40), 3, Stop.TOKEN_LIMIT),
        (Budget(max_cost=1.0), 2, Stop.COST_LIMIT),
        (Budget(max_seconds=1e-9), 1, Stop.TIME_LIMIT),
    ],
)
def test_each_limit_of_the_budget_ends_a_rollout(budget, n_turns, stop):
    trajectory = rollout(CountingModel(), EchoEnvironment(), budget=budget)
    assert (len(trajectory.turns), trajectory.stop) == (n_turns, stop)


def test_usage_adds_up_over_turns():
    trajectory = rollout(CountingModel(), EchoEnvironment(), budget=Budget(max_turns=4))
    assert trajectory.usage == Usage(40, 20, 2.0)


def test_a_rollout_goes_on_from_a_trajectory_and_counts_only_its_own_turns():
    first = run([RUN, ANSWER])
    second = run([RUN, ANSWER], start=first.reply("and twice that?"), budget=Budget(max_turns=2))
    assert second.stop is Stop.ANSWER
    assert len(second.turns) == 4
    assert second.messages[: len(first.messages)] == first.messages
    assert second.messages[len(first.messages)] == Message("user", "and twice that?")


def test_a_conversation_too_long_for_the_model_ends_with_what_there_is():
    trajectory = rollout(FailingModel(ContextOverflow("too long")), EchoEnvironment())
    assert (trajectory.stop, trajectory.turns) == (Stop.CONTEXT_LIMIT, ())


def test_a_failing_model_is_an_exception():
    with pytest.raises(ModelError, match="given"):
        run([RUN])


def test_a_set_switch_stops_before_the_next_turn():
    cancel = Cancel()

    def stop_after_first(event: Event) -> None:
        if isinstance(event, Turn):
            cancel.set()

    trajectory = run([RUN, RUN], observe=stop_after_first, cancel=cancel)
    assert (len(trajectory.turns), trajectory.stop) == (1, Stop.CANCELLED)


def test_a_model_that_notices_the_switch_ends_the_rollout():
    trajectory = rollout(FailingModel(Cancelled()), EchoEnvironment())
    assert trajectory.stop is Stop.CANCELLED


def test_setting_the_switch_interrupts_what_runs_and_says_so():
    cancel = Cancel()
    interrupted = threading.Event()
    with cancel.calling(interrupted.set):
        thread = threading.Thread(target=cancel.set)
        thread.start()
        assert interrupted.wait(60)
        thread.join()
    assert cancel.stop is Stop.CANCELLED
    assert cancel.set() is False


def test_nothing_is_interrupted_after_its_time():
    cancel = Cancel()
    calls: list[int] = []
    with cancel.calling(lambda: calls.append(1)):
        pass
    assert cancel.set() is False
    assert calls == []
    assert NEVER.stop is None


def test_the_body_of_rollout_has_at_most_40_lines():
    function = ast.parse(inspect.getsource(rollout)).body[0]
    assert isinstance(function, ast.FunctionDef)
    docstring, *body = function.body
    assert isinstance(docstring, ast.Expr)
    assert body[-1].end_lineno - body[0].lineno + 1 <= 40
