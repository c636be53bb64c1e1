"""Many tasks: what is written, limits, stopping, resuming, failures that are not the model's."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from toy import Adder, Sums

from codeact.errors import ConfigError, GivenUp, ModelError
from codeact.evals.folder import RunFolder
from codeact.evals.plan import Plan
from codeact.evals.runner import Limits, begin, resume
from codeact.loop import Cancel
from codeact.trajectory import Stop, load


def plan(**more):
    return Plan("toy", ("adder",), **{"sandbox": "none", **more})


def run(path, n=4, how="right", *, model=None, **more):
    options = {name: more.pop(name) for name in ("limits", "cancel", "max_tries", "n_parallel", "on_progress")
               if name in more}
    return begin(path, plan(**more), suite=Sums(n), models={"adder": model or Adder(how)}, **options)


@pytest.mark.parametrize(("how", "right", "n_turns"), [("right", 4, 2), ("wrong", 0, 4), ("babbles", 0, 4), ("loops", 0, 4)])
def test_scripted_models_score_exactly(tmp_path, how, right, n_turns):
    progress = run(tmp_path / "run", how=how)
    assert (progress.n_done, progress.n_failed, progress.n_right["code"], progress.stop) == (4, 0, right, None)
    records = list(RunFolder.open(tmp_path / "run").records())
    assert {record.n_turns for record in records} == {n_turns}
    assert sum(record.about["verdicts"]["lenient"] for record in records) == right


def test_every_model_format_and_repeat_has_its_trajectory(tmp_path):
    seen = []
    progress = begin(tmp_path / "run", Plan("toy", ("one", "two"), formats=("code", "native"), repeats=2, sandbox="none"),
                     suite=Sums(3), models={"one": Adder(), "two": Adder("wrong")}, n_parallel=3, on_progress=lambda p: seen.append(p.n_done))
    assert progress.n_jobs == progress.n_done == 24
    assert seen == list(range(25))
    folder = RunFolder.open(tmp_path / "run")
    jobs = {record.job for record in folder.records()}
    assert len(jobs) == 24
    assert {(job.model, job.format, job.repeat) for job in jobs} == {
        (m, f, r) for m in ("one", "two") for f in ("code", "native") for r in (0, 1)}
    record = next(folder.records())
    assert len(folder.trajectory(record).turns) == record.n_turns
    assert folder.trajectory(record).about == record.about
    assert len(load(tmp_path / "run" / "trajectories.jsonl")) == 24
    manifest = folder.manifest
    assert (manifest["n_jobs"], manifest["checkers"], manifest["packages"]["codeact"]) == (24, ["lenient", "exact"], "0.1.0")


class Flaky:
    """Fails so many times for each task, then is right."""

    def __init__(self, n):
        self.n, self.failed = n, {}

    def complete(self, messages, **options):
        asked = messages[1].content
        if self.failed.setdefault(asked, 0) < self.n:
            self.failed[asked] += 1
            raise ModelError("the server is on fire")
        return Adder().complete(messages, **options)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr("codeact.evals.attempt._FIRST_WAIT_SECONDS", 0.001)


def test_faults_of_the_infrastructure_are_tried_again(tmp_path):
    progress = run(tmp_path / "run", model=Flaky(2))
    assert (progress.n_done, progress.n_failed) == (4, 0)


def test_faults_that_stay_are_counted_apart_and_tried_again_by_a_resume(tmp_path):
    broken = Adder()
    answer = broken.complete

    def complete(messages, **options):
        if "Add 1 " in messages[1].content:
            raise ModelError("the server is on fire")
        return answer(messages, **options)

    broken.complete = complete
    progress = run(tmp_path / "run", model=broken, n_parallel=1)
    assert (progress.n_done, progress.n_failed, progress.n_right["code"]) == (3, 1, 3)
    [failure] = RunFolder.open(tmp_path / "run").failures()
    assert (failure.job.task, failure.error, failure.n_tries) == ("odd/1", "ModelError: the server is on fire", 3)
    progress = resume(tmp_path / "run", suite=Sums(4), models={"adder": Adder()})
    assert (progress.n_done, progress.n_failed) == (4, 0)
    assert RunFolder.open(tmp_path / "run").failures() == []


def test_a_run_whose_every_job_fails_is_given_up(tmp_path):
    model = Flaky(10_000)
    with pytest.raises(GivenUp, match=r"20 jobs in a row failed.*the server is on fire"):
        run(tmp_path / "run", n=100, model=model, max_tries=1, n_parallel=2)
    assert sum(model.failed.values()) < 30


def test_what_is_configured_wrong_ends_the_run_at_once(tmp_path):
    class Unusable:
        def complete(self, messages, **options):
            raise ConfigError("no key")

    with pytest.raises(ConfigError, match="no key"):
        run(tmp_path / "run", model=Unusable())


@pytest.mark.parametrize(("limits", "stop"), [(Limits(max_tokens=500), Stop.TOKEN_LIMIT), (Limits(max_cost=0.005), Stop.COST_LIMIT)])
def test_limits_of_the_whole_run_stop_it_and_a_resume_with_more_does_the_rest(tmp_path, limits, stop):
    progress = run(tmp_path / "run", n=20, limits=limits, n_parallel=1)
    assert progress.stop is stop
    assert 1 <= progress.n_done <= 3
    assert resume(tmp_path / "run", suite=Sums(20), models={"adder": Adder()}).stop is stop
    progress = resume(tmp_path / "run", suite=Sums(20), models={"adder": Adder()}, limits=Limits())
    assert (progress.n_done, progress.stop) == (20, None)


def test_stopping_loses_nothing_and_doubles_nothing(tmp_path):
    cancel = Cancel()
    progress = run(tmp_path / "run", n=30, n_parallel=4, cancel=cancel,
                   on_progress=lambda p: p.n_done == 5 and cancel.set())
    assert progress.stop is Stop.CANCELLED
    assert 5 <= progress.n_done < 30
    progress = resume(tmp_path / "run", suite=Sums(30), models={"adder": Adder()}, n_parallel=4)
    jobs = [t.about["task"] for t in load(tmp_path / "run" / "trajectories.jsonl")]
    assert (progress.n_done, len(jobs), len(set(jobs))) == (30, 30, 30)


KILLED = """
import sys, threading
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from toy import Adder, Sums
from codeact.evals.plan import Plan
from codeact.evals.runner import begin
begin(Path(sys.argv[1]), Plan("toy", ("adder",), sandbox="none"), suite=Sums(1000), models={"adder": Adder()}, n_parallel=2,
      on_progress=lambda p: print(p.n_done, flush=True))
