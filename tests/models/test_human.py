"""A person as the model: sees what is new, types a reply, ends it with a dot."""

import io

import pytest

from codeact.agent import Agent
from codeact.errors import ConfigError, ModelError
from codeact.events import ignore
from codeact.loop import NEVER
from codeact.messages import Message
from codeact.models.human import HumanModel
from codeact.protocols import NativeTool

ASK = {"stop": (), "observe": ignore, "cancel": NEVER}


def test_a_person_can_do_a_task():
    typed = "I add.\n<execute>\n6 * 7\n</execute>\n.\nIt is 42.\n.\n"
    screen = io.StringIO()
    with Agent(HumanModel(source=io.StringIO(typed), screen=screen)) as agent:
        result = agent.run("multiply")
    assert result.answer == "It is 42."
    shown = screen.getvalue()
    assert "--- system ---" in shown
    assert "--- user ---\nmultiply" in shown
    assert shown.count("multiply") == 1  # what was shown is not shown again
    assert "--- user ---\nOut[1]: 42" in shown


def test_the_end_of_the_input_ends_the_last_reply_and_then_the_task():
    model = HumanModel(source=io.StringIO("hello"), screen=io.StringIO())
    assert model.complete([Message("user", "hi")], **ASK).text == "hello"
    with pytest.raises(ModelError, match="input has ended"):
        model.complete([Message("user", "hi")], **ASK)


def test_a_person_has_no_native_tools():
    with pytest.raises(ConfigError, match="--format code"):
        HumanModel().complete([], tools=[NativeTool("python", "", {})], **ASK)
