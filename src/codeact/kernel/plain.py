"""Python's own values and those of the standard library as values that cross: part of values.py, which calls it.

Each type has a speller, (packer, value) -> tree, and its tag a reader, (unpacker, what the tag holds) -> value. The
tags are listed in values.py. A reader need not be polite about malformed input, as `unpack` makes a ValueError of
whatever it raises, but it must not build more than was sent nor start work without end; hence the limits here.
"""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, Any, Callable, Dict, List

if TYPE_CHECKING:
    from .values import Packer, Unpacker

__all__ = ["LONG_TEXT", "READERS", "SMALL", "SPELLERS"]

MAX_INT_DIGITS = 1 << 18
"""Hexadecimal digits."""
MAX_DECIMAL = 6144
"""Digits and exponent of a Decimal, as in IEEE 754's decimal128: int(Decimal("1e999999999")) would never end."""
LONG_TEXT = 1 << 14
"""Characters from which on a text takes a buffer."""
SMALL = 1 << 63
"""Ints below it in size are JSON numbers."""

_HASHES_CHECKED_FROM = 1000


# --- spelling: (packer, value) -> tree ---------------------------------------------------------------------------


def _text(packer: Packer, value: Any) -> Any:
    text = str.__str__(value)
    if len(text) < LONG_TEXT:
        return text
    return {"$str": packer.buffer(text.encode("utf-8", "surrogatepass"))}


def _int(packer: Packer, value: Any) -> Any:
    number = int.__int__(value)
    if -SMALL <= number < SMALL:
        return number
    if number.bit_length() > 4 * MAX_INT_DIGITS:
        raise TypeError("an int of more than %d bits cannot cross between kernel and host" % (4 * MAX_INT_DIGITS))
    return {"$int": hex(number)}


def _float(packer: Packer, value: Any) -> Any:
    number = float.__float__(value)
    return number if number - number == 0.0 else {"$float": repr(number)}


def _tuple(packer: Packer, value: Any) -> Any:
    return {"$tuple": packer.sequence(list(value))}


def _dict(packer: Packer, value: Any) -> Any:
    items = list(value.items())
    keys = [key for key, _ in items]
    if all(type(key) is str and key[:1] != "$" for key in keys):
        return dict(zip(keys, packer.many(item for _, item in items)))  # noqa: B905 (Python 3.10)
    return {"$dict": [packer.sequence(keys), packer.sequence([item for _, item in items])]}


def _bytes(packer: Packer, value: Any) -> Any:
    return {"$bytes": packer.buffer(bytes(value))}


def _timedelta(packer: Packer, value: Any) -> Any:
    return {"$timedelta": [value.days, value.seconds, value.microseconds]}


def _decimal(packer: Packer, value: Any) -> Any:
    text = str(value)
    if not _is_modest(value, text):
        raise TypeError("a Decimal of more than %d digits cannot cross between kernel and host" % MAX_DECIMAL)
    return {"$decimal": text}


def _enum(packer: Packer, value: Any) -> Any:
    return packer.pack(value.value)


SPELLERS: Dict[Any, Callable[[Packer, Any], Any]] = {
    str: _text, int: _int, float: _float, tuple: _tuple, dict: _dict,
    list: lambda packer, value: packer.sequence(list(value)),
    set: lambda packer, value: {"$set": packer.sequence(list(value))},
    frozenset: lambda packer, value: {"$frozenset": packer.sequence(list(value))},
    bytes: _bytes, bytearray: _bytes, memoryview: _bytes,
    complex: lambda packer, value: {"$complex": [packer.pack(value.real), packer.pack(value.imag)]},
    range: lambda packer, value: {"$range": [packer.pack(part) for part in (value.start, value.stop, value.step)]},
    # Types that may not have been imported go by the top module and name of the class or a base of it.
    "enum.Enum": _enum,
    "datetime.datetime": lambda packer, value: {"$datetime": value.isoformat()},
    "datetime.date": lambda packer, value: {"$date": value.isoformat()},
    "datetime.time": lambda packer, value: {"$time": value.isoformat()},
    "datetime.timedelta": _timedelta,
    "decimal.Decimal": _decimal,
    "uuid.UUID": lambda packer, value: {"$uuid": value.hex},
    "pathlib.PurePath": lambda packer, value: {"$path": str(value)},
}


# --- reading: (unpacker, what the tag holds) -> value ---------------------------------------------------------------


def _string(content: Any, max_chars: int = 100) -> str:
    if type(content) is not str or len(content) > max_chars:
        raise ValueError("a short text was expected")
    return content


def _hashable(values: List[Any]) -> List[Any]:
    """Refuse keys chosen to have one hash: a set of a million such would keep the reader busy for hours."""
    if len(values) > _HASHES_CHECKED_FROM:
        from collections import Counter

        if Counter(map(hash, values)).most_common(1)[0][1] > _HASHES_CHECKED_FROM:
            raise ValueError("too many keys with the same hash")
    return values


