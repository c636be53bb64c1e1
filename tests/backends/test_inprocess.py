"""Cells in this very process: what they share with it, what they leave as it was, and what cannot be had."""

from __future__ import annotations

import asyncio
import builtins
import functools
import inspect
import logging
import os
import signal
import sys
import threading

import pytest

from codeact import ConfigError, Interpreter, InterpreterError, tool
from codeact.backends import inprocess


@pytest.fixture
def py():
    with Interpreter(backend="inprocess") as made:
        yield made


def within(namespace: dict) -> Interpreter:
    return Interpreter(backend=functools.partial(inprocess.create, namespace=namespace))


def test_it_says_that_no_walls_stand(caplog):
    with caplog.at_level(logging.WARNING, "codeact"), Interpreter(backend="inprocess") as py:
        assert "no walls" in caplog.text
        assert py.level == py.run("1").level == 0
        assert "level 0" in repr(py)


def test_cells_work_with_the_objects_of_the_program():
    mine: dict[str, object] = {"numbers": [1, 2]}
    with within(mine) as py:
        assert py.run("numbers.append(3); total = sum(numbers); total").text == "Out[1]: 6"
    assert mine["numbers"] == [1, 2, 3]
    assert mine["total"] == 6
    assert not {"In", "Out", "_", "_1", "get_ipython"} & set(mine)


def test_the_process_is_as_it_was_after_each_cell(py):
    def look():
        return (sys.stdout, sys.stderr, sys.stdin, sys.modules["__main__"], builtins.input, getattr(builtins, "exit", None),
                getattr(builtins, "display", None), inspect.getfile, list(sys.meta_path), signal.getsignal(signal.SIGINT), os.getcwd())  # fmt: skip

    before = look()
    py.run("import sys, builtins, inspect\nprint('x'); display(1)\nsys.stdout = None\nbuiltins.input = 5")
    assert look() == before
    py.run("1 / 0")
    assert look() == before
    py.run("while True: pass", timeout=0.1)
    assert look() == before


def test_figures_and_rich_values_come_and_show_is_the_programs_again(py):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    before = pyplot.show
    result = py.run("import matplotlib.pyplot as plt\nplt.plot([1, 2]); plt.show()")
    assert any("image/png" in output for output in result.outputs)
    assert pyplot.show is before


def test_a_cell_in_another_thread_is_interrupted_too(py):
    results = []
    thread = threading.Thread(target=lambda: results.append(py.run("i = 0\nwhile True: i += 1", timeout=1.5)))
    thread.start()
    thread.join(20)
    assert results[0].status == "timeout"
    assert py.run("i > 0").text.endswith("True")


def test_ctrl_c_stops_the_cell_and_is_the_programs(py):
    with pytest.raises(KeyboardInterrupt):
        py.run("x = 1\nimport os, signal\nos.kill(os.getpid(), signal.SIGINT)\nwhile True: pass")
    assert py.run("x").text.endswith("1")


def test_a_cell_awaits_where_a_loop_runs_already():
    @tool
    async def slow(x: int) -> int:
        """Twice."""
        await asyncio.sleep(0)
        return 2 * x

    async def notebook() -> list[str]:
        with Interpreter([slow], backend="inprocess") as py:
            return [py.run("import asyncio\nawait asyncio.sleep(0, 'slept')").text, py.run("await slow(2)").text, py.run("slow(3) + 1").text]

    assert asyncio.run(notebook()) == ["Out[1]: 'slept'", "Out[2]: 4", "Out[3]: 7"]


def test_output_of_shell_commands_is_told(py):
    assert py.run("!echo hi; echo no >&2").stdout == "hi\nno\n"


def test_states_cannot_be_had(py):
    for call in (py.checkpoint, lambda: py._backend.restore(None)):
        with pytest.raises(InterpreterError, match="backend='local'"):
            call()
    with within({}) as mine, pytest.raises(InterpreterError, match="own"):
        mine.reset()


@pytest.mark.parametrize("options", [{"sandbox": "namespaces"}, {"python": "/usr/bin/python3"}, {"read": ["/tmp"]}])
def test_what_needs_a_process_of_its_own_is_refused(options):
    with pytest.raises(ConfigError, match="backend='local'"):
        Interpreter(backend="inprocess", **options)


def test_other_names_and_namespaces_are_refused():
    with pytest.raises(ConfigError, match="no notebook"):
        Interpreter(backend="inprocess:notebook")
    with pytest.raises(ConfigError, match="inprocess:notebook"):
        Interpreter(backend="inprocess:other")
    with pytest.raises(TypeError, match="dict"):
        within([])  # type: ignore[arg-type]


def test_the_variables_of_a_notebook_are_those_of_its_cells():
    IPython = pytest.importorskip("IPython")
    from IPython.core.interactiveshell import InteractiveShell

    had = IPython.get_ipython() is not None
    shell = InteractiveShell.instance()
    main = sys.modules["__main__"]
    try:
        shell.user_ns["secret"] = 41
        own = shell.user_ns.get("get_ipython")
        with Interpreter(backend="inprocess:notebook") as py:
            assert py.run("secret += 1\nsecret").text == "Out[1]: 42"
            assert py.run("%who_ls int").error is None
        assert shell.user_ns["secret"] == 42
        assert shell.user_ns.get("get_ipython") is own
    finally:
        sys.modules["__main__"] = main
        if not had:
            shell.history_manager.end_session()
            if getattr(shell.history_manager, "save_thread", None) is not None:
                shell.history_manager.save_thread.stop()
            InteractiveShell.clear_instance()


def test_tools_are_there_while_a_cell_runs_and_gone_after_the_end():
    mine: dict[str, object] = {}

    @tool
    def double(x: int) -> int:
        """Twice."""
        return 2 * x

    with Interpreter([double], backend=functools.partial(inprocess.create, namespace=mine)) as py:
        assert py.run("double('4')").text == "Out[1]: 8"
        with pytest.raises(RuntimeError, match="only while a cell runs"):
            mine["double"](1)  # type: ignore[operator]
    assert "double" not in mine


def test_a_callback_that_prints_prints_where_the_program_does(capsys):
    seen = []

    def on_output(event):
        seen.append(event)
        print("seen", sys.stdout is not None)

    with Interpreter(backend="inprocess", on_output=on_output, on_input=lambda prompt, hidden: str(print("asked"))) as py:
        result = py.run("print('one'); line = input('? '); display(2); line")
        assert result.stdout == "one\n"
        assert result.value == {"text/plain": "'None'"}
    out = capsys.readouterr().out
    assert "asked\n" in out
    assert out.count("seen True\n") == len(seen) >= 2


def test_variables_are_listed_and_no_repr_of_the_users_is_run():
    class Hangs:
        def __repr__(self):
            raise AssertionError("run")

    mine = {"rows": [1, 2], "_hidden": 1, "os": os, "hangs": Hangs()}
    with within(mine) as py:
        py.run("more = 'x'")
        found = {variable.name: (variable.type, variable.length, variable.preview) for variable in py.variables()}
    assert found.keys() == {"rows", "hangs", "more"}
    assert found["rows"] == ("list", 2, "[1, 2]")
    with Interpreter(backend="inprocess") as py:
        assert py.variables() == []
