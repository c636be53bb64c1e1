"""Modules of tools: real modules in the kernel, one name on the host; many tools are searched for."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest

from codeact import Interpreter, tool
from codeact.events import ToolCalled
from codeact.protocols import MANY_TOOLS
from codeact.tools import Toolbox, ToolModule


def search_issues(query: str, state: str = "open") -> list[str]:
    """Find issues by words.

    Newest first.
    """
    return [f"{state}: {query}"]


@tool(needs_approval=True)
async def close_issue(number: int) -> str:
    """Close an issue."""
    await asyncio.sleep(0)
    return f"closed {number}"


def github() -> ToolModule:
    return ToolModule("github", [search_issues, close_issue], doc="Issues of our repositories.")


@pytest.fixture(params=["local", "inprocess", pytest.param("jupyter", marks=pytest.mark.slow)])
def make(request, tmp_path):
    made = []
    if request.param == "jupyter":
        pytest.importorskip("ipykernel")

    def make(*tools, **options):
        where: dict[str, Any] = {"backend": request.param} | ({"workspace": tmp_path} if request.param == "inprocess" else {})
        made.append(Interpreter(tools, imports=(), **where, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()
    assert "github" not in sys.modules


def test_a_module_is_called_imported_and_explained_as_any_other(make):
    py = make(github(), approve=lambda name, arguments: name == "github.close_issue")
    assert py.run("github.search_issues('crash', state='closed')").outputs[-1]["text/plain"] == "['closed: crash']"
    assert py.run("from github import search_issues as find\nimport github as gh\nfind('x') == gh.search_issues('x')").text.endswith("True")
    assert py.run("await gh.close_issue(7)").text.endswith("'closed 7'")
    told = py.run("help(github)").stdout
    assert "Issues of our repositories." in told
    assert "search_issues(query: str, state: str = 'open') -> list[str]" in told
    assert "Newest first." in told
    assert "close_issue(number: int) -> str" in py.run("help(github.close_issue)").stdout
    assert py.run("[name for name in dir(github) if name[0] != '_'], github.__all__").text.endswith(
        "(['close_issue', 'search_issues'], ['search_issues', 'close_issue'])")
    assert "github.close_issue" not in py.run("from github import *\nclose_issue.__module__, close_issue.__name__").text


def test_events_and_approvals_name_the_module_too(make):
    asked, seen = [], []
    py = make(github(), approve=lambda name, arguments: asked.append(name) or True)
    py.run("github.close_issue(1)", on_output=seen.append)
    assert asked == ["github.close_issue"]
    assert [event.tool for event in seen if isinstance(event, ToolCalled)] == ["github.close_issue"]


def test_a_module_outlives_states_branches_and_files(tmp_path):
    with Interpreter([github()], imports=()) as py:
        py.run("from github import search_issues\nx = 1")
        py.run("del github, search_issues")
        py.undo()
        assert py.run("github.search_issues is search_issues").text.endswith("True")
        with py.branch() as twin:
            assert twin.run("github.search_issues('b')").text.endswith("['open: b']")
        assert [variable.name for variable in py.variables()] == ["search_issues", "x"] or \
            [variable.name for variable in py.variables()] == ["x"]
        report = py.save(tmp_path / "state")
        py.reset()
        assert py.run("from github import search_issues\nsearch_issues('c')").text.endswith("['open: c']")
    with Interpreter.load(tmp_path / "state", [github()], imports=()) as py:
        assert py.loaded is not None
        assert py.run("search_issues('d'), x, search_issues is github.search_issues").outputs == [{"text/plain": "(['open: d'], 1, True)"}]
    assert report is not None


def test_a_package_that_is_installed_keeps_its_name_in_imports():
    def one() -> int:
        """1"""
        return 1

    with Interpreter([ToolModule("numpy", [one])], imports=()) as py:
        assert py.run("numpy.one()").text.endswith("1")
        assert py.run("import numpy\nint(numpy.arange(2).sum())").text.endswith("1")


@pytest.mark.parametrize("name", ["json", "os", "a.b", "no name", "class", "_1", ""])
def test_a_name_that_would_hide_python_or_cannot_be_written_is_refused(name):
    with pytest.raises(ValueError, match=r"name|kept"):
        ToolModule(name, [search_issues])


def test_clashing_names_are_refused():
    with pytest.raises(ValueError, match="two tools are named 'github'"):
        Toolbox([github(), github()])
    with pytest.raises(ValueError, match="two tools are named 'search_issues'"):
        Toolbox([search_issues, search_issues])
    with pytest.raises(ValueError, match="two tools are named 'github'"):
        Toolbox([tool(search_issues, name="github"), github()])
    with pytest.raises(ValueError, match="of the module 'github' are named"):
        ToolModule("github", [search_issues, search_issues])
    with pytest.raises(ValueError, match="whole ToolModule"):
        Toolbox(list(github()))


def test_on_the_host_a_module_runs_its_tools():
    module = github()
    assert module.search_issues("x") == ["open: x"]
    with pytest.raises(AttributeError, match="no tool 'nothing'"):
        _ = module.nothing


def test_many_tools_are_searched_by_name_and_description(make):
    def numbered(n: int) -> Any:
        def function(x: int = 0) -> int:
            return x

        function.__name__, function.__doc__ = f"tool_{n}", f"Does the thing number {n}.\n\nIn detail."
        return function

    py = make(github(), *(numbered(n) for n in range(MANY_TOOLS)))
    found = py.run("search_tools('find issues')").outputs[-1]["text/plain"]
    assert "github.search_issues(query: str, state: str = 'open') -> list[str]: Find issues by words." in found
    assert "In detail" not in found
    assert py.run("search_tools('issues')[0].startswith('github.search_issues'), search_tools('nonsense'), "
                  "len(search_tools('number', limit=5)), search_tools('tool 7')[0][:6]").text.endswith("(True, [], 5, 'tool_7')")
    assert "Find tools by words" in py.run("help(search_tools)").stdout


def test_few_tools_bring_no_search_and_a_tool_of_that_name_stays(make):
    assert make(search_issues).run("search_tools").error.name == "NameError"

    def search_tools() -> str:
        """Mine."""
        return "mine"

    others = [tool(search_issues, name=f"f{n}") for n in range(MANY_TOOLS)]
    assert make(search_tools, *others).run("search_tools()").text.endswith("'mine'")