def _read_dict(unpacker: Unpacker, content: Any) -> Any:
    keys, values = content
    pairs = _hashable(unpacker.list(keys)), unpacker.list(values)
    if len(pairs[0]) != len(pairs[1]):
        raise ValueError("a dict with %d keys and %d values" % (len(pairs[0]), len(pairs[1])))
    return dict(zip(*pairs))  # noqa: B905


def _read_float(unpacker: Unpacker, content: Any) -> float:
    if content not in ("nan", "inf", "-inf"):
        raise ValueError("a $float is nan, inf or -inf")
    return float(content)


def _read_complex(unpacker: Unpacker, content: Any) -> complex:
    real, imag = (unpacker.unpack(part) for part in content)
    if type(real) is not float or type(imag) is not float:
        raise ValueError("a $complex has two floats")
    return complex(real, imag)


def _read_range(unpacker: Unpacker, content: Any) -> range:
    start, stop, step = (unpacker.unpack(part) for part in content)
    return range(start, stop, step)


def _read_datetime(unpacker: Unpacker, content: Any) -> Any:
    import datetime

    return datetime.datetime.fromisoformat(_string(content))


def _read_date(unpacker: Unpacker, content: Any) -> Any:
    import datetime

    return datetime.date.fromisoformat(_string(content))


def _read_time(unpacker: Unpacker, content: Any) -> Any:
    import datetime

    return datetime.time.fromisoformat(_string(content))


def _read_timedelta(unpacker: Unpacker, content: Any) -> Any:
    import datetime

    if type(content) is not list or not all(type(part) is int for part in content):
        raise ValueError("a $timedelta has days, seconds and microseconds")
    days, seconds, microseconds = content
    return datetime.timedelta(days, seconds, microseconds)


def _is_modest(value: Any, text: str) -> bool:
    if len(text) > 2 * MAX_DECIMAL:
        return False
    exponent = value.as_tuple().exponent
    return not isinstance(exponent, int) or (abs(exponent) <= MAX_DECIMAL and abs(value.adjusted()) <= MAX_DECIMAL)


def _read_decimal(unpacker: Unpacker, content: Any) -> Any:
    import decimal

    text = _string(content, 2 * MAX_DECIMAL)
    value = decimal.Decimal(text)
    if not _is_modest(value, text):
        raise ValueError("a Decimal of more than %d digits" % MAX_DECIMAL)
    return value


def _read_uuid(unpacker: Unpacker, content: Any) -> Any:
    import uuid

    return uuid.UUID(hex=_string(content))


def _read_path(unpacker: Unpacker, content: Any) -> Any:
    import pathlib

    return pathlib.Path(_string(content, LONG_TEXT))


def _slices(unpacker: Unpacker, whole: Any, lengths: Any) -> List[Any]:
    ends = list(accumulate(unpacker.numbers(lengths, "I")))
    if (ends[-1] if ends else 0) != len(whole):
        raise ValueError("the lengths do not fit")
    return [whole[start:end] for start, end in zip([0] + ends, ends)]  # noqa: B905


def _read_strs(unpacker: Unpacker, content: Any) -> List[str]:
    text, lengths = content
    return _slices(unpacker, str(unpacker.buffer(text), "utf-8", "surrogatepass"), lengths)


def _read_blobs(unpacker: Unpacker, content: Any) -> List[bytes]:
    data, lengths = content
    return _slices(unpacker, bytes(unpacker.buffer(data)), lengths)


READERS: Dict[str, Callable[[Unpacker, Any], Any]] = {
    "$tuple": lambda unpacker, content: tuple(unpacker.list(content)),
    "$set": lambda unpacker, content: set(_hashable(unpacker.list(content))),
    "$frozenset": lambda unpacker, content: frozenset(_hashable(unpacker.list(content))),
    "$dict": _read_dict,
    "$bytes": lambda unpacker, content: bytes(unpacker.buffer(content)),
    "$str": lambda unpacker, content: str(unpacker.buffer(content), "utf-8", "surrogatepass"),
    "$float": _read_float,
    "$int": lambda unpacker, content: int(_string(content, MAX_INT_DIGITS + 3), 16),
    "$complex": _read_complex,
    "$range": _read_range,
    "$datetime": _read_datetime,
    "$date": _read_date,
    "$time": _read_time,
    "$timedelta": _read_timedelta,
    "$decimal": _read_decimal,
    "$uuid": _read_uuid,
    "$path": _read_path,
    "$floats": lambda unpacker, content: unpacker.numbers(content, "d"),
    "$ints": lambda unpacker, content: unpacker.numbers(content, "q"),
    "$strs": _read_strs,
    "$blobs": _read_blobs,
}
