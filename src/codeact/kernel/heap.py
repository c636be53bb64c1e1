"""Values as they are stored in a file: a list of nodes that refer to one another by number. state.py calls it.

values.py spells one value as a tree, and two names for one list would become two lists. Here each object that can
change has one node, so that what was one object is one object again, also inside others and inside itself. A node is

    ["v", packed]                       anything values.py brings back exactly, by itself
    ["list" | "tuple" | "set" | "frozenset", [nodes]]                   ["items", "set" | "frozenset", packed list]
    ["dict" | "OrderedDict" | "Counter", [key nodes], [value nodes]]    ["defaultdict", factory node, [...], [...]]
    ["deque", length or null, [nodes]]  ["bytearray", packed bytes]     ["scalar", packed array without dimensions]
    ["columns", packed]                 an array that lies in memory column by column
    ["dated", packed, frequency]        a table whose index has a frequency, or such an index
    ["name", name]                      what state.py brings back otherwise: a module, a function, a class
    ["import", module, name]            a function or class of a library

What is written is what comes back equal and of the same type; everything else is refused with a reason. No code of the
user's runs: types are looked at, never asked. heap_reader.py makes the values again.
"""

from __future__ import annotations

import collections
from types import BuiltinFunctionType, FunctionType
from typing import Any, Callable, Dict, List, Optional, Tuple

from . import values
from .guard import keep_builtins
from .heap_tables import LIBRARY_ATOMS, PANDAS_ATOMS, copies_on_write, dated, plain_objects, same_table
from .kinds import (
    ATOMS,
    is_class,
    is_module,
    library_type,
    module_of,
    name_of,
    names_of_module,
    plain_table,
    plain_zone,
)

__all__ = ["MAX_DEPTH", "Refused", "Writer", "importable"]

keep_builtins(globals())

MAX_DEPTH = 200
MAX_BYTES = 256 << 20
"""Of all buffers together: with more a session of the default memory could not spell them."""
MAX_BUFFERS = 4000

_SEQUENCES: Dict[type, str] = {list: "list", tuple: "tuple", set: "set", frozenset: "frozenset"}
_MAPPINGS: Dict[type, str] = {dict: "dict", collections.OrderedDict: "OrderedDict", collections.Counter: "Counter",
                              collections.defaultdict: "defaultdict"}


class Refused(Exception):
    """This value does not go into a file; the text says why."""


def importable(value: Any) -> Optional[Tuple[str, str]]:
    """Module and name that a function or class of a library is found under, or None."""
    if is_class(value):
        module, name = module_of(value), name_of(value)
    else:
        in_numpy = library_type(value, "numpy") in ("ufunc", "_ArrayFunctionDispatcher")
        if type(value) not in (FunctionType, BuiltinFunctionType) and not in_numpy:
            return None
        module, name = "numpy" if in_numpy else value.__module__, value.__name__
    if type(module) is not str or type(name) is not str or module == "__main__":
        return None
    return (module, name) if names_of_module(module).get(name) is value else None


