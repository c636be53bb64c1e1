"""A toolbox: tools by name."""

from __future__ import annotations

import pytest

from codeact.tools.tool import tool
from codeact.tools.toolbox import Toolbox


def add(a: int, b: int) -> int:
    """Add."""
    return a + b


@tool(needs_approval=True)
def wipe() -> None: ...


def test_plain_functions_and_tools_go_in_and_keep_their_order():
    box = Toolbox([add, wipe])
    assert [item.name for item in box] == ["add", "wipe"]
    assert len(box) == 2
    assert box["wipe"] is wipe
    assert "add" in box
    assert "sub" not in box
    assert [spec["name"] for spec in box.told()["tools"]] == ["add", "wipe"]


def test_an_empty_toolbox_is_one():
    assert Toolbox().told()["tools"] == []
    with pytest.raises(LookupError, match="available: none"):
        Toolbox()["add"]


def test_an_unknown_name_says_which_there_are():
    with pytest.raises(LookupError, match="unknown tool 'sub'; available: add, wipe"):
        Toolbox([add, wipe])["sub"]


def test_two_tools_of_one_name_are_refused():
    with pytest.raises(ValueError, match=r"two tools are named 'add'.*name="):
        Toolbox([add, add])


def test_a_function_instead_of_a_list_is_refused_with_advice():
    with pytest.raises(TypeError, match=r"tools=\[\.\.\.\]"):
        Toolbox(add)  # type: ignore[arg-type]


def test_something_else_in_the_list_is_refused():
    with pytest.raises(TypeError, match="a tool is a function"):
        Toolbox([7])  # type: ignore[list-item]
