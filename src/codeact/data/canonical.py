"""One spelling of a data file, so that its hash says whether two copies hold the same.

Objects have their keys sorted, and so have the lines of a `.jsonl` file. Rows of a table that is asked by a key are in
the order of that key; rows of the same key keep theirs.
"""

import hashlib
import json
from typing import Any

__all__ = ["digest", "lines"]

_KEYS = {"locations": (), "flights": ("from_location", "to_location", "date"), "hotels": ("location",)}
"""By table: what its rows are asked by; () for rows that are the key themselves."""


def digest(name: str, text: str) -> str:
    """SHA-256, in hexadecimal, of a file's content whatever the order of its lines.

    Raises:
        ValueError: It is not what its name says: JSON, or a JSON object a line.
    """
    if name.endswith(".jsonl"):
        canonical = "\n".join(sorted(_dumped(value) for value in lines(text)))
    else:
        canonical = _dumped(_ordered(json.loads(text)))
    return hashlib.sha256(canonical.encode()).hexdigest()


def lines(text: str) -> list[Any]:
    """The values of a `.jsonl` file.

    Raises:
        ValueError: A line is no JSON.
    """
    return [json.loads(line) for line in text.split("\n") if line.strip()]


def _dumped(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _ordered(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {key: sorted(rows, key=lambda row: [row[part] for part in _KEYS[key]] or row)
            if key in _KEYS and isinstance(rows, list) else rows for key, rows in value.items()}
