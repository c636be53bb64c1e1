"""Running cells: values, state, await, errors, and what a cell may break."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest
from cells import Cells, session


@pytest.fixture
def cells() -> Iterator[Cells]:
    with session() as one:
        yield one


# Values -------------------------------------------------------------------------------------------------------------

def test_the_last_expression_is_the_value(cells: Cells) -> None:
    assert cells.run("x = 20\nx + 1") == {
        "status": "ok", "value": {"text/plain": "21"}, "error": None, "pure": True}


@pytest.mark.parametrize("code", ["x = 1", "None", "", "  \n", "# a comment", "def f(): return 1", "1;", "(1) ;  # c",
                                  "x = 1\n[x,\n x];", "'a;b';"])
def test_some_cells_have_no_value(cells: Cells, code: str) -> None:
    assert cells.value(code) == ""


@pytest.mark.parametrize("code", ["';'", "1 # ;", "x = 1; 2", "'''\n;'''", "[';',\n ';'][0] # x;"])
def test_a_semicolon_elsewhere_keeps_the_value(cells: Cells, code: str) -> None:
    assert cells.value(code) != ""


def test_variables_stay_for_the_next_cell(cells: Cells) -> None:
    cells.value("def double(x): return 2 * x\nn = 4")
    assert cells.value("double(n)") == "8"


def test_earlier_values_have_names(cells: Cells) -> None:
    cells.value("11")
    cells.value("22")
    assert cells.value("_, __, _1, Out[2], In[1]") == "(22, 11, 11, 22, '11')"


def test_an_underscore_of_the_users_is_left_alone(cells: Cells) -> None:
    cells.value("for _ in range(3): pass")
    cells.value("'value'")
    assert cells["_"] == 2


def test_old_values_are_let_go(cells: Cells) -> None:
    for n in range(40):
        cells.value(str(n))
    assert len(cells["Out"]) == 30
    assert "_1" not in cells.repl.namespace


def test_future_imports_hold_for_later_cells(cells: Cells) -> None:
    cells.value("from __future__ import annotations")
    assert cells.value("def f(x: nowhere): pass\nf.__annotations__") == "{'x': 'nowhere'}"
    with session() as other:
        assert other.error("def f(x: nowhere): pass")["name"] == "NameError"


# Modules, classes, sources --------------------------------------------------------------------------------------------

def test_a_cell_is_main(cells: Cells) -> None:
    assert cells.value("if __name__ == '__main__':\n    ran = True\nimport __main__\n__main__.ran") == "True"


def test_objects_of_a_cells_class_can_be_pickled(cells: Cells) -> None:
    cells.value("import pickle\nclass Point:\n    x = 3")
    assert cells.value("pickle.loads(pickle.dumps(Point())).x") == "3"


def test_sources_of_functions_and_classes_are_found(cells: Cells) -> None:
    cells.value("import inspect\nclass Empty:\n    size = 1\n\nclass Full:\n    def f(self):\n        return 1\n")
    cells.value("def g():\n    return 2")
    assert cells.value("inspect.getsource(g)") == repr("def g():\n    return 2\n")
    assert cells.value("inspect.getsource(Empty)") == repr("class Empty:\n    size = 1\n")
    assert cells.value("inspect.getsource(Full)") == repr("class Full:\n    def f(self):\n        return 1\n")


def test_a_class_defined_again_shows_its_new_source(cells: Cells) -> None:
    cells.value("class A:\n    size = 1")
    cells.value("class A:\n    size = 2")
    assert cells.value("import inspect\ninspect.getsource(A)") == repr("class A:\n    size = 2\n")


def test_sources_survive_a_cleared_cache(cells: Cells) -> None:
    cells.value("def f():\n    return 1 / 0")
    assert "return 1 / 0" in cells.error("import linecache; linecache.clearcache()\nf()")["traceback"]


# await --------------------------------------------------------------------------------------------------------------

def test_await_works_at_the_top(cells: Cells) -> None:
    assert cells.value("import asyncio\nawait asyncio.sleep(0)\nawait asyncio.sleep(0, 'done')") == "'done'"


def test_async_for_and_with_work_at_the_top(cells: Cells) -> None:
    cells.value("async def count():\n    for i in range(3): yield i\nseen = []\nasync for i in count(): seen.append(i)")
    assert cells["seen"] == [0, 1, 2]


def test_a_task_outlives_its_cell(cells: Cells) -> None:
    cells.value("import asyncio\nasync def work():\n    await asyncio.sleep(0)\n    return 'worked'\n"
                "task = asyncio.create_task(work())")
    assert cells.repl.is_busy()
    assert cells.value("await task") == "'worked'"
    assert not cells.repl.is_busy()


def test_tasks_go_on_between_cells_until_a_request_comes(cells: Cells) -> None:
    reading, writing = os.pipe()
    cells.repl.namespace["writing"] = writing
    cells.value("import asyncio, os\nasync def work():\n    await asyncio.sleep(0.01)\n    os.write(writing, b'x')\n"
                "task = asyncio.create_task(work())")
    cells.repl.run_pending(reading)
    assert os.read(reading, 1) == b"x"
    os.close(reading)
    os.close(writing)


def test_exit_in_a_task_ends_neither_session_nor_waiting(cells: Cells) -> None:
    reading, writing = os.pipe()
    cells.value("import asyncio\nasync def work():\n    exit()\ntask = asyncio.create_task(work())")
    os.write(writing, b"x")
    cells.repl.run_pending(reading)
    assert cells.value("1") == "1"
    assert cells.error("await task")["name"] == "SystemExit"
    os.close(reading)
    os.close(writing)


def test_asyncio_run_works_in_a_cell(cells: Cells) -> None:
    assert cells.value("import asyncio\nasync def f(): return 5\nasyncio.run(f())") == "5"
    assert cells.value("await f()") == "5"


def test_an_interrupt_cancels_what_is_awaited(cells: Cells) -> None:
    cells.value("import asyncio, os, signal\nstate = []\nasync def work():\n    try:\n"
                "        os.kill(os.getpid(), signal.SIGINT)\n        await asyncio.sleep(60)\n"
                "    finally: state.append('cleaned up')")
    assert cells.error("await asyncio.gather(work())")["name"] == "KeyboardInterrupt"
    assert cells["state"] == ["cleaned up"]
    assert cells.value("await asyncio.sleep(0, 1)") == "1"


def test_a_forked_child_has_a_loop_of_its_own(cells: Cells) -> None:
    cells.value("import asyncio\nawait asyncio.sleep(0)")
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            cells.repl.after_fork()
            done = cells.run("await asyncio.to_thread(lambda: 3)")
            status = 0 if done["value"] == {"text/plain": "3"} else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert cells.value("await asyncio.sleep(0, 'parent')") == "'parent'"


# Errors -------------------------------------------------------------------------------------------------------------

def test_a_traceback_shows_the_users_own_frames_and_lines(cells: Cells) -> None:
    cells.value("def half(x):\n    return x / 0")
    error = cells.error("y = 1\nhalf(y)")
    assert (error["name"], error["message"]) == ("ZeroDivisionError", "division by zero")
    lines = [line for line in error["traceback"].splitlines() if "^" not in line]
    assert lines == ["Traceback (most recent call last):", '  File "<cell 2>", line 2, in <module>', "    half(y)",
                     '  File "<cell 1>", line 2, in half', "    return x / 0", "ZeroDivisionError: division by zero"]


def test_a_chain_is_shown_whole_and_without_our_frames(cells: Cells) -> None:
    error = cells.error("try:\n    {}['a']\nexcept KeyError as e:\n    raise ValueError('bad') from e")
    assert "direct cause" in error["traceback"]
    assert "kernel" not in error["traceback"]
    assert [(one["name"], one["link"]) for one in error["chain"]] == [("KeyError", "cause"), ("ValueError", "")]


def test_a_syntax_error_has_no_frames(cells: Cells) -> None:
    error = cells.error("x = 1\nx = = 2")
    assert error["name"] == "SyntaxError"
    assert error["traceback"].startswith('  File "<cell 1>", line 2\n    x = = 2\n')


def test_an_error_keeps_what_was_assigned_before_it(cells: Cells) -> None:
    cells.error("x = 5\n1 / 0")
    assert cells["x"] == 5


@pytest.mark.parametrize("code", ["exit()", "quit()", "raise SystemExit", "import sys; sys.exit(3)"])
def test_exit_ends_the_cell_and_not_the_session(cells: Cells, code: str) -> None:
    assert cells.error(code)["name"] == "SystemExit"
    assert cells.value("1") == "1"


def test_recursion_is_folded(cells: Cells) -> None:
    error = cells.error("def f(n): return f(n + 1)\nf(0)")
    assert error["name"] == "RecursionError"
    assert len(error["traceback"]) < 2000
    assert len(error["chain"][0]["frames"]) < 10


def test_a_million_frames_are_cut(cells: Cells) -> None:
    error = cells.error("import sys\nsys.setrecursionlimit(60000)\ndef f(n):\n    if n == 0: raise ValueError('deep')\n"
                        "    f(n - 1)\nf(20000)")
    assert error["message"] == "deep"
    assert len(error["traceback"]) < 5000


def test_many_different_frames_are_cut_in_the_middle(cells: Cells) -> None:
    cells.value("\n".join(f"def f{n}():\n    f{n + 1}()" for n in range(300)) + "\ndef f300(): raise ValueError('x')")
    text = cells.error("f0()")["traceback"]
    assert "frames left out" in text
    assert text.endswith("ValueError: x")


def test_errors_of_awaited_code_show_no_event_loop(cells: Cells) -> None:
    text = cells.error("import asyncio\nasync def f():\n    await asyncio.sleep(0)\n    1 / 0\nawait f()")["traceback"]
    assert "asyncio" not in text
    assert 'File "<cell 1>", line 5, in <module>' in text


def test_a_huge_message_keeps_both_ends(cells: Cells) -> None:
    error = cells.error("raise ValueError('a' + 'b' * 10 ** 7 + 'c')")
    assert len(str(error)) < 10 ** 6
    assert error["traceback"].endswith("bc")
    assert error["message"].startswith("abb")


def test_strange_syntax_errors_are_described(cells: Cells) -> None:
    error = cells.error("e = SyntaxError('odd')\ne.lineno = e.text = e.filename = object()\nraise e")
    assert error["name"] == "SyntaxError"


def test_exception_groups_are_shown(cells: Cells) -> None:
    text = cells.error("raise ExceptionGroup('several', [ValueError('one'), KeyError('two')])")["traceback"]
    assert "several (2 sub-exceptions)" in text
    assert "ValueError: one" in text


def test_an_exception_that_cannot_be_spelled_is_named(cells: Cells) -> None:
    error = cells.error("class Bad(Exception):\n    def __str__(self): raise RuntimeError\nraise Bad")
    assert error["name"] == "Bad"
    assert "Bad" in error["traceback"]


def test_an_interrupt_is_an_error_of_the_cell(cells: Cells) -> None:
    timer = threading.Timer(0.1, signal.raise_signal, [signal.SIGINT])
    timer.start()
    assert cells.error("while True: pass")["name"] == "KeyboardInterrupt"
    timer.join()


def test_warnings_name_cell_and_line() -> None:
    code = """if 1:
        from codeact.kernel.repl import Repl
        repl = Repl(lambda *a: None)
        for n in (1, 2):
            repl.run("import warnings\\nx = 1\\nwarnings.warn('careful')", n)"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "".join(
        f"<cell {n}>:3: UserWarning: careful\n  warnings.warn('careful')\n" for n in (1, 2))


