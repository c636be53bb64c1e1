"""`codeact data get NAME`: benchmarks' data, fetched from its public home; `list` and `where` say what there is."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from codeact.cli._exit import guarded
from codeact.cli._flags import sentence
from codeact.cli._parser import Parser

__all__ = ["HELP", "main"]

HELP = "get the data of a benchmark, and see where it lies"

_EXAMPLES = """\
  codeact data get m3tooleval               to where `codeact eval m3tooleval` looks for it
  codeact data get m3tooleval --to DIR      into DIR/m3tooleval; then --data DIR, or CODEACT_DATA=DIR
  codeact data get m3tooleval --from DIR    from files that are here already, or from another git repository
  codeact data list
  codeact data where

exit code: 0 done, 2 wrong usage or it cannot be had, 3 the sandbox failed, 130 interrupted
"""


def main(argv: Sequence[str]) -> int:
    """Run the verb; `argv` without it. Returns the exit code."""
    parser = Parser(prog="codeact data", description=sentence(HELP), epilog=_EXAMPLES)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="get|list|where")
    get = verbs.add_parser("get", help="fetch it, unless it is here already")
    get.add_argument("name", metavar="NAME", help="as `codeact data list` has it")
    get.add_argument("--to", metavar="DIR", type=Path, help="where NAME/ will stand (default: as `where` says)")
    get.add_argument("--from", dest="given", metavar="DIR|URL", help="another source: a folder, or a git repository")
    verbs.add_parser("list", help="what there is, and what of it is here")
    verbs.add_parser("where", help="the folder in which suites look for data")
    return guarded(lambda: _run(parser.parse_args(argv)))


def _run(args: argparse.Namespace) -> int:
    from codeact.data import places

    if args.verb == "get":
        from codeact.data.getting import get

        print(get(args.name, to=args.to, given=args.given, tell=_tell))
    elif args.verb == "list":
        _list()
    else:
        print(places.home())
    return 0


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _list() -> None:
    from codeact.data import places
    from codeact.data.getting import differing
    from codeact.data.sources import SOURCES

    for source in SOURCES.values():
        folder = places.home() / source.name
        state = "not here" if not folder.is_dir() else "differs from its public home" if differing(source, folder) \
            else "complete"
        print(f"{source.name}: {source.about}; {source.url}; {state}")
