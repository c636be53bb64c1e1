"""What a user writes in `tools=[...]`: functions, modules, and text that names what there is."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from codeact import Agent, ToolModule, plugins, tool
from codeact.errors import ConfigError, UnknownPlugin
from codeact.events import Approval, Output, ToolCalled
from codeact.models.scripted import ScriptedModel
from codeact.tools import Toolbox, available, resolve


def double(n: int) -> int:
    """Twice n."""
    return 2 * n


def test_text_names_built_in_tools_and_a_function_is_one():
    assert available() == ["files", "mcp", "web_fetch", "web_search"]
    assert [tool.name for tool in resolve("web_fetch")] == ["web_fetch"]
    assert [tool.name for tool in resolve(double)] == ["double"]
    module = ToolModule("mine", [double])
    assert resolve(module) == [module]


def test_what_there_is_not_is_told_with_what_there_is():
    with pytest.raises(ConfigError, match="no tool 'web_fech'; there are: files, mcp, web_fetch, web_search"):
        resolve("web_fech")
    for name in ("tool", "toolbox", "_http", "", "calls"):
        with pytest.raises(ConfigError, match="there is no tool"):
            resolve(name)
    with pytest.raises(ConfigError, match="it takes"):
        resolve("web_fetch:now")
    with pytest.raises(TypeError, match="a tool is a function"):
        resolve(7)  # type: ignore[arg-type]


def test_plugins_know_the_tools_and_not_the_files_beside_them():
    assert plugins.available("tools") == ["files", "web_fetch", "web_search"]
    with pytest.raises(UnknownPlugin, match="unknown tool 'toolbox'"):
        plugins.load("tools", "toolbox")


def test_a_module_outside_the_package_makes_tools(tmp_path, monkeypatch):
    (tmp_path / "my_tools.py").write_text("def shout(text: str) -> str:\n    'Loud.'\n    return text.upper()\n"
                                          "def create(times='1'): return [shout] * int(times)")
    (tmp_path / "my").mkdir()
    (tmp_path / "my" / "tools.py").write_text((tmp_path / "my_tools.py").read_text())
    monkeypatch.syspath_prepend(tmp_path)
    assert [tool.name for tool in resolve("my.tools")] == ["shout"]
    with pytest.raises(ValueError, match="two tools are named 'shout'"):
        Toolbox(["my.tools:2"])


MINE = """
import neighbour
from os.path import join
from codeact import tool

def rate(currency: str) -> float:
    "Euros for a unit."
    return neighbour.RATE

def helper(x): return x

def _private():
    "Not for models."

@tool(needs_approval=True)
def pay(amount: float) -> str:
    "Pay."
    return "paid"

async def wait(seconds: int) -> int:
    "Wait."
    return seconds
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A file of tools in the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "neighbour.py").write_text("RATE = 0.9")
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("codeact_tools_") or name in ("neighbour", "mine")]:
        del sys.modules[name]


@pytest.mark.parametrize("path", ["./mine.py", "mine.py", "{}/mine.py", "sub/../mine.py"])
def test_the_functions_with_docstrings_of_a_file_are_tools(mine, path):
    (mine / "sub").mkdir()
    found = resolve(path.format(mine))
    assert [(one.name, one.needs_approval) for one in found] == [("rate", False), ("pay", True), ("wait", False)]
    assert found[0]("USD") == 0.9
    assert [one.name for one in resolve("./mine.py:helper")] == ["helper"]
    assert resolve("mine.py:pay")[0].needs_approval
    assert resolve("mine.py")[0].function is resolve("mine.py")[0].function, "it is run once"


def test_a_module_by_its_dotted_path_gives_its_functions_too(mine, monkeypatch):
    (mine / "pack_of_mine").mkdir()
    (mine / "pack_of_mine" / "tools.py").write_text("def one() -> int:\n    'One.'\n    return 1\ndef two(): return 2\n")
    monkeypatch.syspath_prepend(mine)
    assert [one.name for one in resolve("pack_of_mine.tools")] == ["one"]
    assert [one.name for one in resolve("pack_of_mine.tools:two")] == ["two"]


def test_two_files_of_one_name_are_two(mine):
    (mine / "sub").mkdir()
    (mine / "sub" / "mine.py").write_text("def other() -> int:\n    'Other.'\n    return 1\n")
    assert [one.name for one in resolve("mine.py") + resolve("sub/mine.py")] == ["rate", "pay", "wait", "other"]


