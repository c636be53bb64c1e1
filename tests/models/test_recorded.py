"""The model that says again what was recorded: in order, with the first prompt that differs named."""

import pytest

from codeact import plugins
from codeact.actions import CodeAction
from codeact.errors import ConfigError, ModelError
from codeact.events import Note, Text, ignore
from codeact.loop import NEVER
from codeact.messages import Completion, Message, Usage
from codeact.models.recorded import RecordedModel
from codeact.trajectory import Observation, Stop, Trajectory, Turn

PROMPT = (Message("system", "rules"), Message("user", "add"))
TURNS = (
    Turn(Completion("<execute>1 + 1</execute>", "hm", Usage(3, 4)), CodeAction("1 + 1"), Observation("Out[1]: 2")),
    Turn(Completion("<solution>2</solution>"), CodeAction("-"), Observation("", Stop.ANSWER)),
)
RECORDED = Trajectory(PROMPT, TURNS, Stop.ANSWER)


def say(model, messages, observe=ignore):
    return model.complete(messages, stop=(), observe=observe, cancel=NEVER)


def test_the_same_conversation_has_no_difference():
    model, events = RecordedModel(RECORDED), []
    assert say(model, PROMPT, events.append) == TURNS[0].completion
    assert say(model, (*PROMPT, *TURNS[0].messages), events.append) == TURNS[1].completion
    assert model.difference is None
    assert events == [Text("hm", "reasoning"), Text("<execute>1 + 1</execute>"), Text("<solution>2</solution>")]
    with pytest.raises(ModelError, match="2 replies"):
        say(model, PROMPT)


@pytest.mark.parametrize(
    ("messages", "n_message", "now"),
    [
        ((*PROMPT, Message("assistant", "<execute>1 + 1</execute>"), Message("user", "Out[1]: 3")), 4, "user: Out[1]: 3"),
        (PROMPT, 3, ""),
        ((*PROMPT, *TURNS[0].messages, Message("user", "more")), 5, "user: more"),
    ],
)
def test_the_first_message_that_differs_is_named_once(messages, n_message, now):
    model, events = RecordedModel(RECORDED), []
    say(model, PROMPT, events.append)
    say(model, messages, events.append)
    assert (model.difference.n_turn, model.difference.n_message, model.difference.now) == (2, n_message, now)
    assert sum(isinstance(event, Note) for event in events) == 1


def test_strict_refuses_another_prompt():
    with pytest.raises(ModelError, match="message 2 differs"):
        say(RecordedModel(RECORDED, strict=True), (PROMPT[0], Message("user", "subtract")))


def test_a_file_is_found_by_its_name_and_what_is_wrong_with_it_is_told(tmp_path):
    path = tmp_path / "run.jsonl"
    RECORDED.save(path)
    assert plugins.create("models", f"recorded:{path}").trajectory == RECORDED
    with pytest.raises(ConfigError, match="no number 4"):
        plugins.create("models", f"recorded:{path}", number=4)
    path.write_text("")
    with pytest.raises(ConfigError, match="holds no trajectory"):
        plugins.create("models", f"recorded:{path}")
    path.write_text("{")
    with pytest.raises(ConfigError, match="line 1"):
        plugins.create("models", f"recorded:{path}")
    with pytest.raises(ConfigError, match="cannot read"):
        plugins.create("models", "recorded:/no/such")