"""


def test_a_run_killed_in_the_middle_is_resumed(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path / "run"), str(Path(__file__).parent)],
                             stdout=subprocess.PIPE, text=True)
    assert child.stdout
    n_told = next(int(line) for line in child.stdout if int(line) >= 6)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    child.stdout.close()
    n_kept = sum(1 for _ in RunFolder.open(tmp_path / "run").records())
    assert n_kept >= n_told
    # The lock of a dead program is no lock; half a line is no trajectory.
    with open(tmp_path / "run" / "trajectories.jsonl", "a") as file:
        file.write('{"type": "start", "version": 1, "about": {"sui')
    cancel = Cancel()
    resume(tmp_path / "run", suite=Sums(1000), models={"adder": Adder()}, cancel=cancel,
           on_progress=lambda p: p.n_done >= n_kept + 5 and cancel.set())
    found = load(tmp_path / "run" / "trajectories.jsonl")
    assert len(found) == len({t.about["task"] for t in found}) >= n_kept + 5


def test_a_folder_is_written_by_one_program_at_a_time(tmp_path):
    run(tmp_path / "run")
    with pytest.raises(ConfigError, match=r"holds a run already.*codeact eval resume"):
        run(tmp_path / "run")
    with RunFolder.open(tmp_path / "run") as folder:
        folder.open_for_writing()
        with pytest.raises(ConfigError, match="another program is running"):
            resume(tmp_path / "run", suite=Sums(4), models={"adder": Adder()})


def test_another_version_of_the_suite_is_not_mixed_in(tmp_path):
    run(tmp_path / "run")
    newer = Sums(4)
    newer.version = "2"
    with pytest.raises(ConfigError, match="begun with version 1 of toy, and this is version 2"):
        resume(tmp_path / "run", suite=newer, models={"adder": Adder()})


@pytest.mark.parametrize(("text", "said"), [
    ("", "cannot read"), ("[]", "another version"), ('{"version": 9}', "another version"), ('{"version": 1}', "plan")])
def test_a_broken_manifest_is_a_clear_error(tmp_path, text, said):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(ConfigError, match=said):
        resume(tmp_path)


@pytest.mark.parametrize("line", ["nonsense", "{}", '{"type": "end", "stop": "answer"}', '{"type": "start", "about": 3}\n{"type": "end", "stop": "x"}'])
def test_a_broken_line_is_a_clear_error(tmp_path, line):
    run(tmp_path / "run")
    path = tmp_path / "run" / "trajectories.jsonl"
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(ConfigError, match=r"trajectories.jsonl, line \d+: not of a run"):
        list(RunFolder.open(tmp_path / "run").records())


def test_tasks_can_be_chosen(tmp_path):
    assert run(tmp_path / "a", n=10, only=("odd",)).n_done == 5
    assert run(tmp_path / "b", n=10, only=("odd/1", "even/2")).n_done == 2
    assert run(tmp_path / "c", n=10, limit=3, formats=("code", "native")).n_done == 6
    with pytest.raises(ConfigError, match="no task and no family 'od'; its families: even, odd"):
        run(tmp_path / "d", only=("od",))


def test_plans_that_cannot_be_done_make_no_folder(tmp_path):
    for wrong in ({"checker": "kind"}, {"formats": ("yaml",)}, {"settings": {"max_turn": 3}}):
        with pytest.raises(ConfigError):
            run(tmp_path / "run", **wrong)
    assert not (tmp_path / "run").exists()


def test_a_time_limit_is_of_one_job(tmp_path):
    class Slow(Adder):
        def complete(self, messages, *, cancel, **options):
            stopped = threading.Event()
            with cancel.calling(stopped.set):
                stopped.wait(30)
            return super().complete(messages, cancel=cancel, **options)

    progress = run(tmp_path / "run", n=1, model=Slow(), max_seconds=0.2)
    assert progress.n_done == 1
    [record] = RunFolder.open(tmp_path / "run").records()
    assert record.stop is Stop.TIME_LIMIT
