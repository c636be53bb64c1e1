"""What a conversation was had with: noted in its file as flags, and had again when it is gone on with.

A file may be somebody else's, and its flags name programs to start and folders to read. So they are taken up unasked
only from a file in the chat's own folder; of another one the person at the terminal is asked, and where nobody can be,
they are only told.
"""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codeact.cli._control import cleaned
from codeact.cli._flags import add_agent
from codeact.cli._places import conversations
from codeact.errors import CodeActError, ConfigError, TrajectoryError

if TYPE_CHECKING:
    from codeact.trajectory import Trajectory

__all__ = ["choose", "count", "had_with", "take_up"]

_KEPT = ("workspace", "live", "read", "network", "package", "allow_packages", "index_url", "format", "instructions",
         "tool", "sandbox", "python", "backend", "memory_mb", "timeout", "max_turns", "max_seconds", "max_tokens",
         "max_cost")
_TOGETHER = {"live": "workspace"}
"""What is had again only together with something else: one folder's is not another's."""


Flag = tuple[str, Any]
"""A name and one value; a flag that may be repeated is several."""


def had_with(args: argparse.Namespace) -> list[str]:
    """The flags that were given, as words of a command line that means the same in any folder."""
    return _words([(action.dest, one) for action in _actions() for one in _given(args, action)
                   if not (action.dest == "index_url" and "@" in str(one))])   # it holds a password


def take_up(args: argparse.Namespace, path: Path, ask: Callable[[str], str] | None) -> str:
    """Set the flags that were not given to those of the conversation in a file.

    Args:
        ask: Shows words and returns a line of the person's; None where nobody is there.

    Returns:
        What was done, in words; "" where there was nothing to do.

    Raises:
        ConfigError: The file cannot be read, or holds something else.
    """
    given = {action.dest for action in _actions() if _given(args, action)}
    had = [flag for flag in _flags_in(path) if flag[0] not in given and _TOGETHER.get(flag[0]) not in given]
    gone = [flag for flag in had if _is_gone(*flag)]
    lost = {name for name, _ in gone}
    had = [flag for flag in had if flag not in gone and _TOGETHER.get(flag[0]) not in lost]
    told = [f"No longer there: {_line(gone)}"] if gone else []
    if not had:
        return "\n".join(told)
    words = f"This conversation was had with {_line(had)}"
    if path.resolve().parent != conversations().resolve():
        if ask is None:
            return "\n".join([words, "It goes on without: give these flags again to have them", *told])
        if ask(f"{words}\nHave that again? [y/N] ").strip().lower() not in ("y", "yes"):
            return "\n".join(["It goes on without the flags it was had with", *told])
    for name in dict.fromkeys(name for name, _ in had):
        values = [value for one, value in had if one == name]
        setattr(args, name, values if isinstance(getattr(args, name), list) else values[0])
    return "\n".join([f"As before: {_line(had)}", *told])


def count(path: Path) -> int:
    """The conversations in a file; 0 where it is not there, or none of ours."""
    return len(_conversations(path))


def choose(path: Path, number: int) -> None:
    """Make a conversation of a file the one to go on with: it is added at the end, where the last one stands.

    Raises:
        ConfigError: There is no such conversation, or the file cannot be read or written.
    """
    import json

    from codeact.recording import Recorder
    from codeact.resuming import StateFile

    n_found = len(_read(path))
    if number > n_found:
        raise ConfigError(f"there is no conversation {number} in {path}: it has {n_found}")
    if number == n_found:
        return
    try:
        with Recorder(path) as recorder, open(path, encoding="utf-8", errors="surrogateescape") as file:
            lines = [json.loads(line) for line in file if line.strip()]
            starts = [at for at, line in enumerate(lines) if line["type"] == "start"]
            for line in lines[starts[number - 1] : starts[number]]:
                recorder.write(line)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    StateFile(path).drop(0)   # they are another conversation's


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    add_agent(parser)
    return parser


def _actions() -> list[argparse.Action]:
    return [action for action in _parser()._actions if action.dest in _KEPT]


def _given(args: argparse.Namespace, action: argparse.Action) -> list[Any]:
    value = getattr(args, action.dest, None)
    if value in (None, False) or value == action.default:
        return []
    return list(value) if isinstance(value, list) else [value]


def _conversations(path: Path) -> Sequence[Trajectory]:
    from codeact.trajectory import load

    try:
        return load(path, cut_off=True)
    except (OSError, CodeActError):   # told by who goes on with it
        return ()


def _read(path: Path) -> Sequence[Trajectory]:
    from codeact.trajectory import load

    try:
        return load(path, cut_off=True)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}; is it the file that --save named?") from None
    except TrajectoryError as error:
        raise ConfigError(f"cannot go on with {error}\n--resume takes a file that --save wrote") from None


def _flags_in(path: Path) -> list[Flag]:
    """Those of the conversation to go on with; none where the file says none, or not as we do."""
    found = _read(path)
    words = found[-1].about.get("flags") if found else None
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        return []
    try:
        read, rest = _parser().parse_known_args(words)
    except (argparse.ArgumentError, SystemExit):
        return []
    return [] if rest else [(action.dest, one) for action in _actions() for one in _given(read, action)]


def _is_gone(name: str, value: Any) -> bool:
    if name == "tool":
        kind, _, argument = value.partition(":")
        path = argument if kind == "files" else kind if kind.endswith(".py") else ""
    else:
        path = value if name in ("workspace", "read", "instructions", "python") else ""
    return bool(path) and not os.path.exists(path)


def _line(flags: Sequence[Flag]) -> str:
    return cleaned(shlex.join(_words(flags)))


def _words(flags: Sequence[Flag]) -> list[str]:
    words: list[str] = []
    for name, value in flags:
        flag = f"--{name.replace('_', '-')}"
        spelled = _anywhere(name, value)
        words += [flag] if value is True else [f"{flag}={spelled}"] if spelled.startswith("-") else [flag, spelled]
    return words


def _anywhere(name: str, value: Any) -> str:
    """A value, its paths whole."""
    text = str(value)
    if isinstance(value, Path) or (name == "python" and "/" in text):
        return os.path.abspath(text)
    if name in ("tool", "backend"):
        kind, colon, argument = text.partition(":")
        if kind.endswith(".py") and os.path.exists(kind):   # a file with tools
            return f"{os.path.abspath(kind)}{colon}{argument}"
        if argument and os.path.exists(argument):
            return f"{kind}:{os.path.abspath(argument)}"
    return text
