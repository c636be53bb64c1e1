"""`codeact config`: every setting, its value and where it is from; and the file of settings, a line at a time.

A key is never printed: `set (ends in ...abcd)` is all there is to see, and `get keys.NAME` says no more.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any

from codeact.cli._flags import parser as task_parser
from codeact.cli._flags import sentence
from codeact.cli._parser import Parser
from codeact.errors import CodeActError
from codeact.settings import Settings, config_path, settle
from codeact.settings.file import KINDS, Fault

__all__ = ["HELP", "main"]

HELP = "show the settings and where each is from; change the file of them"

OK, USAGE = 0, 2
_SHOWN_OF_A_KEY = 4
_LONG_ENOUGH = 16
"""Of a shorter key even four characters would tell too much."""

_EXAMPLES = """\
  codeact config                                  every setting, its value and where it is from
  codeact config --model fast --max-turns 5       the same, with these flags
  codeact config path                             where the file is
  codeact config get model
  codeact config set model openai:gpt-5-mini
  codeact config set models.fast.model openai:qwen3:8b
  codeact config unset max_turns                  take a line out; unset models.fast a whole profile
  codeact config set keys.openai                  asks for the key, so that it is in no history

A flag goes before the environment, and that before the file. Variables: CODEACT_MODEL, CODEACT_TIMEOUT, ... (each
setting has one) and OPENAI_BASE_URL. exit code: 0 done, 2 wrong usage, or a setting that cannot be used
"""


def main(argv: Sequence[str]) -> int:
    """Run the verb; `argv` without it. Returns the exit code."""
    parser = Parser(prog="codeact config", description=sentence(HELP), epilog=_EXAMPLES)
    parser.add_argument("what", nargs="*", metavar="path | get KEY | set KEY [VALUE] | unset KEY",
                        help="or nothing, or flags of a task: to see what they change")
    try:
        if argv and argv[0].startswith("-") and not {"-h", "--help"} & set(argv):
            args = task_parser().parse_args(argv)
            if args.task:
                parser.error(f"unexpected: {' '.join(args.task)}")
            return _show(_settled(args))
        match parser.parse_args(argv).what:
            case []:
                return _show(_settled())
            case ["path"]:
                print(config_path())
                return OK
            case ["get", name]:
                return _get(_settled(), name)
            case ["set", name, *value] if len(value) <= 1:
                return _set(name, value[0] if value else None)
            case ["unset", name]:
                return _unset(name)
            case words:
                parser.error("write `codeact config`, `config path`, `config get KEY`, `config set KEY VALUE` or "
                             f"`config unset KEY`{_meant(words)}")
    except SystemExit as left:  # argparse: 0 after --help, 2 after a wrong flag
        return int(left.code or 0)
    except BrokenPipeError:  # whoever read it has gone, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except (CodeActError, OSError) as error:
        return _fail(error)
    except (KeyboardInterrupt, EOFError):
        return _fail("nothing was changed")


def _meant(words: Sequence[str]) -> str:
    """What was perhaps meant by words of which the first is a setting, or nearly."""
    from difflib import get_close_matches

    close = get_close_matches(words[0], KINDS, n=1)
    what = f"set {close[0]} {words[1]}" if close and len(words) == 2 else f"get {close[0]}" if close else ""
    return f"; did you mean `codeact config {what}`?" if what else ""


def _fail(reason: object) -> int:
    print(f"codeact config: {reason}", file=sys.stderr)
    return USAGE


def _settled(args: argparse.Namespace | None = None) -> Settings:
    """What holds; what is wrong in the file is told, and is no value."""
    faults: list[Fault] = []
    settings = settle(args, faults=faults)
    for _, said in faults:
        print(f"codeact config: {said}", file=sys.stderr)
    return settings


def _show(settings: Settings) -> int:
    origins = {**settings.origins, **{f"keys.{name}": f"{name.upper()}_API_KEY" for name in settings.environment_keys}}
    for name, meant in settings.unused_keys.items():
        hint = f"; is it {meant!r}?" if meant else ""
        origins[f"keys.{name}"] += f"; nothing asks for a key of this name{hint}"
    rows = [(name, _spelled(value), origins.get(name, "")) for name, value in _all(settings).items()]
    width, values = max(len(name) for name, _, _ in rows), min(max(len(value) for _, value, _ in rows), 44)
    path = config_path()
    print(f"{path}{'' if path.exists() else ' (not there yet)'}\n")
    for name, value, origin in rows:
        print(f"{name:<{width}}  {value:<{values}}  {origin}".rstrip())
    sys.stdout.flush()  # a reader that has gone is noticed here, not when Python ends
    return OK


def _get(settings: Settings, name: str) -> int:
    values = _all(settings)
    if name not in values:
        from difflib import get_close_matches

        close = get_close_matches(name, values, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        return _fail(f"there is no setting {name!r}; {hint}there are: {', '.join(values)}")
    print(_spelled(values[name]))
    return OK


def _all(settings: Settings) -> dict[str, Any]:
    """Every setting by its dotted name; a key is replaced by what may be seen of it."""
    values: dict[str, Any] = {name: getattr(settings, name) for name in KINDS}
    for table, inners in (("models", settings.models), ("prices", settings.prices)):
        values |= {f"{table}.{inner}.{key}": value for inner, given in inners.items() for key, value in given.items()}
    keys = {**settings.keys, **settings.environment_keys}
    return values | {f"keys.{name}": _seen(key) for name, key in keys.items()}


def _seen(key: str) -> str:
    return f"set (ends in ...{key[-_SHOWN_OF_A_KEY:]})" if len(key) >= _LONG_ENOUGH else "set"


def _spelled(value: Any) -> str:
    if value is None or value in ("", ()):
        return "-"
    return ", ".join(value) if isinstance(value, tuple) else f"{value:g}" if isinstance(value, float) else str(value)


def _set(name: str, text: str | None) -> int:
    from codeact.settings import edit

    if name.startswith("keys.") and name != "keys.":
        if text is not None:
            print("codeact config: the key is in your shell's history now; without it on the line, codeact asks for it",
                  file=sys.stderr)
        elif sys.stdin.isatty():
            from getpass import getpass

            text = getpass(f"{name} (not shown): ")
        else:
            text = sys.stdin.readline().strip()
            if not text:
                return _fail(f"no key came; as: codeact config set {name} < FILE, or at a terminal, which asks for it")
    if text is None:
        return _fail(f"what value? as: codeact config set {name} VALUE")
    path = config_path()
    edit.put(path, name, text)
    print(f"{name} is set in {path}")
    table, _, inner = name.partition(".")
    unused = settle(faults=[]).unused_keys if table == "keys" else {}
    if inner in unused:
        hint = f"; is it keys.{unused[inner]}?" if unused[inner] else ""
        print(f"codeact config: nothing asks for a key of this name{hint}", file=sys.stderr)
    return OK


def _unset(name: str) -> int:
    from codeact.settings import edit

    path = config_path()
    edit.remove(path, name)
    print(f"{name} is no longer set in {path}")
    return OK
