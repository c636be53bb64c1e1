"""Makes the values again that heap.py spelled as nodes. state.py calls it.

It takes its input for hostile, as `values.unpack` does: a node is one of a fixed list, and nothing is unpickled or
evaluated. What this does not protect against: importing a library runs its code, as in any cell.
"""

from __future__ import annotations

import collections
from typing import Any, Dict, List

from . import values
from .guard import keep_builtins
from .heap import MAX_DEPTH
from .heap_tables import dated
from .wire import MAX_DEPTH as MAX_TREE_DEPTH

__all__ = ["Reader", "attribute"]

keep_builtins(globals())


class Reader:
    """Makes values of nodes.

    Args:
        nodes, buffers: As a `Writer` made them, or hostile.
        named: Finds what a "name" node stands for; raises KeyError.

    Raises:
        ValueError: From `value`, for what no `Writer` makes.
    """

    def __init__(self, nodes: Any, buffers: List[Any], named: Dict[str, Any]):
        if type(nodes) is not list:
            raise ValueError("no list of nodes")
        self._nodes, self._named = nodes, named
        self._unpacker = values.Unpacker(buffers)
        self._made: Dict[int, Any] = {}
        self._open: set[int] = set()

    def value(self, number: Any) -> Any:
        """What a node stands for; the same object each time."""
        if type(number) is not int or not 0 <= number < len(self._nodes):
            raise ValueError("there is no such node")
        if number in self._made:
            return self._made[number]
        if number in self._open or len(self._open) > 2 * MAX_DEPTH:
            raise ValueError("nodes that contain one another")
        self._open.add(number)
        try:
            kind, *rest = self._nodes[number]
            made = self._make(number, kind, *rest)
            self._made[number] = made
            return made
        finally:
            self._open.discard(number)

    def _unpack(self, tree: Any) -> Any:
        self._unpacker._levels = MAX_TREE_DEPTH     # what failed before left it lower
        return self._unpacker.unpack(tree)

    def _make(self, number: int, kind: Any, *rest: Any) -> Any:
        if kind == "v":
            return self._unpack(rest[0])
        if kind == "items":
            return (set if rest[0] == "set" else frozenset)(self._unpack(rest[1]))
        if kind == "dated":
            return dated(self._unpack(rest[0]), rest[1])
        if kind in ("tuple", "frozenset"):
            items = [self.value(item) for item in rest[0]]
            return tuple(items) if kind == "tuple" else frozenset(items)
        if kind in ("list", "set"):
            made: Any = [] if kind == "list" else set()
            self._made[number] = made
            for item in rest[0]:
                made.append(self.value(item)) if kind == "list" else made.add(self.value(item))
            return made
        if kind in ("dict", "OrderedDict", "Counter", "defaultdict"):
            factory = [self.value(rest[0])] if kind == "defaultdict" else []
            keys, items = rest[-2:]
            made = {"dict": dict, "OrderedDict": collections.OrderedDict, "Counter": collections.Counter,
                    "defaultdict": collections.defaultdict}[kind](*factory)
            self._made[number] = made
            for key, item in zip(keys, items):  # noqa: B905 (Python 3.9)
                dict.__setitem__(made, self.value(key), self.value(item)) if kind != "OrderedDict" \
                    else made.__setitem__(self.value(key), self.value(item))
            return made
        if kind == "deque":
            if rest[0] is not None and type(rest[0]) is not int:
                raise ValueError("malformed deque")
            made = self._made[number] = collections.deque((), rest[0])
            made.extend(self.value(item) for item in rest[1])
            return made
        if kind == "bytearray":
            return bytearray(self._unpack(rest[0]))
        if kind == "columns":
            import numpy

            return numpy.asfortranarray(self._unpack(rest[0]))
        if kind == "scalar":
            return self._unpack(rest[0])[()]
        if kind == "name":
            return self._named[rest[0]]
        if kind == "import":
            import importlib

            return attribute(importlib.import_module(str(rest[0])), rest[1])
        raise ValueError("unknown kind of node")


def attribute(module: Any, name: Any) -> Any:
    """A module's attribute of this name.

    Raises:
        ValueError: There is none.
    """
    try:
        return getattr(module, str(name))
    except AttributeError:
        raise ValueError("%s has no %s" % (module.__name__, name)) from None
