"""How values are laid out."""

from __future__ import annotations

import collections
import random
import re
import types
from typing import Any

import pytest

from codeact.kernel.layout import MAX_CHARS
from codeact.kernel.pretty import Printer, pretty


class Plain:
    pass


class Spelled(dict):  # type: ignore[type-arg]
    def __repr__(self) -> str:
        return "<spelled>"


class Lines:
    def __repr__(self) -> str:
        return "one\n two"


@pytest.mark.parametrize(("value", "text"), [
    (1, "1"), (1.5, "1.5"), ("a'b", '"a\'b"'), (None, "None"), ([], "[]"), ((1,), "(1,)"), ({}, "{}"), (set(), "set()"),
    ({3, 1, 2}, "{1, 2, 3}"), (frozenset([2, 1]), "frozenset({1, 2})"), (frozenset(), "frozenset()"),
    ({"b": 1, "a": (2, [3])}, "{'b': 1, 'a': (2, [3])}"), (int, "int"), (Plain, "test_pretty.Plain"),
    (len, "<function len(obj, /)>"), (range(3), "range(0, 3)"), (Spelled(), "<spelled>"),
    (ValueError("x", 2), "ValueError('x', 2)"), (types.SimpleNamespace(a=1), "namespace(a=1)"),
    (collections.OrderedDict(a=1), "OrderedDict([('a', 1)])"), (collections.Counter("aab"), "Counter({'a': 2, 'b': 1})"),
    (collections.defaultdict(list, a=[1]), "defaultdict(list, {'a': [1]})"),
    (collections.deque([1], maxlen=3), "deque([1], maxlen=3)"), (types.MappingProxyType({1: 2}), "mappingproxy({1: 2})"),
])
def test_small_values_stay_on_one_line(value: Any, text: str) -> None:
    assert pretty(value) == text


def test_an_object_without_repr_is_named_with_its_address() -> None:
    assert re.fullmatch(r"<test_pretty\.Plain at 0x[0-9a-f]+>", pretty(Plain()))


def test_a_list_wider_than_the_line_has_one_element_a_line() -> None:
    assert pretty(list(range(100, 130))).splitlines()[:3] == ["[100,", " 101,", " 102,"]


def test_a_line_of_exactly_the_width_is_not_broken() -> None:
    assert "\n" not in pretty(["x" * 75])
    assert pretty(["x" * 34, "y" * 37]).count("\n") == 0
    assert pretty(["x" * 35, "y" * 37]).count("\n") == 1


def test_inner_containers_break_only_where_they_do_not_fit() -> None:
    value = {"short": [1, 2], "long": list(range(10 ** 8, 10 ** 8 + 10))}
    assert pretty(value).splitlines()[:3] == ["{'short': [1, 2],", " 'long': [100000000,", "  100000001,"]


def test_a_set_that_cannot_be_sorted_is_shown_as_it_is() -> None:
    assert sorted(pretty({1, "a"})) == sorted("{1, 'a'}")


def test_long_sequences_are_elided() -> None:
    lines = pretty(list(range(5000))).splitlines()
    assert lines[-2:] == [" 999,", " ...]"]
    assert pretty(dict.fromkeys(range(5000))).endswith(" ...}")


def test_a_value_inside_itself_is_cut_off() -> None:
    loop: list[Any] = [1]
    loop.append(loop)
    assert pretty(loop) == "[1, [...]]"
    tree: dict[str, Any] = {}
    tree["self"] = tree
    assert pretty(tree) == "{'self': {...}}"


def test_deep_nesting_is_cut_off() -> None:
    value: Any = 0
    for _ in range(5000):
        value = [value]
    assert "..." in pretty(value)


def test_reprs_of_several_lines_are_moved_in() -> None:
    assert pretty([Lines(), 1]) == "[one\n  two,\n 1]"


def test_a_huge_text_keeps_both_ends() -> None:
    text = pretty("a" + "b" * (3 * MAX_CHARS) + "c")
    assert len(text) < MAX_CHARS + 100
    assert text.startswith("'ab")
    assert text.endswith("bc'")


def test_a_huge_container_ends_early() -> None:
    assert len(pretty([["x" * 1000] * 1000] * 1000)) < 2 * MAX_CHARS


def test_an_object_may_lay_itself_out() -> None:
    class Own:
        def _repr_pretty_(self, p: Printer, cycle: bool) -> None:
            with p.group(4, "Own(", ")"):
                p.pretty([1, 2])
                p.text(",")
                p.breakable()
                p.text("end")

    assert pretty([Own()]) == "[Own([1, 2], end)]"
    assert pretty([Own()], width=15) == "[Own([1, 2],\n     end)]"


def test_a_repr_of_a_strange_string_class_is_taken_as_text() -> None:
    class Odd(str):
        def __len__(self) -> int:
            return -1

    class Holder:
        def __repr__(self) -> str:
            return Odd("odd")

    assert pretty([Holder()]) == "[odd]"


def test_what_a_repr_raises_comes_out() -> None:
    class Bad:
        def __repr__(self) -> str:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        pretty([Bad()])


def test_the_layout_is_that_of_notebooks() -> None:
    theirs = pytest.importorskip("IPython.lib.pretty").pretty
    choice = random.Random(7)

    def value(depth: int) -> Any:
        kind = choice.choice("ilsdtS" if depth else "is")
        n = choice.randint(0, 8)
        if kind == "i":
            return choice.randint(0, 10 ** choice.randint(1, 12))
        if kind == "s":
            return "x" * choice.randint(0, 25)
        if kind == "d":
            return {f"k{i}": value(depth - 1) for i in range(n)}
        if kind == "S":
            return {choice.randint(0, 10 ** 6) for _ in range(n)}
        return (list if kind == "l" else tuple)(value(depth - 1) for _ in range(n))

    for _ in range(300):
        one = value(4)
        assert pretty(one) == theirs(one)
