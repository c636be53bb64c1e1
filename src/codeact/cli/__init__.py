"""The command `codeact`: a first word that is a verb goes to that verb's file, all else is a task (`task.py`).

A verb is a file beside this one whose name does not begin with an underscore, with a line `HELP` and
`main(argv) -> int`; the file name is the verb, so there is no list to edit. Only the file that is needed is imported:
`codeact exec` pays for no more than its own imports.
"""

import importlib
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from types import ModuleType

__all__ = ["main", "verbs"]


def verbs() -> list[str]:
    """The verbs there are, sorted; `task` is what happens without one."""
    import pkgutil  # only for --help

    names = (module.name for module in pkgutil.iter_modules(__path__))
    return sorted(name for name in names if not name.startswith("_") and name != "task")


def load(verb: str) -> ModuleType:
    """The file of a verb."""
    return importlib.import_module(f"{__name__}.{verb}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; `argv` without the program's name.

    Returns:
        The exit code. For tasks: 0 answered, 1 ended without an answer, 2 wrong usage or configuration, 3 the model
        or the interpreter failed, 130 interrupted.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    verb = words[0] if words and words[0].isidentifier() else "task"
    if verb != "task" and not verb.startswith("_") and find_spec(f"{__name__}.{verb}"):
        return int(load(verb).main(words[1:]))
    return int(load("task").main(words))
