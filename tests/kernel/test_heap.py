"""Values in a file: what goes in comes out, of the same type, and one object stays one object."""

import collections
import datetime as dt
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from codeact.kernel.heap import Refused, Writer
from codeact.kernel.heap_reader import Reader

quick = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


def cross(value, named=()):
    writer = Writer({id(one): name for name, one in dict(named).items()})
    number = writer.add(value)
    nodes = json.loads(json.dumps(writer.nodes))
    return Reader(nodes, [bytes(part) for part in writer.buffers], dict(named)).value(number)


def same(one, two):
    """Equal in type and content, all the way down."""
    if type(one) is not type(two):
        return False
    if isinstance(one, (list, tuple, collections.deque)):
        return len(one) == len(two) and all(map(same, one, two)) and getattr(one, "maxlen", 0) == getattr(two, "maxlen", 0)
    if isinstance(one, dict):
        return list(map(repr, one)) == list(map(repr, two)) and all(same(a, b) for a, b in zip(one.values(), two.values())) \
            and getattr(one, "default_factory", 0) == getattr(two, "default_factory", 0)
    if isinstance(one, (set, frozenset)):
        return sorted(map(repr, one)) == sorted(map(repr, two)) or one == two
    if isinstance(one, np.ndarray):
        return one.dtype == two.dtype and one.shape == two.shape and one.tobytes() == two.tobytes() \
            and one.flags.c_contiguous == two.flags.c_contiguous
    return repr(one) == repr(two)


atoms = (st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.complex_numbers() | st.dates()
         | st.datetimes() | st.times() | st.timedeltas() | st.decimals() | st.uuids() | st.integers(-2**31, 2**31 - 1).map(np.int32)
         | st.floats().map(np.float64) | st.binary().map(bytearray) | st.builds(range, st.integers(0, 9), st.integers(0, 99)))
keys = st.none() | st.booleans() | st.integers() | st.text() | st.binary() | st.dates() | st.tuples(st.integers(), st.text())
arrays = npst.arrays(st.sampled_from(["u1", "i8", "f4", "f8", "c16", "?", "U3", "S2", "M8[s]", "m8[ns]", ">i4"]), npst.array_shapes(max_dims=3, max_side=4))
anything = st.recursive(
    atoms | arrays | arrays.map(np.asfortranarray),
    lambda inner: st.lists(inner, max_size=4) | st.lists(inner, max_size=3).map(tuple) | st.dictionaries(keys, inner, max_size=4)
    | st.sets(keys, max_size=4) | st.frozensets(keys, max_size=4) | st.lists(inner, max_size=3).map(lambda items: collections.deque(items, 5))
    | st.dictionaries(keys, inner, max_size=3).map(collections.OrderedDict)
    | st.dictionaries(keys, inner, max_size=3).map(lambda items: collections.defaultdict(list, items))
    | st.dictionaries(keys, st.integers(), max_size=3).map(collections.Counter), max_leaves=12)


@quick
@given(anything)
def test_what_goes_in_comes_out(value):
    try:
        back = cross(value)
    except Refused as refused:      # such as a Decimal of thousands of digits
        assert str(refused)  # noqa: PT017
        return
    assert same(back, value)


@quick
@given(st.lists(anything, max_size=4), st.lists(st.integers(0, 3), max_size=4))
def test_what_is_one_object_comes_back_as_one(values, again):
    try:
        back = cross([values, [values[n % len(values)] for n in again] if values else [], values])
    except Refused:
        return
    assert back[0] is back[2]
    for n, one in zip(again, back[1]):
        original = back[0][n % len(values)]
        assert one is original or isinstance(one, (type(None), bool, int, float, complex, str, bytes))


columns = st.sampled_from([
    st.integers(-2**40, 2**40).map(int), st.floats(allow_nan=True), st.text(max_size=3), st.booleans(),
    st.datetimes(dt.datetime(1900, 1, 1), dt.datetime(2200, 1, 1)).map(pd.Timestamp), st.none() | st.text(max_size=2),
    st.none() | st.integers(0, 5), st.one_of(st.integers(0, 9), st.text(max_size=1), st.none(), st.booleans(), st.floats())])


