"""The finished jobs of one run or of several, read as small values: what summary, comparison and page are made of.

Runs are put together where they are the same suite in the same version with the same options: another model, another
format, more tasks. What the runner could not finish for no fault of the model's is kept apart.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from codeact.errors import ConfigError
from codeact.evals.episode import Job
from codeact.evals.folder import Failure, Record, RunFolder
from codeact.messages import Usage
from codeact.trajectory import Stop

__all__ = ["Results", "Row", "by_task", "read"]


@dataclass(frozen=True, slots=True)
class Row:
    """One finished job, in numbers."""

    job: Job
    family: str
    verdicts: Mapping[str, bool]
    """By checker."""
    stop: Stop
    n_turns: int
    n_acted: int
    """Turns with an action of the format."""
    n_answered: int
    """Turns with an answer."""
    n_called: int
    """Calls of tools."""
    seconds: float
    usage: Usage

    @classmethod
    def of(cls, record: Record) -> Self:
        """Read what `episode.play` noted; what an older version did not note is 0."""
        about = record.about
        n_acted, n_answered, n_called = (int(about.get(name, 0)) for name in ("n_acted", "n_answered", "n_called"))
        return cls(record.job, str(about.get("family", "")), dict(about.get("verdicts", {})), record.stop,
                   record.n_turns, n_acted, n_answered, n_called, float(about.get("seconds", 0.0)),
                   Usage.from_json(about.get("usage", {})))


@dataclass(frozen=True)
class Results:
    """What came of a suite, by models and formats."""

    suite: str
    version: str
    options: Mapping[str, Any]
    models: tuple[str, ...]
    """In the order in which they were asked for, as the formats."""
    formats: tuple[str, ...]
    checkers: tuple[str, ...]
    checker: str
    """Whose verdict ended jobs."""
    rows: Sequence[Row]
    failures: Sequence[Failure]
    n_planned: int | None
    """Jobs of all runs together; None where a manifest does not tell."""
    manifests: Sequence[Mapping[str, Any]] = field(default_factory=list)

    def of(self, model: str, format: str) -> list[Row]:
        """The jobs of one model in one format."""
        return [row for row in self.rows if row.job.model == model and row.job.format == format]

    @property
    def n_missing(self) -> int:
        """Jobs that are neither finished nor given up."""
        return max(0, (self.n_planned or 0) - len(self.rows) - len(self.failures))

    def checker_named(self, name: str | None) -> str:
        """The checker of that name, or the one that ended jobs.

        Raises:
            ConfigError: There is none of this name.
        """
        if name is not None and name not in self.checkers:
            raise ConfigError(f"{self.suite} has no checker {name!r}; it has {', '.join(self.checkers)}")
        return name or self.checker


def read(folders: Sequence[RunFolder]) -> Results:
    """Put runs together.

    Raises:
        ConfigError: They are not of the same suite, version and options, or two of them did the same job.
    """
    if not folders:
        raise ConfigError("no run was named; give the folder of one or more")
    rows: list[Row] = []
    failures: list[Failure] = []
    where: dict[Job, Path] = {}
    kinds: dict[str, Path] = {}
    kind: tuple[str, str, Mapping[str, Any]] = ("", "", {})
    for folder in folders:
        noted = {"suite": "", "version": ""}
        for record in folder.records():
            if (before := where.setdefault(record.job, folder.path)) != folder.path:
                raise ConfigError(f"{before} and {folder.path} both did {_named(record.job)}; to see how two runs of "
                                  f"the same jobs differ: codeact eval compare {before} {folder.path}")
            noted = {name: str(record.about.get(name, "")) for name in noted}
            rows.append(Row.of(record))
        failures += folder.failures()
        suite = folder.manifest.get("suite") or {}
        kind = (str(suite.get("name") or noted["suite"]), str(suite.get("version") or noted["version"]),
                suite.get("options") or {})
        kinds.setdefault(repr(kind), folder.path)
        if len(kinds) > 1:
            one, other = kinds
            raise ConfigError(f"{kinds[one]} and {kinds[other]} cannot be put together: they are not of the same "
                              f"suite, version and options, but of {one} and {other}; report each for itself")
    failures = [failure for failure in failures if failure.job not in where]
    manifests = [folder.manifest for folder in folders]
    jobs = [*(row.job for row in rows), *(failure.job for failure in failures)]
    checkers = _in_order([*_listed(manifests, "checkers"), *(name for row in rows for name in row.verdicts)])
    ending = [str(manifest["checker"]) for manifest in manifests if manifest.get("checker")]
    planned = [manifest.get("n_jobs") for manifest in manifests]
    return Results(
        *kind,
        models=_in_order([*_listed(manifests, "models"), *(job.model for job in jobs)]),
        formats=_in_order([*_listed(manifests, "formats"), *(job.format for job in jobs)]),
        checkers=checkers,
        checker=(ending or list(checkers) or [""])[0],
        rows=rows,
        failures=failures,
        n_planned=sum(n for n in planned if n) if all(isinstance(n, int) for n in planned) else None,
        manifests=manifests,
    )


def by_task(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """The repeats of each task together, tasks in order of their names."""
    found: dict[str, list[Row]] = {}
    for row in sorted(rows, key=lambda row: (row.job.task, row.job.repeat)):
        found.setdefault(row.job.task, []).append(row)
    return found


def _named(job: Job) -> str:
    return f"{job.task} by {job.model} in {job.format}, repeat {job.repeat}"


def _listed(manifests: Sequence[Mapping[str, Any]], name: str) -> list[str]:
    return [str(value) for manifest in manifests for value in manifest.get(name) or ()]


def _in_order(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))
