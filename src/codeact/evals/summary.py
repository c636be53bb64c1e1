"""What an evaluation came to, in numbers: a line for each model and format, and formats against one another.

The denominators are the paper's: every job that was played to its end counts, one that ran out of turns as a failure
with all the turns it took. Jobs that the infrastructure failed at are no job of the model's; they are counted apart.

Source: paper section 2.3, Tables 2 and 3 (success, average turns, how often a format is the best). Adoption is ours.
"""

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations

from codeact.evals.pairs import Pair, corrected, pair
from codeact.evals.results import Results, Row, by_task
from codeact.evals.statistics import Interval, bootstrap, quantile, success
from codeact.messages import Usage

__all__ = ["Family", "Line", "Rate", "Summary", "Versus", "best_of", "summarize"]


@dataclass(frozen=True)
class Rate:
    """How many were right."""

    n_right: int
    n: int
    interval: Interval
    """Of 95 %: Wilson's, or by drawing tasks anew where they were repeated."""

    @property
    def value(self) -> float:
        """From 0 to 1; 0 of nothing is 0."""
        return self.n_right / self.n if self.n else 0.0


@dataclass(frozen=True)
class Family:
    """One family of tasks."""

    name: str
    n_tasks: int
    success: Rate
    turns: float
    """Average."""


@dataclass(frozen=True)
class Line:
    """One model in one format."""

    model: str
    format: str
    n_tasks: int
    n_done: int
    """Jobs: tasks times repeats, as far as they are finished."""
    n_failed: int
    """Jobs that the infrastructure failed at."""
    success: Mapping[str, Rate]
    """By checker."""
    turns: float
    """Average, those of failures included."""
    turns_interval: Interval
    adoption: float | None
    """Share of the turns that gave no answer which acted in the format; None without such turns."""
    calls: float | None
    """Calls of tools for each turn that acted; None without such turns."""
    usage: Usage
    """Of all jobs together."""
    seconds_median: float
    """Wall clock of a job."""
    seconds_p95: float
    ends: Mapping[str, int]
    """Why jobs ended, by `trajectory.Stop`."""
    families: tuple[Family, ...]


@dataclass(frozen=True)
class Versus:
    """Two formats of one model, on the same tasks."""

    model: str
    first: str
    second: str
    pair: Pair


@dataclass(frozen=True)
class Summary:
    """What an evaluation came to."""

    results: Results
    checker: str
    """Whose verdicts are compared."""
    lines: tuple[Line, ...]
    versus: tuple[Versus, ...]
    best: Mapping[str, tuple[str, ...]]
    """By model: the formats with the highest success; several where they tie, none where there is one format only."""
    fewest_turns: Mapping[str, tuple[str, ...]]

    @property
    def models(self) -> list[str]:
        """Those with a finished job."""
        return list(dict.fromkeys(line.model for line in self.lines))

    @property
    def formats(self) -> list[str]:
        """Those with a finished job, in the order they were asked for."""
        found = {line.format for line in self.lines}
        return [format for format in self.results.formats if format in found]

    def line(self, model: str, format: str) -> Line | None:
        """One line; None if none of its jobs is finished."""
        return next((line for line in self.lines if (line.model, line.format) == (model, format)), None)

    def wins(self, best: Mapping[str, tuple[str, ...]]) -> dict[str, int]:
        """By format: for how many models it is among the best; of a tie each."""
        return {format: sum(format in formats for formats in best.values()) for format in self.formats}


def summarize(results: Results, *, checker: str | None = None, seed: int = 0) -> Summary:
    """Sum up.

    Args:
        checker: Whose verdicts formats are compared by; None: the one that ended jobs.
        seed: Of the draws behind intervals.

    Raises:
        ConfigError: There is no such checker.
    """
    checker = results.checker_named(checker)
    jobs: dict[tuple[str, str], list[Row]] = {}
    for row in results.rows:
        jobs.setdefault((row.job.model, row.job.format), []).append(row)
    n_failed = Counter((failure.job.model, failure.job.format) for failure in results.failures)
    lines, versus = [], []
    best, fewest = {}, {}
    for model in results.models:
        formats = [format for format in results.formats if (model, format) in jobs]
        lines += [_line(jobs[model, format], results.checkers, checker, n_failed[model, format], seed)
                  for format in formats]
        versus += [Versus(model, first, second, pair(jobs[model, first], jobs[model, second], checker, seed=seed))
                   for first, second in combinations(formats, 2)]
        if len(formats) > 1:
            best[model] = best_of({format: _share_right(jobs[model, format], checker) for format in formats})
            fewest[model] = best_of({format: -_mean_turns(jobs[model, format]) for format in formats})
    pairs = corrected([one.pair for one in versus])
    tested = tuple(Versus(one.model, one.first, one.second, two) for one, two in zip(versus, pairs, strict=True))
    return Summary(results, checker, tuple(lines), tested, best, fewest)


def best_of(values: Mapping[str, Fraction]) -> tuple[str, ...]:
    """The names with the highest value: several where they are the same."""
    return tuple(name for name, value in values.items() if value == max(values.values()))


def _line(rows: Sequence[Row], checkers: Sequence[str], checker: str, n_failed: int, seed: int) -> Line:
    tasks = by_task(rows)
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.family, []).append(row)
    n_acted = sum(row.n_acted for row in rows)
    n_open = sum(row.n_turns - row.n_answered for row in rows)
    seconds = sorted(row.seconds for row in rows)
    return Line(
        model=rows[0].job.model,
        format=rows[0].job.format,
        n_tasks=len(tasks),
        n_done=len(rows),
        n_failed=n_failed,
        success={name: _rate(rows, name, seed) for name in checkers},
        turns=float(_mean_turns(rows)),
        turns_interval=bootstrap([[row.n_turns for row in repeats] for repeats in tasks.values()], seed=seed),
        adoption=n_acted / n_open if n_open else None,
        calls=sum(row.n_called for row in rows) / n_acted if n_acted else None,
        usage=sum((row.usage for row in rows), Usage()),
        seconds_median=statistics.median(seconds),
        seconds_p95=quantile(seconds, 0.95),
        ends=dict(Counter(str(row.stop) for row in rows).most_common()),
        families=tuple(
            Family(name, len(by_task(group)), _rate(group, checker, seed), float(_mean_turns(group)))
            for name, group in sorted(groups.items())
        ),
    )


def _rate(rows: Sequence[Row], checker: str, seed: int) -> Rate:
    tasks = [[bool(row.verdicts.get(checker)) for row in repeats] for repeats in by_task(rows).values()]
    return Rate(sum(map(sum, tasks)), len(rows), success(tasks, seed=seed))


def _share_right(rows: Sequence[Row], checker: str) -> Fraction:
    return Fraction(sum(bool(row.verdicts.get(checker)) for row in rows), len(rows))


def _mean_turns(rows: Sequence[Row]) -> Fraction:
    return Fraction(sum(row.n_turns for row in rows), len(rows))
