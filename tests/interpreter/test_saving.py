"""A session that outlives its process: what comes back is the same, what cannot come back is named."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from codeact import ConfigError, Interpreter, Limits, tool

PLAIN = {"imports": ()}


@pytest.fixture(scope="module")
def science():
    """Sessions of this Python have NumPy and pandas: not so for a user who borrows ours by PYTHONPATH."""
    with Interpreter(imports=()) as py:
        if py.run("import numpy, pandas").error is not None:
            pytest.skip("the Python of the sessions has no NumPy")


def again(py, path, **options):
    """Save, end, load."""
    py.save(path)
    py.close()
    return Interpreter.load(path, **{**PLAIN, **options})


def told(py):
    return py.loaded


@pytest.fixture
def file(tmp_path):
    return tmp_path / "session.zip"


def test_variables_files_and_numbers_go_on_and_the_model_is_told_once(file):
    py = Interpreter(**PLAIN)
    py.run("import math\nfrom collections import Counter\nx = [1, 2.5, 'a', None]\ncount = Counter('hello')")
    py.run("def area(r: float) -> float:\n    return math.pi * r ** 2\nopen('notes.txt', 'w').write('hi')")
    report = py.save(file)
    assert report.stored == ("count", "x")
    assert report.recomputed == ("Counter", "math", "area")
    assert (report.rest, report.left_out, report.path) == ({}, {}, file)
    assert report.size == file.stat().st_size
    py.close()
    with Interpreter.load(file, **PLAIN) as py:
        assert told(py).restored == ("count", "x")
        assert told(py).lost == {}
        result = py.run("x, count['l'], round(area(1), 2), open('notes.txt').read()")
        assert result.number == 3
        assert result.text.startswith("Out[3]: ([1, 2.5, 'a', None], 2, 3.14, 'hi')\nThis session was loaded from a file. "
                                      "Restored: count, x. Recomputed: Counter, math, area.")
        assert "loaded" not in py.run("x").text
        assert "return math.pi" in py.run("import inspect; print(inspect.getsource(area)); In[2][:8]").text


def test_a_new_session_was_not_loaded():
    with Interpreter(**PLAIN) as py:
        assert py.loaded is None


def test_one_object_stays_one_object(file):
    py = Interpreter(**PLAIN)
    py.run("rows = [{'a': [1]}, {'b': 2}]\nfor row in rows: pass\nsame = rows; inner = rows[0]['a']\nloop = [1]; loop.append(loop)\n"
           "pair = (inner, inner); table = {(1, 2): inner}\ndef f(): return 1\nhandlers = {'f': f, 'int': int}; g = f")
    with again(py, file) as py:
        assert told(py).lost == {}
        assert py.run("row is rows[1], same is rows, inner is rows[0]['a'], loop[1] is loop, pair[0] is pair[1] is inner, "
                      "table[1, 2] is inner, handlers['f'] is f, handlers['int'] is int, g is f").text.startswith(
                          "Out[2]: (True, True, True, True, True, True, True, True, True)")


def test_arrays_that_share_memory_are_not_taken_apart(file, science):
    py = Interpreter(imports=("numpy",))
    py.run("import numpy as np\nwhole = np.arange(6.); part = whole[:2]; own = np.arange(6).reshape(2, 3).T")
    report = py.save(file)
    assert "own" in report.stored
    assert "shares its memory" in str(report.rest) or "another" in str(report.rest)
    with again(py, file, imports=("numpy",)) as py:
        assert told(py).lost == {}, told(py)        # by running the cell again
        assert py.run("part[0] = 9; whole[0], own.tolist()").text.startswith("Out[2]: (np.float64(9.0), [[0, 3], [1, 4], [2, 5]])")


def test_values_of_libraries_keep_their_types(file, science):
    py = Interpreter(imports=("numpy", "pandas"))
    code = ("import numpy as np, pandas as pd, datetime as dt, decimal, uuid, pathlib, collections\n"
            "a = np.float32(1.5); b = np.int64(3); c = np.array([1, 2], 'u1'); d = np.datetime64('2024-01-01')\n"
            "e = pd.DataFrame({'t': pd.date_range('2024', periods=3), 'c': pd.Categorical(list('aba')), 's': ['x', None, 'y']})\n"
            "f = e.set_index('t'); g = pd.Series([1, None, 3], name='n', dtype='Int64'); h = pd.Timestamp('2024-05-06', tz='Europe/Berlin')\n"
            "i = pd.MultiIndex.from_product([[1, 2], ['a', 'b']]); j = pd.DataFrame(np.eye(2), index=pd.date_range('2020', periods=2, freq='h'))\n"
            "k = dt.datetime(2024, 1, 1, tzinfo=dt.timezone.utc); l = decimal.Decimal('1.50'); m = uuid.UUID(int=5); n = pathlib.Path('a/b')\n"
            "o = collections.OrderedDict(b=1, a=2); p = collections.deque([1, [2]], 5); q = collections.defaultdict(list, x=[1]); r = bytearray(b'ab')\n"
            "s = {1, (2, 3), frozenset([4])}; t = float('nan'); u = 10 ** 100; v = range(5); w = {'a': np.float64(2)}; x = -0.0; y = 'é\\udc80'; z = b'\\0'")
    assert py.run(code).error is None
    with again(py, file, imports=("numpy", "pandas")) as py:
        assert told(py).lost == {}
        assert len(told(py).restored) == 26, told(py)
        assert py.run("old = dict(globals())\n" + code).error is None
        result = py.run(
            "def same(one, two):\n"
            "    if type(one) is not type(two): return False\n"
            "    if hasattr(one, 'equals'): return one.equals(two) and getattr(one, 'dtypes', 0) is not None and repr(one) == repr(two)\n"
            "    return repr(one) == repr(two) and (not hasattr(one, 'dtype') or one.dtype == two.dtype)\n"
            "[name for name in 'abcdefghijklmnopqrtuvwxyz' if not same(old[name], globals()[name])], old['s'] == s, old['j'].index.freq")
        assert result.text.endswith("([], True, <Hour>)"), result.text


CLASSES = """
import abc, enum
from dataclasses import dataclass, field
from functools import cached_property
@dataclass(frozen=True)
class Point:
    "A point."
    x: int = 0
    tags: list = field(default_factory=list)
    SCALE = 2.5
    def far(self, by: int = 3, *, also=(1, -2)): return self.x + by
    @property
    def half(self): return self.x / 2
    @staticmethod
    def zero(): return Point()
    @classmethod
    def one(cls): return cls(1)
    @cached_property
    def slow(self): return 7
