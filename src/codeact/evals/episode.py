"""One task played once: a fresh interpreter with the task's tools, the loop, and a trajectory with its verdicts.

Whoever runs many (`runner.py`, a Ray worker) calls `play` for each. What the trajectory's `about` holds is what the
report is made of, so that a file of trajectories is all that has to be kept.
"""

import contextlib
import time
from collections import Counter
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

from codeact import plugins
from codeact.actions import Answer, CodeAction, ToolCall
from codeact.environments.task import TaskEnvironment
from codeact.events import Event, Observer, ToolCalled, ignore
from codeact.interpreter.interpreter import Interpreter
from codeact.loop import NEVER, Budget, Cancel, rollout
from codeact.protocols import Model
from codeact.tasks import Settings, Suite, Task
from codeact.tools.toolbox import Toolbox
from codeact.trajectory import Trajectory

__all__ = ["Job", "Playing", "play"]


class Job(NamedTuple):
    """What is done once: a task, by a model, in a format; `repeat` counts from 0."""

    model: str
    format: str
    task: str
    repeat: int = 0

    @classmethod
    def of(cls, trajectory: Trajectory) -> "Job":
        """Which job a trajectory is of; KeyError if it is not one of an evaluation."""
        about = trajectory.about
        return cls(about["model"], about["format"], about["task"], about["repeat"])


@dataclass(frozen=True)
class Playing:
    """What all jobs of a run have in common."""

    suite: Suite
    settings: Settings
    checker: str
    """Whose verdict ends a job."""
    sandbox: str = "auto"
    max_seconds: float | None = None
    """Wall clock of one job."""


def play(playing: Playing, job: Job, task: Task, model: Model, *, observe: Observer = ignore,
         cancel: Cancel = NEVER) -> Trajectory:
    """Do one job.

    Returns:
        Its trajectory. `about` holds `suite`, `version`, the job's fields, `family`, `verdicts` by checker, `answers`,
        `expected`, `n_acted` (turns with an action of the format), `n_called` (calls of tools), `seconds`.

    Raises:
        ModelError, InterpreterError: The infrastructure failed; not the model's fault.
    """
    suite, settings = playing.suite, playing.settings
    began = time.perf_counter()
    form = plugins.create("formats", job.format, envelope=settings.envelope)
    seen: Counter[str] = Counter()

    def count(event: Event) -> None:
        if isinstance(event, ToolCalled):
            seen["called"] += 1
        observe(event)

    toolbox = Toolbox(suite.tools(task))
    with Interpreter(toolbox, style=settings.style, sandbox=playing.sandbox) as runner:
        env = TaskEnvironment(suite, task, runner, format=form, tools=tuple(toolbox), settings=settings,
                              checker=playing.checker)
        budget = Budget(max_turns=settings.max_turns, max_seconds=playing.max_seconds)
        with contextlib.ExitStack() as stack:
            if playing.max_seconds is not None:
                # A switch of this job's own, as its time is up before the run's is.
                own = Cancel()
                stack.enter_context(cancel.calling(lambda: own.set(cancel.stop) if cancel.stop else None))
                stack.enter_context(own.within(playing.max_seconds))
                cancel = own
            trajectory = rollout(model, env, budget=budget, observe=count, cancel=cancel)
    acted = CodeAction if job.format in ("code", "native") else ToolCall
    about: dict[str, Any] = {
        "suite": suite.name,
        "version": suite.version,
        **job._asdict(),
        "family": task.family,
        "verdicts": env.verdicts,
        "answers": [text for text, _ in env.answers],
        "expected": repr(task.expected),
        "n_acted": sum(isinstance(turn.action, acted) for turn in trajectory.turns),
        "n_answered": sum(isinstance(turn.action, Answer) for turn in trajectory.turns),
        "n_called": seen["called"],
        "seconds": round(time.perf_counter() - began, 4),
        "usage": asdict(trajectory.usage),
    }
    return replace(trajectory, about=about)
