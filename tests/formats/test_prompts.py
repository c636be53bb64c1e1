"""What each format tells the model: golden texts, and what may be said of tools, few and many.

`CODEACT_WRITE_GOLDEN=1` writes the texts anew; look at the difference before you keep it.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from codeact import plugins
from codeact.formats._describe import as_functions, as_lines
from codeact.protocols import MANY_TOOLS

GOLDEN = Path(__file__).parents[1] / "golden"


@dataclass(frozen=True)
class Described:
    name: str
    signature: str
    doc: str = ""


@dataclass(frozen=True)
class Summarised(Described):
    summary: str = ""


FEW = [
    Described("hotels", "(city: str, nights: int = 1) -> list[dict]", "Hotels in a city.\n\nCheapest first."),
    Described("weather", "(city: str) -> str", "Weather of today."),
    Described("now", "() -> str"),
]
MANY = [
    *FEW,
    *(Described(f"github.tool_{number}", "(q: str) -> str", f"Does the thing number {number}.\n\nAt length.") for number in range(20)),
    Summarised("mail.send", "(to: str) -> None", "A long story.", summary="Send a mail."),
]
TOOLS = {"none": [], "few": FEW, "many": MANY}
CASES = [
    *((name, "chat", tools) for name in ("code", "json", "text", "native") for tools in TOOLS),
    *((name, "m3tooleval", "few") for name in ("code", "json", "text")),
    *((name, "fences", "none") for name in ("code", "json", "text")),
]


@pytest.mark.parametrize(("name", "envelope", "tools"), CASES)
def test_the_instructions_are_as_written_down(name, envelope, tools):
    told = plugins.create("formats", name, envelope=envelope).instructions(TOOLS[tools]) + "\n"
    path = GOLDEN / f"format_{name}_{envelope}_{tools}.txt"
    if os.environ.get("CODEACT_WRITE_GOLDEN"):
        path.write_text(told, encoding="utf-8")
    assert told == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["code", "json", "text", "native"])
def test_instructions_are_short(name):
    assert len(plugins.create("formats", name).instructions([]).split()) < 160


def tool(number: int) -> Described:
    return Described(f"tool_{number}", "(argument: int)", f"Does {number}.")


def test_up_to_a_number_tools_are_told_in_full_and_then_by_name():
    assert "(argument: int)" in as_functions([tool(number) for number in range(MANY_TOOLS)])
    told = as_functions([tool(number) for number in range(MANY_TOOLS + 1)])
    assert "(argument: int)" not in told
    assert "- tool_20: Does 20." in told
    assert "help(name)" in told
    assert 'search_tools("' in told


def test_formats_without_code_are_told_every_signature():
    told = as_lines([tool(number) for number in range(500)])
    assert told.count("(argument: int)") == 500
    assert told.count("\n") == 499


def test_tools_are_told_by_module_and_a_huge_number_is_cut():
    tools = [Described(f"{module}.tool_{number}", "()", "Does it.") for module in ("b", "a") for number in range(1000)]
    told = as_functions(tools)
    assert told.index("the module `a`") < told.index("the module `b`")
    assert "... and 700 more" in told
    assert "... and 1000 more" in told
    assert told.count("\n") < 320


def test_of_many_tools_a_long_first_line_is_shortened_and_other_lines_are_left_out():
    told = as_lines([Described(f"f{i}", "()", "word " * 100 + "\nsecond line") for i in range(MANY_TOOLS + 1)])
    assert "second" not in told
    assert all(len(line) < 200 for line in told.split("\n"))


def test_of_few_tools_every_format_shows_the_whole_doc():
    tool = Described("f", "()", "First line.\n\nSecond line.")
    assert "Second line." in as_lines([tool])
    assert "Second line." in as_functions([tool])
