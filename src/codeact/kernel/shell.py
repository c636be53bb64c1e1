"""`!command` in cells: run by the shell, its output streamed or captured.

Called by magics.py's translations. The command runs inside the same walls as the cell; it inherits descriptors 1 and
2, so that its output keeps its place among the prints. Standard input is empty.
"""

from __future__ import annotations

import builtins
import os
import re
import sys
from typing import Any, Dict, List, Mapping, Optional

from .display import flush_streams
from .guard import keep_builtins

__all__ = ["Lines", "capture", "expand", "run"]

keep_builtins(globals())

_VARIABLE = re.compile(r"\{\{|\}\}|\{([^{}]+)\}|\$\$|\$([A-Za-z_]\w*)")


class Lines(List[str]):
    """What `x = !command` gives: a list of lines; `.s` and `.n` are the text with blanks and with new lines."""

    @property
    def n(self) -> str:
        return "\n".join(self)

    @property
    def s(self) -> str:
        return " ".join(self)

    def grep(self, pattern: str) -> "Lines":
        return Lines(line for line in self if re.search(pattern, line))


def expand(command: str, variables: Mapping[str, Any]) -> str:
    """Put the values of `{expression}` and `$name` into a command; what is not Python is left to the shell."""
    def value(match: "re.Match[str]") -> str:
        whole, expression, name = match.group(0), match.group(1), match.group(2)
        if whole in ("{{", "}}", "$$"):
            return whole[0]
        if name is not None:
            return str(variables[name]) if name in variables else whole
        try:
            return str(eval(expression, {"__builtins__": builtins}, variables))
        except Exception:       # awk '{print $1}', a shell's own braces
            return whole

    return _VARIABLE.sub(value, command)


def run(command: str, *, interpreter: Optional[List[str]] = None, stdin: Optional[str] = None) -> int:
    """Run a command to its end; its exit status.

    Args:
        interpreter: What reads the command's text, instead of the shell.
        stdin: Text for its standard input.
    """
    import subprocess

    flush_streams()
    arguments = interpreter if interpreter is not None else _shell() + [command]
    options: Dict[str, Any] = {"stdin": subprocess.DEVNULL} if stdin is None else {"input": stdin.encode()}
    if _is_a_descriptor(sys.stdout):
        return subprocess.run(arguments, check=False, **options).returncode
    done = subprocess.run(arguments, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)
    sys.stdout.write(done.stdout.decode("utf-8", "replace"))
    return done.returncode


def _is_a_descriptor(stream: Any) -> bool:
    """Whether a child process can write to what prints go to; not so inside `%%capture`, or without a kernel's pipe."""
    try:
        stream.fileno()
    except (AttributeError, OSError, ValueError):
        return False
    return True


def capture(command: str, *, errors: bool = False) -> Lines:
    """Run a command and take what it prints; with `errors` also what it prints on stderr."""
    import subprocess

    flush_streams()
    done = subprocess.run(_shell() + [command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT if errors else None, check=False)
    return Lines(done.stdout.decode("utf-8", "replace").splitlines())


def _shell() -> List[str]:
    return ["/bin/bash" if os.path.exists("/bin/bash") else "/bin/sh", "-c"]
