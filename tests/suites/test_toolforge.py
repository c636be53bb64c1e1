"""Tasks made from a seed: the same everywhere, solvable, with answers that vary."""

import argparse
import ast
import hashlib
import inspect
import json
from pathlib import Path

import pytest

from codeact.errors import ConfigError
from codeact.suites import toolforge
from codeact.suites.toolforge.dials import LEVELS, MAX_TURNS
from codeact.suites.toolforge.forging import families, forge
from codeact.suites.toolforge.oracle import walk
from codeact.tools.toolbox import Toolbox

DIFFICULTIES = sorted(LEVELS)
GOLDEN = Path(__file__).with_name("toolforge_seed_7.json")


def digest(difficulty: int) -> str:
    """Of questions, answers, tools, and all that an oracle is told by them."""
    suite, seen = toolforge.create(n=24, difficulty=difficulty), hashlib.sha256()
    for task in suite.tasks():
        told = []

        def noted(tool):
            def call(*args, **kwargs):
                result = tool(*args, **kwargs)
                told.append(result)
                return result

            call.__name__ = tool.__name__
            return call

        forged = suite.forged(task)
        tools = forged.tools()
        walk(forged.solution, [noted(tool) for tool in tools])
        signatures = [f"{tool.__name__}{inspect.signature(tool)} {tool.__doc__}" for tool in tools]
        seen.update(repr((task.id, task.instruction, task.expected, signatures, told)).encode())
    return seen.hexdigest()


def test_the_tasks_of_the_published_seed_are_those_that_were_published():
    assert {str(level): digest(level) for level in DIFFICULTIES} == json.loads(GOLDEN.read_text()), \
        "a task changed: raise Toolforge.version, and write the new digests"


def test_there_are_twelve_families():
    assert families() == ["calendar", "decoding", "filesystem", "inventory", "ledger", "sensors", "sequences", "services",
                          "tickets", "trade", "travel", "webshop"]


@pytest.mark.parametrize("difficulty", DIFFICULTIES)
def test_every_oracle_finds_what_the_world_holds_with_turns_to_spare(difficulty):
    for seed in (11, 12):
        suite = toolforge.create(seed=seed, n=24, difficulty=difficulty)
        for task in suite.tasks():
            forged = suite.forged(task)
            done = walk(forged.solution, forged.tools())
            assert done.answer == forged.expected == task.expected, task.id
            assert type(done.answer) is type(task.expected)
            assert len(done.calls) == task.about["n_calls"] < MAX_TURNS[difficulty], task.id
            assert suite.check(task, repr(done.answer)) == {"strict": True}
            called = {call.name for call in done.calls}
            assert called.isdisjoint(tool.__name__ for tool in forged.distractors)
            assert len(forged.distractors) == LEVELS[difficulty].distractors


@pytest.mark.parametrize("family", families())
def test_answers_vary(family):
    tasks = [task for seed in (1, 2) for task in toolforge.create(seed=seed, n=15, families=family).tasks()]
    assert len({task.id for task in tasks}) == 30
    assert len({repr(task.expected) for task in tasks}) >= 27


@pytest.mark.parametrize("family", families())
def test_every_tool_describes_itself_and_takes_what_it_says(family):
    suite = toolforge.create(n=1, difficulty=5, families=family)
    task = suite.tasks()[0]
    with Toolbox(suite.tools(task)) as toolbox:
        for tool in toolbox:
            spec = tool.spec()
            assert spec["doc"]
            assert spec["returns"]
            assert all(param["annotation"] for param in spec["params"]), spec
            assert ("next_token" in spec["doc"]) == any(param["name"] == "page_token" for param in spec["params"])


def test_tools_fail_at_first_and_every_time_they_are_made():
    suite = toolforge.create(n=1, difficulty=5, families="ledger")
    task = suite.tasks()[0]
    for _ in range(2):
        told = []
        for tool in suite.tools(task):
            nothing = ["?" for name in inspect.signature(tool).parameters if name != "page_token"]
            for _ in range(3):
                try:
                    tool(*nothing)
                except (ConnectionError, KeyError, TypeError) as error:
                    told.append(str(error) == f"{tool.__name__} is busy; try again")
        assert sum(told) == LEVELS[5].failing * LEVELS[5].fails


def test_what_one_run_does_is_not_seen_by_another():
    suite = toolforge.create(n=1, families="webshop", dials="failing=0")
    task = suite.tasks()[0]
    first, second = ({tool.__name__: tool for tool in suite.tools(task)} for _ in range(2))
    home = first["back"]()
    first["click"](1)
    assert second["back"]() == home


