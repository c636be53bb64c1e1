"""`codeact exec`: run Python behind the walls, without a model: a line, a script, or an interactive prompt."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from codeact.interpreter.interpreter import Interpreter
    from codeact.interpreter.output import Bundle, Display, Text
    from codeact.interpreter.result import ExecutionResult

__all__ = ["HELP", "main"]

HELP = "run Python behind the walls: a line, a script, or a prompt"

OK, FAILED, USAGE, UNAVAILABLE, INTERRUPTED = 0, 1, 2, 3, 130

_EXAMPLES = """\
examples:
  codeact exec 'print(1)'                     one line
  codeact exec script.py --input data.csv     a script with arguments of its own
  codeact exec --workspace . 'open("a.txt").read()'
  echo 'print(1)' | codeact exec -            from standard input
  codeact exec                                a prompt; Ctrl-C stops a cell, Ctrl-D leaves

Variables, files and figures: a fresh workspace is removed at the end; with --workspace DIR the code works in DIR.
Figures are saved to codeact-output/, or to DIR. exit code: 0 ran, 1 raised or was stopped, 2 usage, 3 no walls here.
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="codeact exec", description=HELP.capitalize() + ".", epilog=_EXAMPLES,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("code", nargs="?", help="code, a .py file, or - for standard input; without it, a prompt")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="sys.argv[1:] of the code")
    parser.add_argument("--workspace", metavar="DIR", help="work in DIR (default: a fresh folder)")
    parser.add_argument("--read", metavar="DIR", action="append", default=[], help="let the code read DIR; repeatable")
    parser.add_argument("--network", choices=("none", "all"), default="none", help="default: none")
    parser.add_argument("--sandbox", default="auto", metavar="WALLS",
                        help="auto (default: the strongest that works), namespaces, landlock, landlock-narrow, none")
    parser.add_argument("--python", metavar="PATH", help="another Python to run the code with")
    parser.add_argument("--timeout", type=float, metavar="SECONDS", 
                        help="of each cell (default: 60 at the prompt, else none)")
    parser.add_argument("--memory-mb", type=int, metavar="MB", help="of all processes together (default: 2048)")
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object")
    return parser


def main(argv: list[str]) -> int:
    """Run the verb; `argv` without it. Returns the exit code."""
    parser = _parser()
    options = parser.parse_args(argv)
    from codeact.errors import InterpreterError

    try:
        code = _code(options.code)
    except (OSError, UnicodeDecodeError) as error:
        print(f"codeact exec: cannot read {options.code}: {error}", file=sys.stderr)
        return USAGE
    try:
        interpreter = _open(options, interactive=code is None)
    except InterpreterError as error:
        print(f"codeact exec: {error}", file=sys.stderr)
        return UNAVAILABLE
    except (ValueError, OSError) as error:
        print(f"codeact exec: {error}", file=sys.stderr)
        return USAGE
    with interpreter:
        try:
            if code is None:
                from codeact.cli._prompt import prompt

                return prompt(interpreter, _Printer(options.workspace))
            return _once(interpreter, code, options)
        except InterpreterError as error:
            print(f"codeact exec: {error}", file=sys.stderr)
            return UNAVAILABLE
        except KeyboardInterrupt:
            return INTERRUPTED
        except BrokenPipeError:
            sys.stderr.close()   # nobody reads any more: nothing to say, not even at exit
            return OK


def _code(argument: str | None) -> str | None:
    """The code meant by the argument; None for a prompt."""
    if argument is None:
        return None if sys.stdin.isatty() else sys.stdin.read()
    if argument == "-":
        return sys.stdin.read()
    if argument.endswith(".py") or ("\n" not in argument and len(argument) < 4096 and Path(argument).is_file()):
        return Path(argument).read_text(encoding="utf-8")
    return argument


def _open(options: argparse.Namespace, *, interactive: bool) -> Interpreter:
    from codeact.interpreter.interpreter import Interpreter
    from codeact.interpreter.limits import Limits

    wall = options.timeout if options.timeout is not None else (60.0 if interactive else None)
    memory = {"memory_mb": options.memory_mb} if options.memory_mb is not None else {}
    limits = Limits(wall_seconds=wall, cpu_seconds=None, **memory)
    return Interpreter(limits=limits, workspace=options.workspace, read=options.read, network=options.network,
                       sandbox=options.sandbox, python=options.python, on_input=_ask)


def _ask(prompt: str, hidden: bool) -> str | None:
    try:
        if hidden:
            import getpass

            return getpass.getpass(prompt)
        return input(prompt)
    except EOFError:
        return None


def _once(interpreter: Interpreter, code: str, options: argparse.Namespace) -> int:
    name = options.code if options.code and options.code.endswith(".py") else "-c"
    if options.arguments or name != "-c":
        interpreter.run(f"import sys; sys.argv[:] = {[name, *options.arguments]!r}; del sys")
    if options.json:
        import json

        result = interpreter.run(code)
        print(json.dumps(_as_json(result), ensure_ascii=False))
    else:
        printer = _Printer(options.workspace)
        result = interpreter.run(code, on_output=printer)
        printer.finish(result, value=name == "-c")
    return OK if result.error is None else FAILED


def _as_json(result: ExecutionResult) -> dict[str, object]:
    import base64
    from dataclasses import asdict

    fields = asdict(result)
    fields["outputs"] = [{mime: base64.b64encode(data).decode() if isinstance(data, bytes) else data
                          for mime, data in bundle.items()} for bundle in result.outputs]
    return fields


class _Printer:
    """Shows output as it comes, and saves figures.

    Args:
        workspace: Where figures go; None for `codeact-output/`.
    """

    def __init__(self, workspace: str | None):
        self._workspace = workspace

    def __call__(self, event: Text | Display) -> None:
        from codeact.interpreter.output import Text

        if isinstance(event, Text):
            stream = sys.stderr if event.stream == "stderr" else sys.stdout
            stream.write(event.text.encode("utf-8", "replace").decode())
            stream.flush()
        else:
            self._bundle(event.bundle)

    def _bundle(self, bundle: Bundle) -> None:
        from codeact.cli._files import FIGURES, OUTPUT_FOLDER, Shelf

        for mime in FIGURES:
            if mime in bundle:
                path = Shelf(Path(self._workspace or OUTPUT_FOLDER)).add_figure(mime, bundle[mime])
                print(f"[figure saved to {path}]")
                return
        if isinstance(text := bundle.get("text/plain"), str):
            print(text)

    def finish(self, result: ExecutionResult, *, value: bool, prefix: str = "") -> None:
        """What is known at the end: the last value, the error, what happened to the state."""
        if value and result.value is not None:
            text = result.value.get("text/plain", "")
            print(prefix + ("\n" if prefix and "\n" in str(text) else "") + str(text))
        if result.error is not None:
            print(result.error.traceback, file=sys.stderr)
        if result.restored and not result.lost:
            print("[the process was started again; variables are as they were before this cell]", file=sys.stderr)
        for lost in result.lost:
            print(f"[{lost}]", file=sys.stderr)
