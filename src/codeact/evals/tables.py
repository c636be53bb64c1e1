"""The report as tables: cells of text, which the terminal, Markdown and the page each set in their own way."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from codeact.evals.notes import findings, warnings
from codeact.evals.pairs import Gap
from codeact.evals.statistics import Interval
from codeact.evals.summary import Rate, Summary

__all__ = ["Cell", "Table", "markdown", "markdown_table", "tables", "title"]

NONE = "-"


@dataclass(frozen=True)
class Cell:
    """One cell; numbers stand to the right."""

    text: str
    is_number: bool = True
    is_best: bool = False


@dataclass(frozen=True)
class Table:
    """One table."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    note: str = ""
    """What a reader must know to read it."""


def title(summary: Summary) -> str:
    """What was evaluated, in a line."""
    results = summary.results
    options = ", ".join(f"{name}={value}" for name, value in results.options.items() if value is not None)
    return f"{results.suite} {results.version}" + (f" ({options})" if options else "")


def tables(summary: Summary) -> list[Table]:
    """All tables that have rows, the paper's first."""
    found = [_main(summary, summary.checker)]
    found += [_main(summary, name) for name in summary.results.checkers if name != summary.checker]
    found += [_versus(summary), _families(summary), _work(summary), _ends(summary)]
    return [table for table in found if table.rows]


def markdown(summary: Summary) -> str:
    """The report as a Markdown document."""
    blocks = [f"# {title(summary)}"]
    blocks += [f"> **Note.** {_escaped(text)}" for text in warnings(summary)]
    if said := findings(summary):
        blocks.append("\n".join(f"- {_escaped(text)}" for text in said))
    for table in tables(summary):
        blocks += [f"## {_escaped(table.title)}", markdown_table(table)]
        if table.note:
            blocks.append(table.note)
    return "\n\n".join(blocks) + "\n"


def markdown_table(table: Table) -> str:
    """One table in Markdown; what is best is bold."""
    numbers = [all(row[place].is_number for row in table.rows) for place in range(len(table.head))]
    lines = [_row(map(_escaped, table.head)), _row("---:" if number else "---" for number in numbers)]
    for row in table.rows:
        lines.append(_row(f"**{_escaped(cell.text)}**" if cell.is_best else _escaped(cell.text) for cell in row))
    return "\n".join(lines)


def _main(summary: Summary, checker: str) -> Table:
    """As Table 3 of the paper: success and turns side by side, formats across."""
    formats, first = summary.formats, checker == summary.checker
    rows = []
    for model in summary.models:
        lines = [summary.line(model, format) for format in formats]
        best = max((line.success[checker].value for line in lines if line), default=0.0)
        several = sum(line is not None for line in lines) > 1
        row = [Cell(model, is_number=False)]
        row += [Cell(_rate(line.success[checker]), is_best=several and line.success[checker].value == best)
                if line else Cell(NONE) for line in lines]
        if first:
            fewest = summary.fewest_turns.get(model, ())
            row += [Cell(f"{line.turns:.1f}", is_best=line.format in fewest) if line else Cell(NONE) for line in lines]
        rows.append(row)
    if first and len(summary.best) > 1:
        wins, quickest = summary.wins(summary.best), summary.wins(summary.fewest_turns)
        rows.append([Cell("best format, ties shared", is_number=False), *(Cell(str(wins[name])) for name in formats),
                     *(Cell(str(quickest[name])) for name in formats)])
    head = ["Model", *(f"{name} %" for name in formats), *(f"{name} turns" for name in formats if first)]
    what = "Success and average turns" if first else "Success"
    how = "drawing tasks anew" if any(line.n_done > line.n_tasks for line in summary.lines) else "Wilson"
    note = f"Success in % with 95 % intervals ({how}). Turns count failures too."
    return Table(f"{what} (checker: {checker})", head, rows, note if first else "")