@pytest.mark.parametrize(("spec", "content", "said"), [
    ("./none.py", "", r"none.py is not there.*./mytools.py:FUNCTION"),
    ("./sub/tool", "", "is not there"), (".", "", "no tool"), ("./", "", "is no file that ends in .py"),
    ("bad.py", "def f(:", r"bad.py cannot be imported: SyntaxError: .*\(line 1\)"),
    ("bad.py", "\nx = 1 / 0", r"ZeroDivisionError: division by zero \(line 2\)"),
    ("bad.py", "import sys; sys.exit('no')", "SystemExit: no"),
    ("bad.py", "def f(): return 1", r"defines no tool: a tool is a function with annotations and a docstring"),
    ("bad.py:g", "def f(): return 1\nx = 5", "has no function 'g'; it has: f"), ("bad.py:x", "x = 5", "it has: none"),
    ("bad.py:1:2", "def create(a, b): pass", "missing a required argument"),
    ("bad", "", r'there is no tool .bad.; .*"./mytools.py:FUNCTION".*did you mean "./bad.py"\?'),
])  # fmt: skip
def test_what_is_wrong_with_a_file_of_tools_is_told(mine, spec, content, said):
    (mine / "bad.py").write_text(content)
    with pytest.raises(ConfigError, match=f"(?s){said}"):
        resolve(spec)


def test_an_agent_takes_a_file_of_tools(mine):
    reply = "<execute>\nprint(rate('USD'))\n</execute>"
    with Agent(ScriptedModel([reply, "Done."]), tools=["./mine.py"]) as agent:
        assert agent.run("Do it").trajectory.turns[0].observation.text.startswith("0.9")


def test_an_agent_takes_all_of_them_and_ends_what_it_has_started(tmp_path):
    pytest.importorskip("mcp")
    server = Path(__file__).parent / "mcp_server.py"
    (tmp_path / "a.txt").write_text("hello")
    reply = "<execute>\nprint(double(4), files.read('a.txt'), w.add(1, 2), w.pid())\n</execute>"
    with Agent(ScriptedModel([reply, "Done."]), tools=[double, f"files:{tmp_path}", f"mcp:w={sys.executable} {server} stdio"]) as agent:
        result = agent.run("Do it")
        prompt = result.trajectory.prompt[0].content
        assert "files.read" in prompt
        assert "w.add" in prompt
        text = result.trajectory.turns[0].observation.text
        assert text.startswith("8 hello 3 ")
    pid = Path(f"/proc/{text.split()[3]}")
    assert not pid.exists() or "Z" in (pid / "stat").read_text()


def test_an_agents_approver_decides_a_call_in_a_running_cell_and_its_stream_tells_of_it():
    @tool(needs_approval=True)
    def wipe(path: str) -> str:
        """Remove a path."""
        return f"wiped {path}"

    asked = []

    async def approve(name, arguments):
        asked.append((name, arguments))
        return arguments["path"] == "/a"

    code = "print(wipe('/a'))\ntry:\n    wipe('/b')\nexcept PermissionError:\n    print('no')"
    with Agent(ScriptedModel([f"<execute>\n{code}\n</execute>", "Done."]), tools=[wipe], approve=approve) as agent:
        told = [event for event in agent.stream("Clean up") if isinstance(event, Approval | ToolCalled | Output)]
    assert asked == [("wipe", {"path": "/a"}), ("wipe", {"path": "/b"})]
    assert [(type(event).__name__, getattr(event, "granted", None)) for event in told] == [
        ("Approval", None), ("Approval", True), ("ToolCalled", None), ("Output", None),
        ("Approval", None), ("Approval", False), ("ToolCalled", None), ("Output", None)]
    assert "not approved" in told[6].error


def test_what_was_started_is_ended_where_a_later_one_cannot_be_had(tmp_path):
    closed = []

    class Module(ToolModule):
        pass

    given = Module("given", [double], close=lambda: closed.append("given"))
    with pytest.raises(ConfigError):
        Toolbox([given, f"files:{tmp_path}", "no_such_tool"])
    assert closed == []   # its giver's to close
    given.close()
    given.close()
    assert closed == ["given"]
