"""Change one value in the file of settings and leave the rest, comments too, as it is: `codeact config set`."""

from __future__ import annotations

import os
import tempfile
from collections.abc import MutableMapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from codeact.errors import ConfigError, MissingExtra
from codeact.settings.file import KINDS, TABLES, Fault, load, parse

_SHAPES = {"keys": "keys.NAME, as: codeact config set keys.openai",
           "prices": "prices.MODEL with two numbers, input and output in US dollars for a million tokens, as: codeact "
                     "config set prices.openai:gpt-5-mini 0.25,2"}

__all__ = ["put", "remove"]


def put(path: Path, name: str, text: str) -> None:
    """Set a value, as `max_turns`, `models.fast.model` or `keys.openai`; where there is no file, make it.

    Args:
        text: The value as people write it: 30, openai:gpt-5-mini; of a list, words with commas between.

    Raises:
        ConfigError: There is no such setting, it does not take the value, or the file as it is cannot be used.
        MissingExtra: What keeps comments is not installed.
        OSError: The file cannot be written.
    """
    try:
        import tomlkit
    except ImportError:
        raise MissingExtra("tomlkit", "terminal", "codeact config set") from None
    keys = _keys(name)
    value = _value(keys, text)
    document, old = _document(path)
    table: MutableMapping[str, Any] = document
    for key in keys[:-1]:
        if key not in table:
            table[key] = tomlkit.table(is_super_table=key in TABLES and table is document)
        table = table[key]
    table[keys[-1]] = value
    _replace(path, old, tomlkit.dumps(document))


def remove(path: Path, name: str) -> None:
    """Take a value out, and its table with the last one in it; `models.fast` is the whole profile.

    Raises:
        As `put`; ConfigError also where the file does not have it.
    """
    try:
        import tomlkit
    except ImportError:
        raise MissingExtra("tomlkit", "terminal", "codeact config unset") from None
    document, old = _document(path)
    known = name.partition(".")[0] in TABLES and any(name == f"models.{one}" for one in document.get("models", ()))
    keys = ["models", name.removeprefix("models.")] if known else \
        [name] if name in document and "." not in name else _keys(name)
    tables: list[MutableMapping[str, Any]] = [document]
    for key in keys[:-1]:
        tables.append(tables[-1].get(key, {}))
    if keys[-1] not in tables[-1]:
        raise ConfigError(f"{name} is not set in {path}")
    for table, key in zip(reversed(tables), reversed(keys), strict=True):
        if key == keys[-1] or not table[key]:
            del table[key]
    _replace(path, old, tomlkit.dumps(document))


def _document(path: Path) -> tuple[Any, list[Fault]]:
    """The file, to be changed, and what is wrong in it already."""
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    faults: list[Fault] = []
    text = load(path, faults).text
    try:
        return tomlkit.parse(text), faults
    except (TOMLKitError, RecursionError):
        parse(path, text)   # says it with the line
        raise ConfigError(f"{path} cannot be changed by itself: edit it by hand") from None


def _replace(path: Path, old: list[Fault], text: str) -> None:
    """Write the file, unless that would make something wrong in it that was not before."""
    new: list[Fault] = []
    parse(path, text, new)
    before = {keys for keys, _ in old}
    for keys, said in new:
        if keys not in before:
            raise ConfigError(said)
    _write(path, text)


def _keys(name: str) -> list[str]:
    """The name in its parts; what the user names may have dots in it."""
    table, _, rest = name.partition(".")
    if table in ("keys", "prices") and rest:
        return [table, rest.strip('"')]
    if table == "models":
        inner, _, key = rest.rpartition(".")
        if inner and key in TABLES["models"]:
            return [table, inner.strip('"'), key]
        raise ConfigError(f"of a profile, models.NAME.KEY is set, and KEY is one of {', '.join(TABLES['models'])}")
    if name in KINDS:
        return [name]
    if table in _SHAPES:
        raise ConfigError(f"{name!r} is not whole; it is {_SHAPES[table]}")
    close = get_close_matches(table, ("models", *_SHAPES) if rest else KINDS, n=1)
    hint = f"did you mean {'.'.join([close[0], rest]).rstrip('.')!r}? " if close else ""
    raise ConfigError(f"there is no setting {name!r}; {hint}there are: {', '.join(KINDS)}, models.NAME.KEY, "
                      "prices.MODEL, keys.NAME")


def _value(keys: list[str], text: str) -> Any:
    if keys[0] == "keys":
        return text
    wants = "two numbers, input and output in US dollars for a million tokens, as 0.25,2"
    try:
        if keys[0] == "prices":
            read, written = (TABLES["prices"]["input"].from_text(part) for part in text.split(","))
            return {"input": read, "output": written}
        kind = TABLES["models"][keys[-1]] if keys[0] == "models" else KINDS[keys[0]]
        wants = kind.wants
        value = kind.from_text(text)
        kind.read(value)
    except (ValueError, OverflowError):
        raise ConfigError(f"{'.'.join(keys)} cannot be {text[:60]!r}; it takes {wants}") from None
    return value


def _write(path: Path, text: str) -> None:
    """Replace the file in one step, and leave it to its owner alone; a link stays one."""
    target = path.resolve()
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    number, name = tempfile.mkstemp(dir=target.parent, prefix=".config-")   # of mode 600
    try:
        with open(number, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, target)
    except BaseException:
        os.unlink(name)
        raise
