"""Every family solved by its own oracle through the real interpreter, in the three formats."""

import pytest

from codeact.evals.episode import Job, Playing, play
from codeact.suites import toolforge
from codeact.suites.toolforge.forging import families
from codeact.suites.toolforge.oracle import OracleModel
from codeact.trajectory import Stop

FORMATS = ("code", "json", "text")


def solved(suite, task, format):
    forged = suite.forged(task)
    model = OracleModel(forged.solution, forged.tools(), format)
    return play(Playing(suite, suite.settings, "strict", sandbox="none"), Job("oracle", format, task.id), task, model)


def check(suite, task, format):
    trajectory = solved(suite, task, format)
    about = trajectory.about
    assert about["verdicts"] == {"strict": True}, (task.id, about["answers"], about["expected"])
    assert trajectory.stop is Stop.ANSWER
    assert about["n_called"] == task.about["n_calls"], task.id
    assert len(trajectory.turns) == (3 if format == "code" else task.about["n_calls"] + 1)


@pytest.mark.parametrize("difficulty", [1, 3, 5])
@pytest.mark.parametrize("format", FORMATS)
def test_the_oracle_of_every_family_passes_in_every_format(format, difficulty):
    suite = toolforge.create(n=len(families()), difficulty=difficulty)
    for task in suite.tasks():
        check(suite, task, format)


@pytest.mark.slow
@pytest.mark.parametrize("difficulty", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("format", FORMATS)
def test_the_oracle_passes_for_another_seed_too(format, difficulty):
    suite = toolforge.create(seed=11, n=2 * len(families()), difficulty=difficulty)
    for task in suite.tasks():
        check(suite, task, format)
