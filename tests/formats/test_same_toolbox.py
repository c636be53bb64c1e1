"""One toolbox behind every format: the same tool, called in each of them, over the real interpreter."""

import pytest

from codeact import Agent, tool
from codeact.models.scripted import ScriptedModel


@tool
def price(city: str, nights: int = 1) -> float:
    """Price of a stay."""
    return 50.0 * nights


@pytest.mark.parametrize(
    ("format", "reply"),
    [
        ("code", "<execute>\nprice('Lisbon', nights=3)\n</execute>"),
        ("json", '<execute>\n{"tool": "price", "args": {"city": "Lisbon", "nights": 3}}\n</execute>'),
        ("text", '<execute>\nprice, "Lisbon", nights=3\n</execute>'),
        ("native", '<tool_call>\n{"name": "python", "arguments": {"code": "price(\'Lisbon\', nights=3)"}}\n</tool_call>'),
    ],
)
def test_a_tool_answers_the_same_in_every_format(format, reply):
    with Agent(ScriptedModel([reply, "<solution>150</solution>"]), tools=[price], format=format) as agent:
        result = agent.run("What do three nights cost?")
    assert result.answer == "150"
    assert result.trajectory.turns[0].observation.text == "Out[1]: 150.0"
