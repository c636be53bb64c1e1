"""Tables and the small values of libraries in a file: what heap.py must know of them to bring back what was there.

pandas is imported by whoever has a table; no code of the user's runs.
"""

from __future__ import annotations

import sys
from typing import Any

from .guard import keep_builtins
from .kinds import ATOMS, library_type

__all__ = ["LIBRARY_ATOMS", "PANDAS_ATOMS", "copies_on_write", "dated", "plain_objects", "same_table"]

keep_builtins(globals())

LIBRARY_ATOMS = {"datetime": ("datetime", "date", "time", "timedelta"), "decimal": ("Decimal",), "uuid": ("UUID",),
                  "pathlib": ("PosixPath", "PurePosixPath")}
PANDAS_ATOMS = ("Timestamp", "Timedelta", "NaTType", "NAType", "Interval", "Period")
"""Types whose values hold no others and never change, by the package they come from."""


def copies_on_write() -> bool:
    """Whether tables that share memory are told apart at the first write."""
    return int(sys.modules["pandas"].__version__.split(".")[0]) >= 3


def plain_objects(array: Any) -> bool:
    for item in array.reshape(-1).tolist() if hasattr(array, "reshape") else list(array):
        if type(item) not in ATOMS and library_type(item, "pandas") not in PANDAS_ATOMS \
                and not any(library_type(item, module) in names for module, names in LIBRARY_ATOMS.items()):
            return False
    return True


def same_table(one: Any, other: Any) -> bool:
    from pandas import testing  # type: ignore[import-untyped]

    kind = type(one).__name__
    try:
        if kind == "DataFrame":
            testing.assert_frame_equal(one, other, check_exact=True, check_index_type=True, check_column_type=True)
        elif kind == "Series":
            testing.assert_series_equal(one, other, check_exact=True, check_index_type=True)
        else:
            testing.assert_index_equal(one, other, exact=True, check_exact=True)
            return bool(getattr(one, "freq", None) == getattr(other, "freq", None))
    except AssertionError:
        return False
    columns = [(one, other)] if kind != "DataFrame" else \
        [(one.iloc[:, n], other.iloc[:, n]) for n in range(one.shape[1])]
    for left, right in columns:
        if str(left.dtype) == "object" and list(map(type, left)) != list(map(type, right)):
            return False
    return True


def dated(value: Any, frequency: Any) -> Any:
    """Give a table's index, or an index, its frequency back."""
    if type(frequency) is not str or len(frequency) > 40:
        raise ValueError("malformed frequency")
    index = value.index if hasattr(value, "index") and hasattr(value, "iloc") else value
    index.freq = frequency
    return value
