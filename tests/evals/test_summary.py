"""Runs made by hand, and what their numbers are."""

import sys
from fractions import Fraction

import pytest
from made_runs import eight, played, run_of

from codeact.errors import ConfigError
from codeact.evals.episode import Job
from codeact.evals.folder import Failure
from codeact.evals.pairs import pair
from codeact.evals.results import read
from codeact.evals.statistics import wilson
from codeact.evals.summary import best_of, summarize
from codeact.messages import Usage

# Table 3 of the paper: success by code, JSON, text; model by model.
PAPER = """4.9 2.4 2.4;4.9 4.9 4.9;2.4 0.0 0.0;0.0 1.2 2.4;0.0 0.0 0.0;11.0 3.7 3.7;0.0 3.7 1.2;13.4 15.9 12.2;54.9 39.0 29.3
20.7 31.7 24.4;22.0 19.5 11.0;51.2 26.8 20.7;29.3 15.9 14.6;67.1 56.1 45.1;74.4 52.4 53.7;4.9 4.9 8.5;20.7 18.3 7.3"""


def test_a_line_has_the_numbers_of_its_jobs(tmp_path):
    with run_of(tmp_path / "run", eight(code="11110000")) as folder:
        (line,) = summarize(read([folder])).lines
    assert (line.n_tasks, line.n_done, line.n_failed) == (8, 8, 0)
    assert line.success["lenient"].value == 0.5
    assert line.success["lenient"].interval == wilson(4, 8)
    # Four of 2 turns (one acts, one answers), four of 4 that all act.
    assert (line.turns, line.adoption, line.calls) == (3.0, 1.0, 1.0)
    assert line.usage == Usage(4 * 200 + 4 * 400, 4 * 20 + 4 * 40, pytest.approx(0.024))
    assert line.ends == {"answer": 4, "turn_limit": 4}
    assert [(family.name, family.success.n_right, family.n_tasks, family.turns) for family in line.families] == [("even", 2, 4, 3.0), ("odd", 2, 4, 3.0)]


def test_adoption_is_the_share_of_turns_without_an_answer_that_acted_in_the_format(tmp_path):
    jobs = [played("a/1", True, n_turns=6, n_babbled=3, n_called=4), played("a/2", False, n_turns=5, n_babbled=0)]
    with run_of(tmp_path / "run", jobs) as folder:
        (line,) = summarize(read([folder])).lines
    assert line.adoption == 7 / 10
    assert line.calls == 9 / 7
    assert line.turns == 5.5


def test_a_model_that_only_answers_has_no_adoption(tmp_path):
    with run_of(tmp_path / "run", [played("a/1", True, n_turns=1)]) as folder:
        (line,) = summarize(read([folder])).lines
    assert (line.adoption, line.calls) == (None, None)


def test_seconds_are_told_by_their_middle_and_their_tail(tmp_path):
    with run_of(tmp_path / "run", [played(f"a/{n}", True, seconds=float(n)) for n in range(21)]) as folder:
        (line,) = summarize(read([folder])).lines
    assert (line.seconds_median, line.seconds_p95) == (10.0, 19.0)


def test_every_checker_has_its_own_share_and_one_is_compared_by(tmp_path):
    jobs = [played(f"a/{n}", {"lenient": n < 3, "exact": n < 1}) for n in range(4)]
    with run_of(tmp_path / "run", jobs) as folder:
        results = read([folder])
    (line,) = summarize(results, checker="exact").lines
    assert {name: rate.value for name, rate in line.success.items()} == {"lenient": 0.75, "exact": 0.25}
    assert line.families[0].success.value == 0.25
    assert summarize(results).checker == "lenient"
    with pytest.raises(ConfigError, match="sums has no checker 'strict'; it has lenient, exact"):
        summarize(results, checker="strict")


def test_formats_are_compared_task_by_task_and_holm_looks_at_all_tests(tmp_path):
    with run_of(tmp_path / "run", eight(code="11111111", json="11000000", text="11000001")) as folder:
        summary = summarize(read([folder]))
    named = {(one.first, one.second): one.pair for one in summary.versus}
    assert list(named) == [("code", "json"), ("code", "text"), ("json", "text")]
    code_json = named["code", "json"]
    assert (code_json.n_tasks, code_json.n_first, code_json.n_second, code_json.test) == (8, 6, 0, "McNemar")
    assert code_json.success.value == 0.75
    assert code_json.success.p == 2 / 64
    assert code_json.success.p_holm == pytest.approx(3 * 2 / 64)
    assert named["code", "text"].success.p_holm == pytest.approx(2 * 2 / 32)
    assert code_json.turns.value == -1.5
    assert code_json.success.interval.low < 0.75 <= code_json.success.interval.high
    assert code_json.success.is_noise
    assert summary.best == {"openai:one": ("code",)}
    assert summary.fewest_turns == {"openai:one": ("code",)}
    assert summary.wins(summary.best) == {"code": 1, "json": 0, "text": 0}


