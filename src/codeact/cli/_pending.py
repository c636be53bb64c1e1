"""The changes that a command has left: which folder is meant, and what is said of them.

Used by the verbs changes, apply and discard, and by what leaves changes: tasks and exec.

Names and contents of changed files are a session's choice: no control character of theirs gets to a terminal.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codeact.cli._flags import sentence
from codeact.cli._parser import Parser

if TYPE_CHECKING:
    from codeact.interpreter.pending import Pending

__all__ = ["FAILED", "INTERRUPTED", "OK", "USAGE", "at_end", "at_start", "parser", "run", "write"]

OK, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130

MAX_TOLD = 20
"""Changes that are named at the end of a run."""

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def parser(verb: str, help_text: str, epilog: str) -> argparse.ArgumentParser:
    """A parser with what the three verbs have in common."""
    made = Parser(prog=f"codeact {verb}", description=sentence(help_text), epilog=epilog)
    made.add_argument("paths", nargs="*", metavar="PATH",
                      help="a file, or a folder with all in it; none means everything. A workspace elsewhere can be "
                      "named first")
    made.add_argument("--workspace", metavar="DIR",
                      help="the folder that was worked on (default: the current one, or the nearest above it)")
    return made


def run(made: argparse.ArgumentParser, argv: Sequence[str],
        act: Callable[[argparse.Namespace, Pending, list[str]], int]) -> int:
    """Parse, find the changes and act on them; foreseeable faults become a message and an exit code."""
    from codeact.errors import ChangeConflict, CodeActError, ConfigError
    from codeact.interpreter.pending import Pending

    name = made.prog
    try:
        options = made.parse_args(argv)
        folder, paths = _locate(options.workspace, options.paths)
        if folder is None:
            if options.paths and not os.path.lexists(options.paths[0]):
                raise ValueError(f"there is no {options.paths[0]!r} here, and no changes are pending")
            print("no changes are pending" + (f" for {options.workspace}" if options.workspace else " here"))
            return USAGE if options.paths else OK
        pending = Pending(folder, keep=True)
        try:
            return act(options, pending, paths)
        finally:
            pending.close()
    except SystemExit as left:   # argparse
        return int(left.code or 0)
    except ChangeConflict as error:
        return _fail(name, str(error).replace("apply it by name with force", "apply it by name with --force"), FAILED)
    except (ConfigError, ValueError) as error:
        return _fail(name, error, USAGE)
    except (CodeActError, OSError) as error:
        if isinstance(error, BrokenPipeError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return FAILED
        return _fail(name, error, FAILED)
    except KeyboardInterrupt:
        return INTERRUPTED


def _fail(name: str, reason: object, code: int) -> int:
    print(f"{name}: {_CONTROL.sub('', str(reason))}", file=sys.stderr)
    return code


def _locate(workspace: str | None, paths: list[str]) -> tuple[Path | None, list[str]]:
    """The folder meant, None where it has no changes, and the paths relative to it."""
    if workspace is not None:
        folder = Path(workspace).expanduser().resolve()
        if not folder.is_dir():
            raise ValueError(f"--workspace {workspace}: there is no such folder")
        return (folder if _has_changes(folder) else None), [_inside(folder, path) for path in paths]
    if paths and (first := Path(paths[0]).expanduser().resolve()).is_dir() and _has_changes(first):
        return first, [_inside(first, path) for path in paths[1:]]
    here = Path.cwd().resolve()
    for folder in (here, *here.parents):
        if _has_changes(folder):
            return folder, [_inside(folder, path) for path in paths]
    return None, []


def _has_changes(folder: Path) -> bool:
    from codeact.interpreter.kept import kept_for

    return (kept_for(folder) / "record.json").is_file()


def _inside(folder: Path, path: str) -> str:
    """A path as typed, relative to the folder: from here, or else as the list of changes has it."""
    try:
        inner = os.path.relpath(os.path.abspath(path), folder)
    except OSError:
        inner = path
    return path if inner.startswith("..") or os.path.isabs(inner) else inner


def write(text: str) -> None:
    """Print; on a terminal without control characters."""
    if sys.stdout.isatty():
        text = _CONTROL.sub("", text)
    sys.stdout.write(text.encode("utf-8", "replace").decode())


def at_start(interpreter: Any) -> str:
    """That it goes on with changes of before; "" where there are none."""
    n_before = len(changes := interpreter.changes())
    if not n_before:
        return ""
    return f"[goes on with {_count(n_before)} to {_named(changes.source)} that wait since an earlier run]"


def at_end(interpreter: Any) -> str:
    """What waits for the user now, and how to get it; "" where nothing does."""
    from codeact.errors import InterpreterError
    from codeact.interpreter.changes import line

    try:
        changes = interpreter.changes()
    except InterpreterError as error:
        return f"[{error}]"
    if not len(changes):
        return ""
    lines = [f"  {line(change)}" for change in changes[:MAX_TOLD]]
    if len(changes) > MAX_TOLD:
        lines.append(f"  ... and {len(changes) - MAX_TOLD} more")
    here, them = Path.cwd().resolve(), "it" if len(changes) == 1 else "them"
    # The verbs look in the current folder and above it; elsewhere they have to be told
    folder = "" if changes.source in (here, *here.parents) else " " + shlex.quote(_named(changes.source))
    waits = "waits" if len(changes) == 1 else "wait"
    head = f"{_count(len(changes))} to {_named(changes.source)} {waits} for you; it is as it was:"
    verbs = {f"codeact changes{folder} --diff": f"shows {them}", f"codeact apply{folder}": f"brings {them} over",
             f"codeact discard{folder}": f"drops {them}"}
    width = max(map(len, verbs))
    return "\n".join([head, *lines, *(f"{verb:<{width}}   {what}" for verb, what in verbs.items())])


def _named(folder: Path) -> str:
    """A folder as the user would write it from here."""
    here = Path.cwd().resolve()
    return str(folder.relative_to(here)) if here in folder.parents else str(folder)


def _count(number: int) -> str:
    return f"{number} change{'s' * (number != 1)}"
