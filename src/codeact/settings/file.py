"""The file of settings: what may stand in it, and what is said about what may not. Used by `settle`.

Every error names the file and, where it is known, the line, what is wrong there and what would be right.
"""

from __future__ import annotations

import math
import os
import re
import stat
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any

from codeact.errors import ConfigError

__all__ = ["KINDS", "TABLES", "Fault", "Kind", "SettingsFile", "from_text", "load", "parse"]

Fault = tuple[tuple[str, ...], str]
"""What is wrong in a file and passed over: the place, and a message."""

_MAX_BYTES = 1 << 20
_MAX_BAD_LINES = 20
_MOST = 1_000_000_000


@dataclass(frozen=True)
class Kind:
    """What a setting takes."""

    wants: str
    """In words, for errors."""
    read: Callable[[Any], Any]
    """The value as it is used; `ValueError` where it cannot be."""
    from_text: Callable[[str], Any] = str
    """What the environment or `codeact config set` says, as TOML would have it; `ValueError` likewise."""


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError
    return value.strip()


def _address(value: Any) -> str:
    if not _text(value).startswith(("http://", "https://")):
        raise ValueError
    return _text(value)


def _number(*, whole: bool = False, zero: bool = False) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        # A bool is an int to Python, and no number to people.
        if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
            raise ValueError
        if not math.isfinite(value) or value > _MOST or (value < 0 if zero else value <= 0):
            raise ValueError
        return value if whole else float(value)

    return read


def _words(value: Any) -> tuple[str, ...]:
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, list | tuple):
        raise ValueError
    return tuple(map(_text, listed))


def _network(value: Any) -> tuple[str, ...]:
    words = _words(value)
    if len(words) > 1 and {"none", "all"} & set(words):
        raise ValueError
    if words and words not in (("none",), ("all",)):
        from codeact.interpreter.network import AllowList  # only where hosts are named

        AllowList(words)
    return words or ("none",)


def _packages(value: Any) -> tuple[str, ...]:
    return {"none": (), "allow": ("*",)}.get(value, ()) if value in ("none", "allow") else _words(value)


