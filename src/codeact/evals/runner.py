"""A run: jobs handed out, trajectories written as they are finished, limits kept, progress told.

    codeact eval toolforge --model openai:gpt-5-mini --format code,json -j 16

Nothing is held in memory but counts. What is written is done; whatever happens to the program, `resume` does the rest.
A run whose every job fails (a wrong key, a server that is down) is given up early.
"""

import platform
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from codeact import plugins
from codeact.errors import ConfigError, GivenUp
from codeact.evals.attempt import Runner
from codeact.evals.episode import Job
from codeact.evals.folder import Failure, RunFolder
from codeact.evals.plan import Plan, Player
from codeact.events import Event
from codeact.loop import NEVER, Cancel
from codeact.messages import Usage
from codeact.protocols import Model
from codeact.tasks import Suite
from codeact.trajectory import Stop, Turn

__all__ = ["Limits", "Progress", "begin", "resume"]

_GIVEN_UP_AFTER = 20
"""Jobs that fail one after the other, and it is not worth trying the others."""
_PACKAGES = ("codeact", "openai", "anthropic", "transformers", "torch", "ray", "numpy", "pandas")


@dataclass(frozen=True)
class Limits:
    """What a whole run may spend, earlier parts of it included; None: no limit. Reached, it stops what runs."""

    max_tokens: int | None = None
    max_cost: float | None = None
    """US dollars, as far as the servers tell."""


@dataclass
class Progress:
    """Where a run stands."""

    n_jobs: int
    n_before: int = 0
    """Done when this program began."""
    n_done: int = 0
    n_failed: int = 0
    n_right: Counter[str] = field(default_factory=Counter)
    """By format, by the verdict of the checker that ends jobs."""
    n_of: Counter[str] = field(default_factory=Counter)
    """Done, by format."""
    usage: Usage = field(default_factory=Usage)
    seconds: float = 0.0
    """Since this program began."""
    stop: Stop | None = None
    """Why it ended before all was done."""

    @property
    def per_second(self) -> float:
        """Jobs this program has done, a second."""
        return (self.n_done - self.n_before) / self.seconds if self.seconds else 0.0

    @property
    def seconds_left(self) -> float | None:
        """At this rate; None while there is none."""
        left = self.n_jobs - self.n_done - self.n_failed
        return left / self.per_second if self.per_second else None


def begin(path: Path, plan: Plan, *, runner: str = "threads", n_parallel: int = 4, limits: Limits = Limits(),
          max_tries: int = 3, on_progress: Callable[[Progress], object] = lambda _: None, cancel: Cancel = NEVER,
          suite: Suite | None = None, models: Mapping[str, Model] | None = None) -> Progress:
    """Start a run in a new folder.

    Args:
        path: The folder.
        runner: Where jobs are done, by name.
        on_progress: Called after each job, in this thread.
        suite, models: In place of those the plan names; for the runner "threads".

    Raises:
        ConfigError: The plan cannot be done, or there is a run in the folder.
        GivenUp: One job after the other failed.
    """
    player, where = Player(plan, suite=suite, models=models), plugins.create("runners", runner, n_parallel=n_parallel)
    with RunFolder.create(path, _manifest(plan, player, runner, limits)) as folder:
        return _run(folder, plan, player, where, limits, max_tries, on_progress, cancel)


def resume(path: Path, *, runner: str | None = None, n_parallel: int = 4, limits: Limits | None = None,
           max_tries: int = 3, on_progress: Callable[[Progress], object] = lambda _: None, cancel: Cancel = NEVER,
           suite: Suite | None = None, models: Mapping[str, Model] | None = None) -> Progress:
    """Do what is left of a run, and again what the infrastructure failed at; arguments as for `begin`.

    Args:
        runner, limits: As before if None.

    Raises:
        ConfigError: It is no run, is running, or its suite is another version now.
        GivenUp: One job after the other failed.
    """
    with RunFolder.open(path) as folder:
        plan = Plan.from_json(folder.manifest.get("plan", {}))
        player = Player(plan, suite=suite, models=models)
        before = folder.manifest.get("suite", {}).get("version")
        if before != player.suite.version:
            raise ConfigError(f"{path} was begun with version {before} of {plan.suite}, and this is version "
                              f"{player.suite.version}: their results cannot be put together; begin a new run")
        folder.open_for_writing()
        kept = limits or Limits(**folder.manifest.get("limits", {}))
        where = runner or folder.manifest.get("runner", "threads")
        return _run(folder, plan, player, plugins.create("runners", where, n_parallel=n_parallel), kept, max_tries,
                    on_progress, cancel)


