"""`codeact exec` as a shell runs it: a process of its own, pipes, files, and a terminal for the prompt."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest

from codeact import Interpreter, SandboxUnavailable
from codeact.cli import main
from codeact.cli._ctrl_c import CtrlC
from codeact.cli._prompt import is_complete

COMMAND = [sys.executable, "-m", "codeact", "exec"]
PLOT = "import matplotlib.pyplot as plt; fig, ax = plt.subplots(); ax.plot([1, 2]); "


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A current directory of the test's own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def execute(*words: str, stdin: str | bytes = "", code: int = 0) -> tuple[str, str]:
    """Run it and return what it printed, on both streams; `code` is the exit code that is due."""
    given = stdin.encode() if isinstance(stdin, str) else stdin
    done = subprocess.run([*COMMAND, *words], input=given, capture_output=True, timeout=60, check=False)
    out, err = done.stdout.decode(), done.stderr.decode()
    assert done.returncode == code, (out, err)
    assert "src/codeact" not in err, err   # no traceback of ours
    return out, err


def usable_workspace(folder: Path) -> Path:
    """One that cells may write to also where tests run as root."""
    folder.mkdir()
    folder.chmod(0o777)
    return folder


@pytest.mark.parametrize(("code", "printed"), [
    ("print(1)", "1\n"),
    ("6 * 7", "42\n"),
    ("x = 1", ""),
    ("", ""),
    ("print('a', end=''); 5", "a5\n"),
    ("x = 'long'  # " + "a" * 300 + "\nx", "'long'\n"),
    ("import asyncio\nawait asyncio.sleep(0, 'waited')", "'waited'\n"),
])  # fmt: skip
def test_a_line_is_run_and_its_value_shown(code, printed):
    assert execute(code) == (printed, "")


def test_code_longer_than_a_file_name_is_code():
    assert execute("print('long')  # " + "a" * 300)[0] == "long\n"


def test_code_that_looks_like_an_option_comes_after_dashes():
    assert execute("--", "-1 + 2")[0] == "1\n"


def test_a_script_gets_its_arguments_and_shows_no_value(here):
    (here / "my script.py").write_bytes(b"\xef\xbb\xbfimport sys\nif __name__ == '__main__':\n    print(sys.argv)\n1 + 1\n")
    assert execute("my script.py", "data.csv", "--json", "-x")[0] == "['my script.py', 'data.csv', '--json', '-x']\n"


@pytest.mark.parametrize("words", [[], ["-"]])
def test_code_may_come_from_standard_input(words):
    assert execute(*words, stdin="import sys\nprint(sys.argv)")[0] == "['-']\n"


def test_a_cell_may_read_standard_input_and_its_question_is_no_output():
    assert execute("int(input('how many? ')) * 2", stdin="21\n") == ("42\n", "how many? ")
    assert "EOFError" in execute("input()", code=1)[1]


def test_an_error_is_told_on_standard_error():
    out, err = execute("print('before')\n1 / 0", code=1)
    assert out == "before\n"
    assert err == ('Traceback (most recent call last):\n  File "<cell 1>", line 2, in <module>\n    1 / 0\n    ~~^~~\n'
                   "ZeroDivisionError: division by zero\n")


@pytest.mark.parametrize(("argument", "code", "words"), [("", 0, ""), ("0", 0, ""), ("3", 3, ""), ("'bye'", 1, "bye\n")])
def test_leaving_is_no_error(argument, code, words):
    assert execute(f"import sys; print('x'); sys.exit({argument})", code=code) == ("x\n", words)


def test_a_dead_process_is_an_error():
    assert "SIGKILL" in execute("import os; os.kill(os.getpid(), 9)", code=1)[1]


@pytest.mark.parametrize(("argv", "message"), [
    (["--flag", "1"], "unrecognized"),
    (["--time", "1", "1"], "unrecognized"),
    (["--timeout", "-1", "1"], "not a positive number"),
    (["--timeout", "inf", "1"], "not a positive number"),
    (["--memory-mb", "0", "1"], "not a positive whole number"),
    (["--package", "./here", "1"], "'./here' cannot be installed: packages are asked for by name"),
    (["--package", "-r x", "1"], "cannot be installed"),
    (["--allow-packages", "--index-url", "pypi.org", "1"], "address of a package index"),
    (["--index-url", "https://a.example/simple", "1"], "say which with --package NAME, or --allow-packages"),
    (["--network", "some", "1"], "--network ['some']: a name has a dot in it"),
    (["--network", "https://api.example.com/v1", "1"], "only the host; right are 'api.example.com'"),
    (["--network", "all", "--network", "api.example.com", "1"], "--network all cannot be given together"),
    (["--network", "api.example.com", "--sandbox", "none", "1"], "takes a network namespace"),
    (["--sandbox", "paper", "1"], "unknown sandbox 'paper'"),
    (["--python", "/nowhere", "1"], "/nowhere"),
    (["--workspace", "nowhere", "1"], "no such folder"),
    (["--read", "nowhere", "1"], "--read 'nowhere': there is no such folder"),
    (["--workspace", __file__, "1"], "it is a file; name the folder it is in"),
    (["missing.py"], "cannot read missing.py: No such file"),
    (["--save", ".", "print(1)"], "--save .: it is a folder; give the name of a file"),
])  # fmt: skip
def test_wrong_usage_is_told(argv, message, capsys):
    assert main(["exec", *argv]) == 2
    out, err = capsys.readouterr()
    assert message in err
    assert out == ""


def test_help_is_no_error(capsys):
    assert main(["exec", "--help"]) == 0
    assert "codeact exec --workspace . script.py" in capsys.readouterr().out


def test_a_python_that_is_none_is_told():
    assert "codeact exec: " in execute("--python", "/bin/true", "1", code=3)[1]


def test_a_session_is_saved_and_gone_on_with(here):
    assert execute("--save", "s.zip", "x = [1, 2]; open('a.txt', 'w').write('hi'); None") == ("", "")
    out, err = execute("--load", "s.zip", "--save", "s.zip", "x.append(3); print(x, open('a.txt').read())")
    assert out == "[1, 2, 3] hi\n"
    assert err == "[This session was loaded from a file. Restored: x. Settings of modules, Out and _ are as in a new session.]\n"
    (here / "script.py").write_text("print(x); gen = (i for i in x)")
    out, err = execute("--load", "s.zip", "--save", "t.zip", "script.py")
    assert out == "[1, 2, 3]\n"
    assert "[gen is not stored as it is: a generator cannot be stored]" in err
    child = pexpect.spawn(COMMAND[0], [*COMMAND[1:], "--load", "t.zip", "--save", "u.zip"], encoding="utf-8", timeout=60)
    child.expect_exact("In [5]: ")   # a script's arguments took one more
    child.sendline("y = 9")
    child.expect_exact("]: ")
    child.sendeof()
    child.expect(pexpect.EOF)
    child.close()
    assert execute("--load", "u.zip", "x, y")[0] == "([1, 2, 3], 9)\n"


def test_a_session_that_cannot_be_loaded_or_saved_is_told(here):
    (here / "bad.zip").write_text("nonsense")
    assert "bad.zip cannot be loaded: it is no saved session" in execute("--load", "bad.zip", "1", code=2)[1]
    assert "No such file" in execute("--load", "missing.zip", "1", code=2)[1]
    assert "Errno" not in execute("--load", "missing.zip", "1", code=2)[1]
    out, err = execute("--save", "nowhere/s.zip", "print(1)", code=2)
    assert out == ""   # nothing is run whose session would be lost
    assert "there is no folder nowhere; make it first" in err


def test_closed_streams_are_no_fault_of_ours():
    for shut in ("<&-", ">&-"):
        done = subprocess.run(["sh", "-c", f'"$@" {shut}', "sh", *COMMAND, "print(1)"], capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (0, b"")
    done = subprocess.run(["sh", "-c", '"$@" <&-', "sh", *COMMAND], capture_output=True, check=False)
    assert (done.returncode, b"Traceback" in done.stderr) == (2, False)


def test_results_as_json():
    out, err = execute("--json", f"print('hi \\udcff'); {PLOT}fig", stdin="")
    result = json.loads(out)
    assert (result["status"], result["stdout"].split()[0], err) == ("ok", "hi", "")
    assert result["value"]["image/png"].startswith("iVBOR")
    assert result["outputs"][-1] == result["value"]
    assert json.loads(execute("--json", "1 / 0", code=1)[0])["error"]["name"] == "ZeroDivisionError"


def test_a_workspace_is_worked_in_and_figures_go_there(here):
    work = usable_workspace(here / "work")
    (work / "in.txt").write_text("42")
    code = f"open('out.txt', 'w').write(open('in.txt').read()); {PLOT}plt.show()"
    assert execute("--workspace", "work", "--live", code)[0] == "[figure saved to work/figure-1.png]\n"
    assert (work / "out.txt").read_text() == "42"
    assert (work / "figure-1.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("end", ["None", "fig"])
def test_a_figure_is_saved_whether_shown_or_the_value(here, end):
    assert execute(PLOT + end)[0] == "[figure saved to codeact-output/figure-1.png]\n"
    assert (here / "codeact-output" / "figure-1.png").read_bytes().startswith(b"\x89PNG")


def test_a_figure_that_cannot_be_saved_is_told(here):
    (here / "codeact-output").write_text("a file")
    assert "a figure could not be saved" in execute(PLOT + "None")[1]


def test_a_cell_has_the_time_it_was_given():
    assert "TimeoutError: " in execute("--timeout", "0.3", "while True: pass", code=1)[1]


def test_of_a_flood_the_end_is_shown_too():
    out, _ = execute("import os; os.system('seq 1000000'); None")
    assert out.startswith("1\n2\n")
    assert "bytes of output left out ...]" in out
    assert out.endswith("\n999999\n1000000\n")
    assert len(out) < 2_000_000


def test_a_reader_that_goes_is_no_fault_of_ours():
    with subprocess.Popen([*COMMAND, "for i in range(10**6): print(i)"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as run:
        assert run.stdout.readline() == b"0\n"
        run.stdout.close()
        assert run.stderr.read() == b""
        assert run.wait(30) == 1


def test_an_interrupt_ends_it_without_a_traceback():
    with subprocess.Popen([*COMMAND, "print(0, flush=True)\nimport time; time.sleep(30)"], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as run:  # fmt: skip
        assert run.stdout.readline() == b"0\n"
        run.send_signal(signal.SIGINT)
        assert run.stderr.read() == b""
        assert run.wait(60) == 130


def test_a_terminal_gets_colours_and_nothing_that_talks_to_it():
    code = r"print('\x1b[31mred\x1b[0m \x1b]0;title\x07\x9b6n\x1b[2J\x1b]52;c;', end='', flush=True); print('aGk=\x07 \x1b[32mgreen')"
    child = pexpect.spawn(COMMAND[0], [*COMMAND[1:], code], timeout=60)
    child.expect(pexpect.EOF)
    assert child.before == b"\x1b[31mred\x1b[0m  \x1b[32mgreen\r\n\x1b[0m"
    child.close()


# The prompt ------------------------------------------------------------------------------------------------------------


class Prompt:
    """A person at the prompt, in a terminal."""

    def __init__(self, *flags: str) -> None:
        self.child = pexpect.spawn(COMMAND[0], [*COMMAND[1:], *flags], encoding="utf-8", timeout=60, dimensions=(24, 200),
                                   env={**os.environ, "TERM": "dumb", "INPUTRC": "/dev/null"})  # fmt: skip
        self.child.expect_exact("In [1]: ")
        self.number = 1

    def type(self, *lines: str) -> str:
        """Type a cell; what is printed until the next prompt."""
        for line in lines[:-1]:
            self.child.sendline(line)
            self.child.expect_exact("   ...: ")
        self.child.sendline(lines[-1])
        return self.answer(lines[-1])

    def answer(self, last_line: str = "") -> str:
        self.number += 1
        self.child.expect_exact(f"In [{self.number}]: ")
        return self.child.before.replace("\r\n", "\n").removeprefix(last_line + "\n")

    def leave(self) -> int:
        self.child.sendeof()
        self.child.expect(pexpect.EOF)
        self.child.close()
        return self.child.exitstatus


def test_the_prompt_takes_cells_of_one_line_and_of_many():
    prompt = Prompt()
    assert prompt.type("x = 5") == ""
    assert prompt.type("x + 1") == "Out[2]: 6\n"
    assert prompt.type("for i in range(2):", "    y = i", "    print(i)", "") == "0\n1\n"
    assert prompt.type("await __import__('asyncio').sleep(0, y)") == "Out[4]: 1\n"
    assert prompt.type("%%bash", "echo a", "echo b", "") == "a\nb\n"
    assert prompt.type("print('no end', end='')") == "no end\n"
    assert prompt.type("{i: 'x' * 30 for i in range(4)}").startswith("Out[7]: \n{0: 'xxx")
    assert "ZeroDivisionError" in prompt.type("1 / 0")
    assert "SyntaxError" in prompt.type("1 +")
    assert prompt.leave() == 0


def test_at_the_prompt_variables_outlive_interrupts_and_deaths():
    prompt = Prompt("--timeout", "20")
    prompt.child.sendline("import time; x = 5; print('go'); time.sleep(30)")
    prompt.child.expect_exact("\r\ngo\r\n")
    prompt.child.sendintr()
    assert "variables set so far are kept" in prompt.answer()
    assert prompt.type("x") == "Out[2]: 5\n"
    prompt.child.send("half a line")
    prompt.child.expect_exact("half a line")
    prompt.child.sendintr()
    prompt.child.expect_exact("In [3]: ")   # and nothing ran
    assert "variables are as they were" in prompt.type("x = 6; import os; os._exit(1)")
    assert prompt.type("x") == "Out[4]: 5\n"
    prompt.child.sendline("input('name? ') * 2")
    prompt.child.expect_exact("name? ")
    assert "Out[5]: 'bobbob'" in prompt.type("bob")
    prompt.child.sendline("exit()")
    prompt.child.expect(pexpect.EOF)
    prompt.child.close()
    assert prompt.child.exitstatus == 0


ELSEWHERE = """
import signal, sys, threading
from types import SimpleNamespace
from codeact.cli._printer import Printer
from codeact.cli._prompt import prompt