class Colour(enum.Enum):
    RED = 1
    BLUE = enum.auto()
class Base(abc.ABC):
    @abc.abstractmethod
    def go(self): ...
    @property
    def p(self): return 1
    @p.setter
    def p(self, value): pass
class Child(Base):
    __slots__ = ()
    def go(self): return super().p
square = lambda n: n * n
async def later(): return 1
def numbers():
    yield 1
"""


def test_functions_and_classes_come_back_by_their_statements(file):
    py = Interpreter(**PLAIN)
    py.run(CLASSES)
    report = py.save(file)
    assert report.rest == {}
    with again(py, file) as py:
        assert set(told(py).recomputed) >= {"Point", "Colour", "Base", "Child", "square", "later", "numbers", "abc"}
        assert py.run("Point.one().far(), Point.zero().slow, Colour.BLUE.value, Child().go(), square(3), list(numbers()), await later()"
                      ).text.startswith("Out[2]: (4, 7, 2, 1, 9, [1], 1)")
        assert py.save(file).rest == {}     # and once more


@pytest.mark.parametrize(("code", "name"), [
    ("def f(x, seen=[]): return seen", "f"),
    ("n = 5\ndef f(x=n): return x\nn = 6", "f"),
    ("def make():\n    k = [1]\n    def f(): return k\n    return f\nf = make()", "f"),
    ("import functools\n@functools.lru_cache\ndef f(): return 1", "f"),
    ("def f(): return 1\nf.count = 3", "f"),
    ("class A:\n    items = []", "A"),
    ("class A:\n    n = 1\nA.n = 2", "A"),
    ("class A: pass\nA.extra = lambda self: 1", "A"),
    ("class A:\n    print('made')", "A"),
    ("class M(type): pass\nclass A(metaclass=M): pass", "A"),
    ("def d(c): return c\n@d\nclass A: pass", "A"),
    ("class B: pass\nclass A(B): pass\nclass B: pass", "A"),
    ("class C: pass\nc = C()", "c"),
    ("g = (i for i in range(3))\nnext(g)", "g"),
    ("import threading\nlock = threading.Lock()", "lock"),
    ("f = open('x.txt', 'w')\n", "f"),
    ("import enum\nclass E(enum.Enum):\n    A = 1\ne = [E.A]", "e"),
    ("from collections import namedtuple\nP = namedtuple('P', 'x y')\np = P(1, 2)", "p"),
    ("class L(list): pass\nl = L([1])", "l"),
    ("import re\npattern = re.compile('a+')", "pattern"),
    ("import io\nbuffer = io.BytesIO(b'abc')", "buffer"),
    ("t = ([],)\nt[0].append(t)", "t"),
    ("x = 1\nfor i in range(1000): x = [x]", "x"),
    ("try: 1 / 0\nexcept Exception as error: kept = error", "kept"),
])  # fmt: skip
def test_what_is_not_surely_the_same_is_not_stored_and_comes_back_by_running_the_cells(file, code, name):
    py = Interpreter(**PLAIN)
    py.run("before = [1, 2]")
    assert py.run(code).error is None
    report = py.save(file)
    assert name in report.rest, report
    assert name not in (*report.stored, *report.recomputed)
    with again(py, file) as py:
        assert told(py).lost == {}, told(py)
        assert name in told(py).recomputed
        assert py.run(f"'{name}' in globals(), before").text.startswith("Out[3]: (True, [1, 2])")


def test_a_replay_gets_the_answers_of_the_first_time(file):
    calls = []

    @tool
    def count(label: str) -> list[int]:
        """How often."""
        calls.append(label)
        return [len(calls)] * 300

    py = Interpreter([count], on_input=lambda prompt, hidden: "Ada", **PLAIN)
    py.run("class Box: pass\nbox = Box(); box.n = count('a'); box.name = input('who? ')")
    py.save(file)
    py.close()
    asked = []
    with Interpreter.load(file, [count], on_input=lambda *_: asked.append(1), **PLAIN) as py:
        assert told(py).lost == {}
        assert py.run("box.n[0], len(box.n), box.name, count('b')[0]").text.startswith("Out[2]: (1, 300, 'Ada', 2)")
    assert (calls, asked) == (["a", "b"], [])


def test_cells_that_would_give_something_else_do_not_count(file):
    py = Interpreter(**PLAIN)
    py.run("import random, os\nclass Box: pass\nseed = os.urandom(8)\nbox = Box(); box.seed = seed\nkept = {'a': [1]}")
    expected = py.run("seed").outputs[0]["text/plain"]
    with again(py, file) as py:
        assert list(told(py).lost) == ["box"]
        assert "an instance of Box cannot be stored" in told(py).lost["box"]
        assert "something else" in told(py).lost["box"] or "other values" in told(py).lost["box"]
        assert set(told(py).restored) == {"kept", "seed"}
        result = py.run("seed")
        assert result.outputs[0]["text/plain"] == expected
        assert "Lost: box" in result.text
        assert py.run("box").error.name == "NameError"


def test_nothing_runs_again_where_the_values_suffice(file):
    py = Interpreter(**PLAIN)
    py.run("import time; time.sleep(0.3); x = 5; open('ran.txt', 'a').write('once')")
    with again(py, file) as py:
        assert py.run("x, open('ran.txt').read()").text.startswith("Out[2]: (5, 'once')")


def test_a_replay_finds_the_files_no_cell_made_and_leaves_those_that_were_saved(file):
    py = Interpreter(**PLAIN)
    (py.workspace / "given.txt").write_text("given")
    py.run("import os\nos.makedirs('deep/er')\nwith open('log.txt', 'a') as f: f.write(open('given.txt').read())\nclass C: pass\nc = C()")
    py.run("with open('log.txt', 'a') as f: f.write('!')\nopen('gone.txt', 'w').write('x'); os.remove('gone.txt')\nc.text = open('log.txt').read()")
    with again(py, file) as py:
        assert told(py).lost == {}, told(py)
        assert py.run("c.text, open('log.txt').read(), sorted(os.listdir('.'))").text.startswith(
            "Out[3]: ('given!', 'given!', ['deep', 'given.txt', 'log.txt'])")


def test_an_open_file_of_a_replay_writes_into_the_file_that_is_there(file):
    py = Interpreter(**PLAIN)
    py.run("log = open('log.txt', 'w'); log.write('one '); log.flush()")
    with again(py, file) as py:
        assert told(py).lost == {}
        py.run("log.write('two'); log.flush()")
        assert py.run("open('log.txt').read()").text.endswith("'one two'")


def test_a_crash_after_a_load_brings_the_loaded_state_back(file):
    py = Interpreter(**PLAIN)
    py.run("x = [1]; y = {'k': x}")
    with again(py, file) as py:
        py.run("x.append(2)")
        result = py.run("x.append(3); import os; os._exit(1)")
        assert (result.status, result.lost) == ("died", [])
        assert py.run("y['k'] is x, x").text == "Out[4]: (True, [1, 2])"
        py._backend._history.copies.close()        # and without any frozen copy
        py.run("1")
        py._backend._history.copies.close()
        assert py.run("os._exit(1)").lost == []
        assert py.run("x").text.endswith("[1, 2]")
        py.reset()
        assert py.run("x").error.name == "NameError"
        assert py.save(file).stored == ()


def test_saved_loaded_and_saved_again(file):
    py = Interpreter(**PLAIN)
    for n in range(3):
        py.run(f"x{n} = [{n}]\ndef f{n}(): return {n}\nclass C{n}: pass")
        py = again(py, file)
    with py:
        assert told(py).lost == {}
        assert py.run("x0, x1, x2, f0() + f1() + f2(), C0, C1").text.startswith("Out[4]: ([0], [1], [2], 3,")
        py.run("c = C0()")
        with again(py, file) as last:       # needs every cell since the first
            assert last.loaded.lost == {}
            assert last.run("type(c) is C0, x2, f1()").text.startswith("Out[6]: (True, [2], 1)")


def test_random_numbers_environment_and_folder_go_on(file, science):
    py = Interpreter(imports=("numpy",))
    py.run("import random, os, numpy as np\nrandom.seed(1); np.random.seed(2); os.environ['MINE'] = 'yes'; os.makedirs('sub'); os.chdir('sub')")
    py.save(file)
    expected = py.run("random.random(), float(np.random.rand())").text
    py.close()
    with Interpreter.load(file, imports=("numpy",)) as py:
        assert py.run("random.random(), float(np.random.rand())").text.startswith(expected)
        assert py.run("os.environ['MINE'], os.path.basename(os.getcwd())").text.endswith("('yes', 'sub')")


def test_future_features_hold_on(file):
    py = Interpreter(**PLAIN)
    py.run("from __future__ import annotations\ndef f(x: Unknown) -> Also: return 1\nclass A:\n    x: Unknown = 1\n    def m(self) -> A: ...")
    with again(py, file) as py:
        assert told(py).lost == {}
        assert py.run("def g(y: NotThere): return 2\nf(1), g(1), A.x").text.startswith("Out[2]: (1, 2, 1)")


def test_cells_with_magics_and_names_of_one_underscore_come_back(file):
    py = Interpreter(**PLAIN)
    py.run("%time _private = 5\ndef _helper(): return _private\n!echo hi")
    with again(py, file) as py:
        assert told(py).lost == {}, told(py)
        assert py.run("_helper()").text.startswith("Out[2]: 5")


def test_threads_are_named_as_lost_or_started_again(file):
    py = Interpreter(**PLAIN)
    py.run("import threading\nstop = threading.Event()\nt = threading.Thread(target=stop.wait, daemon=True); t.start()\nx = 1")
    assert "(threads)" in py.save(file).rest
    with again(py, file) as py:
        assert told(py).lost == {}
        assert py.run("t.is_alive(), x").text.startswith("Out[2]: (True, 1)")


def test_hostile_objects_do_not_stop_a_save(file):
    py = Interpreter(**PLAIN)
    py.run("import time\nclass Meta(type):\n    def __getattribute__(cls, name): time.sleep(60)\n    def __instancecheck__(cls, o): time.sleep(60)\n"
           "class Bad:\n    __class__ = property(lambda s: int)\n    def __getattribute__(self, name): time.sleep(60)\n    def __hash__(self): time.sleep(60)\n"
           "    def __eq__(self, o): time.sleep(60)\n    def __reduce__(self): time.sleep(60)\n    def __repr__(self): time.sleep(60)\n"
           "class Strange(metaclass=Meta): pass\n"
           "bad = Bad(); held = [bad, {'k': bad}]; s = object.__new__(Strange); fine = 1")
    report = py.save(file)
    assert {"bad", "held", "s", "Strange"} <= set(report.rest)
    assert report.stored == ("fine",)
    py.close()


def test_values_that_are_too_large_do_not_stop_a_save(file, science):
    py = Interpreter(imports=("numpy",), limits=Limits(memory_mb=2048))
    py.run("import numpy as np\nsmall = 1; big = np.ones(40_000_000)")
    assert py.run("big2 = np.zeros(10)").error is None
    report = py.save(file)
    assert "larger than 256 MB" in report.rest["big"]
    assert "small" in report.stored
    with again(py, file, imports=("numpy",)) as py:
        assert told(py).lost == {}
        assert py.run("big.sum()").text.startswith("Out[3]: np.float64(40000000.0)")


def test_values_there_is_no_memory_to_store_do_not_cost_the_session(file, science):
    limits = Limits(memory_mb=512)
    py = Interpreter(imports=("numpy",), limits=limits)
    assert py.run("import numpy as np\nx = np.ones(30_000_000)").error is None
    report = py.save(file)
    assert report.stored == () or report.stored == ("x",)
    assert py.run("x[:2]").text.startswith("Out[2]: array")
    py.close()
    with Interpreter.load(file, imports=("numpy",), limits=limits) as py:
        assert py.run("x.sum()").text.startswith("Out[2]: np.float64(30000000.0)")


def test_links_special_and_large_files(file, monkeypatch):
    monkeypatch.setattr("codeact.interpreter.saved_files.MAX_FILE_BYTES", 1000)
    py = Interpreter(**PLAIN)
    assert py.run("import os\nos.makedirs('d/e/f'); open('d/a.txt', 'w').write('a'); open('run.sh', 'w').close(); os.chmod('run.sh', 0o755)\n"
                  "os.symlink('../a.txt', 'd/e/in'); os.symlink('/etc', 'out'); os.symlink('../../x', 'd/up'); os.symlink('nothing', 'dangling')\n"
                  "os.mkfifo('pipe'); open('large', 'wb').write(bytes(2000)); open(b'odd\\xff', 'w').write('odd'); os.mkdir('empty')").error is None
    report = py.save(file)
    assert set(report.left_out) == {"out", "d/up", "pipe", "large"}
    with again(py, file) as py:
        assert py.run("sorted(os.listdir(b'.')), os.readlink('d/e/in'), open('d/e/in').read(), os.access('run.sh', os.X_OK), "
                      "os.readlink('dangling'), os.listdir('d/e/f'), open(b'odd\\xff').read()").text.startswith(
            "Out[2]: \n([b'd', b'dangling', b'empty', b'odd\\xff', b'run.sh'],\n '../a.txt',\n 'a',\n True,\n 'nothing',\n [],\n 'odd')")
        assert "large is not there: it is larger than" in " ".join(told(py).notes)
        py.run("open('run.sh', 'a').write('x'); os.remove('d/a.txt'); open('new', 'w').close()")     # the session may write them


def test_a_folder_of_the_users_stays_where_it_is(file, tmp_path):
    folder = tmp_path / "work"
    folder.mkdir()
    folder.chmod(0o777)
    (folder / "a.txt").write_text("mine")
    py = Interpreter(workspace=folder, **PLAIN)
    py.run("x = open('a.txt').read()")
    report = py.save(file)
    assert "yours" in report.notes[0]
    py.close()
    with pytest.raises(ConfigError, match="workspace="):
        Interpreter.load(file, **PLAIN)
    (folder / "a.txt").write_text("changed")
    with Interpreter.load(file, workspace=folder, **PLAIN) as py:
        assert py.run("x, open('a.txt').read()").text.startswith("Out[2]: ('mine', 'changed')")
    with Interpreter(**PLAIN) as py:
        py.save(file)
    with pytest.raises(ConfigError, match="without workspace"):
        Interpreter.load(file, workspace=folder, **PLAIN)
    assert (folder / "a.txt").read_text() == "changed"


def test_a_helper_file_and_tools_are_there_by_themselves(file, tmp_path):
    helper = tmp_path / "helper.py"
    helper.write_text("import threading\nLOCK = threading.Lock()\nSEEN = []\ndef see(x):\n    SEEN.append(x)\n    return len(SEEN)\n")
    py = Interpreter(preload=helper, **PLAIN)
    py.run("see(5); watch = [see]")
    py.save(file)
    py.close()
    with Interpreter.load(file, preload=helper, **PLAIN) as py:
        assert told(py).lost == {}
        assert py.run("see(6), watch[0] is see").text.startswith("Out[2]: (2, True)")


def test_a_name_that_cannot_be_written_loses_nothing(tmp_path):
    with Interpreter(**PLAIN) as py:
        py.run("x = 1")
        with pytest.raises(FileNotFoundError):
            py.save(tmp_path / "nowhere" / "s.zip")
        with pytest.raises(IsADirectoryError):
            py.save(tmp_path)
        assert list(tmp_path.iterdir()) == []
        assert py.run("x").text.endswith("1")


def test_a_session_whose_worker_dies_over_it_is_saved_without_values(file, monkeypatch):
    py = Interpreter(**PLAIN)
    py.run("x = [5]")
    run = py._backend._runner.run

    def run_after_nonsense(header, *args, **options):
        if header["t"] == "store":
            py._backend._session.running.connection.send({"t": "run"})
        return run(header, *args, **options)

    monkeypatch.setattr(py._backend._runner, "run", run_after_nonsense)
    report = py.save(file)
    assert py.run("x").text == "Out[2]: [5]"
    assert report.stored == ()
    assert "could not be stored" in report.notes[0]
    py.close()
    with Interpreter.load(file, **PLAIN) as py:
        assert py.run("x").text.startswith("Out[2]: [5]")


KILLED = """
import sys, os
from codeact import Interpreter
with Interpreter(imports=()) as py:
    py.run("x = list(range(1000)); y = 2")
    py.run("import os; open('f', 'wb').write(os.urandom(3_000_000))")
    print('go', flush=True)
    while True:
        py.save(sys.argv[1])
        print('saved', flush=True)
