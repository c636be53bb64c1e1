"""The dials turn the way they say: measured with scripted models of graded skill."""

import itertools

import pytest

from codeact.evals.episode import Job, Playing, play
from codeact.suites import toolforge
from codeact.suites._checking import agrees
from codeact.suites.toolforge.oracle import OracleModel, answer_text
from codeact.suites.toolforge.skill import attempt, effort

SKILLS = (0.9, 0.95, 0.98, 0.99)
DIALS = {"items": (3, 6, 12), "hops": (1, 2, 4), "distractors": (0, 4, 8), "failing": (0, 1, 3), "fails": (1, 2, 3),
         "page": (0, 6, 3), "mixed": (0, 1)}


def forged(n, **options):
    suite = toolforge.create(n=n, **options)
    return [(task, suite.forged(task)) for task in suite.tasks()]


def success(tasks, skill):
    return sum(agrees(task.expected, answer_text(attempt(task.id, made, skill))) for task, made in tasks) / len(tasks)


def falls(values):
    return all(later < earlier for earlier, later in itertools.pairwise(values))


def mean_effort(tasks):
    return sum(effort(made) for _, made in tasks) / len(tasks)


def test_success_falls_with_difficulty_and_rises_with_skill():
    levels = [forged(72, difficulty=difficulty) for difficulty in (1, 3, 5)]
    table = [[success(tasks, skill) for tasks in levels] for skill in SKILLS[::2]]
    assert all(falls(row) for row in table), table
    assert all(falls(column[::-1]) for column in zip(*table)), table
    assert success(levels[2], 1.0) == 1.0
    assert success(levels[0], 0.0) == 0.0


@pytest.mark.parametrize("dial", DIALS)
def test_a_dial_alone_makes_tasks_ask_more(dial):
    efforts = [mean_effort(forged(36, difficulty=3, dials=f"{dial}={value}")) for value in DIALS[dial]]
    assert falls(efforts[::-1]), efforts


@pytest.mark.slow
def test_success_falls_with_every_step_of_difficulty():
    levels = [forged(480, difficulty=difficulty) for difficulty in (1, 2, 3, 4, 5)]
    table = [[success(tasks, skill) for tasks in levels] for skill in SKILLS]
    assert all(falls(row) for row in table), table
    assert all(falls(column[::-1]) for column in zip(*table)), table


@pytest.mark.slow
@pytest.mark.parametrize("dial", DIALS)
def test_success_falls_with_each_dial_alone(dial):
    low, *_, high = (forged(480, difficulty=3, dials=f"{dial}={value}") for value in DIALS[dial])
    assert [success(high, skill) < success(low, skill) for skill in (0.95, 0.97)] == [True, True]


@pytest.mark.parametrize("format", ["code", "json"])
def test_a_careless_model_fails_in_the_interpreter_where_it_fails_here(format):
    suite = toolforge.create(n=12, difficulty=2)
    settings = toolforge.Settings(max_turns=suite.settings.max_turns, max_answers=1)
    verdicts, expected = [], []
    for task in suite.tasks():
        made = suite.forged(task)
        found = attempt(task.id, made, 0.9)
        answer = "I give up." if found is None else found
        model = OracleModel(made.solution, made.tools(), format, spoiled=answer)
        trajectory = play(Playing(suite, settings, "strict", sandbox="none"), Job("careless", format, task.id), task, model)
        verdicts.append(trajectory.about["verdicts"]["strict"])
        expected.append(agrees(task.expected, answer_text(found)))
    assert verdicts == expected
    assert {True, False} == set(verdicts)