# What a cell may break ----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("damage", [
    "import builtins\nfor name in list(vars(builtins)):\n    delattr(builtins, name)",
    "import builtins\nbuiltins.len = builtins.isinstance = builtins.str = builtins.repr = 5",
    "del __builtins__",
    "__builtins__ = {}",
    "import sys\ndel sys.modules['__main__']",
    "import sys\nsys.modules = {}",
    "import sys\nsys.stdout = sys.stderr = None",
    "import sys\nsys.excepthook = sys.displayhook = None",
    "import sys\nsys.settrace(lambda *a: 1 / 0)",
    "import sys\nsys.setprofile(lambda *a: 1 / 0)",
    "import sys\nsys.setrecursionlimit(sys.getrecursionlimit() // 4)",
    "globals().clear()",
    "__name__ = 'other'",
    "del In, Out, get_ipython, _",
    "import linecache; linecache.cache = {}",
    "def f(): f()\nf()",
])
def test_the_next_cell_works_after(cells: Cells, damage: str) -> None:
    cells.run(damage)
    assert cells.value("x = [1, 2]\nprint(len(x))\n%time x") == "[1, 2]"
    assert cells.error("int('a')")["traceback"].endswith("ValueError: invalid literal for int() with base 10: 'a'")
    assert cells.value("import __main__\n__main__.x is x, __name__") == "(True, '__main__')"


