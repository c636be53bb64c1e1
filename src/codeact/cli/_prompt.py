"""The interactive prompt of `codeact exec`."""

from __future__ import annotations

import codeop
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from codeact.interpreter.interpreter import Interpreter

__all__ = ["is_complete", "prompt"]


def prompt(interpreter: Interpreter, printer: Any) -> int:
    """Read cells until the end of input, run them, show what they give. Returns the exit code."""
    try:
        import readline  # noqa: F401  (line editing and history for input())
    except ImportError:
        pass
    print(f"Python behind walls of level {interpreter.level}. Variables stay from cell to cell; Ctrl-C stops a cell, "
          "Ctrl-D leaves.")
    number = 0
    while True:
        try:
            code = _read(number + 1)
        except EOFError:
            print()
            return 0
        except KeyboardInterrupt:
            print()
            continue
        if not code.strip():
            continue
        if code.strip() in ("exit", "quit", "exit()", "quit()"):
            return 0
        try:
            result = interpreter.run(code, on_output=printer)
        except KeyboardInterrupt:
            number += 1
            print("\n[stopped; the variables set so far are kept]", file=sys.stderr)
            continue
        number = result.number
        printer.finish(result, value=True, prefix=f"Out[{number}]: ")


def _read(number: int) -> str:
    """One cell: lines until it is whole; a block ends with an empty line."""
    lines = [input(f"In [{number}]: ")]
    while not is_complete("\n".join(lines)):
        lines.append(input("   ...: "))
    return "\n".join(lines)


def is_complete(code: str) -> bool:
    """Whether Python needs no further line of it; what is no Python (a magic, a mistake) needs none either."""
    if code.startswith("%%"):
        return code.endswith("\n")
    try:
        return codeop.compile_command(code, "<prompt>", "exec") is not None
    except (SyntaxError, ValueError, OverflowError):
        return "await" not in code or "\n" not in code or code.endswith("\n")
