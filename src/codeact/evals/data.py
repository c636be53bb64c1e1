"""The report as JSON values for programs. The keys are a promise: a change of their meaning raises `VERSION`.

    {"format": "codeact-eval-report", "version": 1, "suite": {"name", "version", "options"}, "checker", "checkers",
     "warnings": [text], "findings": [text], "n_planned", "n_done", "n_failed", "n_missing",
     "lines": one for each model and format: "success" by checker {"n_right", "n", "value", "low", "high"}, "turns",
        "turns_low", "turns_high", "adoption", "calls_per_acting_turn", "prompt_tokens", "completion_tokens", "cost",
        "seconds_median", "seconds_p95", "ends", "families"
     "comparisons": two formats of one model: "first", "second", "n_tasks", "n_first", "n_second", "test", "success" and
        "turns" {"difference", "low", "high", "p", "p_holm"}
     "best", "fewest_turns": formats by model; "wins": {"success", "turns"}, numbers by format}

Shares go from 0 to 1, costs are US dollars, what is not known is null.
"""

import math
from collections.abc import Mapping
from typing import Any

from codeact.evals.notes import findings, warnings
from codeact.evals.pairs import Gap, Pair
from codeact.evals.summary import Line, Rate, Summary

__all__ = ["VERSION", "as_json", "pair_as_json"]

VERSION = 1


def as_json(summary: Summary) -> dict[str, Any]:
    """All of a report."""
    results = summary.results
    return {
        "format": "codeact-eval-report",
        "version": VERSION,
        "suite": {"name": results.suite, "version": results.version, "options": dict(results.options)},
        "checker": summary.checker,
        "checkers": list(results.checkers),
        "warnings": warnings(summary),
        "findings": findings(summary),
        "n_planned": results.n_planned,
        "n_done": len(results.rows),
        "n_failed": len(results.failures),
        "n_missing": results.n_missing if results.n_planned is not None else None,
        "lines": [_line(line) for line in summary.lines],
        "comparisons": [{"model": one.model, "first": one.first, "second": one.second, **pair_as_json(one.pair)}
                        for one in summary.versus],
        "best": _listed(summary.best),
        "fewest_turns": _listed(summary.fewest_turns),
        "wins": {"success": summary.wins(summary.best), "turns": summary.wins(summary.fewest_turns)},
    }


def pair_as_json(pair: Pair) -> dict[str, Any]:
    """Two sides on the same tasks."""
    return {"n_tasks": pair.n_tasks, "n_first": pair.n_first, "n_second": pair.n_second, "test": pair.test,
            "success": _gap(pair.success), "turns": _gap(pair.turns)}


def _line(line: Line) -> dict[str, Any]:
    return {
        "model": line.model,
        "format": line.format,
        "n_tasks": line.n_tasks,
        "n_done": line.n_done,
        "n_failed": line.n_failed,
        "success": {name: _rate(rate) for name, rate in line.success.items()},
        "turns": line.turns,
        "turns_low": line.turns_interval.low,
        "turns_high": line.turns_interval.high,
        "adoption": line.adoption,
        "calls_per_acting_turn": line.calls,
        "prompt_tokens": line.usage.prompt_tokens,
        "completion_tokens": line.usage.completion_tokens,
        "cost": line.usage.cost,
        "seconds_median": line.seconds_median,
        "seconds_p95": line.seconds_p95,
        "ends": dict(line.ends),
        "families": [{"family": family.name, "n_tasks": family.n_tasks, "success": _rate(family.success),
                      "turns": family.turns} for family in line.families],
    }


def _rate(rate: Rate) -> dict[str, Any]:
    return {"n_right": rate.n_right, "n": rate.n, "value": rate.value, "low": rate.interval.low,
            "high": rate.interval.high}


def _gap(gap: Gap) -> dict[str, Any]:
    # Infinity is no JSON: without a task in common nothing is known.
    low, high = (value if math.isfinite(value) else None for value in gap.interval)
    return {"difference": gap.value, "low": low, "high": high, "p": gap.p, "p_holm": gap.p_holm}


def _listed(names: Mapping[str, tuple[str, ...]]) -> dict[str, list[str]]:
    return {model: list(formats) for model, formats in names.items()}
