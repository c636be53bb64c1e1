"""`codeact exec`: run Python behind the walls, without a model: a line, a script, or an interactive prompt."""

from __future__ import annotations

import argparse
import os
import re
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from codeact.cli._flags import _positive
from codeact.cli._session import add_flags, arguments_of, limits_of
from codeact.errors import ConfigError, InterpreterError

if TYPE_CHECKING:
    from codeact.interpreter.interpreter import Interpreter
    from codeact.interpreter.output import Bundle, Display, Text
    from codeact.interpreter.result import ExecutionResult

__all__ = ["HELP", "main"]

HELP = "run Python behind the walls: a line, a script, or a prompt"

OK, FAILED, USAGE, UNAVAILABLE, INTERRUPTED = 0, 1, 2, 3, 130

_CONTROL = re.compile(r"\x1b(?!\[[\d;]{0,20}[mKABCDJ])|[\x00-\x07\x0e-\x1a\x1c-\x1f\x7f-\x9f]")
"""What no terminal may get from a cell: all control but blanks, colours and what progress bars move by."""

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
    parser = argparse.ArgumentParser(prog="codeact exec", description=HELP.capitalize() + ".", epilog=_EXAMPLES,
                                     formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    parser.add_argument("code", nargs="?", help="code, a .py file, or - for standard input; without it, a prompt")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="sys.argv[1:] of the code")
    add_flags(parser, timeout="60 at the prompt and with --serve, else none")
    parser.add_argument("--save", metavar="FILE", help="at the end, write the session to FILE")
    parser.add_argument("--load", metavar="FILE", help="go on with the session in FILE")
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object")
    group = parser.add_argument_group("serving over HTTP")
    group.add_argument("--serve", metavar="PORT", type=_port, help="answer requests on this port; 0 takes a free one")
    group.add_argument("--host", default="127.0.0.1", help="address to serve on (default: %(default)s, this machine)")
    group.add_argument("--token-file", metavar="FILE", help="the token that requests need; made, if it is not there "
                                                            "(default: a new token, printed)")
    group.add_argument("--no-token", action="store_true", help="need none; on this machine's own address only")
    group.add_argument("--max-sessions", metavar="N", type=_positive(int), default=32,
                       help="live at once (default: %(default)s)")
    group.add_argument("--idle", metavar="SECONDS", type=_positive(float), default=600.0,
                       help="save a session that was not used for so long (default: %(default)g)")
    return parser


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: one is a number from 0 to 65535")
    return int(text)


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
    try:
        interpreter = _open(options, interactive=code is None)
    except (ValueError, OSError, ConfigError) as error:
        return _fail(error, USAGE)
    with interpreter:
        if interpreter.loaded is not None:
            print(f"[{interpreter.loaded.text}]", file=sys.stderr)
        if interpreter.layer is not None:
            from codeact.cli._pending import tell_at_end, tell_at_start

            tell_at_start(interpreter)
        if code is None:
            from codeact.cli._prompt import prompt

            exit_code = prompt(interpreter, _Printer(_figures(options)))
        else:
            exit_code = _once(interpreter, name, code, options)
        exit_code = _keep(interpreter, options.save, exit_code)
        if interpreter.layer is not None:
            tell_at_end(interpreter)
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
        return _fail(f"the session could not be saved: {error}", exit_code or FAILED)
    for name, reason in (*report.rest.items(), *report.left_out.items()):
        print(f"[{_CONTROL.sub('?', name)} is not stored as it is: {reason}]", file=sys.stderr)
    for note in report.notes:
        print(f"[{note}]", file=sys.stderr)
    return exit_code


def _fail(reason: object, code: int) -> int:
    print(f"codeact exec: {reason}", file=sys.stderr)
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
    from codeact.interpreter.interpreter import Interpreter

    limits = limits_of(options, seconds=60.0 if interactive else None, cpu_seconds=None)
    start = Interpreter if options.load is None else partial(Interpreter.load, options.load)
    return start(limits=limits, **arguments_of(options), on_input=_ask)


