"""pandas frames, series, indexes and scalars as values that cross: part of values.py, which calls it.

    {"$frame": [index, columns, [[positions, column or 2-D $ndarray], ...]]}
    {"$series": [name, index, column]}
    {"$index": ["range", start, stop, step, name] | ["column", column, name] | ["multi", [column, ...], [name, ...]]}
    {"$column": column}                                 a pandas array by itself
    {"$pd": ["NA"] | ["NaT"] | ["Timestamp", ...] | ["Timedelta", ...] | ["Interval", ...] | ["Period", ...]}

and a column is one of

    ["plain", array]  ["zoned", zone, array]  ["masked", array, mask]  ["text", "str" | "string", list, mask]
    ["category", ordered, codes, categories column]  ["interval", closed, left column, right column]
    ["period", frequency, ordinals]  ["objects", list]

Own layout rather than Arrow's: either side may lack pyarrow, importing it starts threads (after which a kernel cannot
be forked safely), and one small format whose parts are checked arrays is less to attack than a C++ reader. What gets
lost: `freq` of a date index, `attrs`, sparseness, the storage behind text; Arrow-backed columns arrive as objects.

pandas is imported when such a value arrives, never before.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Callable, Dict, List

if TYPE_CHECKING:
    from .values import Packer, Unpacker

__all__ = ["READERS", "SPELLERS"]

_PLAIN = "biufcmM"
_ZONE = re.compile(r"(?!dateutil/)[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,3}")
_OFFSET = re.compile(r"UTC([+-])([0-9]{2}):([0-9]{2})(?::([0-9]{2}))?")
_FREQUENCY = re.compile(r"[0-9]{0,4}[A-Za-z]{1,4}(-[A-Z]{3})?")
_CLOSED = ("left", "right", "both", "neither")
_MAX_ROWS_WITHOUT_COLUMNS = 1 << 24


# --- spelling ----------------------------------------------------------------------------------------------------


def _frame(packer: Packer, frame: Any) -> Any:
    import numpy

    blocks: List[Any] = []
    same: Dict[Any, List[int]] = {}
    for position, dtype in enumerate(frame.dtypes):
        if isinstance(dtype, numpy.dtype) and dtype.kind in _PLAIN:
            same.setdefault(dtype, []).append(position)
        else:
            blocks.append([[position], _column(packer, frame.iloc[:, position].array)])
    for positions in same.values():  # a frame of thousands of columns needs one buffer, not thousands
        blocks.append([positions, packer.pack(frame.iloc[:, positions].to_numpy())])
    return {"$frame": [_index(packer, frame.index), _index(packer, frame.columns), blocks]}


def _series(packer: Packer, series: Any) -> Any:
    return {"$series": [packer.pack(series.name), _index(packer, series.index), _column(packer, series.array)]}


def _index(packer: Packer, index: Any) -> List[Any]:
    kind = type(index).__name__
    if kind == "RangeIndex":
        return ["range", index.start, index.stop, index.step, packer.pack(index.name)]
    if kind == "MultiIndex":
        levels = [_column(packer, index.get_level_values(n).array) for n in range(index.nlevels)]
        return ["multi", levels, packer.many(index.names)]
    return ["column", _column(packer, index.array), packer.pack(index.name)]


def _column(packer: Packer, array: Any) -> List[Any]:
    import numpy

    dtype = array.dtype
    if isinstance(dtype, numpy.dtype) or type(array).__name__ == "NumpyExtensionArray":
        values = array.to_numpy()
        if values.dtype.kind in _PLAIN:
            return ["plain", packer.pack(values)]
        return ["objects", packer.sequence(values.tolist())]
    kind = type(dtype).__name__
    if kind == "DatetimeTZDtype":
        return ["zoned", _zone_name(dtype.tz), packer.pack(array.to_numpy(dtype="M8[%s]" % dtype.unit))]
    if kind == "StringDtype":
        texts = array.to_numpy(dtype=object, na_value="").tolist()
        return ["text", str(dtype), packer.sequence(texts), packer.pack(array.isna())]
    if kind == "CategoricalDtype":
        return ["category", bool(dtype.ordered), packer.pack(array.codes), _column(packer, dtype.categories.array)]
    if kind == "IntervalDtype":
        return ["interval", dtype.closed, _column(packer, array.left.array), _column(packer, array.right.array)]
    if kind == "PeriodDtype":
        return ["period", str(dtype)[len("period["):-1], packer.pack(array.asi8)]
    if kind == "SparseDtype":
        return _column(packer, _dense(array))
    if type(array).__name__ in ("IntegerArray", "FloatingArray", "BooleanArray"):
        values = array.to_numpy(dtype=dtype.numpy_dtype, na_value=dtype.numpy_dtype.type(0))
        return ["masked", packer.pack(values), packer.pack(array.isna())]
    return ["objects", packer.sequence(list(array))]


def _dense(sparse: Any) -> Any:
    import pandas  # type: ignore[import-untyped]

    return pandas.Series(sparse.to_dense()).array


def _zone_name(zone: Any) -> str:
    name = str(zone)
    if not (_ZONE.fullmatch(name) or _OFFSET.fullmatch(name)):
        raise TypeError("times with the time zone %.60s cannot cross between kernel and host; "
                        "use .tz_convert('UTC')" % name)
    return name


def _timestamp(packer: Packer, value: Any) -> Any:
    zone = None if value.tz is None else _zone_name(value.tz)
    return {"$pd": ["Timestamp", int(value.to_numpy().astype("i8")), value.unit, zone]}


def _timedelta(packer: Packer, value: Any) -> Any:
    return {"$pd": ["Timedelta", int(value.to_numpy().astype("i8")), value.unit]}


def _interval(packer: Packer, value: Any) -> Any:
    return {"$pd": ["Interval", value.closed, packer.pack(value.left), packer.pack(value.right)]}


SPELLERS: Dict[Any, Callable[[Packer, Any], Any]] = {
    "pandas.DataFrame": _frame,
    "pandas.Series": _series,
    "pandas.Index": lambda packer, value: {"$index": _index(packer, value)},
    "pandas.ExtensionArray": lambda packer, value: {"$column": _column(packer, value)},
    "pandas.NAType": lambda packer, value: {"$pd": ["NA"]},
    "pandas.NaTType": lambda packer, value: {"$pd": ["NaT"]},
    "pandas.Timestamp": _timestamp,
    "pandas.Timedelta": _timedelta,
    "pandas.Interval": _interval,
    "pandas.Period": lambda packer, value: {"$pd": ["Period", value.ordinal, value.freqstr]},
}


# --- reading -----------------------------------------------------------------------------------------------------


def _read_frame(unpacker: Unpacker, content: Any) -> Any:
    import pandas

    index_tree, columns_tree, blocks = content
    index, columns = _read_index(unpacker, index_tree), _read_index(unpacker, columns_tree)
    positions = [position for block in blocks for position in block[0]]
    # The length first: a range of 10**18 columns takes no memory until someone lists it.
    if len(positions) != len(columns) or sorted(positions) != list(range(len(columns))):
        raise ValueError("the blocks of a frame do not make up its columns")
    if not positions and len(index) > _MAX_ROWS_WITHOUT_COLUMNS:
        raise ValueError("a frame of many rows without columns")
    series: Dict[int, Any] = {}
    for positions, tree in blocks:
        if type(tree) is dict:
            values = unpacker.tagged("$ndarray", tree)
            if values.dtype.kind not in _PLAIN or values.shape != (len(index), len(positions)):
                raise ValueError("a block does not fit its frame")
            if positions == list(range(len(columns))):
                return pandas.DataFrame(values, index=index, columns=columns)
            series.update((position, pandas.Series(values[:, n], index)) for n, position in enumerate(positions))
        else:
            position, = positions
            series[position] = _as_series(_read_column(unpacker, tree), index)
    frame = pandas.DataFrame({position: series[position] for position in range(len(columns))}, index=index)
    frame.columns = columns
    return frame


def _read_series(unpacker: Unpacker, content: Any) -> Any:
    name, index, column = content
    series = _as_series(_read_column(unpacker, column), _read_index(unpacker, index))
    series.name = unpacker.unpack(name)
    return series


def _as_series(values: Any, index: Any) -> Any:
    import pandas

    if len(values) != len(index):
        raise ValueError("a column of %d values for an index of %d" % (len(values), len(index)))
    return pandas.Series(values, index, dtype=object if type(values) is list else None)


def _read_index(unpacker: Unpacker, content: Any) -> Any:
    import pandas

    kind, *rest = content
    if kind == "range":
        start, stop, step, name = rest
        if not (type(start) is type(stop) is type(step) is int):
            raise ValueError("malformed range")
        return pandas.RangeIndex(start, stop, step, name=unpacker.unpack(name))
    if kind == "multi":
        levels, names = rest
        arrays = [_as_index(_read_column(unpacker, level)) for level in levels]
        return pandas.MultiIndex.from_arrays(arrays, names=unpacker.list(names))
    if kind != "column":
        raise ValueError("unknown index")
    column, name = rest
    index = _as_index(_read_column(unpacker, column))
    index.name = unpacker.unpack(name)
    return index


def _as_index(values: Any) -> Any:
    import pandas

    return pandas.Index(values, dtype=object if type(values) is list else None)


def _read_column(unpacker: Unpacker, content: Any) -> Any:
    """A NumPy or pandas array; objects as a list."""
    import pandas

    kind, *rest = content
    if kind == "plain":
        return _read_plain(unpacker, rest[0], _PLAIN)
    if kind == "objects":
        return unpacker.list(rest[0])
    if kind == "zoned":
        zone, values = _zone(rest[0]), _read_plain(unpacker, rest[1], "M")
        return pandas.DatetimeIndex(values).tz_localize("UTC").tz_convert(zone).array
    if kind == "masked":
        values, mask = _read_plain(unpacker, rest[0], "biuf"), _read_plain(unpacker, rest[1], "b")
        make = {"b": pandas.arrays.BooleanArray, "f": pandas.arrays.FloatingArray}
        return make.get(values.dtype.kind, pandas.arrays.IntegerArray)(values, mask)
    if kind == "text":
        return _read_text(unpacker, *rest)
    if kind == "category":
        ordered, codes, categories = rest
        return pandas.Categorical.from_codes(_read_plain(unpacker, codes, "i"),
                                             _as_index(_read_column(unpacker, categories)), ordered is True)
    if kind == "interval":
        closed, left, right = rest
        if closed not in _CLOSED:
            raise ValueError("malformed interval")
        ends = _read_column(unpacker, left), _read_column(unpacker, right)
        return pandas.arrays.IntervalArray.from_arrays(*ends, closed)
    if kind == "period":
        frequency, ordinals = rest
        dtype = pandas.PeriodDtype(_frequency(frequency))
        return pandas.arrays.PeriodArray(_read_plain(unpacker, ordinals, "i").astype("i8"), dtype=dtype)
    raise ValueError("unknown column")


def _read_plain(unpacker: Unpacker, tree: Any, kinds: str) -> Any:
    values = unpacker.tagged("$ndarray", tree)
    if values.ndim != 1 or values.dtype.kind not in kinds:
        raise ValueError("a column of the wrong shape or dtype")
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def _read_text(unpacker: Unpacker, name: Any, texts_tree: Any, mask_tree: Any) -> Any:
    import numpy
    import pandas

    texts, mask = unpacker.list(texts_tree), _read_plain(unpacker, mask_tree, "b")
    if len(texts) != len(mask) or not all(type(text) is str for text in texts):
        raise ValueError("a column of texts with something else in it")
    values = numpy.array(texts, dtype=object)
    values[mask] = None
    if name == "string":
        return pandas.array(values, dtype="string")
    try:
        return pandas.array(values, dtype=pandas.StringDtype(na_value=numpy.nan))
    except TypeError:  # before pandas 3 a column of texts is one of objects
        values[mask] = numpy.nan
        return values.tolist()


def _zone(name: Any) -> Any:
    """A time zone for pandas, which must not see a name unchecked: for some it opens files."""
    import datetime
    import zoneinfo

    if type(name) is not str or len(name) > 64:
        raise ValueError("malformed time zone")
    if name == "UTC":
        return datetime.timezone.utc
    offset = _OFFSET.fullmatch(name)
    if offset:
        sign, hours, minutes, seconds = offset.groups("0")
        delta = datetime.timedelta(hours=int(hours), minutes=int(minutes), seconds=int(seconds))
        return datetime.timezone(-delta if sign == "-" else delta)
    if not _ZONE.fullmatch(name):
        raise ValueError("malformed time zone")
    zoneinfo.ZoneInfo(name)  # raises if there is none
    return name  # pandas 2 makes a pytz zone of it, and compares it with nothing else


def _frequency(name: Any) -> str:
    if type(name) is not str or not _FREQUENCY.fullmatch(name):
        raise ValueError("malformed frequency")
    return name


def _read_scalar(unpacker: Unpacker, content: Any) -> Any:
    import numpy
    import pandas

    kind, *rest = content
    if kind == "NA":
        return pandas.NA
    if kind == "NaT":
        return pandas.NaT
    if kind == "Interval":
        closed, left, right = rest
        if closed not in _CLOSED:
            raise ValueError("malformed interval")
        return pandas.Interval(unpacker.unpack(left), unpacker.unpack(right), closed)
    number, unit, *zone = rest
    if type(number) is not int:
        raise ValueError("malformed time")
    if kind == "Period":
        return pandas.Period(ordinal=number, freq=_frequency(unit))
    if unit not in ("s", "ms", "us", "ns"):
        raise ValueError("malformed time")
    if kind == "Timedelta":
        return pandas.Timedelta(numpy.timedelta64(number, unit))
    if kind != "Timestamp":
        raise ValueError("unknown scalar")
    stamp = pandas.Timestamp(numpy.datetime64(number, unit))
    return stamp if zone == [None] else stamp.tz_localize("UTC").tz_convert(_zone(*zone))


def _read_pandas_array(unpacker: Unpacker, content: Any) -> Any:
    import pandas

    values = _read_column(unpacker, content)
    return pandas.array(values, dtype=object) if type(values) is list else pandas.array(values)


READERS: Dict[str, Callable[[Unpacker, Any], Any]] = {
    "$frame": _read_frame,
    "$series": _read_series,
    "$index": lambda unpacker, content: _read_index(unpacker, content),
    "$column": _read_pandas_array,
    "$pd": _read_scalar,
}
