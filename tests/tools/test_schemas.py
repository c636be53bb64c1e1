"""JSON schemas as signatures: what people read, and nothing a server sends breaks it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codeact.tools.schemas import arguments_of, identifier, returns_of, tidy

ADDRESS = {"type": "object", "properties": {"street": {"type": "string"}, "number": {"type": "integer"}}, "required": ["street"]}


def signature(properties, required=(), **more) -> str:
    schema = {"type": "object", "properties": properties, "required": list(required), **more}
    return str(arguments_of(schema).signature).replace("typing.", "")


@pytest.mark.parametrize(("schema", "spelled"), [
    ({"type": "string"}, "str"), ({"type": "number"}, "float"), ({"type": "boolean"}, "bool"), ({"type": "object"}, "dict"),
    ({"type": "array"}, "list"), ({"type": "array", "items": {"type": "integer"}}, "list[int]"),
    ({"type": "array", "items": ADDRESS}, "list[dict]"), ({"enum": ["a", "b"]}, "Literal['a', 'b']"), ({"const": 3}, "Literal[3]"),
    ({"type": ["string", "null"]}, "str | None"), ({"anyOf": [{"type": "string"}, {"type": "integer"}]}, "str | int"),
    ({"type": "object", "additionalProperties": {"type": "number"}}, "dict[str, float]"), ({"$ref": "#/$defs/A"}, "dict"),
    ({"allOf": [{"$ref": "#/$defs/A"}]}, "dict"), ({}, "Any"), (True, "Any"), (7, "Any"), ({"type": 7}, "Any"), ({"type": "odd"}, "Any"),
    ({"enum": [f"v{n}" for n in range(1000)]}, "str"), ({"enum": [{}, []]}, "Any"), ({"enum": []}, "Any"), ({"$ref": 3}, "Any"),
    ({"$ref": "#/$defs/Nowhere"}, "Any"), ({"$ref": "#/$defs/Self"}, "Any"), ({"anyOf": []}, "Any")])  # fmt: skip
def test_a_type_is_spelled_as_python_does(schema, spelled):
    told = signature({"x": schema}, ["x"], **{"$defs": {"A": ADDRESS, "Self": {"$ref": "#/$defs/Self"}}})
    assert told == f"(x: {spelled})"


def test_what_is_required_comes_first_and_the_rest_has_defaults():
    told = signature({"a": {"type": "integer", "default": 3}, "b": {"type": "string"}, "c": {"type": "string"},
                      "d": {"type": ["string", "null"]}}, ["c"])
    assert told == "(c: str, a: int = 3, b: str | None = None, d: str | None = None)"


def test_what_is_left_out_is_not_sent_and_null_is_where_it_is_allowed():
    told = arguments_of({"properties": {"from": {"type": "string"}, "max-n": {"type": "integer"}, "d": {"type": ["string", "null"]}}})
    assert told.spell((), {"from_": "x", "max_n": None, "d": None}) == {"from": "x", "d": None}
    assert told.spell(("x",), {}) == {"from": "x"}
    assert arguments_of({"additionalProperties": True}).spell((), {"any-thing": 1}) == {"any-thing": 1}
    assert arguments_of({}).spell((), {}) == {}


def test_the_keys_of_objects_are_told():
    told = arguments_of({"properties": {"to": {**ADDRESS, "description": "Where to."}, "all": {"type": "array", "items": ADDRESS}}}).told
    assert told == {"to": "Where to. {street: str, number?: int}", "all": "{street: str, number?: int}"}


def test_a_wrapped_result_is_unwrapped():
    assert returns_of({"type": "object", "properties": {"result": {"type": "integer"}}}) == (int, "", True)
    assert returns_of({"type": "object", "properties": {"result": {"type": "integer"}, "more": {}}})[2] is False


@pytest.mark.parametrize("schema", [None, 3, [], {"properties": []}, {"properties": {"a": {}}, "required": {}},
                                    {"properties": {f"p{n}": {} for n in range(1000)}}, {"required": ["x"]}])
def test_a_schema_that_is_none_takes_what_comes(schema):
    assert arguments_of(schema).signature is not None


json = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=20), lambda inner: st.lists(inner, max_size=4) | st.dictionaries(
    st.sampled_from(["type", "properties", "items", "anyOf", "enum", "$ref", "required", "default", "description", "a b", "class"])
    | st.text(max_size=8), inner, max_size=5), max_leaves=30)


@given(json)
def test_no_schema_breaks_it(schema):
    for one in (schema, {"properties": schema}, {"properties": {"x": schema, "class": schema}, "required": schema}):
        told = arguments_of(one)
        assert len(str(told.signature)) <= 5000
        assert all(name.isidentifier() for name in told.signature.parameters)
        returns_of(one)


@given(st.text())
def test_any_text_becomes_a_name(text):
    assert identifier(text).isidentifier()
    assert identifier(text, [identifier(text)]) != identifier(text)


def test_a_text_loses_its_controls_and_is_cut():
    assert tidy("\x1b[31mred\x1b[0m\ttea\x00\u202e\nline", 100) == "red tea\nline"
    assert tidy("x" * 1000, 10) == "xxxxxxx..."
    assert tidy(None, 10) == ""
