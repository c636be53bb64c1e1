"""Code in colours, as its words are and in time by their length."""

import re

import pytest

pytest.importorskip("nicegui", reason="nicegui is not installed")

from codeact.web.page import colours
from codeact.web.page.words import rendered


def text_of(made):
    return re.sub(r"<[^>]+>", "", made).replace("&quot;", '"').replace("&#39;", "'").replace("&lt;", "<").rstrip("\n")


@pytest.mark.parametrize("code", ["x = 1\n   \n\t\n'''a\n  \nb'''", "def f():\n    '''Doc.'''\n    \n    return 1 < 2", "  \n\n\nx"])
def test_python_keeps_its_blanks_and_has_colours(code):
    made = colours.python(code)
    assert text_of(made) == code
    assert "<span class=" in made


def test_docstrings_after_blank_lines_are_still_known():
    assert '<span class="sd">' in colours.python("class A:\n    \n    '''What it is.'''")


def test_a_file_of_blank_lines_does_not_hold_up_the_server():
    assert text_of(colours.python("x\n" + "\t\n" * 50_000 + "y")).endswith("y")   # took two minutes


@pytest.mark.parametrize("language", ["c", "java", "typescript", "make", "markdown"])
def test_a_language_that_can_take_long_has_colours_where_there_is_little_of_it(language):
    assert "<span" in rendered(f"```{language}\nint a = 1; // x\n# b: `c`\n```")
    hostile = rendered(f"```{language}\nint a = 1;\n" + "\n" * 20_000 + "```\n\n**on**")
    assert '<pre><code>int a = 1;' in hostile
    assert "<strong>on</strong>" in hostile


def test_many_small_blocks_have_colours_up_to_a_length_together():
    block = "```c\n" + "int a = 1;\n" * 100 + "```\n"
    made = rendered(block * 10)
    assert made.count('class="codehilite"') == colours.MAX_OTHERS // (11 * 100)
    assert made.count("<pre><code>") == 10 - made.count('class="codehilite"')


@pytest.mark.parametrize("language", ["", "nonsense", "<script>", "x" * 1000, "Python", "PY"])
def test_any_name_of_a_language_will_do(language):
    made = rendered(f"```{language}\nx = '<b>'\n```")
    assert "<b>" not in made
    assert ("<span" in made) == (language.lower() in ("python", "py"))
