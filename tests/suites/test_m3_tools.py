"""The five families' tools where plain Python would be odd, and the calculator's walls."""

import pytest

from codeact.suites.m3tooleval import decoding, sequencing, trading, travelling
from codeact.suites.m3tooleval.browsing import Browser
from codeact.suites.m3tooleval.calculator import calculator

TOOLS = {tool.__name__: tool for tool in (*decoding.TOOLS, *sequencing.TOOLS, *trading.TOOLS)}


@pytest.mark.parametrize(
    ("tool", "args", "result"),
    [
        ("convert_hex_to_ascii", [""], ""),
        ("convert_hex_to_ascii", ["68 69"], "hi"),
        ("caesar_decode", ["aZ-1", "27"], "zY-1"),
        ("caesar_decode", ["az", -1], "ba"),
        ("caesar_decode", ["Ö", 0], "T"),
        ("minimum_value", [[2, 1]], [2, 1]),
        ("count_nucleotides", [""], {}),
        ("translate_mrna_to_amino_acid", [""], ""),
        ("translate_mrna_to_amino_acid", ["UUCAU"], "Phenylalanine-X"),
        ("find_max_nucleotide", ["A", 2, "T", 2], ("A", 2)),
        ("is_valid_dna_sequence", [""], True),
        ("is_valid_dna_sequence", ["acgt"], False),
        ("convert_currency", ["ab", 2], "abab"),
        ("find_maximum", [1, 2.5], 2.5),
    ],
)
def test_tools_do_what_plain_python_does(tool, args, result):
    assert TOOLS[tool](*args) == result


@pytest.mark.parametrize(
    ("tool", "args", "error"),
    [
        ("convert_hex_to_ascii", ["f"], ValueError),
        ("convert_hex_to_ascii", ["ff"], ValueError),
        ("minimum_value", [], ValueError),
        ("find_max_nucleotide", [], ValueError),
        ("find_max_nucleotide", ["A"], ValueError),
        ("find_max_nucleotide", ["A", 1, "T", "2"], TypeError),
        ("reverse_string", [12], TypeError),
        ("calculate_tariff", ["5", 3], TypeError),
        ("convert_currency", ["ab", 10**9], ValueError),
    ],
)
def test_tools_fail_as_plain_python_does(tool, args, error):
    with pytest.raises(error):
        TOOLS[tool](*args)


def test_places_may_be_named_without_their_quotes():
    agency = travelling.TravelAgency(['"X"'], [], [{"location": '"X"', "preferences": ["a", "b"]}])
    assert agency.book_hotel("X", "b") == agency.book_hotel('"X"') != []
    assert agency.book_hotel("X", "c") == agency.find_flights("X", "X", "never") == []
    with pytest.raises(ValueError, match="there are X"):
        agency.book_hotel("Y")


def test_what_a_lookup_gives_is_not_the_table_itself():
    agency = travelling.TravelAgency(["X"], [], [{"location": "X", "preferences": ["a"]}])
    agency.book_hotel("X")[0]["preferences"].append("b")
    assert agency.book_hotel("X", "b") == []


def test_min_and_max_of_travel_are_the_built_in_ones_and_sum_is_not():
    assert (travelling.max(3, 4), travelling.min([3, 4]), travelling.sum(3, 4)) == (4, 3, 7)
    for call in (travelling.max, travelling.min, lambda: travelling.max(3)):
        with pytest.raises(TypeError):
            call()


def test_a_browser_shows_five_lines_and_knows_the_way_back():
    browser = Browser({"/": "1\n2\n3\n4\n5\n6", "/a": "only"})
    assert browser.go_to_previous_page() == "[No previous page.]"
    assert browser.scroll_up() == "[Reached the top of the page.]\n"
    assert browser.scroll_down().endswith("[Viewing page 2 of 2]\n\n6\n----------")
    assert browser.scroll_down() == "[Reached the bottom of the page.]\n"
    assert browser.click_url("/nowhere") == "[URL not found.]"
    assert browser.click_url("'/a'") == "[Opened page: /a]\n" + browser.view()
    assert "[Viewing page 1 of 2]" in browser.go_to_previous_page()


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("2 + (3 * 4)", 14), (" 10/4", 2.5), ("3,4", (3, 4)), ("'a'*3", "aaa"), ("max(1, 2)", 2), ("2**10 % 7", 2),
        ("[1, 2][-1]", 2), ("round(2.567, 2)", 2.57), ("sum([1, 2.5])", 3.5), ("1 < 2 < 3", True), ("not 1", False),
        ("5 if 0 else 6", 6), ("{'a': 1}['a']", 1), ("-7 // 2", -4), ("1 and 0 or 3", 3), ("'abc'[1:]", "bc"),
        ("1**99999999999", 1), ("min(*[4, 3])", 3),
    ],
)  # fmt: skip
def test_the_calculator_evaluates_expressions(expression, value):
    assert calculator(expression) == value


@pytest.mark.parametrize(
    "expression",
    [
        "", "1/0", "1 +", "x", "import os", "x = 1", "__import__('os').system('true')", "().__class__", "open('/')",
        "9**9**9", "'a' * 10**9", "[[0] * 1000] * 1000", "1 << 10**9", "'%999999999d' % 1", "round(5, -10**9)",
        "list(range(10**9))", "sum([[1], [2]], [])", "[x for x in [1]]", "lambda: 1", "f'{1}'", "10.0**999",
        "(" * 5000, "-" * 9000 + "1", "1" * 9000, "1+" * 6000 + "1", "*".join(["9" * 999] * 9), "{[]: 1}", "1 @ 2",
        "[[[['a'] * 90] * 90] * 90]", "\0",
    ],
)  # fmt: skip
def test_the_calculator_says_that_it_failed(expression):
    assert calculator(expression) == f"Failed to evaluate expression: {expression}"
