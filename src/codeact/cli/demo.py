"""`codeact demo`: replay the recorded conversation, whether or not a model is configured."""

from __future__ import annotations

from collections.abc import Sequence

from codeact.cli._exit import guarded
from codeact.cli._flags import sentence
from codeact.cli._parser import Parser

__all__ = ["HELP", "main"]

HELP = "replay a recorded conversation; its code is run for real"


def main(argv: Sequence[str]) -> int:
    """Run the verb; `argv` without it. Returns the exit code."""
    return guarded(lambda: _main(argv))


def _main(argv: Sequence[str]) -> int:
    from codeact.cli._flags import parser
    from codeact.cli.task import replay
    from codeact.settings import Settings

    Parser(prog="codeact demo", description=sentence(HELP)).parse_args(argv)
    args = parser().parse_args([])
    args.had_with = []
    return replay(Settings().filled(args), "This is a REPLAY: the words were written by us beforehand.")
