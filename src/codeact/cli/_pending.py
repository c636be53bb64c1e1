"""The changes that a command has left: which folder is meant, and what is said of them.

Used by the verbs changes, apply and discard, and by what leaves changes: tasks and exec.

Names and contents of changed files are a session's choice: no control character of theirs gets to a terminal.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from codeact.interpreter.pending import Pending

__all__ = ["FAILED", "INTERRUPTED", "OK", "USAGE", "parser", "run", "tell_at_end", "tell_at_start", "write"]

OK, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def parser(verb: str, help_text: str, epilog: str) -> argparse.ArgumentParser:
    """A parser with what the three verbs have in common."""
    made = argparse.ArgumentParser(prog=f"codeact {verb}", description=help_text.capitalize() + ".", epilog=epilog,
                                   formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    made.add_argument("paths", nargs="*", metavar="PATH",
                      help="files, or folders with all in them; none for everything. First the workspace may be named")
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
    from codeact.interpreter.pending import kept_for

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


def tell_at_start(interpreter: Any) -> None:
    """That it goes on with changes of before."""
    if n_before := len(changes := interpreter.changes()):
        print(f"[goes on with {_count(n_before)} to {changes.source} that wait since an earlier run]", file=sys.stderr)


def tell_at_end(interpreter: Any) -> None:
    """What waits for the user now."""
    from codeact.errors import InterpreterError
    from codeact.interpreter.changes import line

    try:
        changes = interpreter.changes()
    except InterpreterError as error:
        print(f"[{error}]", file=sys.stderr)
        return
    if not len(changes):
        return
    shown = [line(change) for change in changes[:20]]
    print(f"\n{_count(len(changes))} to {changes.source}, which is as it was:",
          *(f"  {text}" for text in shown), *(["  ..."] if len(changes) > 20 else []),
          "codeact changes --diff shows them, codeact apply brings them over, codeact discard drops them",
          sep="\n", file=sys.stderr, flush=True)


def _count(number: int) -> str:
    return f"{number} change{'s' * (number != 1)}"
