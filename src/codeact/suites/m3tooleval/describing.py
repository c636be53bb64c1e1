"""Our functions as the model is shown them: under the names, types and descriptions of the suite's data.

What can be called is what the functions take, so names and kinds of parameters are theirs; where the data says another
(its `find_flights` leaves one out) the model would be misled. The types are words only: arguments reach the functions
as they are, as they did in the original, whose tools judge them themselves.
"""

import ast
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from codeact.errors import ConfigError

__all__ = ["described"]


class _Words(str):
    """A type as it is written, which need not be one: `int/float`."""

    def __repr__(self) -> str:
        return str(self)


def described(functions: Sequence[Callable[..., Any]], told: Sequence[Mapping[str, str]]
              ) -> Sequence[Callable[..., Any]]:
    """The functions in the order of the descriptions, each with its `name`, `signature` and `description`.

    Raises:
        ConfigError: There is not one description for each.
    """
    known = {function.__name__: function for function in functions}
    names = [entry["name"] for entry in told]
    if sorted(names) != sorted(known):
        raise ConfigError(f"the data describes the tools {', '.join(names)}; there are {', '.join(known)}. "
                          f"Get it anew with: codeact data get m3tooleval")
    return [_shown(known[entry["name"]], entry) for entry in told]


def _shown(function: Callable[..., Any], entry: Mapping[str, str]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    call.__name__ = call.__qualname__ = entry["name"]
    call.__doc__ = entry["description"]
    call.__signature__ = _signature(function, entry["signature"])  # type: ignore[attr-defined]
    return call


def _signature(function: Callable[..., Any], text: str) -> inspect.Signature:
    words, result = _annotations(text)
    params = [param.replace(annotation=_Words(words.get(param.name, _own(param.annotation))))
              if param.name in words or param.annotation not in (param.empty, Any)
              else param.replace(annotation=param.empty)
              for param in inspect.signature(function).parameters.values()]
    return inspect.Signature(params, return_annotation=_Words(result) if result else inspect.Signature.empty)


def _own(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) else str(annotation)


def _annotations(text: str) -> tuple[dict[str, str], str]:
    """Types by parameter, and the result's, of a signature in text; none if it is not written as Python's are."""
    try:
        head = ast.parse(f"def {text}: ...").body[0]
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return {}, ""
    if not isinstance(head, ast.FunctionDef):
        return {}, ""
    given = [*head.args.posonlyargs, *head.args.args, *head.args.kwonlyargs]
    given += [arg for arg in (head.args.vararg, head.args.kwarg) if arg]
    words = {arg.arg: ast.unparse(arg.annotation) for arg in given if arg.annotation}
    return words, _spelled(text) if head.returns else ""


def _spelled(text: str) -> str:
    return text.rpartition("->")[2].strip()
