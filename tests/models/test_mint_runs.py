"""Recorded runs of real models, end to end: through `recorded:`, the loop and the real interpreter."""

import gzip
import json
import os
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from codeact import Interpreter, plugins
from codeact.actions import Answer, CodeAction, Malformed
from codeact.environments.chat import ChatEnvironment
from codeact.formats.code import CodeFormat, create
from codeact.loop import Budget, rollout
from codeact.messages import Completion, Message
from codeact.trajectory import Observation, Trajectory, Turn

DATA = Path(os.environ.get("CODEACT_DATA") or Path(__file__).parents[3] / "shared" / "data")
FILES = sorted((DATA / "mint" / "trajectories").glob("*.jsonl.gz"))
FORMAT: CodeFormat = create(envelope="mint")
COUNTED_AS = {CodeAction: "use_tool", Answer: "propose_solution", Malformed: "invalid_action"}
SAMPLE_EVERY = 24

pytestmark = pytest.mark.skipif(not FILES, reason="no recorded trajectories in CODEACT_DATA or ../shared/data")


class MintEnvironment(ChatEnvironment):
    """The recorded prompt; an answer is never right, so that the recording alone says when it is over."""

    def __init__(self, runner, prompt):
        super().__init__(runner, "", format=FORMAT, timeout=10.0)
        self.prompt = prompt

    def reset(self):
        return list(self.prompt)

    def step(self, action, *, observe, cancel):
        if isinstance(action, Answer):
            return Observation("Your answer is wrong.", status="none")
        return super().step(action, observe=observe, cancel=cancel)


def records(path, every=1):
    with gzip.open(path, "rt") as lines:
        return [json.loads(line) for n, line in enumerate(lines) if n % every == 0]


def trajectory_of(record) -> Trajectory:
    """A record as a trajectory of ours; in some runs code stood in fences, told in the first message."""
    first, *later = record["state"]["history"]
    fenced = "```python" in first["content"].split("\n---\n")[0]
    turns, replies = [], []
    for message in later:
        if message["role"] == "assistant":
            text = message["content"]
            replies.append(re.sub(r"```python(.*?)```", r"<execute>\1</execute>", text, flags=re.S) if fenced else text)
    told = [message["content"] for message in later if message["role"] == "user"]
    for n, reply in enumerate(replies):
        seen = Observation(told[n] if n < len(told) else "")
        turns.append(Turn(Completion(reply), FORMAT.parse(reply), seen))
    return Trajectory((Message("user", first["content"]),), tuple(turns))


def unstored(state) -> int:
    """Replies that were empty: the recorder counted them as invalid and kept no message of them."""
    roles = [message["role"] for message in state["history"]]
    n = sum(pair == ("user", "user") for pair in pairwise(roles))
    at_end = roles[-1] == "user" and state["terminate_reason"] != "error"
    return n + at_end


def replayed(record, runner, file) -> tuple[Trajectory, object]:
    recording = trajectory_of(record)
    recording.save(file)
    model = plugins.create("models", f"recorded:{file}")
    done = rollout(model, MintEnvironment(runner, recording.prompt), budget=Budget(max_turns=len(recording.turns)))
    return done, model


def check(path, every, file):
    """Replay records of a file; those that differ, and how many were replayed and how many cells ran."""
    different, n_replayed, n_cells = [], 0, 0
    for n, record in enumerate(records(path, every)):
        state = record["state"]
        with Interpreter() as runner:
            done, model = replayed(record, runner, file)
        assert len(done.turns) == len(model.trajectory.turns)
        counts = Counter(COUNTED_AS[type(turn.action)] for turn in done.turns)
        counts["invalid_action"] += unstored(state)
        n_replayed, n_cells = n_replayed + 1, n_cells + counts["use_tool"]
        cells = [turn for turn in done.turns if isinstance(turn.action, CodeAction)]
        assert all(turn.observation.status != "none" for turn in cells)
        if any(counts[kind] != count for kind, count in state["agent_action_count"].items()):
            different.append((path.name, n, dict(counts), state["agent_action_count"]))
    return different, n_replayed, n_cells


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name.removesuffix(".jsonl.gz"))
def test_a_sample_of_recorded_runs_gives_the_recorded_actions(path, tmp_path):
    different, n_replayed, _ = check(path, SAMPLE_EVERY, tmp_path / "run.jsonl")
    assert different == []
    assert n_replayed > 0


@pytest.mark.slow
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name.removesuffix(".jsonl.gz"))
def test_every_recorded_run_gives_the_recorded_actions(path, tmp_path):
    different, _, n_cells = check(path, 1, tmp_path / "run.jsonl")
    assert different == []
    assert n_cells > 0


def test_every_recorded_reply_is_read_as_the_recorder_read_it():
    """Without the interpreter: all runs in the default suite."""
    different, n_records = [], 0
    for path in FILES:
        for n, record in enumerate(records(path)):
            state, n_records = record["state"], n_records + 1
            counts = Counter(COUNTED_AS[type(turn.action)] for turn in trajectory_of(record).turns)
            counts["invalid_action"] += unstored(state)
            if any(counts[kind] != count for kind, count in state["agent_action_count"].items()):
                different.append((path.name, n, dict(counts), state["agent_action_count"]))
    assert different == []
    assert n_records > 0