def _one_of(*words: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if value not in words:
            raise ValueError
        return str(value)

    return read


def _walls(value: Any) -> str:
    from codeact.interpreter.levels import parse as level_of

    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError
    level_of(value)
    return str(value)


def _format(value: Any) -> str:
    from codeact import plugins

    if "." not in _text(value) and _text(value) not in plugins.available("formats"):   # a dotted path is the user's own
        raise ValueError
    return _text(value)


def _split(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


_POSITIVE = Kind("a number above 0, as 60", _number(), float)
_WHOLE = Kind("a whole number above 0, as 30", _number(whole=True), int)
_WORD = Kind("text between quotes", _text)

KINDS: Mapping[str, Kind] = {
    "model": Kind('PROVIDER:NAME, as "openai:gpt-5-mini", or the name of a profile', _text),
    "base_url": Kind('an address, as "http://localhost:11434/v1"', _address),
    "format": Kind('the name of an action format, as "code", "json", "text" or "native"', _format),
    "temperature": Kind("a number from 0, as 0.7", _number(zero=True), float),
    "timeout": _POSITIVE,
    "max_turns": _WHOLE,
    "max_cost": Kind("US dollars above 0, as 0.5", _number(), float),
    "network": Kind('"none", "all", or a list of hosts, as ["api.example.com"]', _network, _split),
    "packages": Kind('"none", "allow", or a list of names, as ["einops"]', _packages, lambda text: text
                     if text in ("none", "allow") else _split(text)),
    "mode": Kind('"copy" or "live"', _one_of("copy", "live")),
    "sandbox": Kind('"auto", "none" or a level as `codeact doctor` lists them', _walls),
    "memory_mb": Kind("a whole number of MB, as 2048", _number(whole=True), int),
    "tools": Kind('a list, as ["web_fetch", "files:DIR"]', _words, _split),
}
"""The settings at the top of the file, in the order they are shown in."""

TABLES: Mapping[str, Mapping[str, Kind]] = {
    "models": {"model": KINDS["model"], "base_url": KINDS["base_url"], "format": KINDS["format"],
               "temperature": KINDS["temperature"], "context_tokens": _WHOLE,
               "key": Kind("the name of a key in [keys]", _text)},
    "prices": dict.fromkeys(("input", "output"), Kind("US dollars for a million tokens", _number(zero=True), float)),
}
"""Tables of tables: each inner one is named by the user and has these."""
_NEEDED = {"models": ("model",), "prices": ("input", "output")}


@dataclass(frozen=True)
class SettingsFile:
    """The file, read."""

    path: Path
    data: Mapping[str, Any]
    text: str = ""

    def where(self, *keys: str) -> str:
        """The place of a value, in words."""
        line = line_of(self.text, keys)
        return f"{_short(self.path)}{f', line {line}' if line else ''}"

    def error(self, keys: Sequence[str], said: str) -> ConfigError:
        """An error about what stands at a place."""
        return ConfigError(f"{self.where(*keys)}: {said}")


def from_text(name: str, text: str) -> Any:
    """The value of a setting, from words; `ValueError` says what it takes."""
    kind = KINDS[name]
    try:
        return kind.read(kind.from_text(text))
    except (ValueError, OverflowError):
        raise ValueError(kind.wants) from None


def load(path: Path, faults: list[Fault] | None = None) -> SettingsFile:
    """Read the file; one that is not there is empty.

    Args:
        faults: Where what is wrong is put, to go on with the rest; without it, the first one is raised.

    Raises:
        ConfigError: It cannot be read, is not TOML, holds what it should not, or holds keys that others can read.
    """
    try:
        # Without O_NONBLOCK a named pipe would make us wait for its writer.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ConfigError(f"{path} is not a file; move it away, or set XDG_CONFIG_HOME")
            content = file.read(_MAX_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return SettingsFile(path, {})
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"cannot read {path}: {reason}; repair it, or set XDG_CONFIG_HOME to another folder"
                          ) from None
    if len(content) > _MAX_BYTES:
        raise ConfigError(f"{path} is larger than {_MAX_BYTES >> 20} MB, which no file of settings is")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[:error.start].count(b"\n") + 1
        raise ConfigError(f"{path}, line {line}: not UTF-8; save the file as UTF-8") from None
    found = parse(path, text, faults)
    if found.data.get("keys") and status.st_mode & 0o077:
        mode = stat.S_IMODE(status.st_mode)
        _fault(faults, ("keys",), ConfigError(f"{path} holds API keys, and others can read or change it (mode "
                                              f"{mode:o}); close it with: chmod 600 {path}"))
        return SettingsFile(path, {name: value for name, value in found.data.items() if name != "keys"}, text)
    return found


def parse(path: Path, text: str, faults: list[Fault] | None = None) -> SettingsFile:
    """Read the words of a file.

    Args:
        faults: As for `load`.

    Raises:
        ConfigError: As `load`; with `faults`, where not even the rest can be read.
    """
    data = _toml(path, text, faults)
    file = SettingsFile(path, data, text)
    read: dict[str, Any] = {}
    for name, value in data.items():
        try:
            if name in KINDS:
                read[name] = _value(file, KINDS[name], (name,), value)
            elif name in TABLES or name == "keys":
                read[name] = _each(file, name, value, faults)
            else:
                raise file.error((name,), _unknown(name, [*KINDS, *TABLES, "keys"]))
        except ConfigError as error:
            _fault(faults, (name,), error)
    return SettingsFile(path, read, text)


def _each(file: SettingsFile, name: str, value: Any, faults: list[Fault] | None) -> Mapping[str, Any]:
    """A table of tables, or of keys; of one that is wrong in part nothing is used: address and key belong together."""
    read: dict[str, Any] = {}
    for inner, given in _table(file, (name,), value).items():
        try:
            read[inner] = _secret(file, inner, given) if name == "keys" else _inner(file, name, inner, given)
        except ConfigError as error:
            _fault(faults, (name, inner), error)
    return read


def _fault(faults: list[Fault] | None, keys: tuple[str, ...], error: ConfigError) -> None:
    if faults is None:
        raise error
    faults.append((keys, str(error)))


def _toml(path: Path, text: str, faults: list[Fault] | None) -> dict[str, Any]:
    """The data; with `faults`, without single lines that are no TOML."""
    lines = text.splitlines()
    for _ in range(_MAX_BAD_LINES):
        try:
            return tomllib.loads("\n".join(lines))
        except (tomllib.TOMLDecodeError, RecursionError) as wrong:
            said = "nested too deep" if isinstance(wrong, RecursionError) else wrong
            error = ConfigError(f"{path} is not TOML: {said}; text goes between quotes, as in "
                                'model = "openai:gpt-5-mini"')
            at = re.search(r"at line (\d{1,7})", str(wrong))
            number = int(at[1]) if at else 0
            line = lines[number - 1] if 0 < number <= len(lines) else ""
            # In a table it might be an address, without which the key beside it goes elsewhere
            in_table = any(line.lstrip().startswith("[") for line in lines[:number])
            found = None if in_table else re.match(r"\s*([\w.-]+)\s*=", line)
            if faults is None or found is None:
                raise error from None
            faults.append(((found[1],), str(error)))
            lines[number - 1] = ""
    raise ConfigError(f"{path} is not TOML, in more than {_MAX_BAD_LINES} lines; repair it, or move it away")


def _table(file: SettingsFile, keys: Sequence[str], value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise file.error(keys, f"{'.'.join(keys)} is a table: write it as [{'.'.join(keys)}] on a line of its own")
    return value


def _inner(file: SettingsFile, name: str, inner: str, value: Any) -> Mapping[str, Any]:
    kinds = TABLES[name]
    table = _table(file, (name, inner), value)
    for key in table:
        if key not in kinds:
            raise file.error((name, inner, key), _unknown(key, list(kinds), f" in [{name}.{_quoted(inner)}]"))
    if missing := [key for key in _NEEDED[name] if key not in table]:
        raise file.error((name, inner), f"[{name}.{_quoted(inner)}] needs {' and '.join(missing)}")
    return {key: _value(file, kinds[key], (name, inner, key), given) for key, given in table.items()}


def _value(file: SettingsFile, kind: Kind, keys: Sequence[str], value: Any) -> Any:
    try:
        return kind.read(value)
    except (ValueError, OverflowError):
        shown = repr(value)
        shown = shown if len(shown) <= 60 else f"{shown[:60]}..."
        raise file.error(keys, f"{keys[-1]} is {shown}; it takes {kind.wants}") from None


def _secret(file: SettingsFile, name: str, value: Any) -> str:
    # Whatever it is, it is not shown.
    if not isinstance(value, str) or not value.strip() or not value.strip().isprintable():
        raise file.error(("keys", name), f"the key {name!r} must be text between quotes, on one line")
    return value.strip()


def _unknown(name: str, known: Sequence[str], where: str = "") -> str:
    close = get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"unknown setting {name[:60]!r}{where}; {hint}known: {', '.join(known)}"


def _quoted(name: str) -> str:
    return name if name.replace("-", "_").isidentifier() else f'"{name}"'


def line_of(text: str, keys: Sequence[str]) -> int:
    """The line that a key stands on, counting from 1, or that its table begins on; 0 where that cannot be said."""
    lines, path = _lines(text), tuple(keys)
    inside = (line for found, line in lines.items() if found[: len(path)] == path)
    return lines.get(path) or next(inside, 0) or (line_of(text, path[:-1]) if len(path) > 1 else 0)


@lru_cache(maxsize=4)
def _lines(text: str) -> Mapping[tuple[str, ...], int]:
    """Where each key and each table stands, in order."""
    found: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        head = stripped if stripped.startswith("[") else f"{stripped.partition('=')[0]} = 0" if "=" in stripped else ""
        try:
            path = _path(tomllib.loads(head))
        except (tomllib.TOMLDecodeError, RecursionError):
            continue   # the inside of something longer
        if stripped.startswith("["):
            table, path = path, ()
        if table + path:
            found.setdefault(table + path, number)
    return found


def _path(data: Any) -> tuple[str, ...]:
    path: tuple[str, ...] = ()
    while isinstance(data, dict | list) and data:
        if isinstance(data, list):
            data = data[0]
            continue
        name, data = next(iter(data.items()))
        path += (name,)
    return path


def _short(path: Path) -> str:
    """As people write it."""
    try:
        return f"~/{path.relative_to(Path.home())}"
    except (ValueError, RuntimeError):
        return str(path)
