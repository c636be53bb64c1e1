"""The interactive prompt of `codeact exec`."""

from __future__ import annotations

import ast
import codeop
import re
import sys
import warnings
from functools import partial
from typing import TYPE_CHECKING, Any

from codeact.cli._ctrl_c import CtrlC

if TYPE_CHECKING:
    from codeact.interpreter.interpreter import Interpreter

__all__ = ["is_complete", "prompt"]

_NO_PYTHON = re.compile(r"^(\s*)(?:[\w\s,.\[\]]+=\s*)?[!%].*$|^(\s*).*\?$", re.M)
"""Lines that only the kernel understands: magics, shell commands, questions."""


def prompt(interpreter: Interpreter, printer: Any, *, walls: str) -> int:
    """Read cells until the end of input, run them, show what they give. Returns the exit code.

    Args:
        walls: What stands around the code, in words.
    """
    try:
        import readline  # noqa: F401  (line editing and history for input())
    except ImportError:
        pass
    print(f"Python {walls}. Variables stay from cell to cell; Ctrl-C stops a cell, Ctrl-D leaves.")
    number = interpreter.loaded.cells if interpreter.loaded is not None else 0
    ctrl_c = CtrlC()
    with ctrl_c.watching():
        while True:
            try:
                printer.fresh_line()
                code = ctrl_c.heed(partial(_read, number + 1))
            except EOFError:
                print()
                return 0
            except KeyboardInterrupt:
                print()
                continue
            except UnicodeDecodeError as error:
                print(f"[this line cannot be read: {error}]", file=sys.stderr)
                continue
            if not code.strip():
                continue
            if code.strip() in ("exit", "quit", "exit()", "quit()"):
                return 0
            try:
                number = ctrl_c.heed(partial(_run, interpreter, printer, code))
            except KeyboardInterrupt:
                number += 1
                print("\n[stopped; the variables set so far are kept]", file=sys.stderr)


def _run(interpreter: Interpreter, printer: Any, code: str) -> int:
    """Run a cell and show what it gives; its number."""
    printer.begin()
    result = interpreter.run(code, on_output=printer)
    printer.finish(result, value=True, prefix=f"Out[{result.number}]: ",
                   error=result.error.traceback if result.error else None)
    return result.number


def _read(number: int) -> str:
    """One cell: lines until it is whole; a block ends with an empty line."""
    lines = [input(f"In [{number}]: ")]
    while not is_complete("\n".join(lines)):
        lines.append(input("   ...: "))
    return "\n".join(lines)


def is_complete(code: str) -> bool:
    """Whether no further line is needed; what is no Python (a mistake) needs none either.

    A cell magic (`%%time`) and a block end with an empty line, as at Python's own prompt.
    """
    if code.startswith("%%"):
        return code.endswith("\n")
    try:
        return _compiles(code)
    except SyntaxError:
        pass
    except (ValueError, OverflowError, MemoryError, RecursionError):
        return True
    try:
        return _compiles(_NO_PYTHON.sub(r"\1\2pass", code))
    except (SyntaxError, ValueError, OverflowError, MemoryError, RecursionError):
        return True


def _compiles(code: str) -> bool:
    """Whether it is whole, for code that may `await` anywhere; raises SyntaxError where it never will be."""
    command = codeop.CommandCompiler()   # a new one, as it would remember a `from __future__`
    command.compiler.flags |= ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")   # the kernel will say it
        if command(code, "<prompt>", "exec") is None:
            return False
        *before, last_line = code.split("\n")
        if not before or not last_line.strip():
            return True
        statement = ast.parse(code).body[-1]
        return not (hasattr(statement, "body") or hasattr(statement, "cases"))   # a block may go on