def press():
    for _ in sys.argv[1:]:
        open(sys.argv[1]).read()
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)

threading.Thread(target=press, daemon=True).start()
prompt(SimpleNamespace(loaded=None), Printer(None), walls="")
"""


def test_a_press_that_another_thread_gets_is_not_lost(here):
    os.mkfifo("press")
    child = pexpect.spawn(sys.executable, ["-c", ELSEWHERE, "press", "twice"], encoding="utf-8", timeout=60)
    for _ in range(2):
        child.expect_exact("In [1]: ")
        Path("press").write_text("")
    child.expect_exact("In [1]: ")
    child.sendeof()
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


def test_a_press_between_two_waits_counts_for_the_next_and_ends_nothing():
    ctrl_c, before = CtrlC(), signal.getsignal(signal.SIGINT)
    with ctrl_c.watching():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            ctrl_c.heed(pytest.fail)
        assert ctrl_c.heed(lambda: 5) == 5
        with pytest.raises(KeyboardInterrupt):
            ctrl_c.heed(lambda: signal.raise_signal(signal.SIGINT))
    assert signal.getsignal(signal.SIGINT) is before


def test_without_walls_the_prompt_says_so():
    child = pexpect.spawn(COMMAND[0], [*COMMAND[1:], "--sandbox", "none"], encoding="utf-8", timeout=60)
    child.expect_exact("NO WALLS")
    child.expect_exact("In [1]: ")
    child.sendeof()
    child.expect(pexpect.EOF)
    child.close()


@pytest.mark.parametrize("code", [
    "1", "", "# a comment", "if 1: x", "if 1:\n  x\n", "for a in b:\n  x\n  ", "@a\ndef f():\n  pass\n", "x = (1,\n  2)",
    "if 1:\n  x\nelse:\n  y\n", "match x:\n  case 1:\n    y\n", "'''\n\n'''", "(1\n% 2)",
    "await f()", "x = await f()", "async for x in y:\n  pass\n", "for x in y:\n  await x\n",
    "!ls", "%time x", "x = !ls", "x?", "f(a)[0] = !ls", "%%bash\nls\n", "%%time\n", "for f in x:\n  !ls {f}\n",
    "x =", "1 +", "}", "def", "\"\\d\"", "1 is 1", "a\0b", "-" * 100_000 + "1", "'open",
])  # fmt: skip
def test_is_complete(code):
    assert is_complete(code)


@pytest.mark.parametrize("code", [
    "if 1:", "if 1:\n  x", "if 1:\n  x\nelse:", "for a in b:\n  x\n  y", "try:\n  x\n", "@a", "@a\ndef f():", "class A:",
    "match x:\n  case 1:\n    y", "(1,", "[\n1,\n", "(1\n% 2", "'''", "'''a\n!b\n", "a \\", "f(",
    "async with a:", "for x in y:\n  await x", "async def f():\n  await x",
    "%%bash", "%%bash\nls", "%%time\nfor x in y:", "for f in x:\n  !ls {f}", "if 1:\n  x = %time 1",
])  # fmt: skip
def test_is_not_complete(code):
    assert not is_complete(code)


def test_a_list_of_hosts_holds_the_code_to_them():
    try:
        Interpreter(sandbox=3, imports=()).close()
    except SandboxUnavailable as error:
        pytest.skip(str(error))
    code = "import urllib.request as u\ntry: u.urlopen('https://off.example/', timeout=10)\nexcept OSError as e: print(e)"
    out, _ = execute("--network", "api.example.com", "--network", "*.example.org:8443", code)
    assert "403 off.example:443 refused: it is not on the list. Allowed hosts: api.example.com, *.example.org:8443" in out


# What a script, a limit and a wall look like ------------------------------------------------------------------------------


def test_a_script_knows_its_file_and_is_named_in_tracebacks_and_warnings(here):
    (here / "sub").mkdir()
    (here / "sub" / "run.py").write_text("import warnings, sys\nprint(__file__, sys.argv)\nwarnings.warn('careful')\n"
                                         "def fail():\n    return 1 / 0\nfail()\n")
    out, err = execute("sub/run.py", "a", code=1)
    assert out == f"{here}/sub/run.py ['sub/run.py', 'a']\n"
    assert "sub/run.py:3: UserWarning: careful" in err
    assert '  File "sub/run.py", line 6, in <module>\n' in err
    assert '  File "sub/run.py", line 5, in fail\n    return 1 / 0\n' in err
    assert "<cell" not in err


def test_a_script_is_named_in_json_too(here):
    (here / "run.py").write_text("1 / 0")
    found = json.loads(execute("--json", "run.py", code=1)[0])
    assert 'File "run.py", line 1' in found["error"]["traceback"]
    assert 'File "run.py", line 1' in found["text"]


def test_a_line_has_no_file():
    assert execute("'__file__' in globals()")[0] == "False\n"
    assert '"<cell 1>"' in execute("1 / 0", code=1)[1]


@pytest.mark.parametrize("words", [
    ("--memory-mb", "99999999999999"), ("--memory-mb", "9" * 5000), ("--timeout", "1e300"), ("--timeout", "nan"),
    ("--memory-mb", "1.5"), ("--memory-mb", "-3"), ("--serve", "1", "--max-sessions", "99999999999"),
    ("--serve", "1", "--idle", "inf")])  # fmt: skip
def test_a_number_no_limit_can_be_is_refused(words, capsys):
    assert main(["exec", *words]) == 2
    first, _ = capsys.readouterr().err.splitlines()
    assert words[-2] in first
    assert "of at most 1,000,000,000" in first
    assert len(first) < 200


def test_the_largest_limit_works():
    assert execute("--memory-mb", "1000000000", "--timeout", "1000000000", "1")[0] == "1\n"


@pytest.mark.parametrize("verb", ["exec", "doctor"])
def test_a_program_that_is_no_python_is_told_once(verb, capsys):
    assert main([verb, "--python", "/bin/ls", *(["1"] if verb == "exec" else [])]) in (2, 3)
    err = capsys.readouterr().err
    assert err.startswith(f"codeact {verb}: /bin/ls is no Python that works (it says: ")
    assert err.endswith("); --python takes the path of a Python 3.9 or later\n")
    assert err.count("\n") == 1


def test_code_that_finds_no_network_is_told_of_the_flag():
    _, err = execute("import socket; socket.create_connection(('192.0.2.1', 80))", code=1)
    if "level 0" not in err:
        assert err.splitlines()[-1].startswith("[This session has no network, and a 127.0.0.1 of its own; --network HOST or ")


def test_cells_can_be_run_by_another_back_end(here):
    out, err = execute("--backend", "inprocess", "import os; print(os.getpid()); print('told', file=__import__('sys').stderr)")
    assert out.strip().isdigit()
    assert "no walls" in err
    assert "told\n" in err
    assert execute("--backend", "inprocess", "input('name? ') + '!'", stdin="you\n")[0] == "'you!'\n"
    assert "available: docker" in execute("--backend", "nope", "1", code=2)[1]
    assert "say --live" in execute("--backend", "inprocess", "--workspace", ".", "1", code=2)[1]
