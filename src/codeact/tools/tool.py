"""A tool: an annotated Python function that cells may call and that runs on the host.

    @tool
    def exchange_rate(currency: str) -> float:
        "Euros for one unit of `currency`."
        return rates[currency]

On the host it stays what it was, `exchange_rate("USD")` runs it. A kernel gets its `spec`, and makes a function of the
same name, signature and docstring of it (kernel/stubs.py); the call comes back to `calls.py`, which lets `Tool.bind`
judge the arguments before the function sees them.

What this does not protect against: arguments come from code that a model wrote. Annotations decide their types, not
whether they are wise; a tool that opens any path it is given gives the session any file. Mark what should be seen by a
person first with `needs_approval`.
"""

from __future__ import annotations

import functools
import inspect
import keyword
import re
import typing
from collections.abc import Callable
from typing import Any, Generic, ParamSpec, TypeVar, overload

from codeact.kernel import values

__all__ = ["Tool", "checked_name", "tool"]

P = ParamSpec("P")
R = TypeVar("R")

_MAX_SHOWN = 80


class Tool(Generic[P, R]):
    """A function with what a kernel and a person need to know of it.

    Args:
        function: A function, method, `functools.partial` or object with `__call__`; plain or async.
        name: What cells call it; by default the function's own name. `module.name` puts it into a module
            (module.py makes such names).
        needs_approval: Whether a person is asked, with name and arguments, before each call.

    Raises:
        TypeError: It cannot be called.
        ValueError: The name is none that a cell could write.
    """

    def __init__(self, function: Callable[P, R], *, name: str | None = None, needs_approval: bool = False):
        if not callable(function):
            raise TypeError(f"a tool is a function; got {_shown(function)} of type {type(function).__name__}")
        self.function = function
        self.name = checked_name(name if name is not None else _own_name(function), given=name is not None)
        self.needs_approval = needs_approval
        core = _core(function)
        is_object = not (inspect.isroutine(core) or inspect.isclass(core))
        self.doc = inspect.cleandoc((is_object and type(core).__call__.__doc__) or core.__doc__ or "")
        self.is_async = inspect.iscoroutinefunction(core) or inspect.iscoroutinefunction(type(core).__call__)
        try:
            self.signature = inspect.signature(function)
        except ValueError:  # some functions written in C do not tell
            self.signature = inspect.Signature([inspect.Parameter("args", inspect.Parameter.VAR_POSITIONAL),
                                                inspect.Parameter("kwargs", inspect.Parameter.VAR_KEYWORD)])
        self.__name__ = self.__qualname__ = self.name
        self.__module__ = getattr(core, "__module__", None) or __name__
        self.__doc__ = self.doc
        self.__wrapped__ = function
        self.__signature__ = self.signature

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)

    def __get__(self, instance: Any, owner: type | None = None) -> Tool[..., Any]:
        """Used as a method, `@tool` gives the bound method as a tool."""
        if instance is None:
            return self
        bound = self.function.__get__(instance, owner)
        return Tool(bound, name=self.name, needs_approval=self.needs_approval)

    def __repr__(self) -> str:
        return f"<tool {self.name}{self.signature}>"

    def spec(self) -> dict[str, Any]:
        """What a kernel is told, as JSON (kernel/stubs.py makes the function of it).

        Raises:
            TypeError: An annotation names something that cannot be found.
        """
        self._hints  # noqa: B018 (to fail now, before the host's user, not later in a cell)
        params = []
        for param in self.signature.parameters.values():
            entry: dict[str, Any] = {"name": param.name, "kind": param.kind.name,
                                     "annotation": _spelled(param.annotation, param.empty)}
            if param.default is not param.empty:
                entry |= _default(param.default)
            params.append(entry)
        return {"name": self.name, "doc": self.doc, "params": params, "async": self.is_async,
                "returns": _spelled(self.signature.return_annotation, inspect.Signature.empty)}

    def bind(self, args: typing.Sequence[Any], kwargs: dict[str, Any]) -> inspect.BoundArguments:
        """Judge the arguments of a call against the signature and its annotations.

        Values are coerced as far as pydantic's lax mode goes: "5" is an int, a dict a dataclass or a model, a list a
        tuple or a set; 5 is no str. An array or a column is a list where one is asked for. A parameter without an
        annotation takes what comes.

        Raises:
            TypeError: An argument is missing, unknown or of the wrong type.
            ValueError: An argument has the right type and a wrong value.
        """
        try:
            bound = self.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{self.name}{self.signature}: {error}") from None
        for name, value in bound.arguments.items():
            validate = self._validators.get(name)
            if validate is None:
                continue
            kind = self.signature.parameters[name].kind
            if kind is inspect.Parameter.VAR_POSITIONAL:
                bound.arguments[name] = tuple(self._validated(f"*{name}", validate, item) for item in value)
            elif kind is inspect.Parameter.VAR_KEYWORD:
                bound.arguments[name] = {key: self._validated(key, validate, item) for key, item in value.items()}
            else:
                bound.arguments[name] = self._validated(name, validate, value)
        return bound

    @functools.cached_property
    def _hints(self) -> dict[str, Any]:
        core = _core(self.function)
        if inspect.isclass(core):
            core = core.__init__
        elif not inspect.isroutine(core):
            core = type(core).__call__
        try:
            return typing.get_type_hints(core, include_extras=True)
        except (NameError, AttributeError, SyntaxError) as error:
            raise TypeError(f"tool {self.name!r}: an annotation cannot be resolved: {error}. Define or import the name "
                            f"where the function's module can see it (not inside a function, nor under TYPE_CHECKING)"
                            ) from None

    @functools.cached_property
    def _validators(self) -> dict[str, Callable[[Any], Any]]:
        hints = {name: self._hints[name] for name in self.signature.parameters if name in self._hints}
        return {name: _validator(hint) for name, hint in hints.items() if hint not in (Any, object)}

    def _validated(self, param: str, validate: Callable[[Any], Any], value: Any) -> Any:
        from pydantic import ValidationError

        try:
            try:
                return validate(value)
            except ValidationError:
                if not (hasattr(value, "tolist") and hasattr(value, "dtype")):
                    raise
                return validate(value.tolist())
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ", at " + ".".join(map(str, first["loc"])) if first["loc"] else ""
            text = (f"{self.name}(): argument {param!r}{place}: {first['msg']}, "
                    f"got {_shown(first['input'])} of type {type(first['input']).__name__}")
            # pydantic's names for "not the right type at all" end so; the others are about a value
            raise (TypeError if first["type"].endswith(("_type", "_of")) else ValueError)(text) from None


