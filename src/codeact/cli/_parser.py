"""How the words of a command line are read: what is wrong is told in a line, and the usage is left to --help."""

import argparse
from difflib import get_close_matches
from typing import Any, NoReturn

__all__ = ["Parser"]

_WRONG = 2
_UNKNOWN = "unrecognized arguments: "


class Parser(argparse.ArgumentParser):
    """A parser as all verbs have it: no abbreviations, and descriptions as they are written.

    Args:
        options: As `argparse.ArgumentParser` takes them.
    """

    def __init__(self, **options: Any) -> None:
        usual = {"allow_abbrev": False, "formatter_class": argparse.RawDescriptionHelpFormatter}
        super().__init__(**{**usual, **options})

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, which the usage of many lines would push out of sight, and leave."""
        told = message.removeprefix("argument ")
        self.exit(_WRONG, f"{self.prog}: {told}{self._meant(message)}\nSee: {self.prog} --help\n")

    def _meant(self, message: str) -> str:
        """The flag that is nearest to one that is none."""
        if not message.startswith(f"{_UNKNOWN}--"):
            return ""
        wrong = message.removeprefix(_UNKNOWN).split()[0].partition("=")[0]
        known = [flag for action in self._actions for flag in action.option_strings]
        close = get_close_matches(wrong, known, n=1, cutoff=0.7)
        return f"; did you mean {close[0]}?" if close else ""
