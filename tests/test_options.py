"""What an agent is given and cannot use is told at once, with what was meant."""

from pathlib import Path

import pytest

from codeact import Agent, Budget, Interpreter
from codeact.errors import ConfigError
from codeact.messages import Image
from codeact.models.scripted import ScriptedModel

PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 8


def agent(**options):
    return Agent(ScriptedModel(["<solution>done</solution>"]), **{"sandbox": "none", **options})


@pytest.mark.parametrize(("options", "said"), [
    ({"max_turn": 3}, "Agent has no option 'max_turn'; did you mean max_turns"),
    ({"max_turns": 3}, r"budget=Budget\(max_turns=...\)"),
    ({"observe": print}, r"agent.run\(task, observe=...\)"),
    ({"workspce": "."}, "did you mean workspace"),
    ({"zzz": 1}, r"help\(Agent\)"),
    ({"budget": {"max_turns": 3}}, "it is a Budget"),
    ({"tools": "web_fetch"}, r"tools=\['web_fetch'\]"),
    ({"tools": print}, "tools is a list"),
])
def test_an_option_that_is_none_is_told(options, said):
    with pytest.raises(ConfigError, match=said):
        agent(**options)


def test_a_model_without_a_provider_is_told_how_to_name_one():
    with pytest.raises(ConfigError, match=r"openai:gpt-5-mini.*providers: .*anthropic"):
        Agent("gpt-5-mini")


@pytest.mark.parametrize("limits", [{"max_turns": 0}, {"max_turns": -1}, {"max_turns": "3"}, {"max_turns": 2.5}, {"max_turns": True},
                                    {"max_seconds": 0}, {"max_cost": float("nan")}, {"max_tokens": [1]}])
def test_a_limit_that_is_none_is_told(limits):
    with pytest.raises(ConfigError, match=next(iter(limits))):
        Budget(**limits)


def test_pictures_are_files_bytes_or_images(tmp_path):
    (tmp_path / "a.png").write_bytes(PNG)
    path = tmp_path / "a.png"
    assert Image.of(path) == Image.of(str(path)) == Image.of(PNG) == Image("image/png", PNG) == Image.of(Image("image/png", PNG))
    assert Image.of(b"RIFF0000WEBPxxxx").mime == "image/webp"
    with agent() as made:
        made.run("look", images=[path, PNG])
        assert [image.data for image in made.trajectory.prompt[-1].images] == [PNG, PNG]


@pytest.mark.parametrize(("given", "said"), [
    ([Path("/nowhere.png")], "cannot read the picture /nowhere.png: No such file"), ([b"GI"], "no picture"), ([3], "got int"),
    ([""], "cannot read|no picture"), ([b"RIFF0000WAVE"], "no picture"), ("a.png", "images is a list")])
def test_what_is_no_picture_is_told_before_the_model_is_asked(given, said):
    with agent() as made, pytest.raises(ConfigError, match=said):
        made.run("look", images=given)


async def used():
    async with agent() as made:
        result = await made.arun("go")
    return made, result


def test_an_agent_can_be_used_in_an_event_loop():
    import asyncio

    made, result = asyncio.run(used())
    assert result.answer == "done"
    with pytest.raises(Exception, match="closed"):
        made.run("more")


def test_the_walls_are_not_blamed_for_a_tool_that_runs_outside():
    def fetch() -> str:
        """Fetch."""
        raise OSError("Temporary failure in name resolution")

    with Interpreter([fetch]) as py:
        assert "no network" not in py.run("fetch()").text
        if py.level:
            assert "no network" in py.run("import urllib.request; urllib.request.urlopen('http://example.com')").text


def test_limits_say_when_they_rest_on_an_estimate():
    model = ScriptedModel(["<execute>1</execute>", "<solution>done</solution>"])
    model.counts_tokens = False
    seen = []
    with Agent(model, sandbox="none", budget=Budget(max_tokens=100_000)) as made:
        made.run("go", observe=seen.append)
    assert sum("a quarter of the characters" in getattr(event, "text", "") for event in seen) == 1
