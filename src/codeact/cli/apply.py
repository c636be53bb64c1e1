"""`codeact apply`: bring what the code did to a folder into it, all or some."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from codeact.cli._pending import OK, parser, run, write

if TYPE_CHECKING:
    from codeact.interpreter.pending import Pending

__all__ = ["HELP", "main"]

HELP = "bring waiting changes into the folder"

_EXAMPLES = """\
examples:
  codeact apply                      everything
  codeact apply notes.txt src/       a file, and all in a folder
  codeact apply --force notes.txt    also over what changed there meanwhile

Where a file in your folder has changed meanwhile, nothing is written. Each file is replaced in one step.
exit code: 0 applied, 1 a conflict or a failure, 2 usage
"""


def main(argv: list[str]) -> int:
    """Run the verb; `argv` without it. Returns the exit code."""
    made = parser("apply", HELP, _EXAMPLES)
    made.add_argument("--force", action="store_true", help="also over files that changed meanwhile; name them")
    return run(made, argv, _apply)


def _apply(options: argparse.Namespace, pending: Pending, paths: list[str]) -> int:
    from codeact.interpreter.changes import shown

    applied = pending.apply(paths, force=options.force)
    write("".join(f"applied {shown(path)}\n" for path in applied))
    for change in pending.changes():
        if change.refused and not paths:
            write(f"left out {shown(change.path)}: {change.refused}\n")
    return OK
