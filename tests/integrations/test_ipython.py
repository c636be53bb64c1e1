"""`%load_ext codeact` in a real IPython shell, and once in a real kernel: the user's variables, the asking, the interrupt."""

import builtins
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

pytest.importorskip("IPython")
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

sys.path.insert(0, str(Path(__file__).parents[1] / "models"))
from fake_openai import FakeServer

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="


def execute(code):
    return f"I do it.\n<execute>\n{code}\n</execute>"


def answer(text):
    return f"<solution>\n{text}\n</solution>"


@pytest.fixture
def shell(tmp_path, monkeypatch):
    """A shell with the extension, in a folder of its own, without settings."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "none"))
    monkeypatch.delenv("CODEACT_MODEL", raising=False)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.chdir(tmp_path)
    config = Config()
    config.HistoryManager.enabled = False
    InteractiveShell.clear_instance()
    made = InteractiveShell.instance(config=config)
    made.run_line_magic("load_ext", "codeact")
    yield made
    made.run_line_magic("unload_ext", "codeact")
    InteractiveShell.clear_instance()


@pytest.fixture
def says(monkeypatch):
    """What the user answers; the questions are kept."""
    asked = []

    def prepare(*answers):
        left = list(answers)

        def ask(prompt=""):
            asked.append(prompt)
            said = left.pop(0)
            if isinstance(said, BaseException):
                raise said
            return said

        monkeypatch.setattr(builtins, "input", ask)
        return asked

    return prepare


def script(*replies):
    """A model that says these."""
    Path("script.jsonl").write_text("".join(json.dumps(reply) + "\n" for reply in replies))
    return "scripted:script.jsonl"


def session(shell):
    return shell._codeact


def do(shell, options, task):
    shell.run_cell_magic("codeact", options, task)


def test_it_works_with_the_users_own_variables(shell, says, capsys):
    says()
    shell.run_cell("rows = [1, 2, 3]")
    do(shell, f"--yes --model {script(execute('total = sum(rows); print(total)'), answer('It is *6*.'))}", "Add rows up")
    out = capsys.readouterr().out
    assert shell.user_ns["total"] == 6
    assert "No walls" in out
    assert "NOT asked" in out
    assert out.index("I do it.") < out.index("│ total = sum(rows)") < out.index("\n6\n") < out.index("It is *6*.")
    first = session(shell).agent.trajectory.messages[1].content
    assert first.startswith("Add rows up\n")
    assert "rows: list = [1, 2, 3]" in first
    assert "get_ipython" not in first


@pytest.mark.parametrize(("said", "runs", "n_asked"), [(["y", "yes"], [1, 2], 2), (["n", "y"], [2], 2), (["a"], [1, 2], 1), (["what?", "", "?", "y"], [2], 4)])
def test_each_cell_is_asked_about(shell, says, said, runs, n_asked):
    asked = says(*said)
    shell.run_cell("ran = []")
    do(shell, f"--model {script(execute('ran.append(1)'), execute('ran.append(2)'), answer('done'))}", "go")
    assert shell.user_ns["ran"] == runs
    assert len(asked) == n_asked
    turns = session(shell).agent.trajectory.turns
    assert [turn.observation.status for turn in turns[:2]] == ["ok" if n in runs else "refused" for n in (1, 2)]
    if 1 not in runs:
        assert "did not allow" in turns[0].observation.text


def test_always_holds_until_asking_is_wanted_again(shell, says):
    asked = says("always", "n", "n")
    model = script(execute("x = 1"), execute("x = 2"), answer("done"))
    do(shell, f"--model {model}", "go")
    assert len(asked) == 1
    shell.run_line_magic("codeact", "--ask")
    do(shell, f"--new --model {model}", "go")
    assert len(asked) == 3


def test_yes_on_a_cell_is_for_that_cell(shell, says):
    asked = says("n", "n")
    do(shell, f"--yes --model {script(execute('x = 1'), answer('a'), execute('x = 2'), answer('b'))}", "go")
    assert asked == []
    do(shell, "--model scripted:script.jsonl", "on")
    assert len(asked) == 1
    assert shell.user_ns["x"] == 1


def test_a_conversation_goes_on_over_cells_until_a_new_one(shell, says):
    says()
    options = f"--yes --model {script(answer('one'), answer('two'), answer('three'))}"
    do(shell, options, "first")
    do(shell, options, "second")
    assert [message.content for message in session(shell).agent.trajectory.messages if message.role == "user"][-1] == "second"
    assert len(session(shell).agent.trajectory.turns) == 2
    do(shell, f"--new {options}", "third")
    assert len(session(shell).agent.trajectory.turns) == 1


def test_only_what_is_new_among_the_variables_is_told_again(shell, says):
    says()
    options = f"--yes --model {script(answer('one'), answer('two'))}"
    shell.run_cell("old = 1")
    do(shell, options, "first")
    shell.run_cell("new = 2")
    do(shell, options, "second")
    last = session(shell).agent.trajectory.turns[0].reply.content
    assert "new: int = 2" in last
    assert "old" not in last


def test_rich_displays_pass_through(shell, says, monkeypatch):
    says()
    published = []
    monkeypatch.setattr(shell.display_pub, "publish", lambda data, metadata=None, **more: published.append(data))
    code = f"import base64\nclass Dot:\n    def _repr_png_(self): return base64.b64decode('{PNG}')\ndisplay(Dot())"
    do(shell, f"--yes --model {script(execute(code), answer('x'))}", "go")
    assert any(data.get("image/png") == PNG for data in published)


def test_an_error_of_the_cells_is_shown_and_the_model_goes_on(shell, says, capsys):
    says()
    do(shell, f"--yes --model {script(execute('1/0'), answer('sorry'))}", "go")
    out, err = capsys.readouterr()
    assert "ZeroDivisionError" in err
    assert "sorry" in out


def test_the_interrupt_stops_a_cell_and_keeps_the_turn(shell, says, capsys):
    says()
    code = "x = 1\nimport os, signal\nos.kill(os.getpid(), signal.SIGINT)\nwhile True: pass"
    do(shell, f"--yes --model {script(execute(code), answer('never'), answer('later'))}", "go")
    turns = session(shell).agent.trajectory.turns
    assert [turn.observation.status for turn in turns] == ["interrupted"]
    assert shell.user_ns["x"] == 1
    assert "goes on from here" in capsys.readouterr().out
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("front_end", ["kernel", "terminal"])
def test_the_interrupt_stops_the_question(shell, says, monkeypatch, front_end):
    says(KeyboardInterrupt())
    if front_end == "terminal":   # there the signal comes while the line is read

        def ask(prompt):
            os.kill(os.getpid(), signal.SIGINT)
            threading.Event().wait(30)
            return "y"

        monkeypatch.setattr(builtins, "input", ask)
    do(shell, f"--model {script(execute('x = 1'), answer('never'))}", "go")
    assert "x" not in shell.user_ns
    assert session(shell).agent.trajectory.turns[0].observation.status == "interrupted"


def test_the_interrupt_stops_the_wait_for_a_model(shell, says, monkeypatch):
    pytest.importorskip("openai")
    says()
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    gone = []

    def hang(handler):
        os.kill(os.getpid(), signal.SIGINT)
        handler.connection.settimeout(30)
        gone.append(handler.connection.recv(1))

    with FakeServer(hang) as server:
        do(shell, f"--yes --model openai:m --base-url {server.url}", "go")
    assert session(shell).agent.trajectory.turns == ()


@pytest.mark.parametrize(("line", "cell", "said"), [
    ("", "go", "no model"), ("--model fsat", "go", "no profile"), ("plot it", "go", "no option"), ("--max-turns many", "go", "invalid int"), ("--max-turns 0", "go", "above 0"),
    ("--model scripted:none.jsonl", "go", "cannot read the script"), ("'", "go", "cannot read the line"), ("", "  \n", "what is the task"),
])  # fmt: skip
def test_wrong_usage_is_said_in_a_line(shell, says, line, cell, said):
    says()
    result = shell.run_cell(f"%%codeact {line}\n{cell}")
    assert type(result.error_in_exec).__name__ == "UsageError"
    assert said in str(result.error_in_exec)


def test_the_line_magic_shows_and_sets(shell, says, capsys):
    says()
    shell.run_line_magic("codeact", f"--model {script(answer('a'))} --max-turns 3 --yes")
    assert "max turns  3\nasking     no\nso far     a new conversation" in capsys.readouterr().out
    do(shell, "", "go")
    shell.run_line_magic("codeact", "")
    assert "so far     1 turn\n" in capsys.readouterr().out
    shell.run_line_magic("codeact", "--new --ask")
    assert "asking     before each cell\nso far     a new conversation" in capsys.readouterr().out


def test_a_front_end_that_cannot_ask_is_told_to_say_yes(shell, says):
    class Kernel:
        _allow_stdin = False

    says()
    session(shell).shell = type("Shell", (), {"kernel": Kernel, "user_ns_hidden": {}, "display_pub": shell.display_pub})()
    with pytest.raises(Exception, match="--yes"):
        do(shell, f"--model {script(answer('a'))}", "go")


def test_loading_imports_the_extension_and_importing_codeact_does_not():
    code = "import sys, codeact; print([name for name in sys.modules if 'ipython' in name.lower()])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_a_real_kernel_asks_runs_and_shows(tmp_path, monkeypatch):
    manager = pytest.importorskip("jupyter_client.manager")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "script.jsonl").write_text("".join(json.dumps(reply) + "\n" for reply in (
        execute("table = {'a': data[0]}; print('ran'); display({'text/html': '<b>x</b>', 'text/plain': 'x'}, raw=True)"),
        execute("import time\nprint('waiting', flush=True)\ntime.sleep(600)"), answer("It **is** done."))))  # fmt: skip
    env = {**os.environ, "XDG_CONFIG_HOME": str(tmp_path), "IPYTHONDIR": str(tmp_path / "ipython")}
    kernel, client = manager.start_new_kernel(kernel_name="python3", env=env, cwd=str(tmp_path))
    asked, shown = [], []

    def on_input(message):
        asked.append(message["content"]["prompt"])
        client.input("y")

    def on_output(message):
        shown.append((message["msg_type"], message["content"]))
        if message["msg_type"] == "stream" and "waiting" in message["content"]["text"]:
            kernel.interrupt_kernel()

    def run(code):
        return client.execute_interactive(code, timeout=120, allow_stdin=True, stdin_hook=on_input, output_hook=on_output)["content"]

    try:
        assert run("%load_ext codeact\ndata = [7]")["status"] == "ok"
        assert run("%%codeact --model scripted:script.jsonl\nMake a table")["status"] == "ok"
        data = [content["data"] for kind, content in shown if kind in ("display_data", "update_display_data")]
        assert len(asked) == 2
        assert "Run this in your notebook?" in asked[0]
        assert any("data[0]" in one.get("text/markdown", "") for one in data)
        assert any(one.get("text/html") == "<b>x</b>" for one in data)
        assert "".join(content["text"] for kind, content in shown if kind == "stream").count("goes on from here") == 1
        run("%%codeact --yes --model scripted:script.jsonl\ngo on")
        assert any(content["data"].get("text/markdown") == "It **is** done." for kind, content in shown if kind == "display_data")
        assert run("assert table == {'a': 7}, table")["status"] == "ok"
    finally:
        client.stop_channels()
        kernel.shutdown_kernel(now=True)


GUARDED = '''
from codeact import tool
@tool(needs_approval=True)
def erase(name: str) -> str:
    """Erase something."""
    return f"erased {name}"
'''


def test_a_tool_that_needs_approval_is_asked_about_in_a_real_kernel(tmp_path, monkeypatch):
    manager = pytest.importorskip("jupyter_client.manager")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "guarded.py").write_text(GUARDED)
    (tmp_path / "codeact").mkdir()
    (tmp_path / "codeact" / "config.toml").write_text(f'tools = ["{tmp_path}/guarded.py"]\n')
    call = execute("try:\n    print(erase('it'))\nexcept PermissionError as error:\n    print('REFUSED', error)")
    (tmp_path / "script.jsonl").write_text("".join(json.dumps(reply) + "\n" for reply in (call, call, answer("Done."))))
    env = {**os.environ, "XDG_CONFIG_HOME": str(tmp_path), "IPYTHONDIR": str(tmp_path / "ipython")}
    kernel, client = manager.start_new_kernel(kernel_name="python3", env=env, cwd=str(tmp_path))
    asked, printed, answers = [], [], ["y", "n"]

    def on_input(message):
        asked.append(message["content"]["prompt"])
        client.input(answers.pop(0))

    def on_output(message):
        if message["msg_type"] == "stream":
            printed.append(message["content"]["text"])

    try:
        client.execute_interactive("%load_ext codeact\n", timeout=120, output_hook=on_output)
        client.execute_interactive("get_ipython().run_cell_magic('codeact', '--yes --model scripted:script.jsonl', 'Erase it')", timeout=120,
                                   allow_stdin=True, stdin_hook=on_input, output_hook=on_output)
    finally:
        client.stop_channels()
        kernel.shutdown_kernel(now=True)
    assert asked == ["The code wants to call erase(name='it'). Let it? y(es), n(o): "] * 2
    assert "erased it" in "".join(printed)
    assert "REFUSED" in "".join(printed)
