"""`codeact exec`: run Python behind the walls, without a model: a line, a script, or an interactive prompt."""

from __future__ import annotations

import argparse
import os
import re
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from codeact.cli._control import cleaned
from codeact.cli._flags import port, positive, sentence
from codeact.cli._parser import Parser
from codeact.cli._printer import Printer
from codeact.cli._session import add_flags, arguments_of, in_flags, limits_of, told, walls_of
from codeact.errors import ConfigError, InterpreterError

if TYPE_CHECKING:
    from codeact.interpreter.interpreter import Interpreter
    from codeact.interpreter.result import ExecutionResult

__all__ = ["HELP", "main"]

HELP = "run Python behind the walls: a line, a script, or a prompt"

OK, FAILED, USAGE, UNAVAILABLE, INTERRUPTED = 0, 1, 2, 3, 130

_EXAMPLES = """\
examples:
  codeact exec 'print(1)'                     one line
  codeact exec --workspace . script.py --input data.csv
                                              a script with arguments of its own: codeact's options come before it
  codeact exec --workspace . 'open("a.txt").read()'
  codeact exec --network api.example.com --network '*.example.org:8443' script.py
                                              reach these hosts and no others
  codeact exec --package einops script.py     with a package that is installed for this run alone
  echo 'print(1)' | codeact exec -            from standard input
  codeact exec -- '-1 + 2'                    code that looks like an option
  codeact exec                                a prompt; Ctrl-C stops a cell, Ctrl-D leaves
  codeact exec --save s.zip 'x = 5'           keep the session in a file: variables, files of its workspace, journal
  codeact exec --load s.zip --save s.zip      go on with it, at a prompt, and keep it again
  codeact exec --serve 8000                   over HTTP, for programs of this machine

Variables, files and figures: a fresh workspace is removed at the end. With --workspace DIR the code sees DIR, and what
it does there waits for you: codeact changes --diff shows it, apply brings it over, discard drops it. With --live it
changes DIR itself. Figures are saved to codeact-output/, with --live to DIR.
exit code: 0 ran, 1 raised or was stopped, 2 usage, 3 no walls here; or what the code gives to sys.exit().
"""


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="codeact exec", description=sentence(HELP), epilog=_EXAMPLES)
    parser.add_argument("code", nargs="?", help="code, a .py file, or - for standard input; without it, a prompt")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="sys.argv[1:] of the code")
    add_flags(parser, timeout="60 at the prompt and with --serve, else none")
    parser.add_argument("--save", metavar="FILE", help="at the end, write the session to FILE")
    parser.add_argument("--load", metavar="FILE", help="go on with the session in FILE")
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object")
    group = parser.add_argument_group("serving over HTTP")
    group.add_argument("--serve", metavar="PORT", type=port, help="answer requests on this port; 0 takes a free one")
    group.add_argument("--host", metavar="ADDRESS", default="127.0.0.1",
                       help="address to serve on (default: %(default)s, this machine)")
    group.add_argument("--token-file", metavar="FILE", help="the token that requests need; made, if it is not there "
                                                            "(default: a new token, printed)")
    group.add_argument("--no-token", action="store_true", help="need none; on this machine's own address only")
    group.add_argument("--max-sessions", metavar="N", type=positive(int), default=32,
                       help="live at once (default: %(default)s)")
    group.add_argument("--idle", metavar="SECONDS", type=positive(float), default=600.0,
                       help="save a session that was not used for so long (default: %(default)g)")
    return parser


def main(argv: list[str]) -> int:
    """Run the verb; `argv` without it. Returns the exit code."""
    try:
        return _main(_parser().parse_args(argv))
    except SystemExit as left:   # argparse: 0 after --help, 2 after a wrong flag
        return int(left.code or 0)
    except ConfigError as error:
        return _fail(error, USAGE)
    except InterpreterError as error:
        return _fail(error, UNAVAILABLE)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Nobody reads any more. Keep Python from complaining about that when it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED


def _main(options: argparse.Namespace) -> int:
    if options.serve is not None:
        if options.save or options.load:
            return _fail("--save and --load go with code or the prompt, not with --serve", USAGE)
        if options.workspace and not options.live:
            return _fail("with --serve all sessions share DIR and change its files themselves: say --live", USAGE)
        from codeact.cli._serve import serve

        try:
            serve(options)
        except (ConfigError, ValueError, OSError) as error:
            return _fail(error, USAGE)
        return OK
    if options.no_token or options.token_file:
        return _fail("--token-file and --no-token go with --serve PORT", USAGE)
    try:
        name, code = _code(options.code)
    except (OSError, UnicodeDecodeError, SyntaxError) as error:
        return _fail(f"cannot read {options.code or 'standard input'}: {getattr(error, 'strerror', None) or error}",
                     USAGE)
    if code is None and options.json:
        return _fail("--json goes with code, not with the prompt", USAGE)
    if options.save and not Path(options.save).absolute().parent.is_dir():   # said before anything is run
        return _fail(f"--save {options.save}: there is no folder {Path(options.save).parent}; make it first", USAGE)
    if options.save and Path(options.save).is_dir():
        return _fail(f"--save {options.save}: it is a folder; give the name of a file", USAGE)
    try:
        interpreter = _open(options, interactive=code is None)
    except (ValueError, OSError, ConfigError) as error:
        return _fail(told(error), USAGE)
    with interpreter:
        if interpreter.loaded is not None:
            print(f"[{interpreter.loaded.text}]", file=sys.stderr)
        if interpreter.layer is not None:
            from codeact.cli._pending import at_end, at_start

            _tell(at_start(interpreter))
        if code is None:
            from codeact.cli._prompt import prompt

            exit_code = prompt(interpreter, Printer(_figures(options)),
                               walls=walls_of(interpreter.level, options.backend))
        else:
            exit_code = _once(interpreter, name, code, options)
        exit_code = _keep(interpreter, options.save, exit_code)
        if interpreter.layer is not None:
            _tell(at_end(interpreter))
        if sys.stdout is not None:
            sys.stdout.flush()   # here, where it is known what to do when nobody reads
        return exit_code