def test_a_replaced_builtin_stays_replaced_while_it_can_be_called(cells: Cells) -> None:
    cells.value("import builtins\nbuiltins.print = lambda *a: None")
    assert cells.value("print('x')\nprint is builtins.print") == "True"


def test_streams_replaced_in_a_cell_come_back(cells: Cells, capsys: pytest.CaptureFixture[str]) -> None:
    cells.value("import io, sys\nsys.stdout = io.StringIO()\nprint('kept')")
    cells.value("print('shown')")
    assert capsys.readouterr().out == "shown\n"


def test_input_is_asked_of_the_caller() -> None:
    from codeact.kernel.repl import Repl

    with session():
        repl = Repl(lambda *_: None, request_input=lambda prompt: prompt + " you")
        assert repl.run("input('who?')", 1)["value"] == {"text/plain": "'who? you'"}
        repl.close()


# Purity -------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("code", ["1 + 1", "x = 2\ny = x ** 2\nx < y", "def f(a=1):\n    print(a)", "a, b = 1, (2, 3)",
                                  "[n for n in (1, 2)]", "f'{1:>3}'", "if 1:\n    x = 2", "lambda: open('x')",
                                  "print(1, sep='')", "for n in range(3): print(n)", "x = [1]\nprint(len(x), end='')", "type(str(1))", "1 in (1, 2)"])
