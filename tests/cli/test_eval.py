"""The verb `eval`: a run from the command line, its exit codes, Ctrl-C, resuming."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

TOYS = Path(__file__).parents[1] / "evals"


def run(*words, **env):
    return subprocess.run([sys.executable, "-m", "codeact", "eval", *map(str, words)], capture_output=True, text=True, timeout=120,
                          env={**os.environ, "PYTHONPATH": str(TOYS), "CODEACT_MODEL": "", **env})


TOY = ("toys.sums", "--sandbox", "none", "-j", "2")


def test_a_run_says_what_it_did_and_what_to_do_next(tmp_path):
    done = run(*TOY, "--model", "toys.adder", "--format", "code,native", "--repeats", "2", "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert "16/16 100% | code 100% right, native 100% right" in done.stderr
    assert f"codeact eval report {tmp_path / 'run'}" in done.stderr
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert (manifest["n_jobs"], manifest["repeats"], manifest["models"]) == (16, 2, ["toys.adder"])
    again = run("resume", tmp_path / "run")
    assert again.returncode == 0
    assert "16/16" in again.stderr


def test_the_suites_are_listed_with_what_they_are():
    for done in (run("list"), run("--help")):
        assert done.returncode == 0
        assert "toolforge   Tasks made from a seed: they cannot be memorised" in done.stdout
        assert "m3tooleval  M3ToolEval: 82 tasks over five families of tools" in done.stdout


def test_two_runs_that_begin_in_one_second_have_folders_of_their_own(tmp_path, monkeypatch):
    from codeact.cli import _eval_run

    class Stopped(_eval_run.datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2026, 11, 28, 10, 30)

    monkeypatch.setattr(_eval_run, "datetime", Stopped)
    monkeypatch.chdir(tmp_path)
    for name in ("2026-11-28-103000-sums", "2026-11-28-103000-sums-2", "2026-11-28-103000-sums-3"):
        folder = _eval_run._new_folder("sums")
        assert folder == Path("runs", name)
        folder.mkdir(parents=True)


def test_a_script_that_is_short_says_how_it_will_do(tmp_path):
    script = tmp_path / "script.jsonl"
    script.write_text('"not the answer"\n')
    words = ("toolforge", "--n", "2", "--sandbox", "none", "--model", f"scripted:{script}")
    done = run(*words, "--out", tmp_path / "long")
    assert done.returncode == 3
    assert "the script has 1 reply, and all have been given; write more, or end each task there (--max-turns 1)" in done.stderr
    assert run(*words, "--out", tmp_path / "short", "--max-turns", "1").returncode == 0


def test_a_run_in_no_format_is_refused(tmp_path):
    done = run(*TOY, "--model", "toys.adder", "--format", " , ", "--out", tmp_path / "run")
    assert done.returncode == 2
    assert "in which formats? available: code, json, native, text" in done.stderr
    assert not (tmp_path / "run").exists()


def test_settings_of_the_suite_can_be_changed(tmp_path):
    done = run(*TOY, "--model", "toys.adder:wrong", "--max-turns", "3", "--max-answers", "1", "--max-reply-tokens", "0", "--check", "exact",
               "--only", "odd", "--limit", "1", "--temperature", "0.5", "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    settings = manifest["settings"]
    assert (settings["max_turns"], settings["max_answers"], settings["max_reply_tokens"], settings["temperature"]) == (3, 1, None, 0.5)
    assert (manifest["checker"], manifest["n_tasks"]) == ("exact", 1)


def test_ctrl_c_keeps_what_is_finished_and_says_how_to_go_on(tmp_path):
    child = subprocess.Popen([sys.executable, "-m", "codeact", "eval", "toys.sums", "--sandbox", "none", "-j", "1", "--model", "toys.adder:slow:0.1",
                              "--repeats", "50", "--out", str(tmp_path / "run")], stderr=subprocess.PIPE, text=True,
                             env={**os.environ, "PYTHONPATH": str(TOYS)})
    assert child.stderr
    first = child.stderr.readline()
    assert "/200" in first
    while not (tmp_path / "run" / "trajectories.jsonl").stat().st_size:
        pass
    child.send_signal(signal.SIGINT)
    said = child.stderr.read()
    child.stderr.close()
    assert child.wait() == 130
    assert "stopping; what is finished is kept" in said
    assert f"codeact eval resume {tmp_path / 'run'}" in said
    resumed = run("resume", tmp_path / "run", "--max-tokens", "1")
    assert (resumed.returncode, "limit of tokens" in resumed.stderr) == (1, True)


@pytest.mark.parametrize(("words", "code", "said"), [
    ((), 2, "codeact eval SUITE"),
    (("--help",), 0, "toolforge"),
    (("nothing",), 2, "unknown suite 'nothing'; available:"),
    (("--model", "x"), 2, "name the suite first"),
    (("toys.sums",), 2, "--model scripted:FILE --max-turns N, with N replies in FILE"),
    (("toys.sums", "--model", "nope:x"), 2, "unknown model 'nope'"),
    (("toys.sums", "--model", "toys.adder", "--format", "yaml"), 2, "unknown format 'yaml'"),
    (("toys.sums", "--model", "toys.adder", "--only", "evn"), 2, "no family 'evn'"),
    (("toys.sums", "--model", "toys.adder", "--runner", "moon"), 2, "unknown runner 'moon'"),
    (("toys.sums", "--model", "toys.adder", "--check", "moon"), 2, "no checker 'moon'; it has: lenient, exact"),
    (("toys.sums", "--repeats", "0"), 2, "--repeats"),
    (("resume", "/nowhere"), 2, "/nowhere is not the folder of a run"),
])  # fmt: skip
def test_what_is_wrong_is_told(tmp_path, words, code, said):
    out = () if not words or "sums" not in words[0] else ("--out", tmp_path / "run")
    done = run(*words, *out, XDG_CONFIG_HOME=str(tmp_path))
    assert (done.returncode, said in done.stdout + done.stderr) == (code, True), done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()
