"""NumPy arrays and scalars as values that cross: part of values.py, which calls it.

    {"$ndarray": [dtype, shape, buffer]}      dtype as in an .npy header ("<f8"), the items in C order
    {"$np": {"$ndarray": ...}}                a scalar that Python has no equal type for, such as datetime64

The items are those of an .npy file, whose header is left out: it is a Python literal, and needs parsing that a JSON
list does not. Only dtypes of a fixed set of kinds are made from what was sent (no objects, no records), and only when
shape and buffer agree. What this does not judge: the numbers themselves.

NumPy is imported when an array arrives, never before.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Callable, Dict

if TYPE_CHECKING:
    from .values import Packer, Unpacker

__all__ = ["READERS", "SPELLERS"]

_DTYPE = re.compile(r"[<>|]([biufcmMUS])([0-9]{1,9})(\[([1-9][0-9]{0,5})?(Y|M|W|D|h|m|s|ms|us|ns|ps|fs|as)\])?")
_MAX_DIMENSIONS = 32
_MAX_EMPTY = 1 << 20
"""Longest side of an array without items: it takes no memory, but tolist() of it would."""


def _array(packer: Packer, value: Any) -> Any:
    dtype = value.dtype
    if dtype.kind not in "biufcmMUS" or not dtype.itemsize:
        raise TypeError("a NumPy array of dtype %s cannot cross between kernel and host; arrays of numbers, bool, "
                        "text, bytes and datetime64 can: use .astype(...) or .tolist()" % dtype)
    if hasattr(value, "mask"):
        raise TypeError("a masked array cannot cross between kernel and host; send .filled(...), or .data and .mask")
    packer.reserve(value.nbytes)  # a broadcast array is larger than its memory
    return {"$ndarray": [dtype.str, list(value.shape), packer.buffer(value.tobytes())]}


def _scalar(packer: Packer, value: Any) -> Any:
    import numpy

    kind = value.dtype.kind
    if kind in "biuUS" or (kind == "f" and value.itemsize <= 8) or (kind == "c" and value.itemsize <= 16):
        return packer.pack(value.item())
    return {"$np": _array(packer, numpy.asarray(value))}


def _read_array(unpacker: Unpacker, content: Any) -> Any:
    import numpy

    name, shape, index = content
    if type(name) is not str or not _DTYPE.fullmatch(name):
        raise ValueError("a dtype that cannot cross: %.40r" % (name,))
    dtype = numpy.dtype(name)
    if type(shape) is not list or len(shape) > _MAX_DIMENSIONS or not dtype.itemsize:
        raise ValueError("malformed array")
    count = 1
    for side in shape:
        if type(side) is not int or side < 0:
            raise ValueError("malformed shape")
        count *= side
    data = unpacker.buffer(index)
    if count * dtype.itemsize != len(data):
        raise ValueError("an array of %s %s does not fit a buffer of %d bytes" % (shape, name, len(data)))
    if not count:
        if max(shape) > _MAX_EMPTY:
            raise ValueError("an empty array with a side longer than %d" % _MAX_EMPTY)
        return numpy.zeros(shape, dtype)
    if dtype.kind == "U" and numpy.frombuffer(data, dtype.str[0] + "u4").max() > 0x10FFFF:
        raise ValueError("a text array with something that is no character")
    if dtype.kind == "b" and numpy.frombuffer(data, "u1").max() > 1:
        raise ValueError("a bool array with something that is no bool")
    return numpy.ndarray(shape, dtype, data).copy()


def _read_scalar(unpacker: Unpacker, content: Any) -> Any:
    array = unpacker.tagged("$ndarray", content)
    if array.shape:
        raise ValueError("a scalar with a shape")
    return array[()]


SPELLERS: Dict[Any, Callable[[Packer, Any], Any]] = {"numpy.ndarray": _array, "numpy.generic": _scalar}
READERS: Dict[str, Callable[[Unpacker, Any], Any]] = {"$ndarray": _read_array, "$np": _read_scalar}
