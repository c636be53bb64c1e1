"""`codeact discard`: drop what the code did to a folder, all or some; the folder is not touched."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from codeact.cli._pending import OK, parser, run, write

if TYPE_CHECKING:
    from codeact.interpreter.pending import Pending

__all__ = ["HELP", "main"]

HELP = "drop waiting changes; the folder stays as it is"

_EXAMPLES = """\
examples:
  codeact discard                    everything
  codeact discard notes.txt src/     a file, and all in a folder
"""


def main(argv: list[str]) -> int:
    """Run the verb; `argv` without it. Returns the exit code."""
    return run(parser("discard", HELP, _EXAMPLES), argv, _discard)


def _discard(options: argparse.Namespace, pending: Pending, paths: list[str]) -> int:
    from codeact.interpreter.changes import shown

    write("".join(f"discarded {shown(path)}\n" for path in pending.discard(paths)))
    return OK