def test_more_tasks_begin_with_the_same_ones_and_a_choice_of_families_has_the_same_ones():
    few, many = toolforge.create(n=12).tasks(), toolforge.create(n=30).tasks()
    assert tuple(few) == tuple(many[:12])
    ledgers = toolforge.create(n=2, families="ledger").tasks()
    assert list(ledgers) == [task for task in many if task.family == "ledger"][:2]


def test_a_task_is_made_again_from_its_id_and_its_dials():
    suite = toolforge.create(n=12, difficulty=3, dials="items=9,page=0")
    for task in suite.tasks():
        assert task.id.split("/")[1] == "7-3+items=9+page=0-0"
        assert json.loads(json.dumps(task.about)) == task.about
        assert ast.literal_eval(repr(task.expected)) == task.expected
        assert forge(task.id, suite.dials).expected == task.expected


def test_a_dial_that_leaves_the_world_alone_leaves_the_question_the_same():
    plain = toolforge.create(n=12, difficulty=1).tasks()
    for dials in ("distractors=5", "failing=2", "page=2", "mixed=1"):
        changed = toolforge.create(n=12, difficulty=1, dials=dials).tasks()
        assert [(task.instruction, task.expected) for task in changed] == [(task.instruction, task.expected) for task in plain]
        assert {task.id for task in changed}.isdisjoint(task.id for task in plain)


def test_every_dial_can_stand_at_either_end():
    for dials in ("items=2", "items=20", "hops=1", "hops=4", "distractors=8", "failing=4,fails=3", "page=1", "mixed=1"):
        assert len(toolforge.create(n=12, difficulty=1, dials=dials).tasks()) == 12


@pytest.mark.parametrize(("options", "words"), [
    ({"difficulty": 0}, "no difficulty 0; it goes from 1 to 5"),
    ({"families": "trade,bakery"}, "no family 'bakery'; there are: calendar, decoding"),
    ({"families": ","}, "no family ','; there are:"),
    ({"n": 10**9}, "makes 1 to 20,000 tasks, not 1,000,000,000"),
    ({"n": 0}, "makes 1 to 20,000 tasks, not 0"),
    ({"dials": "size=3"}, "no dial 'size'; there are: items, hops"),
    ({"dials": "items=1000"}, "dial items goes from 2 to 40, not '1000'"),
    ({"dials": "items"}, "dial items goes from 2 to 40, not ''"),
])
def test_options_that_are_wrong_are_told_with_what_would_do(options, words):
    with pytest.raises(ConfigError, match=words.replace("(", r"\(")):
        toolforge.create(**options)


def test_the_flags_are_the_options():
    parser = argparse.ArgumentParser()
    toolforge.add_flags(parser)
    suite = toolforge.create(**vars(parser.parse_args(["--seed", "3", "--n", "5", "--families", "trade", "--dials", "page=2"])))
    assert (suite.seed, suite.n, suite.difficulty, suite.dials.page) == (3, 5, 2, 2)
    assert toolforge.create(**vars(parser.parse_args([]))).tasks() == toolforge.create().tasks()


def test_the_prompt_says_how_to_act_and_how_to_answer():
    suite = toolforge.create(n=1)
    task = suite.tasks()[0]
    system, user = suite.prompt(task, "ACT SO {braces}")
    assert "ACT SO {braces}" in system.content
    assert "next_token" in system.content
    assert (system.role, user.role, user.content) == ("system", "user", task.instruction)


def test_pages_follow_one_another_and_a_token_that_was_made_up_is_told():
    suite = toolforge.create(n=1, difficulty=1, families="trade", dials="items=5,page=2")
    task = suite.tasks()[0]
    list_offers = suite.tools(task)[0]
    good = task.instruction.partition("kg of ")[2].partition(",")[0]
    first = list_offers(good)
    second = list_offers(good, page_token=first["next_token"])
    third = list_offers(good, second["next_token"])
    assert [len(page["items"]) for page in (first, second, third)] == [2, 2, 1]
    assert third["next_token"] is None
    for token in ("2", "after-5", "after--1", "after-" + "9" * 5000, "after-x"):
        with pytest.raises(ValueError, match="pass the next_token of the page before"):
            list_offers(good, token)
    with pytest.raises(KeyError, match="there is no good 'gold'"):
        list_offers("gold")
