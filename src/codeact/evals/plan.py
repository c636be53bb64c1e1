"""What a run does, as plain values, and who does one job of it.

A `Plan` is what the command line says and the manifest keeps; a `Player` is made of it in whichever process does the
work, this one or one of another machine's. Keys are not in it: each process looks them up for itself.
"""

import random
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Self

from codeact import plugins
from codeact.errors import ConfigError
from codeact.evals.episode import Job, Playing, play
from codeact.events import Observer, ignore
from codeact.loop import NEVER, Cancel
from codeact.protocols import Model
from codeact.tasks import Settings, Suite, Task
from codeact.trajectory import Trajectory

__all__ = ["Plan", "Player"]

_REPLY_LIMIT = {"openai": "max_tokens", "anthropic": "max_tokens", "gguf": "max_tokens", "hf": "max_new_tokens"}
"""Providers that write by themselves, and what each calls the longest reply."""


@dataclass(frozen=True)
class Plan:
    """Which tasks, by which models, in which formats, how often."""

    suite: str
    """Its name, as `plugins.load` takes it."""
    models: tuple[str, ...]
    """As `--model` takes them."""
    formats: tuple[str, ...] = ("code",)
    repeats: int = 1
    options: Mapping[str, Any] = field(default_factory=dict)
    """For the suite."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Where the suite's own `tasks.Settings` are not wanted: fields by name."""
    checker: str | None = None
    """Whose verdict ends a job; the suite's first if None."""
    only: tuple[str, ...] = ()
    """Tasks or families, by name; empty: all."""
    limit: int | None = None
    """So many tasks, the same for all models and formats; None: all."""
    seed: int = 0
    """For the order of the tasks, and which those of a limit are."""
    sandbox: str = "auto"
    max_seconds: float | None = None
    """Wall clock of one job."""
    base_url: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Spell as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote.

        Raises:
            ConfigError: It is not that.
        """
        known = {one.name for one in fields(cls)}
        if not isinstance(data, Mapping) or not {"suite", "models"} <= set(data) <= known:
            raise ConfigError("the manifest's plan was written by another version of codeact, or is none")
        given: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in data.items()}
        return cls(**given)

    def chosen(self, tasks: Sequence[Task]) -> list[Task]:
        """The tasks that are done, in order.

        Raises:
            ConfigError: `only` names none.
        """
        for name in self.only:
            if not any(name in (task.id, task.family) for task in tasks):
                families = ", ".join(sorted({task.family for task in tasks}))
                raise ConfigError(f"{self.suite} has no task and no family {name!r}; its families: {families}")
        found = [task for task in tasks if not self.only or {task.id, task.family} & set(self.only)]
        # Mixed, so that what there is of a run that ends early is not all of one family.
        random.Random(f"{self.seed}").shuffle(found)
        return found[: self.limit]

    def jobs(self, tasks: Sequence[Task]) -> Iterator[Job]:
        """All jobs; those that are compared with one another lie side by side."""
        for repeat in range(self.repeats):
            for task in self.chosen(tasks):
                for model in self.models:
                    for form in self.formats:
                        yield Job(model, form, task.id, repeat)


class Player:
    """Does jobs of a plan, from any thread.

    Args:
        suite, models: In place of those the plan names.

    Raises:
        ConfigError: The plan names something there is not, or that cannot be had.
    """

    def __init__(self, plan: Plan, *, suite: Suite | None = None, models: Mapping[str, Model] | None = None) -> None:
        self.plan = plan
        self.suite: Suite = suite or plugins.create("suites", plan.suite, **plan.options)
        try:
            self.settings: Settings = replace(self.suite.settings, **plan.settings)
        except TypeError as error:
            raise ConfigError(f"settings of a suite: {error}") from None
        checker = plan.checker or self.suite.checkers[0]
        if checker not in self.suite.checkers:
            raise ConfigError(f"{plan.suite} has no checker {checker!r}; it has: {', '.join(self.suite.checkers)}")
        if not plan.formats:
            raise ConfigError(f"in which formats? available: {', '.join(plugins.available('formats'))}")
        for form in plan.formats:
            plugins.create("formats", form, envelope=self.settings.envelope)
        self._playing = Playing(self.suite, self.settings, checker, plan.sandbox, plan.max_seconds)
        self.tasks = {task.id: task for task in self.suite.tasks()}
        self._lock = threading.Lock()
        self._models: dict[str, Model] = dict(models or {})
        for name in plan.models:
            self._model(name)

    @property
    def checker(self) -> str:
        """Whose verdict ends a job."""
        return self._playing.checker

    def play(self, job: Job, *, observe: Observer = ignore, cancel: Cancel = NEVER) -> Trajectory:
        """Do one; see `episode.play`."""
        return play(self._playing, job, self.tasks[job.task], self._model(job.model), observe=observe, cancel=cancel)

    def _model(self, name: str) -> Model:
        """The model of this name: one for all jobs, unless it remembers what it said."""
        with self._lock:
            if name in self._models:
                return self._models[name]
            made = self._created(name)
            if not getattr(made, "remembers", False):
                self._models[name] = made
            return made

    def _created(self, name: str) -> Model:
        import argparse

        from codeact.settings import create_model, settle

        limit, temperature = self.settings.max_reply_tokens, self.settings.temperature
        found = settle(argparse.Namespace(model=name, base_url=self.plan.base_url))
        writes = _REPLY_LIMIT.get(found.provider)
        if writes is None:   # it says what it was told to say
            return create_model(replace(found, temperature=None))
        more = {writes: limit} if limit is not None else {}
        return create_model(replace(found, temperature=temperature), **more)
