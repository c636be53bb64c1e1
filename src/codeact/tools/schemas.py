"""JSON schemas of a server's tools, made into signatures that Python programmers read at a glance.

    {"properties": {"query": {"type": "string"}, "sort": {"enum": ["new", "old"]}}, "required": ["query"]}
    (query: str, sort: Literal['new', 'old'] | None = None)

Schemas come from a server and may be anything: what is not understood is `Any`, what is too large or too deep is cut,
names that Python cannot write are changed (and changed back in the call). What a signature does not say, patterns and
ranges, is the server's to check.
"""

from __future__ import annotations

import functools
import inspect
import keyword
import operator
import re
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Union

__all__ = ["Arguments", "arguments_of", "identifier", "returns_of", "tidy"]

MAX_PARAMETERS = 64
"""With more, a tool takes any keyword arguments."""
MAX_DEPTH = 5
MAX_CHOICES = 40
"""Of an enumeration that is spelled out."""
MAX_UNION = 6
MAX_SPELLED = 400
"""Characters of one parameter's type; longer ones become the plain container."""
MAX_SIGNATURE = 4000
MAX_TOLD = 500
"""Characters of a description of one parameter."""
MAX_NAME = 60

_PLAIN: dict[str, Any] = {"string": str, "integer": int, "number": float, "boolean": bool, "null": None,
                          "array": list, "object": dict}
_CONTROL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|[^\S\n]|[\x00-\x09\x0b-\x1f\x7f-\x9f]|"
                      r"[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
"""Moves and colours of a terminal, and characters that nobody sees."""


@dataclass(frozen=True)
class Arguments:
    """How a tool is called, and how a call is put to the server."""

    signature: inspect.Signature
    keys: Mapping[str, str] = field(default_factory=dict)
    """Parameter to property."""
    optional: frozenset[str] = frozenset()
    """Parameters of which None means that they are left out."""
    told: Mapping[str, str] = field(default_factory=dict)
    """What each is for."""

    def spell(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """The arguments for the server; what was not given is left out."""
        given = self.signature.bind(*args, **kwargs).arguments
        if not self.keys:
            return dict(given.get("arguments", {}))
        return {self.keys[name]: value for name, value in given.items()
                if value is not None or name not in self.optional}


def arguments_of(schema: Any) -> Arguments:
    """The parameters of an input schema: those required first, each in the server's order."""
    properties = schema.get("properties") if isinstance(schema, dict) else None
    if properties is None and isinstance(schema, dict) and not schema.get("required"):
        properties = {}
    if not isinstance(properties, dict) or len(properties) > MAX_PARAMETERS or \
            (not properties and schema.get("additionalProperties")):
        return _anything()
    asked = schema.get("required")
    required = {key for key in asked if isinstance(key, str)} if isinstance(asked, list) else set()
    keys: dict[str, str] = {}
    told: dict[str, str] = {}
    optional: set[str] = set()
    parameters: list[inspect.Parameter] = []
    reader = _Reader(schema)
    for key in sorted(properties, key=lambda key: key not in required):
        name = identifier(key, keys)
        keys[name] = key
        annotation, nullable = reader.read(properties[key])
        default: Any = inspect.Parameter.empty
        if key not in required:
            default = _default(properties[key])
            if default is None and not nullable:
                optional.add(name)
                annotation = _union([annotation, None])
        about = properties[key].get("description") if isinstance(properties[key], dict) else None
        lines = " ".join(tidy(about, MAX_TOLD).split()) if isinstance(about, str) else ""
        shape = reader.shape(properties[key])
        if lines or shape:
            told[name] = " ".join(filter(None, [lines, shape]))
        parameters.append(inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default,
                                            annotation=annotation))
    signature = inspect.Signature(parameters)
    if len(str(signature)) > MAX_SIGNATURE:
        return _anything()
    return Arguments(signature, keys, frozenset(optional), told)


def _anything() -> Arguments:
    anything = inspect.Parameter("arguments", inspect.Parameter.VAR_KEYWORD, annotation=Any)
    return Arguments(inspect.Signature([anything]))


def returns_of(schema: Any) -> tuple[Any, str, bool]:
    """What an output schema describes: its type, its keys for the eye, whether it is wrapped as {"result": ...}."""
    if not isinstance(schema, dict):
        return inspect.Signature.empty, "", False
    properties = schema.get("properties")
    reader = _Reader(schema)
    if isinstance(properties, dict) and set(properties) == {"result"}:
        return reader.read(properties["result"])[0], reader.shape(properties["result"]), True
    return reader.read(schema)[0], reader.shape(schema), False


def identifier(text: Any, taken: Container[str] = ()) -> str:
    """A name that Python can write, and that is not taken."""
    name = re.sub(r"\W+", "_", str(text)[:4 * MAX_NAME]).strip("_")[:MAX_NAME] or "x"
    if name[0].isdigit() or not name.isidentifier():
        name = "x_" + re.sub(r"[^0-9A-Za-z_]+", "_", name)
    if keyword.iskeyword(name):
        name += "_"
    free, number = name, 2
    while free in taken:
        free, number = f"{name}_{number}", number + 1
    return free


