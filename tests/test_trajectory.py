"""Trajectories as files: what is written is read back, and what cannot be read is named by its line."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codeact.actions import Answer, CodeAction, Malformed, Say, ToolCall
from codeact.errors import TrajectoryError
from codeact.events import Approval, Code, Display, Note, Output, Started, Text, ToolCalled
from codeact.messages import Call, Completion, Image, Message, Usage
from codeact.trajectory import Observation, Stop, Trajectory, Turn, load, parse

PROMPT = (Message("system", "be brief"), Message("user", "what is 1 + 1?"))
RAN = Turn(
    Completion("<execute>1 + 1</execute>", "hm", Usage(12, 3, 0.25), "length"),
    CodeAction("1 + 1", "easy", "Out[1]: 2"),
    Observation("Out[1]: 2", None, "ok", ({"text/plain": "2", "image/png": b"\x89PNG\x00\xff"},), ("a/b.txt",)),
    1.5,
)
ANSWERED = Turn(Completion("2"), Say("2"), Observation("", Stop.ANSWER, "none"))
WHOLE = Trajectory(PROMPT, (RAN, ANSWERED), Stop.ANSWER, {"model": "scripted", "task": "sum"})

text = st.text(st.characters())  # lone surrogates included
actions = st.one_of(
    st.builds(CodeAction, text, text, text),
    st.builds(ToolCall, text, st.dictionaries(text, st.none() | st.integers() | text | st.lists(text))),
    st.builds(Answer, text, text),
    st.builds(Say, text),
    st.builds(Malformed, text),
)
turns = st.builds(
    Turn,
    st.builds(Completion, text, text, st.builds(Usage, st.integers(0), st.integers(0)), st.just("stop"), st.just(()), text),
    actions,
    st.builds(
        Observation,
        text,
        st.none() | st.sampled_from(Stop),
        text,
        st.lists(st.dictionaries(text, text | st.binary()), max_size=2).map(tuple),
        st.lists(text, max_size=2).map(tuple),
    ),
    st.floats(0, 1e6),
)


def spelled(*trajectories: Trajectory) -> list[str]:
    return [line for trajectory in trajectories for line in trajectory.lines()]


def test_a_file_gives_back_what_was_saved(tmp_path):
    WHOLE.save(tmp_path / "run.jsonl")
    assert load(tmp_path / "run.jsonl") == [WHOLE]


@given(st.lists(turns, max_size=3).map(tuple), st.none() | st.sampled_from(Stop))
def test_any_trajectory_survives_its_file(turns, stop):
    trajectory = Trajectory(PROMPT, turns, stop)
    assert parse(spelled(trajectory)) == [trajectory]


def test_several_trajectories_share_a_file_and_the_last_may_go_on():
    going_on = Trajectory(PROMPT, (RAN,))
    assert parse(spelled(WHOLE, going_on)) == [WHOLE, going_on]


def test_events_that_are_only_watched_are_passed_over():
    start, *rest = spelled(WHOLE)
    watched = [Text("a"), Code("1"), Output("1"), Display({"image/png": b"1"}), Note("n"),
               Approval("f", {"x": "1"}), ToolCalled("f", {"x": "1"}, "ValueError: no", 0.5)]
    assert parse([start, *(json.dumps(event.to_json()) for event in watched), "", *rest]) == [WHOLE]
    assert json.loads(start) == Started(Trajectory(PROMPT, about=WHOLE.about)).to_json()


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([spelled(WHOLE)[0], '{"type": "tu'], "line 2: not JSON .*cut off"),
        (["[1]"], "line 1: expected a JSON object, found list"),
        (["", '{"type": "walk"}'], "line 2: .*'walk': expected start, turn, continue or end"),
        (["{}"], "line 1: .*None"),
        ([spelled(WHOLE)[1]], "line 1: .*no `start` before it"),
        ([*spelled(WHOLE), spelled(WHOLE)[1]], "line 5: .*no `start` before it"),
        ([json.dumps({"type": "start", "version": 99, "prompt": []})], "line 1: .*another version .*99"),
        ([json.dumps({"type": "start", "version": 1})], "line 1: .*'prompt' is missing"),
        ([json.dumps({"type": "start", "version": 1, "prompt": [{"role": "king", "content": ""}]})], "role 'king'"),
        ([json.dumps({"type": "start", "version": 1, "prompt": ["hello"]})], "line 1"),
        ([spelled(WHOLE)[0], json.dumps({"type": "turn"})], "line 2: .*'observation' is missing"),
        ([spelled(WHOLE)[0], spelled(WHOLE)[1].replace('"type": "code"', '"type": "dance"')], "line 2: .*'dance'"),
        ([spelled(WHOLE)[0], spelled(WHOLE)[1].replace('"code": "1', '"cod": "1')], "line 2: .*code action"),
        ([spelled(WHOLE)[0], spelled(WHOLE)[1].replace('"base64": "', '"base64": "%')], "line 2"),
        ([spelled(WHOLE)[0], spelled(WHOLE)[1].replace('"prompt_tokens": 12', '"prompt_tokens": "12"')], "numbers"),
        ([spelled(WHOLE)[0], '{"type": "end", "stop": "tired"}'], "line 2: .*tired"),
    ],
)
def test_what_cannot_be_read_is_named_by_its_line(lines, message):
    with pytest.raises(TrajectoryError, match=message):
        parse(lines)


def test_the_error_of_a_file_names_it(tmp_path):
    path = tmp_path / "broken.jsonl"
    path.write_text(spelled(WHOLE)[0] + "\nnonsense\n")
    with pytest.raises(TrajectoryError, match=r"broken\.jsonl: line 2: ") as raised:
        load(path)
    assert raised.value.line == 2


def test_a_reply_is_the_observation_of_the_answer():
    asked = WHOLE.reply("are you sure?")
    assert asked.stop is None
    assert asked.messages[-2:] == (Message("assistant", "2"), Message("user", "are you sure?"))
    assert WHOLE.messages[-1] == Message("assistant", "2")


def test_a_reply_after_an_interrupted_run_follows_what_was_seen_last():
    cut_off = Trajectory(PROMPT, (RAN,), Stop.TURN_LIMIT)
    last = cut_off.reply("go on").messages[-1]
    assert (last.role, last.content) == ("user", "Out[1]: 2\n\ngo on")
    assert last.images == (Image("image/png", b"\x89PNG\x00\xff"),)
    assert Trajectory(PROMPT, (), Stop.CANCELLED).reply("again").messages[-1].content == "what is 1 + 1?\n\nagain"


def test_only_an_answer_counts_as_an_answer():
    assert WHOLE.answer == "2"
    assert Trajectory(PROMPT, (RAN,), Stop.TURN_LIMIT).answer is None
    assert Trajectory(PROMPT).answer is None


def test_a_conversation_that_went_on_is_whole_in_its_file():
    asked = Trajectory(PROMPT, (RAN, ANSWERED), Stop.ANSWER).reply("and now?", [Image("image/png", b"1")])
    later = asked.add(ANSWERED).end(Stop.ANSWER)
    lines = [*spelled(WHOLE), json.dumps(Started(asked).to_json()), json.dumps(ANSWERED.to_json()), '{"type": "end", "stop": "answer"}']
    assert parse(lines) == [Trajectory(later.prompt, later.turns, later.stop, WHOLE.about)]
    assert parse(spelled(later)) == [later]


def test_turns_taken_back_are_gone_from_the_conversation_and_not_from_the_file():
    once = WHOLE.cut(1)
    assert once.turns == (RAN,)
    assert once.stop is None
    assert parse([*spelled(WHOLE), json.dumps(once.going_on())]) == [once]
    assert WHOLE.cut(0).messages == PROMPT


@pytest.mark.parametrize("n_turns", [-1, 3, "1", None])
def test_a_continue_line_that_does_not_fit_is_named(n_turns):
    with pytest.raises(TrajectoryError, match="line 5"):
        parse([*spelled(WHOLE), json.dumps({"type": "continue", "n_turns": n_turns})])
    with pytest.raises(TrajectoryError, match="no `start`"):
        parse([json.dumps({"type": "continue", "n_turns": 0})])


def test_each_native_call_has_its_answer():
    calls = (Call("a", "python", '{"code": "1 + 1"}'), Call("b", "python", '{"code": "2"}'))
    turn = Turn(Completion("let me see", calls=calls), CodeAction("1 + 1\n2"), Observation("Out[1]: 2"))
    said, first, second = Trajectory(PROMPT).add(turn).messages[2:]
    assert said == Message("assistant", "let me see", calls=calls)
    assert first == Message("user", "Out[1]: 2", call_id="a")
    assert (second.role, second.call_id) == ("user", "b")
    assert Trajectory(PROMPT, (turn,)).reply("go on").messages[-1] == Message("user", "go on")
    assert parse(spelled(Trajectory(PROMPT, (turn,)))) == [Trajectory(PROMPT, (turn,))]


def test_messages_derived_turn_by_turn_are_those_derived_at_once():
    grown = Trajectory(PROMPT)
    for turn in (RAN, RAN, ANSWERED):
        grown = grown.add(turn)
    assert grown.messages == Trajectory(PROMPT, (RAN, RAN, ANSWERED)).messages
