"""The two checkers: the original's verdict with its faults, and the right one."""

import pytest

from codeact.suites.m3tooleval import paper_check, strict_check


@pytest.mark.parametrize(
    ("expected", "answer", "paper", "strict"),
    [
        (1480, "1480", True, True), (1480, " 1480.0\n", True, True), (1480, "'1480'", True, True),
        (1480, "1481", False, False), (1480, "$1480", False, False), (1480, "1,480", False, False),
        (1480, "1480.000000001", False, True), (1480, "1480.1", False, False), (1480, "True", False, False),
        (68.25, "68", True, False),         # a whole number is compared with the whole part
        (0.1 + 0.2, "0.3", False, True),
        (2.5, "25e-1", True, True), (2.5, "nan", False, False), (2.5, "inf", False, False), (2.5, "", False, False),
        (2.5, "1_0", False, False), (2.5, "0x2", False, False), (2.5, "٢.5", True, False),
        ("Ann Lee", "Ann Lee", True, True), ("Ann Lee", '"Ann Lee"', True, True), ("Ann Lee", " Ann Lee", False, True),
        ("Ann Lee", "ann lee", False, False), ("Ann Lee", "Ann Lee.", False, False),
        (False, "False", True, True), (False, "false", False, True), (False, "0", False, False),
        ([1.5, 2.0], "[1.5, 2.0]", True, True), ([1.5, 2.0], "(1.5, 2)", False, True),
        ([1.5, 2.0], "1.5, 2.00", False, True), ([1.5, 2.0], "['1.5', \"2\"]", False, True),
        ([1.5, 2.0], "[2.0, 1.5]", False, False), ([1.5, 2.0], "[1.5]", False, False), ([1.0], "[True]", False, False),
        ([1.5, 2.0], "'[1.5, 2.0]'", False, True), ([], "[]", True, True), ([1], "", False, False),
        (("A", 3), "('A', 3)", True, True), (("A", 3), "['A', 3]", False, True), (("A", 3), "A, 3", False, True),
        (("A", 3), "(a, 3)", False, False), ([[1, 2], [3]], "[[1, 2], [3.0]]", False, True),
        ({"A": 1, "B": 2}, "{'A': 1, 'B': 2}", True, True), ({"A": 1, "B": 2}, '{"B": 2, "A": 1.0}', False, True),
        ({"A": 1, "B": 2}, "A: 1, B: 2", False, True), ({"A": 1, "B": 2}, "{'A': 1}", False, False),
        ({"A": 1}, "{'A': 1, 'B': 2}", False, False), (None, "None", False, False),
    ],
)  # fmt: skip
def test_verdicts(expected, answer, paper, strict):
    assert (paper_check.agrees(expected, answer), strict_check.agrees(expected, answer)) == (paper, strict)


@pytest.mark.parametrize(
    ("answer", "right"),
    [("237.94", True), ("237.942", True), ("237.9", False), ("237.95", False), ("237.941", False), ("238", False),
     ("two", False)],
)  # fmt: skip
def test_where_a_task_asks_for_decimals_the_rounded_number_is_right_too(answer, right):
    assert strict_check.agrees(237.942, answer, decimals=2) is right


HOSTILE = ["[" * 9_000, "(" * 10_000_000, "9" * 5_000, "[" + "9" * 5_000 + "]", "1e400", "-1e400", "[nan]", "{[]: 1}",
           "{1: 2}" * 1000, "\0", "\ud800", "[\ud800]", "'\\N{x}'", "-" * 9_000 + "1", "[1e999]", "b'1'", "{1, 2}", "...",
           "1j", "[1j]", ","*9_000]  # fmt: skip


@pytest.mark.parametrize("expected", [3, 2.5, 10**400, "text", True, [1.5, 2.0], ("A", 3), {"A": 1}, None, [[1]]])
@pytest.mark.parametrize("answer", HOSTILE, ids=range(len(HOSTILE)))
def test_no_answer_makes_a_checker_raise(expected, answer):
    assert not paper_check.agrees(expected, answer)
    assert not strict_check.agrees(expected, answer)
