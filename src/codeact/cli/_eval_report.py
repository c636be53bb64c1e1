"""`codeact eval report RUN...`: what an evaluation came to, in the terminal and as files."""

import argparse
import json
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from codeact.cli._control import cleaned
from codeact.cli._exit import guarded
from codeact.cli._flags import positive
from codeact.cli._parser import Parser
from codeact.cli._tables import text_table
from codeact.errors import ConfigError

if TYPE_CHECKING:
    from codeact.evals.summary import Summary

__all__ = ["main"]

OK = 0

_EXAMPLES = """\
examples:
  codeact eval report runs/2026-11-28                        tables, and in words what is more than noise
  codeact eval report runs/gpt runs/claude --html report.html    several runs of a suite, and every trajectory to browse
  codeact eval report runs/2026-11-28 --md report.md --plots figures
  codeact eval report runs/2026-11-28 --json | jq '.lines[] | [.model, .format, .turns]'

Success has 95 % intervals; formats are compared on the same tasks, with p corrected for the number of comparisons.
Jobs that failed for the infrastructure are in no number. docs/evaluation.md says how to read all of it.
"""


def main(argv: Sequence[str]) -> int:
    """Run the verb; `argv` without it. Returns the exit code: 0 reported, 2 wrong usage, or a run cannot be read."""
    return guarded(lambda: _report(_parser().parse_args(argv)))


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="codeact eval report", description="Report what an evaluation came to.", epilog=_EXAMPLES)
    add = parser.add_argument
    add("runs", metavar="RUN", nargs="+", type=Path, help="the folder of a run; several of one suite are put together")
    add("--checker", metavar="NAME", help="compare by this checker's verdicts (default: the one that ended jobs)")
    add("--html", metavar="FILE", type=Path, help="write one self-contained page, with every trajectory to browse")
    add("--max-trajectories", metavar="N", type=positive(int), default=10_000,
        help="how many the page holds at most, told on it (default: 10000)")
    add("--md", metavar="FILE", type=Path, help="write the tables as Markdown")
    add("--json", metavar="FILE", nargs="?", const="-", help="write everything as JSON; without FILE print it instead")
    add("--plots", metavar="DIR", type=Path, help="write the figures as PNG and SVG (needs matplotlib)")
    return parser


def _report(args: argparse.Namespace) -> int:
    from codeact.evals.data import as_json
    from codeact.evals.folder import RunFolder
    from codeact.evals.results import read
    from codeact.evals.summary import summarize

    folders = [RunFolder.open(path) for path in args.runs]
    summary = summarize(read(folders), checker=args.checker)
    written: list[Path] = []
    if args.md:
        from codeact.evals.tables import markdown

        written.append(_write(args.md, markdown(summary)))
    if args.json and args.json != "-":
        written.append(_write(Path(args.json), json.dumps(as_json(summary), indent=1) + "\n"))
    if args.plots:
        from codeact.evals import plots

        written += plots.save(summary, args.plots)
    if args.html:
        from codeact.evals import page

        try:
            page.save(summary, folders, args.html, max_trajectories=args.max_trajectories)
        except OSError as error:
            raise ConfigError(f"cannot write {args.html}: {error.strerror}") from None
        written.append(args.html)
    if args.json == "-":
        print(json.dumps(as_json(summary), indent=1))
    else:
        _show(summary)
    for path in written:
        print(f"{path} written", file=sys.stderr if args.json == "-" else sys.stdout)
    return OK


def _show(summary: "Summary") -> None:
    """Print tables: with rich in a terminal, else as plain text."""
    from codeact.evals.notes import findings, warnings
    from codeact.evals.tables import tables, title

    print(cleaned(title(summary)))
    for text in warnings(summary):
        print(cleaned(f"! {text}"))
    show = _rich() if sys.stdout.isatty() else None
    for table in tables(summary):
        print(f"\n{cleaned(table.title)}")
        head = [cleaned(name) for name in table.head]
        rows = [[cleaned(cell.text) + ("*" if cell.is_best and not show else "") for cell in row] for row in table.rows]
        numbers = [all(row[place].is_number for row in table.rows) for place in range(len(head))]
        if show:
            show(head, rows, numbers, [[cell.is_best for cell in row] for row in table.rows])
        else:
            # Into a file or a pipe nothing is left out.
            width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 10_000
            print(text_table([head, *rows], width=width, right=numbers), end="")
        if table.note:
            print(table.note)
    if said := findings(summary):
        print("\n" + "\n".join(cleaned(text) for text in said))


Show = Callable[[list[str], list[list[str]], list[bool], list[list[bool]]], None]


def _rich() -> Show | None:
    """What prints a table with colours; None without rich."""
    try:
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text
    except ImportError:
        return None

    def show(head: list[str], rows: list[list[str]], numbers: list[bool], best: list[list[bool]]) -> None:
        table = Table(box=None, header_style="bold", pad_edge=False)
        for name, number in zip(head, numbers, strict=True):
            table.add_column(Text(name), justify="right" if number else "left", overflow="fold")
        for row, marks in zip(rows, best, strict=True):
            table.add_row(*(Text(text, style="bold green" if mark else "")
                            for text, mark in zip(row, marks, strict=True)))
        Console(highlight=False).print(table)

    return show


def _write(path: Path, text: str) -> Path:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from None
    return path