def tidy(text: Any, most: int) -> str:
    """A server's text without controls, cut."""
    if not isinstance(text, str):
        return ""
    clean = _CONTROL.sub(lambda found: " " if found[0].isspace() else "", text[:2 * most]).strip()
    return clean if len(clean) <= most else clean[:most - 3].rstrip() + "..."


def _default(schema: Any) -> Any:
    value = schema.get("default") if isinstance(schema, dict) else None
    return value if isinstance(value, (str, int, float, bool, list, dict)) and len(repr(value)) <= MAX_SPELLED else None


class _Reader:
    """Reads types, with the definitions of one schema."""

    def __init__(self, root: Mapping[str, Any]):
        self._root = root

    def read(self, schema: Any) -> tuple[Any, bool]:
        """The annotation, and whether null is allowed."""
        annotation = self._type(schema, MAX_DEPTH)
        nullable = annotation is None or annotation is Any or type(None) in getattr(annotation, "__args__", ())
        if len(str(annotation)) > MAX_SPELLED:
            origin = getattr(annotation, "__origin__", None)
            return origin if origin in (list, dict) else Any, nullable
        return annotation, nullable

    def _type(self, schema: Any, depth: int) -> Any:
        if not isinstance(schema, dict) or depth <= 0:
            return Any
        if "$ref" in schema:
            return self._type(self._referred(schema["$ref"]), depth - 1)
        if "const" in schema:
            return _literal([schema["const"]])
        if isinstance(schema.get("enum"), list):
            return _literal(schema["enum"])
        for word in ("anyOf", "oneOf"):
            if isinstance(schema.get(word), list):
                return _union([self._type(one, depth - 1) for one in schema[word][:MAX_UNION + 1]])
        if isinstance(schema.get("allOf"), list) and len(schema["allOf"]) == 1:
            return self._type(schema["allOf"][0], depth - 1)
        kind = schema.get("type")
        if isinstance(kind, list):
            return _union([self._type({**schema, "type": one}, depth - 1) for one in kind[:MAX_UNION + 1]])
        if kind == "array":
            of = self._type(schema.get("items"), depth - 1)
            return list if of is Any else _alias(list, of)
        if kind == "object":
            more = schema.get("additionalProperties")
            of = self._type(more, depth - 1) if isinstance(more, dict) and not schema.get("properties") else Any
            return dict if of is Any else _alias(dict, (str, of))
        return _PLAIN.get(kind, Any) if isinstance(kind, str) else Any

    def _referred(self, reference: Any) -> Any:
        parts = reference.split("/") if isinstance(reference, str) and reference.startswith("#/") else []
        found: Any = self._root
        for part in parts[1:8]:
            found = found.get(part) if isinstance(found, dict) else None
        return found if parts else None

    def shape(self, schema: Any) -> str:
        """The keys of an object, or of the objects in a list, as `{name: str, age?: int}`; empty for all else."""
        for _ in range(MAX_DEPTH):
            if not isinstance(schema, dict):
                return ""
            if "$ref" in schema:
                schema = self._referred(schema["$ref"])
            elif schema.get("type") == "array":
                schema = schema.get("items")
            else:
                break
        properties = schema.get("properties") if isinstance(schema, dict) else None
        if not isinstance(properties, dict) or not properties:
            return ""
        required = schema["required"] if isinstance(schema.get("required"), list) else []
        spelled = [f"{tidy(key, MAX_NAME)}{'' if key in required else '?'}: {_name(self._type(value, 2))}"
                   for key, value in list(properties.items())[:20]]
        text = "{" + ", ".join(spelled) + (", ..." if len(properties) > 20 else "") + "}"
        return text if len(text) <= MAX_TOLD else text[:MAX_TOLD - 3] + "..."


def _name(annotation: Any) -> str:
    if annotation is None:
        return "None"
    text = annotation.__name__ if isinstance(annotation, type) and not hasattr(annotation, "__args__") else \
        str(annotation)
    return text.replace("typing.", "")


def _literal(values: list[Any]) -> Any:
    plain = all(value is None or isinstance(value, (str, int, bool)) for value in values)
    if not plain or not 0 < len(values) <= MAX_CHOICES or any(len(str(value)) > MAX_TOLD for value in values):
        kinds = {type(value) for value in values}
        return kinds.pop() if len(kinds) == 1 and kinds <= {str, int, float, bool} else Any
    return Literal[tuple(values)]


def _alias(kind: Any, of: Any) -> Any:
    return kind[of]


def _union(kinds: list[Any]) -> Any:
    if not kinds or len(kinds) > MAX_UNION + 1 or any(kind is Any for kind in kinds):
        return Any
    try:
        return functools.reduce(operator.or_, dict.fromkeys(kinds))  # written as `str | None`
    except TypeError:
        return Union[tuple(kinds)]  # noqa: UP007
