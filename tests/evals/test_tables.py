"""The report as Markdown and as JSON, and what it says in words."""

import json

from made_runs import eight, played, run_of

from codeact.evals.data import as_json
from codeact.evals.episode import Job
from codeact.evals.folder import Failure
from codeact.evals.notes import findings, warnings
from codeact.evals.results import read
from codeact.evals.summary import summarize
from codeact.evals.tables import markdown, tables, title


def summary_of(path, trajectories, **manifest):
    return summarize(read([run_of(path, trajectories, **manifest)]))


def test_the_first_table_is_the_papers(tmp_path):
    jobs = [*eight(code="11111100", json="11000000"), *eight("openai:two", code="11110000", json="00001111")]
    text = markdown(summary_of(tmp_path / "run", jobs))
    assert "# sums 1\n" in text
    assert "| Model | code % | json % | code turns | json turns |\n| --- | ---: | ---: | ---: | ---: |\n" in text
    assert "| openai:one | **75.0 [41, 93]** | 25.0 [7, 59] | **2.5** | 3.5 |" in text
    assert "| openai:two | **50.0 [22, 78]** | **50.0 [22, 78]** | **3.0** | **3.0** |" in text
    assert "| best format, ties shared | 2 | 1 | 2 | 1 |" in text
    assert "| openai:one | even | 4 |" in text
    assert "| openai:one | code | 8 | 8 | 0 | 100.0 | 1.00 | 275 | 0.02 | 1.0 | 1.0 |" in text


def test_a_lead_on_eight_tasks_is_called_noise_and_one_on_forty_is_not(tmp_path):
    few = summary_of(tmp_path / "few", eight(code="11111100", json="11000000"))
    assert findings(few) == ["openai:one: code is ahead of json by 50.0 points [12.5, 87.5], McNemar, p = 0.12: within noise on 8 tasks."]
    many = summary_of(tmp_path / "many", eight(json="1" * 40, code="1" * 10 + "0" * 30))
    assert findings(many)[0].startswith("openai:one: json is ahead of code by 75.0 points [")
    assert findings(many)[0].endswith(": more than noise.")


def test_a_tie_is_called_one(tmp_path):
    assert findings(summary_of(tmp_path / "run", eight(code="10", json="01"))) == ["openai:one: code and json have the same success."]


def test_a_model_that_often_did_not_use_the_format_is_named(tmp_path):
    jobs = [played(f"a/{n}", True, n_turns=6, n_babbled=2) for n in range(4)] + [played(f"a/{n}", True, format="json") for n in range(4)]
    found = warnings(summary_of(tmp_path / "run", jobs))
    assert found == ["openai:one acted in the format code in only 60 % of its turns (answers apart): the model often did not use the "
                     "format, so read the comparison with care."]  # fmt: skip


def test_failures_of_the_infrastructure_and_missing_jobs_come_first(tmp_path):
    folder = run_of(tmp_path / "run", eight(code="1111"), n_jobs=7)
    folder.fail(Failure(Job("openai:one", "code", "even/8"), "ModelError: 500", 3))
    found = warnings(summarize(read([folder])))
    assert found[0] == "1 job failed for reasons of the infrastructure (ModelError) and is in no number here; `codeact eval resume` tries again."
    assert found[1] == "This is not the whole run: 2 of 7 jobs are not done yet; `codeact eval resume` goes on."


def test_checkers_that_disagree_and_unlike_settings_and_tasks_are_told(tmp_path):
    first = run_of(tmp_path / "a", [played("a/1", {"lenient": True, "exact": False})], settings={"max_turns": 10})
    second = run_of(tmp_path / "b", eight("openai:two", code="11"), settings={"max_turns": 5})
    found = warnings(summarize(read([first, second])))
    assert "The runs were made with different settings; their manifests say which." in found
    assert "The checkers lenient and exact disagree on 1 job of 3." in found
    assert any("did the same number of tasks" in text for text in found)


def test_a_run_without_a_finished_job_says_so(tmp_path):
    summary = summary_of(tmp_path / "run", [])
    assert warnings(summary) == ["No job is finished yet: there is nothing to report."]
    assert tables(summary) == []
    assert json.dumps(as_json(summary))


def test_options_of_a_suite_are_in_the_title(tmp_path):
    summary = summary_of(tmp_path / "run", eight(code="1"), suite={"name": "sums", "version": "1", "options": {"seed": 7, "n": None}})
    assert title(summary) == "sums 1 (seed=7)"


def test_names_with_markup_in_them_stay_names(tmp_path):
    text = markdown(summary_of(tmp_path / "run", [played("a/1", True, model="openai:<b>|x")]))
    assert "| openai:\\<b\\>\\|x |" in text


def test_json_has_the_keys_it_promises_and_is_json(tmp_path):
    data = as_json(summary_of(tmp_path / "run", eight(code="11111100", json="11000000")))
    assert data == json.loads(json.dumps(data, allow_nan=False))
    assert {"format", "version", "suite", "checker", "checkers", "warnings", "findings", "n_planned", "n_done", "n_failed", "n_missing",
            "lines", "comparisons", "best", "fewest_turns", "wins"} == set(data)  # fmt: skip
    assert data["lines"][0]["success"]["lenient"]["n_right"] == 6
    assert data["comparisons"][0]["success"]["difference"] == 0.5
    assert data["comparisons"][0]["success"]["p"] == 0.125
    assert data["wins"] == {"success": {"code": 1, "json": 0}, "turns": {"code": 1, "json": 0}}


def test_formats_without_a_task_in_common_are_json_too(tmp_path):
    data = as_json(summary_of(tmp_path / "run", [played("a/1", True), played("a/2", True, format="json")]))
    assert json.dumps(data, allow_nan=False)
    assert data["comparisons"][0]["n_tasks"] == 0