def test_cells_that_only_compute_are_pure(cells: Cells, code: str) -> None:
    assert cells.run(code)["pure"]


@pytest.mark.parametrize("code", ["print(1, file=None)", "list([1])", "x = iter([1])\nfor y in x: pass", "a = [1]\nb = [n for n in a]", "a = 'xy'\nb, c = a",
                                  "print(*[1])", "x = [1]\n1 in x", "print = str\nprint(1)",
                                  "def len(x): pass\nlen(1)", "exec('1')", "[f() for f in [str]]", "print(**{})", "import math", "x = ().__len__", "%time 1", "x = [0]\nx[0] = 1",
                                  "@staticmethod\ndef f(): pass", "def f(a=id(1)): pass", "class A: pass", "1 / 0"])
def test_other_cells_are_not(cells: Cells, code: str) -> None:
    assert not cells.run(code)["pure"]


def test_a_builtin_with_another_meaning_is_no_builtin(cells: Cells) -> None:
    cells.run("import sys\nlog = []\nprint = log.append")
    assert not cells.run("print(1)")["pure"]
    assert cells["log"] == [1]


# Speed --------------------------------------------------------------------------------------------------------------

def test_a_small_cell_costs_microseconds(cells: Cells) -> None:
    best = min(_seconds(cells, 100) for _ in range(50)) / 100
    assert best < 100e-6     # about 20 on a quiet machine; of processor time, which others do not take


def _seconds(cells: Cells, n: int) -> float:
    start = time.thread_time()
    for _ in range(n):
        cells.repl.run("1+1", 1)
    return time.thread_time() - start


def test_nothing_heavy_is_imported_by_the_kernel_itself() -> None:
    heavy = "asyncio", "inspect", "subprocess", "ast", "numpy", "IPython", "traceback", "timeit"
    code = ("import sys; before = set(sys.modules); from codeact.kernel.repl import Repl; "
            "Repl(lambda *a: None).run('1+1', 1); print(sorted(set(sys.modules) - before))")
    done = subprocess.run([sys.executable, "-S", "-c", f"import sys; sys.path.insert(0, {_source()!r}); {code}"],
                          capture_output=True, text=True, check=True)
    assert not [name for name in heavy if repr(name) in done.stdout]


def _source() -> str:
    import codeact

    return os.path.dirname(os.path.dirname(codeact.__file__))


def test_a_rehearsal_leaves_no_trace(cells: Cells) -> None:
    cells.repl.rehearse()
    before = {name for name in cells.repl.namespace if not name.startswith("__")}
    assert cells.run("len(In), dict(Out), _")["value"]["text/plain"] == "(2, {}, '')"
    assert "_0" not in before


def test_the_cell_after_one_that_broke_the_builtins_in_an_operator_works(cells: Cells) -> None:
    # Nothing says of `x + 1` that it may break anything: such cells are repaired once they are answered
    cells.value("import builtins\nclass Breaks:\n    def __add__(self, other):\n        del builtins.len\nx = Breaks()")
    cells.run("x + 1")
    assert cells.value("len([1, 2])") == "2"
