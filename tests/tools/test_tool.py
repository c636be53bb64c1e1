"""Tools: still functions on the host, described for kernels, and strict about what cells hand them."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import functools
import subprocess
import sys
from typing import Annotated, Literal

import numpy as np
import pytest
from pydantic import BaseModel, Field

from codeact.tools.tool import Tool, tool


@dataclasses.dataclass
class Point:
    x: int
    y: int = 0


class Model(BaseModel):
    name: str


class Colour(enum.Enum):
    RED = "red"


@tool
def convert(amount: float, to: Literal["EUR", "USD"] = "EUR", *rates: float, when: dt.date | None = None, **notes: str) -> float:
    """Convert."""
    return amount


def bound(tool: Tool, *args, **kwargs):
    return tool.bind(args, kwargs).arguments


def test_a_tool_is_still_its_function():
    assert convert(2.5) == 2.5
    assert convert("as it is") == "as it is"
    assert convert.__name__ == "convert"
    assert convert.__doc__ == "Convert."
    assert convert.needs_approval is False


def test_options_may_be_given():
    @tool(needs_approval=True, name="wipe_all")
    def wipe(path: str) -> None: ...

    assert (wipe.name, wipe.needs_approval, wipe.doc) == ("wipe_all", True, "")


def test_a_spec_is_json_and_says_everything():
    assert convert.spec() == {
        "name": "convert", "doc": "Convert.", "async": False, "returns": "float", "params": [
            {"name": "amount", "kind": "POSITIONAL_OR_KEYWORD", "annotation": "float"},
            {"name": "to", "kind": "POSITIONAL_OR_KEYWORD", "annotation": "Literal['EUR', 'USD']", "default": "EUR"},
            {"name": "rates", "kind": "VAR_POSITIONAL", "annotation": "float"},
            {"name": "when", "kind": "KEYWORD_ONLY", "annotation": "dt.date | None", "default": None},
            {"name": "notes", "kind": "VAR_KEYWORD", "annotation": "str"}]}


def test_a_default_that_cannot_cross_is_shown():
    missing = object()

    @tool
    def find(key, default=missing, data=b"x"): ...

    params = find.spec()["params"]
    assert params[1]["default_repr"].startswith("<object object")
    assert params[2]["default_repr"] == "b'x'"


def test_arguments_are_coerced_where_that_is_safe():
    assert bound(convert, "2.5", "USD", 1, "3", when="2024-03-01", note="n") == {
        "amount": 2.5, "to": "USD", "rates": (1.0, 3.0), "when": dt.date(2024, 3, 1), "notes": {"note": "n"}}


def test_dicts_become_dataclasses_and_models_and_values_enums():
    @tool
    def draw(point: Point, model: Model, colour: Colour, pair: tuple[int, int], names: set[str], anything): ...

    assert list(bound(draw, {"x": "1"}, {"name": "n"}, "red", [1, 2], ["a"], 7).values()) == [
        Point(1), Model(name="n"), Colour.RED, (1, 2), {"a"}, 7]


def test_an_array_is_a_list_where_a_list_is_asked_for():
    @tool
    def total(values: list[float], array: np.ndarray): ...

    array = np.array([1.0, 2.0])
    arguments = bound(total, array, array)
    assert arguments["values"] == [1.0, 2.0]
    assert arguments["array"] is array
    with pytest.raises(TypeError, match=r"'array'.*instance of ndarray"):
        bound(total, [1], [1])


def test_metadata_of_annotations_counts():
    @tool
    def pick(n: Annotated[int, Field(ge=1, le=3)]): ...

    with pytest.raises(ValueError, match=r"'n'.*greater than or equal to 1"):
        bound(pick, 0)


@pytest.mark.parametrize(("args", "kwargs", "error", "says"), [
    ((), {}, TypeError, "missing a required argument: 'amount'"),
    ((1,), {"amount": 2}, TypeError, "multiple values"),
    (([],), {}, TypeError, r"convert\(\): argument 'amount': .*valid number, got \[\] of type list"),
    (("many",), {}, ValueError, "'amount'.*got 'many' of type str"),
    ((1, "GBP"), {}, ValueError, "'EUR' or 'USD'"),
    ((1, "EUR", 2, "x"), {}, ValueError, r"\*rates"),
    ((1,), {"when": []}, TypeError, "'when'"),
    ((1,), {"note": 5}, TypeError, "'note'.*valid string"),
    (("x" * 5000,), {}, ValueError, r"x\.\.\. of type"),
])
def test_wrong_arguments_are_refused_clearly(args, kwargs, error, says):
    with pytest.raises(error, match=says) as info:
        convert.bind(args, kwargs)
    assert len(str(info.value)) < 400
    assert type(info.value) is error


def test_the_place_of_a_wrong_item_is_named():
    @tool
    def draw(points: list[Point]): ...

    with pytest.raises(ValueError, match=r"'points', at 1.x: Field required"):
        bound(draw, [{"x": 1}, {}])


class Client:
    def __init__(self, key: str):
        self.key = key

    def search(self, query: str) -> str:
        """Search."""
        return f"{self.key}:{query}"

    @tool
    def count(self, n: int) -> int:
        return n + len(self.key)

    def __call__(self, n: int) -> int:
        """Call."""
        return n


class WebSearch:
    async def __call__(self, query: str) -> str:
        """Search the web."""
        return query


def test_methods_partials_and_callable_objects_can_be_tools():
    client = Client("k")
    search = Tool(client.search)
    assert (search.name, search.doc, search("q")) == ("search", "Search.", "k:q")
    assert bound(search, "q") == {"query": "q"}

    assert client.count(2) == 3
    assert client.count.spec()["params"][0]["name"] == "n"
    assert bound(client.count, "2") == {"n": 2}

    partial = Tool(functools.partial(client.search, query="always"))
    assert partial.name == "search"
    assert partial() == "k:always"
    assert partial.spec()["params"][0]["kind"] == "KEYWORD_ONLY"
    assert bound(partial, query="other") == {"query": "other"}

    assert (Tool(client).name, Tool(client).doc) == ("client", "Call.")
    with pytest.raises(ValueError, match="valid integer"):
        Tool(client).bind(["x"], {})
    assert Tool(WebSearch()).name == "web_search"
    assert Tool(WebSearch()).is_async


def test_async_functions_are_known():
    async def fetch(url: str) -> str: ...

    assert Tool(fetch).is_async
    assert Tool(fetch).spec()["async"] is True
    assert Tool(functools.partial(fetch, "u")).is_async


def test_functions_that_tell_no_signature_take_anything():
    assert Tool(max).bind([1, 2], {}).args == (1, 2)


@pytest.mark.parametrize(("function", "name", "says"), [
    (lambda x: x, None, "lambda.*tool\\(function, name="), (len, "for", "keyword"), (len, "a-b", "identifier"),
    (len, "_", "kept"), (len, "_12", "kept"),
])
def test_names_that_no_cell_could_call_are_refused_with_advice(function, name, says):
    with pytest.raises(ValueError, match=says):
        Tool(function, name=name)


def test_what_is_no_function_is_refused():
    with pytest.raises(TypeError, match="a tool is a function; got 5 of type int"):
        tool(5)  # type: ignore[call-overload]


def test_an_annotation_that_cannot_be_resolved_fails_on_the_host():
    @tool
    def f(x: Nowhere) -> None: ...  # noqa: F821

    with pytest.raises(TypeError, match=r"'Nowhere' is not defined.*module can see"):
        f.spec()


def test_pydantic_is_imported_with_the_first_annotated_call_only():
    code = ("from codeact.tools.tool import tool\n"
            "@tool\ndef f(x, y: int = 1): ...\n"
            "f.spec(); print('pydantic' in sys.modules)\n"
            "f.bind([1], {'y': 2}); print('pydantic' in sys.modules)\n")
    assert subprocess.check_output([sys.executable, "-c", "import sys\n" + code], text=True).split() == ["False", "True"]