@quick
@given(st.data())
def test_frames_come_back_the_same_or_are_refused(data):
    rows = data.draw(st.integers(0, 5))
    names = data.draw(st.lists(st.text(max_size=2) | st.integers(0, 9), unique=True, max_size=4))
    content = {name: data.draw(st.lists(data.draw(columns), min_size=rows, max_size=rows)) for name in names}
    frame = pd.DataFrame(content, index=range(rows))
    index = data.draw(st.sampled_from(["range", "text", "dates", "pairs"]))
    if index == "text":
        frame.index = pd.Index([str(n) for n in range(rows)], name="key")
    elif index == "dates":
        frame.index = pd.date_range("2020", periods=rows, freq="D")
    elif index == "pairs" and rows:
        frame.index = pd.MultiIndex.from_arrays([range(rows), list("abcde")[:rows]], names=["n", None])
    try:
        back = cross(frame)
    except Refused:
        return
    pd.testing.assert_frame_equal(frame, back, check_exact=True, check_freq=True)
    assert [list(map(type, back.iloc[:, n])) for n in range(len(names))] == [list(map(type, frame.iloc[:, n])) for n in range(len(names))]


def test_common_frames_are_not_refused():
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", None], "c": pd.Categorical(["u", "v"]), "d": pd.to_datetime(["2020", None]),
                          "e": pd.array([1, None], "Int64"), "f": [1, "mixed"]})
    for one in (frame, frame["a"], frame.set_index(["a", "b"]), frame[["a"]].describe(), frame.index, frame.columns, frame.set_index("d"),
                pd.date_range("2020", periods=3, freq="MS"), pd.Series([1.0, 2.0]), frame.groupby("a").agg({"a": ["sum", "mean"]})):
        cross(one)


def test_objects_that_contain_themselves():
    loop: list = []
    loop.append({"loop": loop})
    back = cross(loop)
    assert back[0]["loop"] is back
    inside: list = []
    pair = (inside,)
    inside.append(pair)
    with pytest.raises(Refused, match="tuple"):
        cross(pair)


def test_what_is_brought_back_otherwise_is_named():
    def function():
        pass

    back = cross([function, int, len, np.sin, np.float32, collections.Counter], {"f": function})
    assert back == [function, int, len, np.sin, np.float32, collections.Counter]


class Own(list):
    pass


class Holder:
    pass


@pytest.mark.parametrize("value", [
    Own([1]), Holder(), [Holder()], {Holder(): 1}, {"a": {"b": (Holder(),)}}, (n for n in ()), lambda: 1, open, np.array([Holder()]),
    np.zeros(3, [("a", "i4")]), np.ma.array([1], mask=[True]), np.broadcast_to(1, (1 << 40,)), pd.DataFrame({"a": [[1], [2]]}),
    pd.Series([Holder()]), pd.Index([frozenset([1])]), collections.namedtuple("N", "a")(1), memoryview(b"a"), NotImplemented, np.random.default_rng(0),
    dt.datetime(2020, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=1), "named")), type("Local", (), {})], ids=lambda value: type(value).__name__)
def test_others_are_refused_with_a_reason_and_leave_nothing(value):
    if value is open:
        value = np.arange(6).reshape(2, 3)[0].view()
        value.flags.writeable = False
    writer = Writer({})
    kept = writer.add([1, [2]])
    before = len(writer.nodes), len(writer.buffers)
    with pytest.raises(Refused) as refused:
        writer.add([b"some", value])
    assert 5 < len(str(refused.value)) <= 400
    assert (len(writer.nodes), len(writer.buffers)) == before
    assert Reader(writer.nodes, writer.buffers, {}).value(kept) == [1, [2]]


def test_attributes_of_a_table_or_counter_are_not_dropped():
    frame = pd.DataFrame({"a": [1]})
    frame.attrs["unit"] = "m"
    count = collections.Counter("a")
    count.note = "mine"
    for value in (frame, count):
        with pytest.raises(Refused):
            cross(value)


@pytest.mark.parametrize("nodes", [
    [["v", {"$evil": 1}]], [["tuple", [0]]], [["tuple", [1]], ["tuple", [0]]], [["list", [5]]], [["list", [-1]]], [["list", [True]]], [[]], [5], "x",
    None, [["unknown"]], [["set", [1]], ["list", []]], [["name", "missing"]], [["import", "os", "missing"]], [["deque", "x", []]],
    [["items", "set", 5]], [["scalar", 5]], [["dated", 5, "x"]], [["dated", 5, "x" * 100]], [["v", {"$bytes": 0}]], [["list", [n + 1]] for n in range(5000)]])
def test_hostile_nodes_raise_and_nothing_else(nodes):
    with pytest.raises((ValueError, TypeError, KeyError, AttributeError, IndexError)):
        Reader(nodes, [], {}).value(0)
