"""`py.variables()`: what a session holds, told without handing the session to the code it holds."""

import json
import threading

import pytest

from codeact import Interpreter, InterpreterBusy, InterpreterGone, tool
from codeact.interpreter import variables
from codeact.interpreter.outcome import Outcome


@pytest.fixture(scope="module")
def science():
    """Sessions of this Python have NumPy and pandas: not so for a user who borrows ours by PYTHONPATH."""
    with Interpreter(imports=()) as py:
        if py.run("import numpy, pandas").error is not None:
            pytest.skip("the Python of the sessions has no NumPy")


@pytest.fixture
def py():
    with Interpreter(imports=("numpy", "pandas")) as interpreter:
        yield interpreter


def table(py):
    return {variable.name: variable for variable in py.variables()}


def test_names_types_shapes_sizes_and_previews(py, science):
    py.run("import numpy as np, pandas as pd\nfrom math import sqrt\n"
           "n = 5; text = 'a\\nb' * 100; array = np.zeros((2, 3)); items = [1, 'a', None]\n"
           "frame = pd.DataFrame({'a': [1, 2], 'b': ['x', 'y']}); series = frame['a']; huge = 10 ** 5000\n"
           "def double(x, y=2): return x * y\n"
           "class Dog: pass\n_hidden = 1")
    found = table(py)
    assert list(found) == ["sqrt", "n", "text", "array", "items", "frame", "series", "huge", "double", "Dog"]
    assert found["n"] == variables.Variable("n", "int", None, None, 28, "5")
    assert (found["text"].type, found["text"].length) == ("str", 300)
    assert len(found["text"].preview) == 80
    assert (found["array"].type, found["array"].shape, found["array"].size) == ("ndarray", (2, 3), 48)
    assert found["array"].preview == "float64 [0.0, 0.0, 0.0, 0.0, 0.0, 0.0]"
    assert (found["items"].length, found["items"].preview) == (3, "[1, 'a', None]")
    assert (found["frame"].type, found["frame"].shape) == ("DataFrame", (2, 2))
    assert found["frame"].preview == "columns 'a', 'b'"
    assert found["series"].shape == (2,)
    assert "bits" in found["huge"].preview
    assert (found["double"].type, found["double"].preview) == ("function", "double(x, y)")
    assert (found["Dog"].type, found["Dog"].preview) == ("class", "<class Dog>")
    assert found["sqrt"].type == "function"


def test_what_the_session_began_with_is_left_out(tmp_path):
    @tool
    def ask() -> int:
        """A number."""
        return 1

    helper = tmp_path / "helper.py"
    helper.write_text("def help_me(): pass\nTABLE = {}\n")
    with Interpreter([ask], preload=helper, imports=()) as py:
        assert py.variables() == []
        py.run("ask = 5; x = ask")
        assert list(table(py)) == ["ask", "x"]


def test_a_cell_that_runs_is_not_disturbed():
    inside, leave = threading.Event(), threading.Event()

    @tool
    def hold() -> None:
        """Holds the cell."""
        inside.set()
        leave.wait(60)

    with Interpreter([hold], imports=()) as py:
        runner = threading.Thread(target=py.run, args=("hold()",))
        runner.start()
        assert inside.wait(60)
        with pytest.raises(InterpreterBusy):
            py.variables()
        leave.set()
        runner.join()
    with pytest.raises(InterpreterGone):
        py.variables()


HOSTILE = """
import sys, time
class Raises:
    def __repr__(self): raise ValueError('no')
class Exits:
    def __repr__(self): sys.exit(3)
class Recurses:
    def __repr__(self): return repr(self)
class Wrong:
    def __repr__(self): return 5
class Flood:
    def __repr__(self):
        for i in range(100): print('x' * 100_000)
        return 'y' * 10_000_000
class Liar:
    __class__ = property(lambda self: int)
    shape = property(lambda self: time.sleep(60))
    def __len__(self): time.sleep(60)
    def __getattribute__(self, name): time.sleep(60)
    def __sizeof__(self): time.sleep(60)
    def __eq__(self, other): time.sleep(60)
    def __hash__(self): time.sleep(60)
class Meta(type):
    __name__ = property(lambda cls: time.sleep(60))
    __mro__ = property(lambda cls: time.sleep(60))
    __dict__ = property(lambda cls: time.sleep(60))
    def __getattribute__(cls, name): time.sleep(60)
    def __repr__(cls): time.sleep(60)
    def __instancecheck__(cls, other): time.sleep(60)
    def __subclasscheck__(cls, other): time.sleep(60)
class Strange(metaclass=Meta): pass
class Text(str):
    def __repr__(self): return self
    def split(self): time.sleep(60)
    def __getitem__(self, key): time.sleep(60)
class Sneaky(list):
    def __len__(self): time.sleep(60)
    def __iter__(self): time.sleep(60)
class Controls:
    def __repr__(self): return 'a\\x1b]0;title\\x07b\\nc'
raises, exits, recurses, wrong, flood, liar, strange = Raises(), Exits(), Recurses(), Wrong(), Flood(), Liar(), object.__new__(Strange)
text, sneaky, controls, inside = Text('text'), Sneaky([1, 2]), Controls(), [Liar(), {'k': Raises()}]
last = 1
"""


