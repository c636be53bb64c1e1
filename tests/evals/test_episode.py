"""One task played once."""

import pytest
from toy import Adder, Sums

from codeact.evals.episode import Job, Playing, play
from codeact.trajectory import Stop


def played(how: str = "right", format: str = "code", **settings):
    suite = Sums(**settings)
    playing = Playing(suite, suite.settings, "lenient", sandbox="none")
    return play(playing, Job("toy", format, "even/2"), suite.tasks()[2], Adder(how, format))


@pytest.mark.parametrize("format", ["code", "json", "text"])
def test_a_right_model_succeeds_in_two_turns_in_every_format(format):
    trajectory = played(format=format)
    about = trajectory.about
    assert about["verdicts"] == {"lenient": True, "exact": True}
    assert (trajectory.stop, len(trajectory.turns), trajectory.answer) == (Stop.ANSWER, 2, "12")
    assert (about["n_acted"], about["n_answered"], about["n_called"]) == (1, 1, 1)
    assert about["usage"] == {"prompt_tokens": 200, "completion_tokens": 20, "cost": 0.002}


def test_a_wrong_answer_is_told_and_the_model_may_go_on():
    trajectory = played("wrong")
    assert trajectory.about["verdicts"] == {"lenient": False, "exact": False}
    assert trajectory.stop is Stop.TURN_LIMIT
    assert "This answer is wrong. You have 2 replies left." in trajectory.turns[1].observation.text
    assert "You have 1 reply left." in trajectory.turns[2].observation.text


def test_answers_can_be_counted():
    trajectory = played("wrong", max_answers=2)
    assert (trajectory.stop, len(trajectory.turns), trajectory.about["answers"]) == (Stop.ANSWER, 3, ["-1", "-1"])
    assert "2 replies left, and 1 answer." in trajectory.turns[1].observation.text


def test_words_without_an_action_are_no_answer():
    trajectory = played("babbles")
    assert trajectory.stop is Stop.TURN_LIMIT
    assert trajectory.about["n_acted"] == 0
    assert "no action and no answer" in trajectory.turns[0].observation.text
    assert "<execute>" in trajectory.turns[0].observation.text


def test_a_loop_ends_with_the_turns_and_tools_keep_their_state_within_a_task():
    trajectory = played("loops")
    assert trajectory.stop is Stop.TURN_LIMIT
    assert "used up" in trajectory.turns[3].observation.text
    assert trajectory.about["n_called"] == 4
