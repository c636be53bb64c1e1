"""Tools as the cells of a kernel see them: functions of the same name, signature and docstring.

toolset.py makes one stub for each tool of the session. A stub does not know how a call travels: it hands name and
arguments to the `call` it was given, which uses `request` and `answer` below to spell the question and to read the
answer. Frames on the wire:

    {"t": "call", "id": n, "tool": name, "arguments": [[args...], {kwargs...}]}       packed as one value (values.py)
    {"t": "reply", "id": n, "ok": true, "value": packed}
    {"t": "reply", "id": n, "ok": false, "error": {"name", "message", "module"?, "base"?, "args"?}}

Arguments are judged on the host alone (`codeact.tools`), which is the side that must not be fooled; a stub checks
nothing. The host is trusted here: it is what started the kernel.

Source: docs/kernel_protocol.md.
"""

from __future__ import annotations

import builtins
import sys
from typing import Any, Awaitable, Callable, Dict, List, Optional, Sequence, Tuple

from .values import pack, unpack

__all__ = ["ToolError", "answer", "make_stub", "request"]

Spec = Dict[str, Any]
"""{"name", "doc", "params": [{"name", "kind", "annotation"?, "default"? (packed) or "default_repr"?}], "returns"?,
"async"}; a name may be "module.function"; a kind is the name of an attribute of `inspect.Parameter`."""
Call = Callable[[str, Tuple[Any, ...], Dict[str, Any]], Any]


class ToolError(RuntimeError):
    """An error of a tool whose own type does not exist in the kernel; each such type is a subclass of this one."""


class _Spelled(str):
    """An annotation or a default as it was written: `help` shows it without quotes."""

    __repr__ = str.__str__


def make_stub(spec: Spec, call: Call, call_async: Optional[Callable[..., Awaitable[Any]]] = None) -> Callable[..., Any]:
    """The function that stands for a tool in the kernel.

    Args:
        spec: What `codeact.tools.Tool.spec` says of it.
        call: Asks the host and waits: (name, args, kwargs) -> value, or raises the host's error.
        call_async: The same as an awaitable, for tools that are async on the host: inside a running event loop such a
            stub returns it; outside it waits, so that a cell may call it plainly.
    """
    name = spec["name"]
    module, _, own_name = name.rpartition(".")

    def stub(*args: Any, **kwargs: Any) -> Any:
        return call(name, args, kwargs)

    def async_stub(*args: Any, **kwargs: Any) -> Any:
        if call_async is not None and _in_event_loop():
            return call_async(name, args, kwargs)
        return call(name, args, kwargs)

    function = async_stub if spec.get("async") else stub
    function.__name__ = function.__qualname__ = own_name
    function.__doc__ = spec.get("doc")
    function.__module__ = module or "__main__"
    function.__annotations__ = {param["name"]: _annotation(param["annotation"])
                                for param in spec["params"] if param.get("annotation") is not None}
    if spec.get("returns") is not None:
        function.__annotations__["return"] = _annotation(spec["returns"])
    setattr(function, "__signature__", _signature(spec))
    return function


def _in_event_loop() -> bool:
    asyncio = sys.modules.get("asyncio")  # not imported: no loop can be running
    return asyncio is not None and asyncio._get_running_loop() is not None


def _annotation(text: str) -> Any:
    """The builtin type of this name, else the text."""
    if text == "None":
        return None
    kind = getattr(builtins, text, None)
    return kind if isinstance(kind, type) else _Spelled(text)


def _signature(spec: Spec) -> Any:
    import inspect  # slow to import; only a session with tools needs it

    params = []
    for param in spec["params"]:
        default: Any = inspect.Parameter.empty
        if "default" in param:
            default = unpack(param["default"])
        elif "default_repr" in param:
            default = _Spelled(param["default_repr"])
        annotation = inspect.Parameter.empty if param.get("annotation") is None else _annotation(param["annotation"])
        params.append(inspect.Parameter(param["name"], getattr(inspect.Parameter, param["kind"]), default=default,
                                        annotation=annotation))
    returns = inspect.Signature.empty if spec.get("returns") is None else _annotation(spec["returns"])
    return inspect.Signature(params, return_annotation=returns)


# --- the call on the wire ----------------------------------------------------------------------------------------


def request(name: str, args: Sequence[Any], kwargs: Dict[str, Any]) -> Tuple[Dict[str, Any], List[bytes]]:
    """Spell a call, but for its "id", which the caller adds.

    Raises:
        TypeError: An argument cannot cross.
    """
    tree, buffers = pack([list(args), kwargs])
    return {"t": "call", "tool": name, "arguments": tree}, buffers


def answer(header: Dict[str, Any], buffers: Sequence[Any]) -> Any:
    """The value of a reply, or the host's error raised under its own name.

    Raises:
        ValueError: The value needs a package that is missing here.
        Exception: What the tool raised: of the same builtin type, else of a subclass of `ToolError` with its name.
    """
    if header["ok"]:
        return unpack(header["value"], buffers)
    raise _error(**header["error"])


_error_types: Dict[Tuple[str, str, str], type] = {}


def _error(name: str, message: str, module: str = "", base: str = "", args: Optional[List[Any]] = None) -> Exception:
    kind = _builtin_error(name) if module in ("", "builtins") else None
    if kind is not None:
        for candidate in ([] if args is None else [tuple(args)]) + [(message,)]:
            try:
                error: Exception = kind(*candidate)
            except Exception:  # some take more than a message
                continue
            if str(error) == message or candidate == (message,):
                return error
    error_type = _error_types.get((module, name, base))
    if error_type is None:
        error_type = _error_types[module, name, base] = _make_error_type(module, name, _builtin_error(base))
    made: Exception = error_type(message)
    return made


def _builtin_error(name: str) -> Optional[type]:
    kind = getattr(builtins, name, None)
    return kind if isinstance(kind, type) and issubclass(kind, Exception) else None


def _make_error_type(module: str, name: str, base: Optional[type]) -> type:
    body = {"__module__": module or "builtins", "__str__": lambda self: str(self.args[0]),
            "__doc__": "An error of a tool, raised on the host."}
    try:  # also under its nearest builtin base, so that `except ValueError` catches what it would on the host
        error_type = type(name, (ToolError,) if base is None else (ToolError, base), body)
        error_type("")
        return error_type
    except TypeError:
        return type(name, (ToolError,), body)