def _figures(options: argparse.Namespace) -> str | None:
    """Where figures go; None for our own folder."""
    return options.workspace if options.live else None


def _ask(prompt: str, hidden: bool) -> str | None:
    prompt = _CONTROL.sub("", prompt).encode("utf-8", "replace").decode()
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
    if options.arguments or name != "-c":
        interpreter.run(f"import sys; sys.argv[:] = {[name, *options.arguments]!r}; del sys")
    if options.json:
        import json

        result = interpreter.run(code)
        print(json.dumps(_as_json(result)))
        return _left(result)[0]
    printer = _Printer(_figures(options))
    result = interpreter.run(code, on_output=printer)
    exit_code, words = _left(result)
    printer.finish(result, value=not name.endswith(".py"), error=words)
    return exit_code


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


class _Printer:
    """Shows output as it comes, and saves figures.

    Args:
        workspace: Where figures go; None for `codeact-output/`.
    """

    def __init__(self, workspace: str | None):
        self._workspace = workspace
        self._in_line = False
        """Whether the cursor stands behind something."""
        self.begin()

    def begin(self) -> None:
        """Another cell is run."""
        self._shown = {"stdout": 0, "stderr": 0}
        """Characters shown as they came."""

    def __call__(self, event: Text | Display) -> None:
        from codeact.interpreter.output import Text

        if isinstance(event, Text):
            self._shown[event.stream] += len(event.text)
            self._write(event.text, sys.stderr if event.stream == "stderr" else sys.stdout)
        else:
            self._bundle(event.bundle)

    def _write(self, text: str, stream: TextIO | None) -> None:
        if stream is None or not text:   # closed by the shell
            return
        if stream.isatty():
            text = _CONTROL.sub("", text)
        encoding = stream.encoding or "utf-8"
        stream.write(text.encode(encoding, "replace").decode(encoding))
        stream.flush()
        self._in_line = not text.endswith("\n")

    def fresh_line(self) -> None:
        """Go to the beginning of a line, if the cell has left the cursor elsewhere."""
        if self._in_line:
            self._write("\n", sys.stdout)

    def _bundle(self, bundle: Bundle, prefix: str = "") -> None:
        from codeact.cli._files import FIGURES, OUTPUT_FOLDER, Shelf

        for mime in FIGURES:
            if mime in bundle:
                try:
                    path = Shelf(Path(self._workspace or OUTPUT_FOLDER)).add_figure(mime, bundle[mime])
                except BrokenPipeError:
                    raise
                except OSError as error:
                    self._write(f"[a figure could not be saved: {error}]\n", sys.stderr)
                else:
                    self._write(f"{prefix}[figure saved to {path}]\n", sys.stdout)
                return
        if isinstance(text := bundle.get("text/plain"), str):
            self._write(prefix + ("\n" if prefix and "\n" in text else "") + text + "\n", sys.stdout)

    def finish(self, result: ExecutionResult, *, value: bool, prefix: str = "", error: str | None = None) -> None:
        """What is known at the end: the rest of a flood, the last value, the error, what happened to the state.

        Args:
            error: Said of the error.
        """
        # Of a flood only the beginning is shown as it comes; here is what was kept of the rest
        self._write(result.stdout[self._shown["stdout"]:], sys.stdout)
        self._write(result.stderr[self._shown["stderr"]:], sys.stderr)
        if prefix:
            self.fresh_line()
        if value and result.value is not None:
            self._bundle(result.value, prefix)
        if error:
            self._write(error.rstrip("\n") + "\n", sys.stderr)
        if result.restored and not result.lost and prefix:
            self._write("[the process was started again; variables are as they were before this cell]\n", sys.stderr)
        for lost in result.lost:
            self._write(f"[{lost}]\n", sys.stderr)