def _keep(interpreter: Interpreter, path: str | None, exit_code: int) -> int:
    """Save the session where that was asked for; the exit code."""
    from codeact.errors import ConfigError

    if path is None:
        return exit_code
    try:
        report = interpreter.save(path)
    except (OSError, ConfigError) as error:
        why = getattr(error, "strerror", None) or error
        return _fail(f"the session could not be saved in {path}: {why}", exit_code or FAILED)
    for name, reason in (*report.rest.items(), *report.left_out.items()):
        print(f"[{cleaned(name)} is not stored as it is: {reason}]", file=sys.stderr)
    for note in report.notes:
        print(f"[{note}]", file=sys.stderr)
    return exit_code


def _tell(words: str) -> None:
    if words:
        print(words, file=sys.stderr, flush=True)


def _fail(reason: object, code: int) -> int:
    print(f"codeact exec: {in_flags(str(reason))}", file=sys.stderr)
    return code


def _code(argument: str | None) -> tuple[str, str | None]:
    """The code meant by the argument, None for a prompt; before it, what it is to know as its own name."""
    if argument is None or argument == "-":
        if sys.stdin is None:
            raise OSError("it is closed")
        return "-", None if argument is None and sys.stdin.isatty() else sys.stdin.read()
    if (argument.endswith(".py") and "\n" not in argument) or _is_file(argument):
        import tokenize

        with tokenize.open(argument) as file:   # knows what Python files say about their encoding
            return argument, file.read()
    return "-c", argument


def _is_file(argument: str) -> bool:
    try:
        return Path(argument).is_file()
    except (OSError, ValueError):   # too long, or with a character no name can have: code
        return False


def _open(options: argparse.Namespace, *, interactive: bool) -> Interpreter:
    from codeact.interpreter import ahead

    arguments = arguments_of(options)
    if options.backend == "local":
        ahead.begin(options.python)
    try:
        from codeact.interpreter.interpreter import Interpreter

        limits = limits_of(options, seconds=60.0 if interactive else None, cpu_seconds=None)
        start = Interpreter if options.load is None else partial(Interpreter.load, options.load)
        return start(limits=limits, **arguments, on_input=_ask)
    finally:
        ahead.give_up()   # where it did not come to a session


def _figures(options: argparse.Namespace) -> str | None:
    """Where figures go; None for our own folder."""
    return options.workspace if options.live else None


def _ask(prompt: str, hidden: bool) -> str | None:
    prompt = cleaned(prompt)
    try:
        if hidden:
            import getpass

            return getpass.getpass(prompt)
        if sys.stdout is None or not sys.stdout.isatty():   # a pipe wants the output alone
            print(prompt, end="", file=sys.stderr, flush=True)
            prompt = ""
        return input(prompt)
    except (EOFError, RuntimeError, UnicodeDecodeError):   # its end, or closed
        return None


def _once(interpreter: Interpreter, name: str, code: str, options: argparse.Namespace) -> int:
    number = 0
    if options.arguments or name != "-c":
        begun = interpreter.run(_beginning(name, options.arguments))
        number = begun.number + 1
    if options.json:
        import json

        result = _named(interpreter.run(code), name)
        print(json.dumps(_as_json(result)))
        return _left(result)[0]
    printer = Printer(_figures(options), names={f"<cell {number}>": name} if _is_script(name) else {})
    result = interpreter.run(code, on_output=printer)
    exit_code, words = _left(result)
    printer.finish(result, value=not _is_script(name), error=words)
    return exit_code


def _is_script(name: str) -> bool:
    return name not in ("-", "-c")


def _beginning(name: str, arguments: list[str]) -> str:
    """What a program of this name finds when it begins."""
    lines = [f"import sys; sys.argv[:] = {[name, *arguments]!r}; del sys"]
    if _is_script(name):
        lines.append(f"__file__ = {os.path.abspath(name)!r}")
    return "\n".join(lines)


def _named(result: ExecutionResult, name: str) -> ExecutionResult:
    """The result of a script, with its name where the cell's stands in tracebacks and warnings."""
    from dataclasses import replace

    if not _is_script(name):
        return result
    cell, error = f"<cell {result.number}>", result.error
    return replace(result, text=result.text.replace(cell, name), stderr=result.stderr.replace(cell, name),
                   error=error and replace(error, traceback=error.traceback.replace(cell, name)))


def _left(result: ExecutionResult) -> tuple[int, str | None]:
    """The exit code, and what is said of the end; as Python takes `sys.exit`."""
    if result.error is None:
        return OK, None
    if result.error.name != "SystemExit" or result.status != "error":
        return FAILED, result.error.traceback
    message = result.error.message
    if message in ("", "None"):
        return OK, None
    return (int(message) & 0xFF, None) if re.fullmatch(r"-?\d{1,10}", message) else (FAILED, message)


def _as_json(result: ExecutionResult) -> dict[str, object]:
    import base64
    from dataclasses import asdict

    fields = asdict(result)
    for bundle in [*fields["outputs"], fields["value"] or {}]:
        bundle.update({mime: base64.b64encode(data).decode() for mime, data in bundle.items()
                       if isinstance(data, bytes)})
    return fields