class Writer:
    """Makes the nodes.

    Args:
        named: id -> name of what is brought back by other means.
    """

    def __init__(self, named: Dict[int, str]):
        self.nodes: List[Any] = []
        self._named = named
        self._numbers: Dict[int, Tuple[int, Any]] = {}
        """id -> node and object, which is held so that the id stays its own."""
        self._open: Dict[int, Any] = {}
        self._memory: Dict[int, Tuple[Any, Any]] = {}
        """id of what owns an array's memory -> that, and the object seen first that uses it."""
        self._packer = values.Packer()
        self._packer._room = MAX_BYTES

    @property
    def buffers(self) -> List[bytes]:
        return self._packer.buffers

    def add(self, value: Any) -> int:
        """The node of a variable's value.

        Raises:
            Refused: It cannot be stored; nothing of it is.
        """
        nodes, buffers, room = len(self.nodes), len(self.buffers), self._packer._room
        numbers, memory = set(self._numbers), set(self._memory)
        try:
            return self._node(value, 0)
        except Exception as error:
            del self.nodes[nodes:], self.buffers[buffers:]
            self._packer._room = room
            for known, kept in ((self._numbers, numbers), (self._memory, memory)):
                for key in [key for key in known if key not in kept]:
                    del known[key]
            self._open.clear()
            if isinstance(error, Refused):
                raise
            if isinstance(error, MemoryError):
                raise Refused("there is not enough memory to store it") from None
            raise Refused(str(error)[:300] or name_of(type(error))) from None

    def _node(self, value: Any, depth: int) -> int:
        if id(value) in self._numbers:
            return self._numbers[id(value)][0]
        if depth > MAX_DEPTH:
            raise Refused("it is nested deeper than %d" % MAX_DEPTH)
        if id(value) in self._open:
            raise Refused("it holds a tuple that contains itself")
        kind = type(value)
        number = len(self.nodes)
        self.nodes.append(None)
        if kind in (tuple, frozenset):
            self._open[id(value)] = value
        else:
            self._numbers[id(value)] = number, value
        self.nodes[number] = self._spell(value, kind, depth)
        if kind in (tuple, frozenset):
            del self._open[id(value)]
            self._numbers[id(value)] = number, value
        return number

    def _spell(self, value: Any, kind: type, depth: int) -> List[Any]:
        if id(value) in self._named:
            return ["name", self._named[id(value)]]
        if kind in ATOMS:
            return ["v", self._pack(value)]
        if kind in _SEQUENCES:
            if not set(map(type, value)) <= ATOMS:
                return [_SEQUENCES[kind], self._many(_ordered(value), depth)]
            if kind in (list, tuple):
                return ["v", self._pack(value)]
            return ["items", _SEQUENCES[kind], self._pack(_ordered(value))]
        if kind in _MAPPINGS:
            return self._mapping(value, kind, depth)
        if kind is collections.deque:
            return ["deque", value.maxlen, self._many(list(value), depth)]
        if kind is bytearray:
            return ["bytearray", self._pack(bytes(value))]
        if kind is range:
            return ["v", self._pack(value)]
        if not plain_zone(getattr(value, "tzinfo", None) if _is_time(value) else None):
            raise Refused("its time zone is an instance of a class of the session")
        if any(library_type(value, module) in names for module, names in LIBRARY_ATOMS.items()):
            return self._checked(value, lambda back: repr(back) == repr(value))
        found = importable(value)
        if found is not None:
            return ["import", *found]
        if library_type(value, "numpy"):
            return self._numpy(value)
        if library_type(value, "pandas"):
            return self._pandas(value)
        raise Refused(_why_not(value))

    def _mapping(self, value: Any, kind: type, depth: int) -> List[Any]:
        if kind is not dict and kind is not collections.defaultdict and value.__dict__:
            raise Refused("it is a %s with attributes of its own" % name_of(kind))
        keys, items = list(dict.keys(value)), list(dict.values(value))
        if kind is dict and set(map(type, keys)) | set(map(type, items)) <= ATOMS:
            return ["v", self._pack(value)]
        start: List[Any] = [_MAPPINGS[kind]]
        if kind is collections.defaultdict:
            start.append(self._node(value.default_factory, depth + 1))
        return start + [self._many(keys, depth), self._many(items, depth)]

    def _many(self, items: List[Any], depth: int) -> List[int]:
        return [self._node(item, depth + 1) for item in items]

    def _pack(self, value: Any) -> Any:
        self._packer._items, self._packer._levels = 0, values.MAX_DEPTH
        if len(self.buffers) >= MAX_BUFFERS:
            raise Refused("the session holds more than %d separate binary values" % MAX_BUFFERS)
        try:
            return self._packer.pack(value)
        except TypeError as error:
            if "cannot cross between kernel and host at once; use a file" in str(error):
                raise Refused("the variables together are larger than %d MB" % (MAX_BYTES >> 20)) from None
            raise

    def _checked(self, value: Any, same: Callable[[Any], bool]) -> List[Any]:
        """Spell what values.py may not bring back as it was, after trying it."""
        tree, buffers = values.pack(value)
        back = values.unpack(tree, buffers)
        if type(back) is not type(value) or not same(back):
            raise Refused("a %s like this one would come back as something else" % name_of(type(value)))
        return ["v", self._pack(value)]

    # Arrays and tables ------------------------------------------------------------------------------------------------

    def _numpy(self, value: Any) -> List[Any]:
        import numpy

        if library_type(value, "numpy") != "ndarray":
            if not isinstance(value, numpy.generic):
                raise Refused(_why_not(value))
            return ["scalar", self._pack(numpy.asarray(value))]
        if not value.flags.writeable:
            raise Refused("it is an array that cannot be written to, or a view of another one")
        self._own_memory(value, value)
        by_columns = value.flags.f_contiguous and not value.flags.c_contiguous
        return ["columns" if by_columns else "v", self._pack(value)]

    def _pandas(self, value: Any) -> List[Any]:
        import pandas  # type: ignore[import-untyped]

        name = library_type(value, "pandas")
        if name in PANDAS_ATOMS:
            return self._checked(value, lambda back: repr(back) == repr(value) and hash(back) == hash(value))
        if name != "DataFrame" and name != "Series" and pandas.Index not in type(value).__mro__:
            raise Refused(_why_not(value))
        if not plain_table(value):
            raise Refused("it keeps its data in arrays of another kind than NumPy's and pandas'")
        if getattr(value, "attrs", None):
            raise Refused("it has attrs")
        whole = name in ("DataFrame", "Series")
        for array in value._mgr.arrays if whole else ():
            if str(array.dtype) == "object" and not plain_objects(array):
                raise Refused("it holds objects that are no plain values")
            self._own_memory(array, value)
        indexes = [value.index, *([value.columns] if name == "DataFrame" else [])] if whole else [value]
        for index in indexes:
            for level in index.levels if hasattr(index, "levels") else [index]:
                if str(level.dtype) == "object" and not plain_objects(level.to_numpy()):
                    raise Refused("its index holds objects that are no plain values")
        frequency = getattr(indexes[0], "freq", None)
        if frequency is None or library_type(indexes[0], "pandas") == "PeriodIndex":
            return self._checked(value, lambda back: same_table(value, back))
        text = str(frequency.freqstr)
        self._checked(value, lambda back: same_table(value, dated(back, text)))
        return ["dated", self._pack(value), text]

    def _own_memory(self, array: Any, holder: Any) -> None:
        """Refuse an array whose memory another object of the session uses: after a load they would be two."""
        import numpy

        in_table = bool(library_type(holder, "pandas"))
        owner = array
        while type(owner) is numpy.ndarray and owner.base is not None:
            owner = owner.base
        if type(owner) not in (numpy.ndarray, bytes) and not in_table:
            raise Refused("its memory belongs to a %s" % name_of(type(owner)))
        known = self._memory.setdefault(id(owner), (owner, holder))[1]
        if known is holder or (in_table and library_type(known, "pandas") and copies_on_write()):
            return
        raise Refused("it shares its memory with another variable")


def _is_time(value: Any) -> bool:
    return library_type(value, "datetime") in ("datetime", "time") or library_type(value, "pandas") == "Timestamp"


def _ordered(value: Any) -> List[Any]:
    """The items; those of a set in an order that does not depend on the process's hashes, where they have one."""
    if type(value) not in (set, frozenset):
        return list(value)
    if all(map(_has_plain_repr, value)):
        return sorted(value, key=lambda item: (name_of(type(item)), repr(item)))
    return list(value)


def _has_plain_repr(value: Any) -> bool:
    return type(value) in ATOMS or (type(value) is tuple and all(map(_has_plain_repr, value)))


def _why_not(value: Any) -> str:
    kind = type(value)
    if name_of(kind) == "generator" or name_of(kind) == "coroutine":
        return "a %s cannot be stored" % name_of(kind)
    if is_class(value) or is_module(value) or name_of(kind) == "function":
        return "it is not found under its name"
    where = module_of(kind)
    return "an instance of %s cannot be stored" % (name_of(kind) if where in ("builtins", "__main__", "")
                                                   else "%s.%s" % (where, name_of(kind)))
