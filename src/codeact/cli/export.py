"""`codeact export FILE.jsonl OUT`: a saved trajectory as a notebook (.ipynb) or a Markdown document (.md)."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from codeact.cli._flags import positive, sentence
from codeact.cli._parser import Parser
from codeact.cli._session import told
from codeact.errors import TrajectoryError

__all__ = ["HELP", "main"]

HELP = "write a saved trajectory as a notebook or a document"

OK, USAGE = 0, 2

_EXAMPLES = """\
  codeact --save run.jsonl "Plot sin(x)/x"
  codeact export run.jsonl run.ipynb        opens in Jupyter, with outputs; the code runs again
  codeact export run.jsonl run.md           figures go to run_files/

exit code: 0 written, 2 wrong usage, or the file cannot be read or written
"""


def main(argv: Sequence[str]) -> int:
    """Run the verb; `argv` without it. Returns the exit code."""
    parser = Parser(prog="codeact export", description=sentence(HELP), epilog=_EXAMPLES)
    parser.add_argument("trajectory", metavar="FILE.jsonl", type=Path, help="as `--save` writes it")
    parser.add_argument("out", metavar="OUT", type=Path, help="the file to write: .ipynb or .md")
    parser.add_argument("--number", metavar="N", type=positive(int),
                        help="which conversation of the file, counted from 1 (default: the last)")
    parser.add_argument("--force", action="store_true", help="write over OUT if it is there")
    try:
        return _export(parser.parse_args(argv))
    except SystemExit as left:  # argparse: 0 after --help, 2 after a wrong flag
        return int(left.code or 0)
    except TrajectoryError as error:
        return _fail(f"cannot read {error}\nIt takes a file that --save wrote, or what --json printed")
    except (OSError, UnicodeError) as error:
        return _fail(told(error))


def _export(args: argparse.Namespace) -> int:
    from codeact.export import markdown, notebook
    from codeact.trajectory import load

    kind = args.out.suffix.lower()
    if kind not in (".ipynb", ".md"):
        return _fail(f"{args.out} ends in {kind or 'nothing'!r}; write a name that ends in .ipynb or .md")
    if args.out.exists() and not args.force:
        return _fail(f"{args.out} is there already; take another name, or --force")
    found = load(args.trajectory)
    if not found:
        return _fail(f"there is no conversation in {args.trajectory}")
    number = args.number or len(found)
    if number > len(found):
        return _fail(f"there is no conversation {number} in {args.trajectory}: it has {len(found)}")
    trajectory, extra = found[number - 1], ""
    if kind == ".ipynb":
        notebook.save(trajectory, args.out)
    elif figures := markdown.save(trajectory, args.out):
        extra = f", with {len(figures)} figure{'s' * (len(figures) != 1)} in {figures[0].parent}"
    which = f", conversation {number} of {len(found)}" if len(found) > 1 else ""
    print(f"{args.out} written{extra}{which}")
    return OK


def _fail(reason: object) -> int:
    print(f"codeact export: {reason}", file=sys.stderr)
    return USAGE
