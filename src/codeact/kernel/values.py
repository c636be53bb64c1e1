"""Values that cross between kernel and host: JSON with tags, and binary buffers beside it.

`stubs.py` packs a tool's arguments with it and unpacks the answer; on the host `codeact.tools` does the reverse.

JSON's own values stand for themselves. Everything else is an object with one key, its tag:

    {"$tuple": [...]}  {"$set": [...]}  {"$frozenset": [...]}  {"$dict": [[keys...], [values...]]}  {"$bytes": buffer}
    {"$float": "nan"}  {"$int": "0x..."}  {"$complex": [re, im]}  {"$range": [start, stop, step]}
    {"$datetime": iso}  {"$date": iso}  {"$time": iso}  {"$timedelta": [days, seconds, microseconds]}
    {"$decimal": text}  {"$uuid": hex}  {"$path": text}  {"$str": buffer}             (a long text)
    {"$floats": buffer}  {"$ints": buffer}  {"$strs": [buffer, lengths]}  {"$blobs": [buffer, lengths]}  (long lists)
    {"$ndarray": ...}  {"$np": ...}: arrays.py      {"$frame": ...}  {"$series": ...}  {"$index": ...}  ...: tables.py

where `buffer` is an index into the buffers. A dict with keys that are not text, or that begin with "$", is a `$dict`.
Dataclasses and pydantic models go as dicts, named tuples as tuples, an Enum as its value, subclasses as their base.

`unpack` takes its input for hostile: it knows a fixed list of tags and makes plain values from them; nothing is
unpickled, evaluated or looked up by name. Depth, counts and sizes are checked before anything is allocated, and a
buffer can be used once, so what it builds is in proportion to what was sent. It does not judge the values: a million
items or a text that looks like a command are for the tool to refuse.

Source: docs/kernel_protocol.md.
"""

from __future__ import annotations

import struct
from typing import Any, Callable, Dict, Iterable, List, Sequence, Tuple, Union

from . import arrays, plain, tables
from .plain import LONG_TEXT, SMALL
from .wire import MAX_BUFFERS, MAX_TAIL_BYTES
from .wire import MAX_DEPTH as MAX_TREE_DEPTH

__all__ = ["CAN_CROSS", "MAX_DEPTH", "MAX_ITEMS", "Packer", "Unpacker", "pack", "unpack"]

MAX_DEPTH = 32
"""Containers inside one another. A level takes at most three of JSON's, so a tree stays below the wire's limit."""
MAX_ITEMS = 1_000_000
"""Items of all containers together, long lists of one plain type apart."""
LONG_LIST = 256

CAN_CROSS = ("None, bool, int, float, complex, str, bytes, list, tuple, set, frozenset, dict, range, datetime, date, "
             "time, timedelta, Decimal, UUID, Path, Enum, dataclasses, named tuples, pydantic models, NumPy arrays and "
             "scalars, pandas frames, series and indexes")


def pack(value: Any, *, max_depth: int = MAX_DEPTH) -> Tuple[Any, List[bytes]]:
    """Spell a value as a tree that `json` can write, and its buffers.

    Raises:
        TypeError: Something in it cannot cross, is nested too deep (or in itself), or is too large.
    """
    packer = Packer(max_depth)
    return packer.pack(value), packer.buffers


def unpack(tree: Any, buffers: Sequence[Union[bytes, memoryview]] = ()) -> Any:
    """Make the value that `pack` spelled.

    Raises:
        ValueError: It is not what `pack` writes, or needs a package that is not installed here.
    """
    try:
        return Unpacker(buffers).unpack(tree)
    except ValueError:
        raise
    except ImportError as error:
        raise ValueError("this value needs a package that this side does not have: %s" % error) from None
    except Exception as error:  # numpy and pandas have many ways to say no
        raise ValueError("malformed value: %s: %s" % (type(error).__name__, str(error)[:200])) from None


class Packer:
    """One `pack` under way."""

    def __init__(self, max_depth: int = MAX_DEPTH):
        self.buffers: List[bytes] = []
        self._room = MAX_TAIL_BYTES
        self._items = 0
        self._levels = max_depth

    def pack(self, value: Any) -> Any:
        kind = type(value)
        if kind is str:
            if len(value) < LONG_TEXT:
                return value
        elif value is None or kind is bool:
            return value
        elif kind is int:
            if -SMALL <= value < SMALL:
                return value
        elif kind is float and value - value == 0.0:
            return value
        return _speller(kind)(self, value)

    def many(self, values: Iterable[Any]) -> List[Any]:
        """Pack the items of one container, one level deeper."""
        values = list(values)
        self._items += len(values)
        self._levels -= 1
        if self._levels < 0:
            raise TypeError("a value nested this deep, or that contains itself, cannot cross between kernel and host")
        if self._items > MAX_ITEMS:
            raise TypeError("more than %d items cannot cross between kernel and host; "
                            "use a NumPy array, a data frame or a file" % MAX_ITEMS)
        pack = self.pack
        packed = [pack(value) for value in values]
        self._levels += 1
        return packed

    def sequence(self, values: List[Any]) -> Any:
        """Pack a list; a long one whose items all have one plain type takes a buffer or two."""
        if len(values) >= LONG_LIST and len(set(map(type, values))) == 1:
            kind = type(values[0])
            if kind is float:
                return {"$floats": self.buffer(struct.pack("<%dd" % len(values), *values))}
            if kind is int and -SMALL <= min(values) and max(values) < SMALL:
                return {"$ints": self.buffer(struct.pack("<%dq" % len(values), *values))}
            if kind is str:
                text = "".join(values).encode("utf-8", "surrogatepass")
                return {"$strs": [self.buffer(text), self._lengths(values)]}
            if kind is bytes:
                return {"$blobs": [self.buffer(b"".join(values)), self._lengths(values)]}
        return self.many(values)

    def _lengths(self, values: List[Any]) -> int:
        return self.buffer(struct.pack("<%dI" % len(values), *map(len, values)))

    def reserve(self, n_bytes: int) -> None:
        """Say that a buffer of this size will follow, before it is made."""
        if n_bytes > self._room:
            raise TypeError("more than %d MB cannot cross between kernel and host at once; use a file"
                            % (MAX_TAIL_BYTES >> 20))

    def buffer(self, data: bytes) -> int:
        """Add a buffer; its index."""
        self.reserve(len(data))
        if len(self.buffers) >= MAX_BUFFERS:
            raise TypeError("more than %d separate binary values (bytes, arrays, columns) cannot cross between kernel "
                            "and host at once; join them" % MAX_BUFFERS)
        self._room -= len(data)
        self.buffers.append(data)
        return len(self.buffers) - 1


