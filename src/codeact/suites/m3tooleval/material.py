"""The suite's data as files, read and checked: tasks, descriptions of tools, tables of travel, pages of the web site.

    tasks.jsonl      {"id", "family", "instruction", "expected_output", "expected_type"} a line
    tools.json       {family: [{"name", "signature", "description"}]}
    travel.json      {"locations": [...], "flights": [...], "hotels": [...]}
    web_pages.jsonl  {"name", "content"} a line

`codeact data get m3tooleval` makes them; none of it is part of this package.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codeact.data.canonical import digest
from codeact.errors import ConfigError
from codeact.tasks import Task

__all__ = ["FILES", "Material", "read"]

FILES = ("tasks.jsonl", "tools.json", "travel.json", "web_pages.jsonl")

_TYPES: Mapping[str, Any] = {"str": str, "int": int, "float": float, "bool": bool, "list": list, "tuple": tuple,
                             "dict": dict}  # fmt: skip
_DECIMALS = re.compile(r"'x+\.(x+)'")
"""How a task asks for a number of so many decimals."""
_ADVICE = "get it anew with: codeact data get m3tooleval"


@dataclass(frozen=True)
class Material:
    """All of the data."""

    tasks: Sequence[Task]
    told: Mapping[str, Sequence[Mapping[str, str]]]
    """Descriptions of tools by family."""
    travel: Mapping[str, Sequence[Any]]
    pages: Mapping[str, str]
    digest: str
    """SHA-256 of all files' digests, in hexadecimal."""


def read(folder: Path, *others: Path) -> Material:
    """The data of a folder; a file that it lacks is taken from the first of the others that has it.

    Raises:
        ConfigError: A file is missing, or is not what it should be.
    """
    at = {name: next((place for place in (folder, *others) if (place / name).is_file()), folder) / name
          for name in FILES}
    hashed = hashlib.sha256()
    texts: dict[str, str] = {}
    for name in FILES:
        try:
            texts[name] = at[name].read_bytes().decode()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{at[name]} cannot be read: {error}; {_ADVICE}") from None
        try:
            hashed.update(digest(name, texts[name]).encode())
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"{at[name]} is not what it should be: {error!r}; {_ADVICE}") from None
    tasks = []
    for line, value in _lines(at["tasks.jsonl"], texts["tasks.jsonl"]):
        try:
            tasks.append(_task(value))
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"{at['tasks.jsonl']}, line {line}, is no task: {error!r}; {_ADVICE}") from None
    try:
        told = {family: [{key: str(entry[key]) for key in ("name", "signature", "description")} for entry in entries]
                for family, entries in json.loads(texts["tools.json"]).items()}
        travel = json.loads(texts["travel.json"])
        travel = {key: list(travel[key]) for key in ("locations", "flights", "hotels")}
        pages = {value["name"]: str(value["content"])
                 for _, value in _lines(at["web_pages.jsonl"], texts["web_pages.jsonl"])}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"the data in {folder} is not what it should be: {error!r}; {_ADVICE}") from None
    return Material(tasks, told, travel, pages, hashed.hexdigest())


def _lines(path: Path, text: str) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except ValueError as error:
                raise ConfigError(f"{path}, line {number}, is no JSON: {error}; {_ADVICE}") from None


def _task(value: Mapping[str, Any]) -> Task:
    expected = value["expected_output"]
    kind = value["expected_type"]
    if (kind, type(expected)) in (("tuple", list), ("float", int)):
        expected = _TYPES[kind](expected)  # JSON has no tuples, and may write 50400.0 as 50400
    if type(expected) is not _TYPES[kind]:
        raise ValueError(f"expected_output is no {kind}: {expected!r:.80}")
    asked = _DECIMALS.search(value["instruction"])
    about = {"decimals": len(asked[1])} if asked else {}
    return Task(value["id"], value["family"], value["instruction"], expected, about)
