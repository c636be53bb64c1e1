"""`codeact eval compare A [B]`: two runs, models or formats, task by task."""

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from codeact.cli._control import cleaned
from codeact.cli._exit import guarded
from codeact.cli._parser import Parser
from codeact.cli._tables import text_table

if TYPE_CHECKING:
    from codeact.evals.compare import Comparison, Side
    from codeact.evals.pairs import Gap

__all__ = ["main"]

OK = 0
_WIDTH = 10_000

_EXAMPLES = """\
examples:
  codeact eval compare runs/before runs/after              the same models and formats, or one model each
  codeact eval compare runs/all --a format=code --b format=json --a model=openai:gpt-5-mini --b model=openai:gpt-5-mini
  codeact eval compare runs/gpt runs/claude --json         for programs, with every task that flipped

Only tasks that both sides did are compared. Differences are A less B, with 95 % intervals; p is corrected (Holm) for
the number of comparisons shown.
"""


def main(argv: Sequence[str]) -> int:
    """Run the verb; `argv` without it. Returns the exit code: 0 compared, 2 wrong usage, or a run cannot be read."""
    return guarded(lambda: _compare(_parser().parse_args(argv)))


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="codeact eval compare", epilog=_EXAMPLES,
                    description="Compare two runs, models or formats task by task.")
    add = parser.add_argument
    add("first", metavar="A", type=Path, help="the folder of a run")
    add("second", metavar="B", type=Path, nargs="?", help="another one (default: A, with --a and --b)")
    for name in ("a", "b"):
        add(f"--{name}", metavar="NAME=VALUE", type=_choice, action="append", default=[],
            help=f"what to take of {name.upper()}: model=... or format=...; may be repeated")
    add("--checker", metavar="NAME", help="compare by this checker's verdicts (default: the one that ended jobs)")
    add("--json", action="store_true", help="print everything as JSON instead")
    return parser


def _choice(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not value:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form model=NAME or format=NAME")
    return name, value


def _compare(args: argparse.Namespace) -> int:
    from codeact.evals.compare import compare, sides, to_json
    from codeact.evals.folder import RunFolder
    from codeact.evals.results import read

    first = (str(args.first), read([RunFolder.open(args.first)]))
    second = (str(args.second), read([RunFolder.open(args.second)])) if args.second else first
    pairs = sides(first, second, one=dict(args.a), other=dict(args.b))
    checker = first[1].checker_named(args.checker)
    second[1].checker_named(checker)
    found = compare(pairs, checker)
    if args.json:
        print(json.dumps(to_json(found, checker), indent=1))
    else:
        print("\n\n".join(cleaned("\n".join(_lines(one, checker))) for one in found))
    return OK


def _lines(one: "Comparison", checker: str) -> Iterator[str]:
    two = one.pair
    yield f"A: {_named(one.first)}"
    yield f"B: {_named(one.second)}"
    if not two.n_tasks:
        yield "They have no task in common."
        return
    yield (f"On {two.n_tasks} tasks (checker {checker}): A better on {two.n_first}, B better on {two.n_second}, alike "
           f"on {two.n_tasks - len(two.flips)}.")
    yield f"Success, points: {_gap(two.success, 100)}, {two.test}, {_verdict(two.success)}"
    yield f"Turns:           {_gap(two.turns, 1)}, sign flips, {_verdict(two.turns)}"
    if one.families:
        rows = [["Family", "Tasks", "A better", "B better", "Success, points"]]
        rows += [[part.family, str(part.pair.n_tasks), str(part.pair.n_first), str(part.pair.n_second),
                  _gap(part.pair.success, 100)] for part in one.families]
        yield "\n" + text_table(rows, width=_WIDTH, right=[False, True, True, True, True])
    if two.flips:
        rows = [["Task that differs", "A", "B"]]
        rows += [[flip.task, _share(flip.first), _share(flip.second)] for flip in two.flips]
        yield text_table(rows, width=_WIDTH, right=[False, True, True]).rstrip()


def _named(side: "Side") -> str:
    cost = f", ${side.usage.cost:.2f}" if side.usage.cost else ""
    return f"{side.model} in {side.format} ({side.run}): {len(side.rows)} jobs, {side.usage.tokens:,} tokens{cost}"


def _gap(gap: "Gap", scale: int) -> str:
    low, high = gap.interval
    return f"{scale * gap.value:+z.1f} [{scale * low:+z.1f}, {scale * high:+z.1f}]"


def _verdict(gap: "Gap") -> str:
    return f"p = {gap.p_holm:.2g}: {'within noise' if gap.is_noise else 'more than noise'}"


def _share(value: float) -> str:
    return {0.0: "wrong", 1.0: "right"}.get(value, f"{100 * value:.0f} %")