def test_hostile_objects_are_rows_like_others(py):
    py.run("import math")
    assert py.run(HOSTILE).error is None
    found = table(py)
    assert found["raises"].preview == "<Raises: its repr raised ValueError>"
    assert found["exits"].preview == "<Exits: its repr raised SystemExit>"
    assert found["recurses"].preview == "<Recurses: its repr raised RecursionError>"
    assert found["wrong"].preview == "<Wrong: its repr raised TypeError>"
    assert found["flood"].preview == "y" * 77 + "..."
    assert (found["liar"].type, found["liar"].preview) == ("Liar", "<Liar object>")
    assert (found["strange"].type, found["strange"].preview) == ("Strange", "<Strange object>")
    assert (found["Strange"].type, found["Strange"].preview) == ("class", "<class Strange>")
    assert found["text"].preview == "text"
    assert found["sneaky"].length == 2
    assert found["controls"].preview == "a?]0;title?b c"
    assert found["inside"].preview == "[<Liar object>, {'k': <Raises object>}]"
    assert found["last"].preview == "1"
    assert py.run("last, sys.stdout.write('')").text.endswith("(1, 0)")


def test_a_repr_that_takes_long_is_stopped_and_the_rest_is_shown(py):
    py.run("import time\nclass Slow:\n    def __repr__(self): time.sleep(60)\n"
           "class Stubborn:\n    def __repr__(self):\n        for i in range(3):\n            try: time.sleep(60)\n            except BaseException: pass\n        return 'late'\n"
           "slow, stubborn, many, last = Slow(), Stubborn(), [Slow() for i in range(3)], 2")
    found = table(py)
    assert found["slow"].preview == "<preview timed out>"
    assert "timed out" in found["stubborn"].preview or found["stubborn"].preview == "late"
    assert found["last"].preview == "2"
    result = py.run("import signal; signal.getsignal(signal.SIGALRM) == signal.SIG_DFL, signal.getitimer(signal.ITIMER_REAL), last")
    assert result.text.endswith("(True, (0.0, 0.0), 2)")


def test_an_alarm_of_the_users_own_still_rings(py):
    py.run("import signal, time\nrang = []\nsignal.signal(signal.SIGALRM, lambda *_: rang.append(1))\n"
           "class Own:\n    def __repr__(self): return 'own'\nown = Own()\nsignal.setitimer(signal.ITIMER_REAL, 0.5)")
    assert table(py)["own"].preview == "own"
    assert py.run("for i in range(400):\n    time.sleep(0.05)\n    if rang: break\nrang").text.endswith("[1]")


@pytest.mark.parametrize("body", [
    "while True:\n            try:\n                while True: pass\n            except BaseException: pass",
    "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM, signal.SIGINT])\n        while True: pass"],
    ids=["swallows every interrupt", "blocks signals"])
def test_a_repr_that_cannot_be_stopped_does_not_cost_the_session(py, body, monkeypatch):
    monkeypatch.setattr("codeact.backends.local.ANSWER_SECONDS", 1.0)
    py.run("x = [1, 2, 3]")
    py.run(f"class Hang:\n    def __repr__(self):\n        {body}\nhang = Hang()")
    found = table(py)
    assert found["hang"].preview in ("<Hang object>", "<preview timed out>")
    assert found["x"].preview == "[1, 2, 3]"
    assert py.run("x.append(4); x").text == "Out[3]: [1, 2, 3, 4]"


ARRAY = """
import numpy as np
import pandas as pd
from pandas.api.extensions import ExtensionArray, ExtensionDtype
class Kind(ExtensionDtype):
    name, type, na_value = "kind", object, None
    @classmethod
    def construct_array_type(cls): return Array
class Array(ExtensionArray):
    asked = 0
    def __init__(self, size=3): self.size_ = size
    @classmethod
    def _from_sequence(cls, items, dtype=None, copy=False): return cls(len(items))
    def __getitem__(self, item):
        Array.asked += 1
        return Array(2) if isinstance(item, slice) else 1
    def __len__(self): return self.size_
    def isna(self): return np.zeros(self.size_, bool)
    def copy(self): return self
    def take(self, items, allow_fill=False, fill_value=None): return Array(len(items))
    @property
    def dtype(self): return Kind()
    @property
    def nbytes(self):
        Array.asked += 1
        return 3
series, frame, kinds = pd.Series(Array()), pd.DataFrame({"a": Array()}), pd.Series(["x", "y"], dtype="category")
Array.asked = 0
"""