@overload
def tool(function: Callable[P, R], /, *, name: str | None = None, needs_approval: bool = False) -> Tool[P, R]: ...
@overload
def tool(*, name: str | None = None, needs_approval: bool = False) -> Callable[[Callable[P, R]], Tool[P, R]]: ...
def tool(function: Any = None, /, *, name: str | None = None, needs_approval: bool = False) -> Any:
    """Make a function a tool: `@tool`, `@tool(needs_approval=True)`, `tool(client.search, name="find")`.

    See `Tool` for the arguments and for what is raised.
    """
    if function is None:
        return functools.partial(Tool, name=name, needs_approval=needs_approval)
    return Tool(function, name=name, needs_approval=needs_approval)


def _core(function: Any) -> Any:
    """The function below partials and tools."""
    while isinstance(function, functools.partial | Tool):
        function = function.func if isinstance(function, functools.partial) else function.function
    return function


def _own_name(function: Any) -> str:
    core = _core(function)
    name = getattr(core, "__name__", None)
    if isinstance(name, str):
        return name
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(core).__name__).lower()


def checked_name(name: str, *, given: bool = True) -> str:
    """The name, if a cell can write it: an identifier, or two with a dot between them.

    Raises:
        ValueError: It is another one.
    """
    advice = "" if given else "; give it one: tool(function, name=\"...\")"
    if name == "<lambda>":
        raise ValueError(f"a lambda has no name that a cell could call{advice}")
    parts = name.split(".")
    if len(parts) > 2 or not all(part.isidentifier() and not keyword.iskeyword(part) for part in parts):
        raise ValueError(f"{name!r} is no name that a cell could call: it must be an identifier, not a keyword{advice}")
    if not all(part.strip("_0123456789") for part in parts):
        raise ValueError(f"{name!r} is kept for the results of cells{advice}")
    return name


def _spelled(annotation: Any, empty: Any) -> str | None:
    if annotation is empty:
        return None
    if isinstance(annotation, str):
        return annotation
    if annotation is None:
        return "None"
    return re.sub(r"\btyping\.(?=[A-Z])", "", inspect.formatannotation(annotation))  # it is left in deeper down


def _default(value: Any) -> dict[str, Any]:
    """A default as a kernel can have it; one that cannot cross is shown only, and filled in on the host."""
    try:
        tree, buffers = values.pack(value)
    except TypeError:
        buffers = [b""]
    return {"default_repr": _shown(value)} if buffers else {"default": tree}


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except Exception:
        text = object.__repr__(value)
    return text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN - 3] + "..."


def _validator(hint: Any) -> Callable[[Any], Any]:
    import pydantic  # a tenth of a second: only for tools with annotations, and only once one is called

    try:
        # Types that pydantic does not know, arrays say, are checked by isinstance
        adapter = pydantic.TypeAdapter(hint, config=pydantic.ConfigDict(arbitrary_types_allowed=True))
    except pydantic.PydanticUserError:  # models and dataclasses bring a configuration of their own
        adapter = pydantic.TypeAdapter(hint)
    return adapter.validate_python
