"""`codeact changes`: what the code did to a folder and that waits to be applied or discarded."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from codeact.cli._pending import OK, parser, run, write

if TYPE_CHECKING:
    from codeact.interpreter.changes import Change
    from codeact.interpreter.pending import Pending

__all__ = ["HELP", "main"]

HELP = "show what waits to be applied to a folder"

_EXAMPLES = """\
examples:
  codeact changes                    in the current folder
  codeact changes --diff src/        as a diff, of one folder in it
  codeact changes --all              the folders that have changes waiting

A: added, M: modified, D: deleted, T: now of another type. CONFLICT: the file in your folder has changed meanwhile.
"""


def main(argv: list[str]) -> int:
    """Run the verb; `argv` without it. Returns the exit code."""
    made = parser("changes", HELP, _EXAMPLES)
    made.add_argument("--diff", action="store_true", help="show them line by line")
    made.add_argument("--json", action="store_true", help="print them as one JSON object")
    made.add_argument("--all", action="store_true", help="list the folders with changes instead")
    if "--all" in argv:
        return _folders(made, argv)
    return run(made, argv, _show)


def _show(options: argparse.Namespace, pending: Pending, paths: list[str]) -> int:
    from codeact.interpreter.changes import line

    changes = [change for change in pending.changes() if not paths or any(
        path in (".", change.path) or change.path.startswith(path.rstrip("/") + "/") for path in paths)]
    if options.json:
        import json

        write(json.dumps({"folder": str(pending.source), "created": pending.created, "layer": pending.kind,
                          "changes": [_as_json(change, diff=options.diff) for change in changes]}) + "\n")
    elif options.diff:
        for change in changes:
            write(change.diff())
    else:
        write("".join(line(change) + "\n" for change in changes) or "no changes are pending here\n")
    return OK


def _as_json(change: Change, *, diff: bool) -> dict[str, object]:
    fields = {name: getattr(change, name) for name in (
        "path", "kind", "before", "after", "mode", "folder", "refused", "conflict", "binary")}
    return {**fields, "diff": change.diff()} if diff else fields


def _folders(made: argparse.ArgumentParser, argv: list[str]) -> int:
    from codeact.interpreter.changes import shown
    from codeact.interpreter.kept import every_kept

    try:
        made.parse_args(argv)
    except SystemExit as left:
        return int(left.code or 0)
    folders = [str(folder) for folder in every_kept()]
    write("".join(f"{shown(folder)}\n" for folder in folders) or "no changes are pending anywhere\n")
    return OK
