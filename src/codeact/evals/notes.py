"""What a report has to say beside its tables: whether a lead is more than noise, and what makes numbers doubtful."""

from codeact.evals.summary import Summary, Versus

__all__ = ["findings", "warnings"]

ADOPTED = 0.9
"""Where fewer turns use the format than this, the comparison is not one of formats alone."""


def warnings(summary: Summary) -> list[str]:
    """What a reader must know before the numbers; most pressing first."""
    results, found = summary.results, []
    if not results.rows:
        return ["No job is finished yet: there is nothing to report."]
    if n_failed := len(results.failures):
        kinds = sorted({failure.error.partition(":")[0] for failure in results.failures})
        found.append(f"{_count(n_failed, 'job')} failed for reasons of the infrastructure ({', '.join(kinds)}) and "
                     f"{'is' if n_failed == 1 else 'are'} in no number here; `codeact eval resume` tries again.")
    if results.n_missing:
        found.append(f"This is not the whole run: {results.n_missing} of {results.n_planned} jobs are not done yet; "
                     "`codeact eval resume` goes on.")
    for line in summary.lines:
        if line.adoption is not None and line.adoption < ADOPTED:
            found.append(f"{line.model} acted in the format {line.format} in only {_percent(line.adoption)} of its "
                         "turns (answers apart): the model often did not use the format, so read the comparison with "
                         "care.")
    settings = {repr(sorted((manifest.get("settings") or {}).items())) for manifest in results.manifests}
    if len(settings) > 1:
        found.append("The runs were made with different settings; their manifests say which.")
    if len({line.n_tasks for line in summary.lines}) > 1:
        found.append("Not all models and formats did the same number of tasks; tests between formats use those that "
                     "both did.")
    others = [name for name in results.checkers if name != summary.checker]
    for name in others:
        n = sum(bool(row.verdicts.get(name)) != bool(row.verdicts.get(summary.checker)) for row in results.rows)
        if n:
            found.append(f"The checkers {summary.checker} and {name} disagree on {_count(n, 'job')} of "
                         f"{len(results.rows)}.")
    return found


def findings(summary: Summary) -> list[str]:
    """For each model, whether its best format is ahead of the others by more than noise."""
    found = []
    for model, best in summary.best.items():
        if len(best) > 1:
            found.append(f"{model}: {' and '.join(best)} have the same success.")
            continue
        (first,) = best
        for one in summary.versus:
            if one.model == model and first in (one.first, one.second):
                found.append(f"{model}: {_said(one, first)}")
    return found


def _said(one: Versus, first: str) -> str:
    gap, ahead = one.pair.success, first == one.first
    second = one.second if ahead else one.first
    value, low, high = gap.value, gap.interval.low, gap.interval.high
    if not ahead:
        value, low, high = -value, -high, -low
    lead = (f"{first} is ahead of {second} by {100 * value:.1f} points [{100 * low:.1f}, {100 * high:.1f}], "
            f"{one.pair.test}, p = {gap.p_holm:.2g}")
    if gap.is_noise:
        return f"{lead}: within noise on {_count(one.pair.n_tasks, 'task')}."
    return f"{lead}: more than noise."


def _count(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
