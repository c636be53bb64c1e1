"""What is not Python in a cell: recognised only where Python ends, and what it does."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from cells import Cells, session

from codeact.kernel.magics import translate


@pytest.fixture
def cells() -> Iterator[Cells]:
    with session() as one:
        yield one


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


# Recognising --------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("code", "python"), [
    ("%cd /tmp", "get_ipython().run_line_magic('cd', '/tmp')"),
    ("  %pwd\n", "get_ipython().run_line_magic('pwd', '')\n"),
    ("!ls -l", "get_ipython().system('ls -l')"),
    ("x = !ls", "x = get_ipython().getoutput('ls')"),
    ("x.y[0] = %pwd", "x.y[0] = get_ipython().run_line_magic('pwd', '')"),
    ("if 1:\n    !ls\nx = 2", "if 1:\n    get_ipython().system('ls')\nx = 2"),
    ("len?", "get_ipython().run_line_magic('pinfo', 'len')"),
    ("a.b??", "get_ipython().run_line_magic('pinfo2', 'a.b')"),
    ("?len", "get_ipython().run_line_magic('pinfo', 'len')"),
    ("!echo a \\\n  b\nx", "get_ipython().system('echo a   b')\n\nx"),
    ("pip install numpy", "get_ipython().run_line_magic('pip', 'install numpy')"),
    ("\n%%time -x\na\nb", "\nget_ipython().run_cell_magic('time', '-x', 'a\\nb')"),
    (">>> x = 1\n>>> if x:\n...     y = 2", "x = 1\nif x:\n    y = 2"),
    ("  x = 1\n  y = 2", "x = 1\ny = 2"),
    ("\ufeffx = 1", "x = 1"),
    ("s = '''\n%time\n!ls\n'''\n%pwd", "s = '''\n%time\n!ls\n'''\nget_ipython().run_line_magic('pwd', '')"),
    ("x = (1,\n%pwd\n", None),
    ("f(1\n!ls)", None),
    ("x = 1 \\\n%y\n z", None),
    ("s = 'it\\\n!ls'\n?", None),
    ("# it's (\n!ls", "# it's (\nget_ipython().system('ls')"),
    ("s = \"'''\"; t = '\\''\n!ls", "s = \"'''\"; t = '\\''\nget_ipython().system('ls')"),
    ("x != 3 3", None),
    ("what is this?", None),
])
def test_translation(code: str, python: str | None) -> None:
    assert translate(code) == python


@pytest.mark.parametrize(("code", "value"), [
    ("a = 7; b = 4\na %b", "3"), ("(7\n%4)", "3"), ("x = '''\n!ls\n%cd\n'''\nx", "'\\n!ls\\n%cd\\n'"),
    ("7 \\\n%4", "3"), ("'%d' %3", "'3'"), ("x = '?'\nx", "'?'"),
])
def test_valid_python_is_never_touched(cells: Cells, code: str, value: str) -> None:
    assert cells.value(code) == value


def test_errors_name_the_right_line(cells: Cells) -> None:
    error = cells.error("%matplotlib inline\nx = 1\n1 / 0")
    assert 'File "<cell 1>", line 3' in error["traceback"]
    assert "    1 / 0" in error["traceback"]
    error = cells.error("%%time\nx = 1\n1 / 0")
    assert 'File "<cell 2>", line 3' in error["traceback"]


def test_a_syntax_error_beside_a_magic_is_still_one(cells: Cells) -> None:
    assert cells.error("%matplotlib inline\nx = = 1")["name"] == "SyntaxError"
    assert cells.error("x = = 1")["message"].startswith("invalid syntax")


# Doing --------------------------------------------------------------------------------------------------------------

def test_time_runs_and_reports(cells: Cells, capsys: pytest.CaptureFixture[str]) -> None:
    assert cells.value("%time x = 5\nx") == "5"
    assert cells.value("%%time\ny = 6\ny + 1") == "7"
    assert cells.value("%time await __import__('asyncio').sleep(0, 8)") == "8"
    assert capsys.readouterr().out.count("Wall time: ") == 3


def test_timeit_measures(cells: Cells, capsys: pytest.CaptureFixture[str]) -> None:
    cells.value("n = 3\n%timeit -n 10 -r2 n + 1")
    cells.value("%%timeit -n 2 -r 1 k = 1\nk += n")
    out = capsys.readouterr().out
    assert "2 runs, 10 loops each" in out
    assert "1 run, 2 loops each" in out


def test_shell_commands_print_in_place(cells: Cells, capfd: pytest.CaptureFixture[str]) -> None:
    cells.value("name = 'you'\nprint('first')\n!echo hello {name.upper()} $name '$$' {{x}}\nprint('last')")
    assert capfd.readouterr().out == "first\nhello YOU you $ {x}\nlast\n"
    assert cells.value("!exit 3\n_exit_code") == "3"


def test_shell_output_can_be_kept(cells: Cells) -> None:
    assert cells.value("lines = !printf 'a\\nb'\nlines") == "['a', 'b']"
    assert cells.value("lines.n, lines.s, lines.grep('b')") == "('a\\nb', 'a b', ['b'])"


def test_commands_see_the_locals_of_a_function(cells: Cells, capfd: pytest.CaptureFixture[str]) -> None:
    cells.value("def f(word):\n    !echo {word} $word\nf('inside')")
    assert capfd.readouterr().out == "inside inside\n"


def test_braces_of_the_shell_are_left_to_it(cells: Cells) -> None:
    assert cells.value("x = !echo a b | awk '{print $2}'\nx") == "['b']"


def test_files_are_written_and_scripts_run(cells: Cells, capfd: pytest.CaptureFixture[str]) -> None:
    cells.value("%%writefile made.py\nvalue = 41\n")
    cells.value("%%writefile -a made.py\nvalue += 1\n")
    cells.value("%run made.py\n")
    assert cells["value"] == 42
    cells.value("%%bash\necho from bash\n")
    assert capfd.readouterr().out == "Writing made.py\nAppending to made.py\nfrom bash\n"
    assert cells.error("%%bash\nexit 4")["name"] == "CalledProcessError"


def test_directories(cells: Cells, tmp_path: Path) -> None:
    cells.value("!mkdir inner\n%cd inner")
    assert os.getcwd() == str(tmp_path / "inner")
    assert cells.value("%cd -\n%pwd") == repr(str(tmp_path))
    assert cells.error("%cd nowhere")["name"] == "FileNotFoundError"


def test_environment_and_names(cells: Cells, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODEACT_TEST", "before")
    cells.value("%env CODEACT_TEST=after")
    assert cells.value("%env CODEACT_TEST") == "'after'"
    cells.value("b = 1; a = 'x'\n%who")
    assert capfd.readouterr().out.splitlines()[-1] == "a\t b"
    cells.value("%ls /\n")
    assert "tmp" in capfd.readouterr().out


@pytest.mark.parametrize("code", ["%pip install numpy", "!pip install numpy", "pip install numpy", "%conda install x"])
def test_installing_is_refused_with_a_reason(cells: Cells, code: str) -> None:
    assert "cannot be installed in this session" in cells.error(code)["message"]


def test_unknown_magics_are_clear_errors(cells: Cells) -> None:
    error = cells.error("%nonsense 1")
    assert error["traceback"].splitlines()[-1].startswith("UsageError: there is no magic %nonsense; available: ")
    assert "no cell magic %%nonsense" in cells.error("%%nonsense\n1")["message"]
    assert "first line" in cells.error("%writefile x")["message"]


def test_capture_keeps_what_is_printed(cells: Cells, capsys: pytest.CaptureFixture[str]) -> None:
    cells.value("%%capture kept\nprint('inside')\nx = 1")
    assert capsys.readouterr().out == ""
    assert cells.value("kept.stdout, x") == "('inside\\n', 1)"


def test_help_describes_objects(cells: Cells, capsys: pytest.CaptureFixture[str]) -> None:
    cells.value("def f(a, b=1):\n    '''Adds.'''\n    return a + b")
    cells.value("f?")
    assert "Signature: f(a, b=1)" in (out := capsys.readouterr().out)
    assert "Adds." in out
    cells.value("f??")
    assert "return a + b" in capsys.readouterr().out
    cells.value("nothing_here?")
    assert capsys.readouterr().out == "Object `nothing_here` not found.\n"


def test_markup_cells_are_displayed(cells: Cells) -> None:
    cells.value("%%html\n<b>x</b>")
    assert cells.displayed == [{"text/html": "<b>x</b>", "text/plain": "<b>x</b>"}]


def test_settings_of_notebooks_are_accepted(cells: Cells) -> None:
    assert cells.value("%matplotlib inline\n%load_ext autoreload\n%config X.y = 1\nget_ipython().run_line_magic("
                       "'matplotlib', 'inline')") == ""