class Unpacker:
    """One `unpack` under way; its methods raise ValueError, or anything else that `unpack` turns into one."""

    def __init__(self, buffers: Sequence[Union[bytes, memoryview]]):
        self._buffers = buffers
        self._used: set[int] = set()
        self._levels = MAX_TREE_DEPTH

    def unpack(self, tree: Any) -> Any:
        kind = type(tree)
        if kind is str or kind is int or kind is float or kind is bool or tree is None:
            return tree
        self._levels -= 1
        if self._levels < 0:
            raise ValueError("a value nested deeper than %d" % MAX_TREE_DEPTH)
        value: Any
        if kind is list:
            value = [self.unpack(item) for item in tree]
        elif kind is not dict:
            raise ValueError("not a JSON value: %s" % kind.__name__)
        else:
            tag = next(iter(tree)) if len(tree) == 1 else ""
            if tag[:1] == "$":
                read = _READERS.get(tag)
                if read is None:
                    raise ValueError("unknown tag %.40r" % tag)
                value = read(self, tree[tag])
            else:
                value = {key: self.unpack(item) for key, item in tree.items()}
        self._levels += 1
        return value

    def list(self, tree: Any) -> List[Any]:
        """Unpack something that must be a list."""
        value = self.unpack(tree)
        if type(value) is not list:
            raise ValueError("a list was expected, not %s" % type(value).__name__)
        return value

    def tagged(self, tag: str, tree: Any) -> Any:
        """Unpack something that must bear this tag."""
        if type(tree) is not dict or list(tree) != [tag]:
            raise ValueError("%s was expected" % tag)
        return self.unpack(tree)

    def buffer(self, index: Any) -> memoryview:
        """The buffer of this index, which may be taken once: else a short message could ask for a lot of memory."""
        if type(index) is not int or not 0 <= index < len(self._buffers):
            raise ValueError("there is no such buffer")
        if index in self._used:
            raise ValueError("a buffer was used twice")
        self._used.add(index)
        return memoryview(self._buffers[index])

    def numbers(self, index: Any, code: str) -> List[Any]:
        """A buffer of little-endian numbers, spelled as in `struct`."""
        data = self.buffer(index)
        count, rest = divmod(len(data), struct.calcsize("<" + code))
        if rest:
            raise ValueError("a buffer of numbers with a part of one")
        return list(struct.unpack("<%d%s" % (count, code), data))


_SPELLERS: Dict[Any, Callable[[Packer, Any], Any]] = {**plain.SPELLERS, **arrays.SPELLERS, **tables.SPELLERS}
_READERS: Dict[str, Callable[[Unpacker, Any], Any]] = {**plain.READERS, **arrays.READERS, **tables.READERS}


def _speller(kind: type) -> Callable[[Packer, Any], Any]:
    spell = _SPELLERS.get(kind)
    if spell is not None:
        return spell
    for base in kind.__mro__[:-1]:
        spell = _SPELLERS.get(base) or _SPELLERS.get("%s.%s" % (str(base.__module__).partition(".")[0], base.__name__))
        if spell is not None:
            return spell
    return _object


def _object(packer: Packer, value: Any) -> Any:
    """A dataclass or a pydantic model, as the dict of its fields."""
    kind = type(value)
    fields = getattr(kind, "__dataclass_fields__", None)
    if isinstance(fields, dict):
        names = [name for name, field in fields.items() if getattr(field._field_type, "name", "") == "_FIELD"]
        return packer.pack({name: getattr(value, name) for name in names})
    if callable(getattr(kind, "model_dump", None)):
        return packer.pack(value.model_dump())
    advice = ""
    if callable(value):
        advice = " (a function or class stays on its side)"
    elif hasattr(kind, "__iter__"):
        advice = " (list(...) or dict(...) of it may)"
    raise TypeError("a value of type %s cannot cross between kernel and host%s; what can: %s"
                    % (kind.__qualname__, advice, CAN_CROSS))