"""


def test_a_kill_while_saving_leaves_a_whole_file_or_none(tmp_path):
    for wait, saves in ((0.0, 0), (0.03, 0), (0.0, 1), (0.02, 1), (0.06, 2)):
        target = tmp_path / f"{wait}-{saves}.zip"
        with subprocess.Popen([sys.executable, "-c", KILLED, str(target)], stdout=subprocess.PIPE) as run:
            for _ in range(1 + saves):
                assert run.stdout.readline()
            time.sleep(wait)
            run.kill()
        assert saves == 0 or target.exists()
        if target.exists():
            with Interpreter.load(target, **PLAIN) as py:
                assert py.run("len(x), os.path.getsize('f')").text.startswith("Out[3]: (1000, 3000000)")


def test_only_one_thing_at_a_time(file):
    from codeact import InterpreterBusy

    inside, leave = threading.Event(), threading.Event()

    @tool
    def hold() -> None:
        """Holds the cell."""
        inside.set()
        leave.wait(60)

    with Interpreter([hold], **PLAIN) as py:
        runner = threading.Thread(target=py.run, args=("hold()",))
        runner.start()
        assert inside.wait(60)
        with pytest.raises(InterpreterBusy):
            py.save(file)
        leave.set()
        runner.join()
    assert not Path(file).exists()
