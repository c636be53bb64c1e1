"""`codeact eval report` and `codeact eval compare`, over runs made by hand."""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "evals"))

from made_runs import eight, run_of

from codeact.cli._eval_compare import main as compare
from codeact.cli._eval_report import main as report


@pytest.fixture
def run(tmp_path):
    return run_of(tmp_path / "run", eight(code="11111100", json="11000000")).path


def test_the_report_shows_tables_and_says_what_is_noise(run, capsys):
    assert report([str(run)]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("sums 1\n")
    assert "75.0 [41, 93]*" in shown
    assert "within noise on 8 tasks" in shown


def test_json_is_printed_alone_or_written(run, tmp_path, capsys):
    assert report([str(run), "--json", "--md", str(tmp_path / "r.md")]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["format"] == "codeact-eval-report"
    assert printed.err == f"{tmp_path / 'r.md'} written\n"
    assert report([str(run), "--json", str(tmp_path / "r.json")]) == 0
    assert json.loads((tmp_path / "r.json").read_text()) == json.loads(printed.out)


def test_page_and_figures_are_written_and_named(run, tmp_path, capsys):
    assert report([str(run), "--html", str(tmp_path / "r.html"), "--plots", str(tmp_path / "figures")]) == 0
    assert f"{tmp_path / 'r.html'} written" in capsys.readouterr().out
    assert (tmp_path / "figures/success.png").exists()


def test_a_checker_can_be_chosen_and_a_wrong_one_is_told(run, capsys):
    assert report([str(run), "--checker", "exact"]) == 0
    assert report([str(run), "--checker", "best"]) == 2
    assert "sums has no checker 'best'; it has lenient, exact" in capsys.readouterr().err


def test_what_is_no_run_and_what_cannot_be_written_is_told(run, tmp_path, capsys):
    assert report([str(tmp_path)]) == 2
    assert "is not the folder of a run" in capsys.readouterr().err
    for flag in ("--md", "--html", "--json"):
        assert report([str(run), flag, str(tmp_path / "none/r")]) == 2
        assert "cannot write" in capsys.readouterr().err


def test_the_help_teaches(capsys):
    assert report(["--help"]) == 0
    assert "--html report.html" in capsys.readouterr().out


def test_two_runs_are_compared_task_by_task(tmp_path, run, capsys):
    other = run_of(tmp_path / "other", eight("openai:two", code="00111100", json="11000000")).path
    assert compare([str(run), str(other)]) == 0
    shown = capsys.readouterr().out
    assert "On 8 tasks (checker lenient): A better on 2, B better on 0, alike on 6." in shown
    assert "Success, points: +25.0 [+0.0, +62.5], McNemar, p = 1: within noise" in shown
    assert "even/0             right  wrong" in shown
    assert shown.count("A: openai:one in ") == shown.count("B: openai:two in ") == 2


def test_two_formats_of_one_run_are_compared_and_are_json_too(run, capsys):
    assert compare([str(run), "--a", "format=code", "--b", "format=json", "--json"]) == 0
    (one,) = json.loads(capsys.readouterr().out)["comparisons"]
    assert (one["n_tasks"], one["n_first"], one["n_second"], one["success"]["p"]) == (8, 4, 0, 0.125)
    assert [flip["task"] for flip in one["flips"]] == ["even/2", "even/4", "odd/3", "odd/5"]
    assert [(family["family"], family["n_first"]) for family in one["families"]] == [("even", 2), ("odd", 2)]
    assert (one["a"]["format"], one["b"]["tokens"]) == ("code", 2 * 220 + 6 * 440)


@pytest.mark.parametrize(("flags", "said"), [
    ([], "both sides are the same: name two runs, or --a and --b, as in --a format=code --b format=json. A has openai:one in code"),
    (["--a", "format=code", "--b", "format=code"], "both sides are the same"),
    (["--a", "format=yaml"], "has no format 'yaml'; it has code, json"),
    (["--a", "colour=red"], "cannot choose by 'colour'"),
    (["--a", "code"], "'code' is not of the form model=NAME or format=NAME"),
])  # fmt: skip
def test_what_cannot_be_compared_is_told_with_what_there_is(run, flags, said, capsys):
    assert compare([str(run), *flags]) == 2
    assert said in capsys.readouterr().err


def test_two_models_of_one_run_are_compared_format_by_format(tmp_path, capsys):
    jobs = [*eight(code="11", json="10"), *eight("openai:two", code="00", json="10")]
    run = run_of(tmp_path / "run", jobs).path
    assert compare([str(run), "--a", "model=openai:one", "--b", "model=openai:two"]) == 0
    assert capsys.readouterr().out.count("A: openai:one in ") == 2
    other = run_of(tmp_path / "other", eight("openai:three", yaml="1")).path
    assert compare([str(run), str(other)]) == 2
    assert "it is not clear which sides belong together" in capsys.readouterr().err


def test_runs_of_two_versions_are_not_compared(tmp_path, run, capsys):
    other = run_of(tmp_path / "other", eight(code="1"), suite={"name": "sums", "version": "2"}).path
    assert compare([str(run), str(other)]) == 2
    assert "only runs of one suite, version and options have the same tasks" in capsys.readouterr().err