def _run(folder: RunFolder, plan: Plan, player: Player, runner: Runner, limits: Limits, max_tries: int,
         on_progress: Callable[[Progress], object], outer: Cancel) -> Progress:
    tasks = list(player.tasks.values())
    progress = Progress(sum(1 for _ in plan.jobs(tasks)))
    done: set[Job] = set()
    for record in folder.records():
        done.add(record.job)
        _count(progress, record.job, record.about, player.checker)
    progress.n_before = progress.n_done
    left: Iterator[Job] = (job for job in plan.jobs(tasks) if job not in done)
    cancel, began = Cancel(), time.monotonic()
    spent, spending = progress.usage, threading.Lock()

    def watch(event: Event) -> None:
        """What jobs under way have used counts too."""
        nonlocal spent
        if isinstance(event, Turn):
            with spending:
                spent += event.completion.usage
            if reached := _reached(limits, spent):
                cancel.set(reached)

    n_in_a_row, fault = 0, ""
    with outer.calling(lambda: cancel.set(outer.stop or Stop.CANCELLED)):
        if outer.stop or (reached := _reached(limits, progress.usage)):
            progress.stop = outer.stop or reached
            return progress
        on_progress(progress)
        for outcome in runner.outcomes(plan, player, left, max_tries=max_tries, observe=watch, cancel=cancel):
            progress.seconds = time.monotonic() - began
            if outcome.trajectory is not None:
                folder.add(outcome.trajectory)
                _count(progress, outcome.job, outcome.trajectory.about, player.checker)
                n_in_a_row = 0
                if reached := _reached(limits, progress.usage):
                    cancel.set(reached)
            elif outcome.error:
                folder.fail(Failure(outcome.job, outcome.error, outcome.n_tries))
                progress.n_failed += 1
                n_in_a_row, fault = n_in_a_row + 1, outcome.error
                if n_in_a_row == _GIVEN_UP_AFTER:
                    cancel.set()
            on_progress(progress)
    if n_in_a_row >= min(_GIVEN_UP_AFTER, progress.n_jobs):
        raise GivenUp(f"{n_in_a_row} jobs in a row failed, not for the model's fault; the last one: {fault}")
    progress.stop = cancel.stop
    return progress


def _count(progress: Progress, job: Job, about: Mapping[str, Any], checker: str) -> None:
    progress.n_done += 1
    progress.n_of[job.format] += 1
    progress.n_right[job.format] += bool(about["verdicts"].get(checker))
    progress.usage += Usage.from_json(about["usage"])


def _reached(limits: Limits, spent: Usage) -> Stop | None:
    if limits.max_tokens is not None and spent.tokens >= limits.max_tokens:
        return Stop.TOKEN_LIMIT
    if limits.max_cost is not None and spent.cost >= limits.max_cost:
        return Stop.COST_LIMIT
    return None


def _manifest(plan: Plan, player: Player, runner: str, limits: Limits) -> dict[str, Any]:
    tasks = plan.chosen(list(player.tasks.values()))
    return {
        "suite": {"name": player.suite.name, "version": player.suite.version, "options": dict(plan.options)},
        "models": list(plan.models),
        "formats": list(plan.formats),
        "repeats": plan.repeats,
        "settings": asdict(player.settings),
        "checker": player.checker,
        "checkers": list(player.suite.checkers),
        "seed": plan.seed,
        "limits": asdict(limits),
        "n_tasks": len(tasks),
        "n_jobs": len(tasks) * len(plan.models) * len(plan.formats) * plan.repeats,
        "runner": runner,
        "packages": _versions(),
        "python": platform.python_version(),
        "system": platform.platform(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "plan": plan.to_json(),
    }


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