def test_a_table_over_arrays_of_the_users_own_is_not_asked_for_its_items(science, tmp_path):
    with Interpreter() as py:
        assert py.run(ARRAY).error is None
        found = {variable.name: variable for variable in variables.checked(py._backend._ask({"t": "variables", "own": False}, seconds=60))}
        assert (found["series"].preview, found["frame"].preview) == ("<Series object>", "<DataFrame object>")
        assert found["kinds"].preview == "category ['x', 'y']"
        assert "another kind than NumPy's and pandas'" in py.save(tmp_path / "saved").rest["series"]
        assert py.run("Array.asked").text == "Out[2]: 0"


def test_a_time_zone_of_the_users_own_is_not_asked(science, tmp_path):
    with Interpreter() as py:
        assert py.run("import datetime, pandas as pd\nclass Zone(datetime.tzinfo):\n    asked = 0\n"
                      "    def utcoffset(self, when):\n        Zone.asked += 1\n        return datetime.timedelta(hours=1)\n"
                      "    def dst(self, when): return None\n    def tzname(self, when): return 'z'\n"
                      "    def __repr__(self):\n        Zone.asked += 1\n        return 'Zone()'\n"
                      "when, stamp = datetime.datetime(2020, 1, 2, tzinfo=Zone()), pd.Timestamp(2020, 1, 2, tz=Zone())\n"
                      "index = pd.DatetimeIndex([stamp])\nutc = pd.Timestamp(2020, 1, 2, tz='UTC')\nZone.asked = 0").error is None
        found = {variable.name: variable for variable in variables.checked(
            py._backend._ask({"t": "variables", "own": False}, seconds=60))}
        assert [found[name].preview for name in ("when", "stamp", "index")] == [
            "<datetime object>", "<Timestamp object>", "<DatetimeIndex object>"]
        assert "UTC" in found["utc"].preview
        rest = py.save(tmp_path / "saved").rest
        assert {"when", "stamp", "index"} <= set(rest)
        assert "time zone" in rest["when"]
        assert py.run("Zone.asked").text == "Out[2]: 0"


def test_a_repr_that_ends_the_process_does_not_cost_the_session(py):
    py.run("import os\nx = 1\nclass End:\n    def __repr__(self): os._exit(3)\nend = End()")
    assert table(py)["end"].preview == "<End object>"
    assert py.run("x").text == "Out[2]: 1"


def test_of_very_many_variables_the_first_thousand_are_named(py):
    py.run("globals().update({f'v{i}': i for i in range(1500)})\nglobals()[5] = 'no name'")
    found = py.variables()
    assert len(found) == 1001
    assert (found[-1].name, found[-1].preview) == ("...", "500 more variables")


def test_a_session_that_died_is_back_first_and_the_model_is_told(py):
    py.run("x = 1\nimport os, threading, time")
    py.run("threading.Timer(0.01, lambda: os._exit(1)).start(); y = 2")
    py.run("y")
    for _ in range(1200):
        if not py._backend._runner.is_alive():
            break
        threading.Event().wait(0.05)
    assert table(py)["x"].preview == "1"
    assert "started again" in py.run("x").text


@pytest.mark.parametrize("answer", [
    None, "", "nonsense", "[]", "{}", '{"rows": 5}', "[" * 100_000, '{"rows": [5, [], ["a"], [1, "int", null, null, null, ""]]}',
    '{"rows": [["x", "int", [-1], null, null, ""], ["x", "int", null, true, null, ""], ["x", "int", null, null, 1e300, ""]]}'])
def test_what_makes_no_sense_is_no_row(answer):
    outcome = Outcome(value=None if answer is None else {"application/json": answer})
    assert not variables.checked(outcome)


def test_texts_and_counts_are_cut_whatever_the_kernel_says():
    row = ["n" * 1000, "t" * 1000, [1], 2, 3, "\x1b[31m" + "p" * 1000]
    found = variables.checked(Outcome(value={"application/json": json.dumps({"rows": [row] * 2000, "more": "many"})}))
    assert len(found) == 1000
    assert found[0] == variables.Variable("n" * 200, "t" * 200, (1,), 2, 3, "?[31m" + "p" * 75)