def test_repeated_tasks_are_compared_by_their_means(tmp_path):
    jobs = [played(f"a/{task}", right, format=format, repeat=repeat)
            for format, shares in {"code": (3, 3, 2, 3), "json": (0, 1, 1, 0)}.items()
            for task, n in enumerate(shares) for repeat, right in enumerate([True] * n + [False] * (3 - n))]  # fmt: skip
    with run_of(tmp_path / "run", jobs, repeats=3) as folder:
        results = read([folder])
    (versus,) = summarize(results).versus
    assert (versus.pair.test, versus.pair.n_tasks, versus.pair.n_first) == ("sign flips", 4, 4)
    assert versus.pair.success.value == pytest.approx(9 / 12)
    assert versus.pair.success.p == 2 / 16
    assert versus.pair.flips[1].first == 1.0
    assert versus.pair.flips[1].second == pytest.approx(1 / 3)
    line = summarize(results).line("openai:one", "code")
    assert (line.n_tasks, line.n_done) == (4, 12)
    assert line.success["lenient"].interval.low >= 0.6


def test_only_tasks_that_both_sides_did_are_compared(tmp_path):
    left, right = [played("a/1", True), played("a/2", True)], [played("a/2", False, format="json"), played("a/3", True, format="json")]
    with run_of(tmp_path / "run", [*left, *right]) as folder:
        results = read([folder])
    found = pair(results.of("openai:one", "code"), results.of("openai:one", "json"), "lenient")
    assert (found.n_tasks, found.success.value, [flip.task for flip in found.flips]) == (1, 1.0, ["a/2"])


def test_the_best_formats_of_the_paper_are_counted_as_the_paper_counts_them():
    rows = [[Fraction(value) for value in row.split()] for row in PAPER.replace("\n", ";").split(";")]
    best = [best_of(dict(zip(("code", "json", "text"), row))) for row in rows]
    assert [sum(format in names for names in best) for format in ("code", "json", "text")] == [12, 5, 4]


def test_what_the_infrastructure_failed_at_is_in_no_denominator(tmp_path):
    with run_of(tmp_path / "run", eight(code="1111"), n_jobs=7) as folder:
        folder.fail(Failure(Job("openai:one", "code", "even/8"), "ModelError: 500", 3))
        results = read([folder])
    (line,) = summarize(results).lines
    assert (line.n_failed, line.n_done, line.success["lenient"].value) == (1, 4, 1.0)
    assert results.n_missing == 2


def test_runs_of_one_suite_are_put_together(tmp_path):
    first = run_of(tmp_path / "a", eight(code="1111"))
    second = run_of(tmp_path / "b", eight("openai:two", code="1100", json="0000"))
    summary = summarize(read([first, second]))
    assert (summary.models, summary.formats) == (["openai:one", "openai:two"], ["code", "json"])
    assert summary.best == {"openai:two": ("code",)}
    assert summary.line("openai:one", "json") is None


@pytest.mark.parametrize("suite", [{"name": "sums", "version": "2"}, {"name": "other", "version": "1"}, {"name": "sums", "version": "1", "options": {"seed": 8}}])
def test_runs_of_two_suites_or_versions_are_not(tmp_path, suite):
    first, second = run_of(tmp_path / "a", eight(code="1")), run_of(tmp_path / "b", eight("openai:two", code="1"), suite=suite)
    with pytest.raises(ConfigError, match="not of the same suite, version and options"):
        read([first, second])


def test_the_same_job_twice_is_refused_and_the_comparison_named(tmp_path):
    first, second = run_of(tmp_path / "a", eight(code="1")), run_of(tmp_path / "b", eight(code="0"))
    with pytest.raises(ConfigError, match=r"both did even/0 by openai:one in code, repeat 0; .* codeact eval compare"):
        read([first, second])
    with pytest.raises(ConfigError, match="no run was named"):
        read([])


def test_a_manifest_that_tells_little_is_read_all_the_same(tmp_path):
    from codeact.evals.folder import RunFolder

    with RunFolder.create(tmp_path / "run", {}) as folder:
        assert summarize(read([folder])).lines == ()
        folder.add(played("a/1", True))
        results = read([folder])
    assert (results.suite, results.version, results.checker, results.n_planned, results.n_missing) == ("sums", "1", "lenient", None, 0)
    assert summarize(results).lines[0].n_done == 1


def test_summing_up_imports_nothing_heavy():
    import subprocess

    code = "import sys, codeact.evals.summary; print([n for n in ('numpy', 'matplotlib', 'rich', 'scipy') if n in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
