"""What a value is, found out without running code of the user's: for variables.py and heap.py.

`isinstance`, `value.__class__`, `len(value)` and `cls.__name__` all ask the object or its metaclass, which may lie,
hang or act. Here the type is read where CPython keeps it.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any, Dict, FrozenSet, List, Tuple

from .guard import keep_builtins

__all__ = ["ATOMS", "attributes", "is_class", "is_module", "is_own_name", "library_type", "module_of", "mro", "name_of",
           "names_in", "names_of_module", "plain_table",
           "plain_zone", "user_names"]

keep_builtins(globals())

ATOMS: FrozenSet[type] = frozenset([type(None), bool, int, float, complex, str, bytes])
"""Types whose values hold no others and never change."""

_NAME, _MRO, _MODULE, _DICT = [type.__dict__[name].__get__
                               for name in ("__name__", "__mro__", "__module__", "__dict__")]


def name_of(kind: type) -> str:
    """`kind.__name__`, whatever its metaclass says."""
    return str(_NAME(kind))


def mro(kind: type) -> Tuple[type, ...]:
    found: Tuple[type, ...] = _MRO(kind)
    return found


def module_of(kind: type) -> str:
    """`kind.__module__` where it is a plain text, else ""."""
    try:
        found = _MODULE(kind)
    except AttributeError:
        return ""
    return found if type(found) is str else ""


def attributes(kind: type) -> Dict[str, Any]:
    """A class's own attributes, as a copy."""
    return dict(_DICT(kind))


def is_class(value: Any) -> bool:
    return type in mro(type(value))


def is_module(value: Any) -> bool:
    return ModuleType in mro(type(value))


def names_in(module: Any) -> Dict[str, Any]:
    """What a module holds, whatever its class says."""
    found: Dict[str, Any] = vars(ModuleType)["__dict__"].__get__(module)
    return found


def names_of_module(name: str) -> Dict[str, Any]:
    """The same of the imported module of this name; empty where there is none."""
    module = sys.modules.get(name)
    return names_in(module) if is_module(module) else {}


def library_type(value: Any, package: str) -> str:
    """The name of the value's type where it is one of this package's own ("numpy", "pandas"), else ""."""
    kind = type(value)
    module = module_of(kind)
    if module != package and not module.startswith(package + "."):
        return ""
    name = name_of(kind)
    # Who says to be pandas.DataFrame must be it. Not all types have a name on top: DatetimeArray, NAType
    known = names_of_module(package).get(name) is kind or names_of_module(module).get(name) is kind
    return name if known else ""


def plain_table(value: Any) -> bool:
    """Whether a DataFrame, Series or Index keeps its data in arrays of NumPy's and pandas' own alone.

    An array of another kind (an "extension") is asked for its type, its size and its items, by pandas itself.
    """
    if hasattr(value, "_mgr"):
        return all(map(_plain_array, value._mgr.arrays)) and all(map(plain_table, value.axes))
    if library_type(value, "pandas") == "MultiIndex":
        return all(map(plain_table, value.levels))
    return library_type(value, "pandas") == "RangeIndex" or _plain_array(value._data)


def plain_zone(zone: Any) -> bool:
    """Whether a time zone, which every look at a time asks, is none of the user's classes."""
    return zone is None or module_of(type(zone)).partition(".")[0] in ("datetime", "zoneinfo", "dateutil", "pytz")


def _plain_array(array: Any) -> bool:
    if library_type(array, "pandas") == "Categorical":
        return plain_table(array.categories)
    if library_type(array, "pandas") == "DatetimeArray" and not plain_zone(array.tz):
        return False
    return bool(library_type(array, "numpy") or library_type(array, "pandas"))


def is_own_name(name: Any) -> bool:
    """Whether a name of the namespace is the user's to give: not Python's, not the notebook's."""
    if type(name) is not str or name in ("In", "Out", "get_ipython", "_exit_code"):
        return False
    return not (name[:2] == "__" and name[-2:] == "__") and not name.strip("_").isdigit() and name.strip("_") != ""


def user_names(namespace: Dict[str, Any], given: Dict[str, Any]) -> List[Tuple[str, Any]]:
    """The names a session's cells gave, with their values, in the order in which they were first given.

    Args:
        given: What the session began with: tools, the helper file's names. Left out while still the same objects.
    """
    missing = object()
    return [(name, value) for name, value in list(namespace.items())
            if is_own_name(name) and given.get(name, missing) is not value]
