"""Values that cross: what goes in comes out, and what was never packed raises ValueError and nothing else."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import decimal
import enum
import json
import pathlib
import subprocess
import sys
import uuid
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from codeact.kernel import values, wire
from codeact.kernel.values import pack, unpack

quick = settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))


def cross(value: Any) -> Any:
    tree, buffers = pack(value)
    frame = wire.pack_frame({"t": "x", "value": tree}, buffers)
    header = wire.unpack_header(frame[8:8 + int.from_bytes(frame[:4], "little")])
    return unpack(header["value"], buffers)


def same(left: Any, right: Any) -> bool:
    """Equal in type and content, nan equal to nan."""
    if type(left) is not type(right):
        return False
    if isinstance(left, (list, tuple)):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return list(left) == list(right) and all(same(left[key], right[key]) for key in left)
    return bool(left == right) or (left != left and right != right)


hashable = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary() | st.dates()
    | st.decimals(allow_nan=False, places=3) | st.uuids() | st.timedeltas(),
    lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=4), max_leaves=6)
anything = st.recursive(
    hashable | st.floats() | st.datetimes() | st.times()
    | st.datetimes(timezones=st.timezones().map(lambda _: dt.timezone(dt.timedelta(hours=5, minutes=30)))),
    lambda inner: st.lists(inner, max_size=5) | st.lists(inner, max_size=3).map(tuple)
    | st.dictionaries(hashable, inner, max_size=4) | st.dictionaries(st.sampled_from(["$tuple", "$", "a", ""]), inner)
    | st.sets(hashable, max_size=4), max_leaves=20)


@quick
@given(anything)
def test_what_goes_in_comes_out(value):
    assert same(cross(value), value)


@quick
@given(st.integers() | st.integers().map(lambda n: n << 300))
def test_ints_of_any_size_cross(value):
    assert cross(value) == value


@pytest.mark.parametrize("item", [1.5, 7, "é\n", b"\x00ab", float("nan"), 2**70, True])
def test_long_lists_of_one_type_come_back_the_same(item):
    assert same(cross([item] * 1000), [item] * 1000)


def test_long_lists_of_one_type_take_buffers_not_header():
    tree, buffers = pack([float(n) for n in range(100_000)])
    assert len(json.dumps(tree)) < 100
    assert len(buffers[0]) == 800_000


@dataclasses.dataclass
class Point:
    x: int
    tags: set[str]


class Model(BaseModel):
    name: str
    point: tuple[int, int]


class Colour(enum.Enum):
    RED = (255, 0, 0)


Pair = collections.namedtuple("Pair", "a b")


@pytest.mark.parametrize(("value", "arrives"), [
    (Point(1, {"a"}), {"x": 1, "tags": {"a"}}),
    (Model(name="n", point=(1, 2)), {"name": "n", "point": (1, 2)}),
    (Colour.RED, (255, 0, 0)),
    (Pair(1, [2]), (1, [2])),
    (collections.Counter("aab"), {"a": 2, "b": 1}),
    (bytearray(b"x"), b"x"), (memoryview(b"xy"), b"xy"),
    (range(0, 10**30, 7), range(0, 10**30, 7)),
    (complex("nan+infj"), complex("nan+infj")),
    (pathlib.PurePosixPath("a/b"), pathlib.Path("a/b")),
    (np.float64(1.5), 1.5), (np.int8(3), 3), (np.bool_(True), True), (np.str_("s"), "s"), (np.float32(0.5), 0.5),
    (uuid.UUID(int=5), uuid.UUID(int=5)),
    (dt.datetime(2024, 3, 1, tzinfo=dt.timezone(dt.timedelta(hours=-3))),
     dt.datetime(2024, 3, 1, tzinfo=dt.timezone(dt.timedelta(hours=-3)))),
    (decimal.Decimal("-sNaN12"), decimal.Decimal("-sNaN12")),
])
def test_other_types_arrive_as_their_plain_form(value, arrives):
    result = cross(value)
    assert type(result) is type(arrives)
    assert repr(result) == repr(arrives)


@pytest.mark.parametrize("dtype", ["?", "i1", ">i4", "u8", "f2", "f8", "c16", "M8[D]", "m8[ns]", "S3", "U2"])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 4), (2, 3)])
def test_arrays_keep_dtype_and_shape(dtype, shape):
    array = np.arange(int(np.prod(shape))).astype("i8").reshape(shape).astype(dtype)
    result = cross(array)
    assert result.dtype == array.dtype
    assert result.shape == array.shape
    assert result.flags.writeable
    assert (result == array).all()


def test_transposed_and_broadcast_arrays_arrive_as_they_look():
    assert (cross(np.arange(6).reshape(2, 3).T) == np.arange(6).reshape(2, 3).T).all()
    assert (cross(np.broadcast_to(3, (2, 2))) == 3).all()
    with pytest.raises(TypeError, match="use a file"):
        pack(np.broadcast_to(3.0, (1 << 20, 1 << 20)))


def test_a_numpy_time_stays_one():
    assert cross(np.datetime64("2020-01-01", "D")).dtype == "M8[D]"


FRAME = pd.DataFrame({
    "ints": [1, 2, 3], "floats": [1.0, np.nan, 3], "more": [7, 8, 9], "bools": [True, False, True],
    "text": ["a", None, "c"], "zoned": pd.date_range("2020-03-28", periods=3, tz="Europe/Berlin"),
    "offset": pd.date_range("2020", periods=3, tz="+05:30"), "times": pd.date_range("2020", periods=3, unit="s"),
    "spans": pd.to_timedelta([1, 2, 3], unit="s"), "category": pd.Categorical(["x", "y", None], ["y", "x"], ordered=True),
    "Int64": pd.array([1, None, 3], dtype="Int64"), "boolean": pd.array([True, None, False], dtype="boolean"),
    "Float32": pd.array([1, None, 2.5], dtype="Float32"), "string": pd.array(["a", None, "b"], dtype="string"),
    "objects": pd.Series([1, "a", (2, None)], dtype=object), "intervals": pd.interval_range(0, 3),
    "periods": pd.period_range("2020-01", periods=3, freq="M")})


@pytest.mark.parametrize("frame", [
    FRAME, FRAME.set_index(["ints", "text"]), FRAME.set_index("zoned"), FRAME[["ints"]], FRAME.iloc[:0], FRAME.T,
    pd.DataFrame(), pd.DataFrame(index=[1, 2]), pd.DataFrame(columns=["a"]), FRAME[["ints", "floats"]].describe(),
    pd.DataFrame([[1, "a", 2.0]] * 2, columns=["a", "a", ("b", 1)], index=[7, 7]),
    pd.DataFrame(np.ones((2, 5000))),
    FRAME.groupby(pd.cut(FRAME.ints, 2), observed=False).floats.agg(["mean", "sum"]),
])
def test_frames_keep_values_dtypes_and_indexes(frame):
    pd.testing.assert_frame_equal(cross(frame), frame, check_freq=False)


@pytest.mark.parametrize("column", FRAME.columns)
def test_series_keep_values_and_dtype(column):
    pd.testing.assert_series_equal(cross(FRAME[column]), FRAME[column])


@pytest.mark.parametrize("index", [pd.RangeIndex(2, 9, 3, name="r"), pd.Index(["a", "b"]), pd.Index([1.5], name=("n", 1)),
                                   FRAME.set_index(["ints", "zoned"]).index, pd.CategoricalIndex(["a"])])
def test_indexes_cross(index):
    pd.testing.assert_index_equal(cross(index), index)


@pytest.mark.parametrize("value", [
    pd.Timestamp("2020-01-01 00:00:00.123456789", tz="Europe/Berlin"), pd.Timestamp("2020"), pd.Timedelta(5, "ns"),
    pd.Period("2020-01"), pd.Interval(1, 2)])
def test_pandas_scalars_cross(value):
    assert cross(value) == value
    assert type(cross(value)) is type(value)


def test_missing_values_of_pandas_cross():
    first, second = cross([pd.NaT, pd.NA])
    assert first is pd.NaT
    assert second is pd.NA


def test_sparse_and_arrow_columns_arrive_dense():
    assert list(cross(pd.Series(pd.arrays.SparseArray([0, 0, 1])))) == [0, 0, 1]
    arrow = pd.Series([1, 2], dtype="int64[pyarrow]")
    assert list(cross(arrow)) == [1, 2]


class Foo:
    pass


@pytest.mark.parametrize(("value", "says"), [
    (Foo(), "type Foo cannot cross.*what can: None, bool, int"), (len, "stays on its side"), ((n for n in ()), "list"),
    ({}.keys(), "list"), (np.array([None]), "dtype object"), (np.zeros(2, [("a", "i4")]), "dtype"),
    (np.ma.array([1]), "masked"), (decimal.Decimal("1e99999"), "digits"), (1 << (1 << 21), "bits"),
    ([b""] * 100 + [b"", 1] * 5000, "join"), ([[0]] * 700_000, "items"),
    (pd.Series([1, Foo()], dtype=object), "Foo"),
], ids=lambda value: type(value).__name__)
def test_what_cannot_cross_says_what_can(value, says):
    with pytest.raises(TypeError, match=says):
        pack(value)


def test_a_value_in_itself_is_refused_not_followed():
    knot: list[Any] = []
    knot.append(knot)
    with pytest.raises(TypeError, match="contains itself"):
        pack(knot)


def test_a_small_value_that_unfolds_to_a_huge_one_is_refused():
    laughs: list[Any] = []
    for _ in range(30):
        laughs = [laughs, laughs]
    with pytest.raises(TypeError, match="items"):
        pack(laughs)


@pytest.mark.parametrize("wrap", [lambda v: [v], lambda v: (v,), lambda v: {1: v}, lambda v: frozenset([v])])
def test_the_deepest_value_passes_the_wire(wrap):
    value: Any = "x"
    for _ in range(values.MAX_DEPTH):
        value = wrap(value)
    assert same(cross(value), value)
    with pytest.raises(TypeError, match="deep"):
        pack(wrap(value))


# --- hostile input -----------------------------------------------------------------------------------------------

TAGS = [*values._READERS, "$nothing", "$"]
leaf = (st.none() | st.booleans() | st.integers(-5, 5) | st.integers() | st.floats() | st.text(max_size=4)
        | st.sampled_from(["<f8", "|O", "<U2", "|b1", "M8[ns]", "UTC", "plain", "zoned", "masked", "text", "range", "multi",
                           "column", "category", "objects", "Timestamp", "period", "nan", "0x1f", "left", "str", "2020-01-01"]))
hostile = st.recursive(leaf, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
                       | st.builds(lambda tag, content: {tag: content}, st.sampled_from(TAGS), inner), max_leaves=25)


@settings(quick, max_examples=400)
@given(hostile, st.lists(st.binary(max_size=24), max_size=3))
def test_hostile_trees_raise_value_error_or_nothing(tree, buffers):
    try:
        unpack(tree, buffers)
    except ValueError:
        pass


@settings(quick, max_examples=150)
@given(st.data())
def test_a_damaged_message_raises_value_error_or_nothing(data):
    tree, buffers = pack([FRAME, np.arange(4), {1: {2}}, b"abc", pd.Timestamp("2020", tz="UTC"), [1.5] * 300])
    places: list[tuple[Any, Any]] = []

    def walk(node: Any) -> None:
        for key in list(node) if isinstance(node, dict) else range(len(node)):
            places.append((node, key))
            if isinstance(node[key], (dict, list)):
                walk(node[key])

    tree = json.loads(json.dumps(tree))
    walk(tree)
    for _ in range(data.draw(st.integers(1, 3))):
        node, key = data.draw(st.sampled_from(places))
        if isinstance(node, dict) or key < len(node):
            node[key] = data.draw(hostile)
    if data.draw(st.booleans()):
        index = data.draw(st.integers(0, len(buffers) - 1))
        buffers[index] = data.draw(st.binary(max_size=64))
    try:
        unpack(tree, buffers)
    except ValueError:
        pass


@pytest.mark.parametrize(("tree", "buffers"), [
    ({"$ndarray": ["|O", [1], 0]}, [bytes(8)]),
    ({"$ndarray": ["|V8", [1], 0]}, [bytes(8)]),
    ({"$ndarray": ["<f8,O", [1], 0]}, [bytes(8)]),
    ({"$ndarray": ["<f8", [1 << 62, 4], 0]}, [b""]),
    ({"$ndarray": ["<f8", [-1, -1], 0]}, [bytes(8)]),
    ({"$ndarray": ["<f8", [0, 1 << 60], 0]}, [b""]),
    ({"$ndarray": ["<U0", [1 << 60], 0]}, [b""]),
    ({"$ndarray": ["<U1", [1], 0]}, [b"\xff\xff\xff\xff"]),
    ({"$ndarray": ["|b1", [1], 0]}, [b"\x07"]),
    ({"$ndarray": ["<f8", [1] * 33, 0]}, [bytes(8)]),
    ([{"$bytes": 0}, {"$bytes": 0}], [b"x" * 100]),
    ({"$bytes": True}, [b"", b""]), ({"$bytes": -1}, [b""]), ({"$bytes": 1}, [b""]),
    ({"$decimal": "1e999999999"}, []), ({"$decimal": [0, [1], 3]}, []),
    ({"$int": "0x" + "f" * (1 << 20)}, []), ({"$set": [[1]]}, []), ({"$float": "1e5"}, []),
    ({"$timedelta": [10**10, 0, 0]}, []), ({"$strs": [0, 1]}, [b"abc", b"\xff\xff\xff\xff"]),
    ({"$set": [n * (2**61 - 1) for n in range(100_000)]}, []),
    ({"$frame": [["range", 0, 10**18, 1, None], ["range", 0, 0, 1, None], []]}, []),
    ({"$frame": [["range", 0, 1, 1, None], ["range", 0, 10**18, 1, None], []]}, []),
    ({"$pd": ["Timestamp", 0, "ns", "dateutil//etc/passwd"]}, []), ({"$pd": ["Timestamp", 0, "ns", "../../etc/passwd"]}, []),
    ({"$pd": ["Timestamp", 0, "ns", "America"]}, []),
    (object(), []), ({"$tuple": {"$set": []}}, []),
])
def test_each_known_trick_is_refused(tree, buffers):
    with pytest.raises(ValueError):  # noqa: PT011
        unpack(tree, buffers)


def test_depth_is_limited_when_reading():
    tree: Any = 1
    for _ in range(500):
        tree = {"$tuple": [tree]}
    with pytest.raises(ValueError, match="deeper"):
        unpack(tree)


def test_heavy_packages_stay_out_until_needed():
    code = ("import sys; from codeact.kernel.values import pack, unpack; unpack(*pack([1, (2,), {3: b'x'}, 1j]));"
            "print([m for m in ('numpy', 'pandas', 'pyarrow', 'decimal', 'datetime', 'asyncio') if m in sys.modules])")
    assert subprocess.check_output([sys.executable, "-S", "-c", f"import sys; sys.path[:] = {sys.path!r}; {code}"],
                                   text=True).strip() == "[]"
