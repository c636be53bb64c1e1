"""Two runs, models or formats task by task: what flipped, by how much they differ, whether that is more than noise.

A side is one model in one format of one run (`Side`); `sides` finds which belong together: the same model and format in
two runs, or the same format where each run has one model only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from codeact.errors import ConfigError
from codeact.evals.data import pair_as_json
from codeact.evals.pairs import Pair, corrected, pair
from codeact.evals.results import Results, Row
from codeact.messages import Usage

__all__ = ["Comparison", "Part", "Side", "compare", "sides", "to_json"]


@dataclass(frozen=True)
class Side:
    """One model in one format of one run."""

    run: str
    model: str
    format: str
    rows: Sequence[Row]

    @property
    def key(self) -> tuple[str, str]:
        """Model and format."""
        return self.model, self.format

    @property
    def usage(self) -> Usage:
        """Of all its jobs."""
        return sum((row.usage for row in self.rows), Usage())


@dataclass(frozen=True)
class Part:
    """One family of a comparison."""

    family: str
    pair: Pair


@dataclass(frozen=True)
class Comparison:
    """Two sides on the same tasks."""

    first: Side
    second: Side
    pair: Pair
    families: tuple[Part, ...]
    """Too small for tests of their own: their p are not corrected."""


def sides(first: tuple[str, Results], second: tuple[str, Results], *, one: Mapping[str, str] = {},
          other: Mapping[str, str] = {}) -> list[tuple[Side, Side]]:
    """Which sides of two runs are to be compared.

    Args:
        first, second: Each a run's name and its results; may be the same.
        one, other: What is taken of each: `model` and `format`, where there are several.

    Raises:
        ConfigError: The runs are of two suites, or it is not clear what is meant; the message names what there is.
    """
    (_, a), (_, b) = first, second
    if (a.suite, a.version, dict(a.options)) != (b.suite, b.version, dict(b.options)):
        raise ConfigError(f"{first[0]} is of {a.suite} {a.version} {dict(a.options)}, {second[0]} of {b.suite} "
                          f"{b.version} {dict(b.options)}: only runs of one suite, version and options have the same "
                          "tasks")
    left, right = _chosen(*first, one), _chosen(*second, other)
    if len(left) == len(right) == 1:
        found = [(left[0], right[0])]
    else:
        by_job = {side.key: side for side in right}
        found = [(side, by_job[side.key]) for side in left if side.key in by_job]
        if not found and len({side.model for side in left}) == len({side.model for side in right}) == 1:
            by_format = {side.format: side for side in right}
            found = [(side, by_format[side.format]) for side in left if side.format in by_format]
    if not found or (first[0] == second[0] and any(side.key == its.key for side, its in found)):
        why = "both sides are the same" if found else "it is not clear which sides belong together"
        raise ConfigError(f"{why}: name two runs, or --a and --b, as in --a format=code --b format=json. A has "
                          f"{_names(left)}; B has {_names(right)}")
    return found


def compare(pairs: Sequence[tuple[Side, Side]], checker: str, *, seed: int = 0) -> list[Comparison]:
    """Compare sides by a checker's verdicts; p by Holm over all of them."""
    whole = corrected([pair(first.rows, second.rows, checker, seed=seed) for first, second in pairs])
    found = []
    for (first, second), made in zip(pairs, whole, strict=True):
        names = sorted({row.family for row in first.rows} & {row.family for row in second.rows})
        parts = [Part(name, pair(_of(first, name), _of(second, name), checker, seed=seed)) for name in names]
        found.append(Comparison(first, second, made, tuple(parts) if len(parts) > 1 else ()))
    return found


def to_json(comparisons: Sequence[Comparison], checker: str) -> dict[str, Any]:
    """For programs: `comparisons`, each with `a`, `b`, the numbers of `data.pair_as_json`, `flips`, `families`."""
    return {
        "format": "codeact-eval-comparison",
        "version": 1,
        "checker": checker,
        "comparisons": [
            {
                "a": _side(one.first),
                "b": _side(one.second),
                **pair_as_json(one.pair),
                "flips": [{"task": flip.task, "family": flip.family, "a": flip.first, "b": flip.second}
                          for flip in one.pair.flips],
                "families": [{"family": part.family, **pair_as_json(part.pair)} for part in one.families],
            }
            for one in comparisons
        ],
    }


def _chosen(run: str, results: Results, wanted: Mapping[str, str]) -> list[Side]:
    for name, value in wanted.items():
        there = {"model": results.models, "format": results.formats}.get(name)
        if there is None:
            raise ConfigError(f"cannot choose by {name!r}; model=... and format=... are possible")
        if value not in there:
            raise ConfigError(f"{run} has no {name} {value!r}; it has {', '.join(there)}")
    found = [Side(run, model, format, rows) for model in results.models for format in results.formats
             if wanted.get("model", model) == model and wanted.get("format", format) == format
             and (rows := results.of(model, format))]
    if not found:
        raise ConfigError(f"no job of this side is finished in {run}")
    return found


def _of(side: Side, family: str) -> list[Row]:
    return [row for row in side.rows if row.family == family]


def _side(side: Side) -> dict[str, Any]:
    return {"run": side.run, "model": side.model, "format": side.format, "n_done": len(side.rows),
            "tokens": side.usage.tokens, "cost": side.usage.cost}


def _names(found: Sequence[Side]) -> str:
    return ", ".join(f"{side.model} in {side.format}" for side in found)
