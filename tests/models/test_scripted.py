"""The scripted model: its files, and that it says what they hold."""

import json

import pytest

from codeact.actions import Say
from codeact.errors import Cancelled, ConfigError, ModelError
from codeact.events import Text, ignore
from codeact.loop import NEVER, Cancel
from codeact.messages import Completion, Message
from codeact.models.scripted import ScriptedModel, create
from codeact.trajectory import Observation, Stop, Trajectory, Turn

ASK = {"stop": (), "observe": ignore, "cancel": NEVER}


def test_replies_come_in_order_and_then_end():
    model = ScriptedModel(["one", "two"])
    assert [model.complete([], **ASK).text for _ in range(2)] == ["one", "two"]
    with pytest.raises(ModelError, match="2 replies"):
        model.complete([], **ASK)


@pytest.mark.parametrize("reply", ["", "one", " two  words\n", "\n\n<execute>\n  x\n</execute>\n"])
def test_what_is_streamed_is_the_reply(reply):
    events = []
    ScriptedModel([reply]).complete([], stop=(), observe=events.append, cancel=NEVER)
    assert "".join(event.text for event in events if isinstance(event, Text)) == reply


def test_a_set_switch_is_noticed():
    cancel = Cancel()
    cancel.set()
    with pytest.raises(Cancelled):
        ScriptedModel(["one"]).complete([], stop=(), observe=ignore, cancel=cancel)


def test_a_file_may_hold_strings_messages_and_turns(tmp_path):
    turn = Turn(Completion("three"), Say("three"), Observation("", Stop.ANSWER))
    trajectory = Trajectory((Message("user", "count"),), (turn,), Stop.ANSWER)
    lines = [
        json.dumps("one"),
        "",
        json.dumps({"role": "user", "content": "go on"}),
        json.dumps({"role": "assistant", "content": "two\u2028and more"}, ensure_ascii=False),
        *trajectory.lines(),
    ]
    (tmp_path / "script.jsonl").write_text("\n".join(lines), encoding="utf-8")
    assert create(str(tmp_path / "script.jsonl")).replies == ("one", "two\u2028and more", "three")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("hello\n", "line 1"),
        ('"one"\n[2]\n', "line 2.*found list"),
        ('{"role": "assistant"}\n', "line 1.*content"),
        ('{"role": "assistant", "content": 3}\n', "line 1.*string"),
        ('{"type": "turn"}\n', "line 1"),
        ("", "holds no reply"),
    ],
)
def test_a_bad_file_is_told_with_its_line(tmp_path, content, message):
    path = tmp_path / "script.jsonl"
    path.write_text(content)
    with pytest.raises(ConfigError, match=message):
        create(str(path))


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(ConfigError, match="cannot read"):
        create(str(tmp_path / "nowhere.jsonl"))