def _versus(summary: Summary) -> Table:
    rows = []
    for one in summary.versus:
        two = one.pair
        rows.append([Cell(one.model, is_number=False), Cell(f"{one.first} - {one.second}", is_number=False),
                     Cell(str(two.n_tasks)), Cell(f"{two.n_first} : {two.n_second}"), Cell(_gap(two.success, 100)),
                     Cell(_p(two.success.p_holm), is_best=not two.success.is_noise), Cell(_gap(two.turns, 1)),
                     Cell(_p(two.turns.p_holm), is_best=not two.turns.is_noise)])
    test = summary.versus[0].pair.test if summary.versus else ""
    return Table("Formats against one another",
                 ["Model", "Formats", "Tasks", "Better on", "Success, points", "p", "Turns", "p (turns)"], rows,
                 f"Same tasks, paired: {test} for success, sign flips for turns; 95 % intervals by drawing tasks anew; "
                 f"p by Holm over the {len(rows)} rows. \"Better on\": tasks on which the one or the other did better.")


def _families(summary: Summary) -> Table:
    names = list(dict.fromkeys(family.name for line in summary.lines for family in line.families))
    rows = []
    for model in summary.models:
        for name in names if len(names) > 1 else ():
            cells, n_tasks = [], 0
            for format in summary.formats:
                line = summary.line(model, format)
                family = next((family for family in line.families if family.name == name), None) if line else None
                n_tasks = max(n_tasks, family.n_tasks if family else 0)
                cells.append(Cell(f"{_rate(family.success)} {family.turns:.1f}" if family else NONE))
            rows.append([Cell(model, is_number=False), Cell(name, is_number=False), Cell(str(n_tasks)), *cells])
    return Table("Families", ["Model", "Family", "Tasks", *summary.formats], rows,
                 "Success in % with its interval, then average turns. Families are small: their intervals are wide.")


def _work(summary: Summary) -> Table:
    rows = []
    for line in summary.lines:
        rows.append([Cell(line.model, is_number=False), Cell(line.format, is_number=False), Cell(str(line.n_tasks)),
                     Cell(str(line.n_done)), Cell(str(line.n_failed)), Cell(_share(line.adoption)),
                     Cell(NONE if line.calls is None else f"{line.calls:.2f}"),
                     Cell(f"{line.usage.tokens / line.n_done:,.0f}"),
                     Cell(f"{line.usage.cost:.2f}" if line.usage.cost else NONE), Cell(f"{line.seconds_median:.1f}"),
                     Cell(f"{line.seconds_p95:.1f}")])
    return Table("Use of the format, and what it took",
                 ["Model", "Format", "Tasks", "Jobs", "Failed", "Adoption %", "Calls / turn", "Tokens / job", "Cost $",
                  "Median s", "p95 s"], rows,
                 "Adoption: of the turns that gave no answer, those that acted in the format. Calls: of tools, for "
                 "each turn that acted. Failed: by the infrastructure, in no other number. Cost: as far as servers "
                 "tell it.")


def _ends(summary: Summary) -> Table:
    kinds = list(dict.fromkeys(kind for line in summary.lines for kind in line.ends))
    rows = [[Cell(line.model, is_number=False), Cell(line.format, is_number=False),
             *(Cell(str(line.ends.get(kind, 0))) for kind in kinds)] for line in summary.lines]
    return Table("How jobs ended", ["Model", "Format", *(kind.replace("_", " ") for kind in kinds)], rows)


def _p(p: float) -> str:
    """A p as it is shown."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _rate(rate: Rate) -> str:
    return f"{100 * rate.value:.1f} {_interval(rate.interval, 100, '.0f')}"


def _gap(gap: Gap, scale: int) -> str:
    return f"{scale * gap.value:+z.1f} {_interval(gap.interval, scale, '+z.1f')}"


def _interval(interval: Interval, scale: int, spec: str) -> str:
    return f"[{scale * interval.low:{spec}}, {scale * interval.high:{spec}}]"


def _share(share: float | None) -> str:
    return NONE if share is None else f"{100 * share:.1f}"


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _escaped(text: str) -> str:
    """Names come from users and servers: none may end a cell or begin markup."""
    return "".join(f"\\{char}" if char in "|<>*`\\" else char for char in " ".join(text.split()))
