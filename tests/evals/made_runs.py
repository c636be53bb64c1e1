"""Runs made by hand: folders with trajectories whose numbers are known."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from codeact.actions import Answer, CodeAction, Malformed
from codeact.evals.folder import RunFolder
from codeact.messages import Completion, Message, Usage
from codeact.trajectory import Observation, Stop, Trajectory, Turn

CODE = Turn(Completion("<execute>add(1, 2)</execute>", usage=Usage(100, 10, 0.001)), CodeAction("add(1, 2)", "I add."), Observation("Out[1]: 3"), 0.5)
BABBLE = Turn(Completion("Well.", usage=Usage(50, 5, 0.0)), Malformed("no action"), Observation("no action", status="none"), 0.5)
ANSWER = Turn(Completion("<solution>3</solution>", usage=Usage(100, 10, 0.001)), Answer("3"), Observation("", stop=Stop.ANSWER, status="none"), 0.5)


def played(
    task: str,
    right: bool | dict[str, bool],
    *,
    model: str = "openai:one",
    format: str = "code",
    repeat: int = 0,
    n_turns: int = 2,
    n_babbled: int = 0,
    n_called: int | None = None,
    seconds: float = 1.0,
    suite: str = "sums",
    version: str = "1",
    turns: tuple[Turn, ...] = (),
    prompt: str = "Add.",
    **about: Any,
) -> Trajectory:
    """One job: `n_turns` turns, of which the first `n_babbled` act on nothing and the last answers if it was right."""
    verdicts = right if isinstance(right, dict) else {"lenient": right, "exact": right}
    answered = any(verdicts.values())
    middle = [BABBLE] * n_babbled + [CODE] * (n_turns - n_babbled - answered)
    turns = turns or (*middle, *[ANSWER] * answered)
    n_acted = sum(isinstance(turn.action, CodeAction) for turn in turns)
    made = Trajectory((Message("system", "Act."), Message("user", prompt)), turns, Stop.ANSWER if answered else Stop.TURN_LIMIT)
    usage = made.usage
    return Trajectory(made.prompt, made.turns, made.stop, {
        "suite": suite, "version": version, "model": model, "format": format, "task": task, "repeat": repeat,
        "family": task.split("/")[0], "verdicts": verdicts, "answers": ["3"] * answered, "expected": "3",
        "n_acted": n_acted, "n_answered": int(answered), "n_called": n_acted if n_called is None else n_called,
        "seconds": seconds, "usage": {"prompt_tokens": usage.prompt_tokens, "completion_tokens": usage.completion_tokens, "cost": usage.cost},
        **about})  # fmt: skip


def run_of(path: Path, trajectories: Iterable[Trajectory], **manifest: Any) -> RunFolder:
    """A folder with these, as a report reads it."""
    found = list(trajectories)
    names = {name: list(dict.fromkeys(one.about[name] for one in found)) for name in ("model", "format")}
    whole = {"suite": {"name": "sums", "version": "1", "options": {}}, "models": names["model"], "formats": names["format"],
             "repeats": 1, "checker": "lenient", "checkers": ["lenient", "exact"], "n_jobs": len(found), **manifest}  # fmt: skip
    with RunFolder.create(path, whole) as folder:
        for trajectory in found:
            folder.add(trajectory)
    return RunFolder.open(path)


def eight(model: str = "openai:one", **scores: str) -> list[Trajectory]:
    """Eight tasks in two families, by format: `code="11110000"` is right on the first four."""
    return [
        played(f"{('even', 'odd')[number % 2]}/{number}", mark == "1", model=model, format=format, n_turns=2 if mark == "1" else 4)
        for format, marks in scores.items() for number, mark in enumerate(marks)
    ]  # fmt: skip
