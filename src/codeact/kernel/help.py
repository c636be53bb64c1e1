"""`name?` and `name??`: what an object is, as text. Called by commands.py."""

from __future__ import annotations

from typing import Any, List

from .guard import keep_builtins

__all__ = ["describe"]

keep_builtins(globals())

MAX_CHARS = 20_000


def describe(name: str, value: Any, *, source: bool = False) -> str:
    """Signature, type, text and documentation of an object; its source where asked and known."""
    import inspect

    from .pretty import pretty

    parts: List[str] = []
    if callable(value):
        try:
            parts.append("Signature: %s%s" % (name, inspect.signature(value)))
        except (TypeError, ValueError):
            pass
    parts.append("Type: %s" % type(value).__name__)
    if not callable(value) and not inspect.ismodule(value):
        parts.append("Value: %s" % _first_lines(pretty(value)))
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple):
        parts.append("Shape: %s" % (shape,))
    elif hasattr(type(value), "__len__"):
        parts.append("Length: %d" % len(value))
    try:
        file = inspect.getsourcefile(value)
    except (TypeError, OSError):
        file = None
    if file:
        parts.append("File: %s" % file)
    text = _source(value) if source else ""
    if text:
        parts.append("Source:\n%s" % text)
    else:
        parts.append("Docstring:\n%s" % (inspect.getdoc(value) or "(none)"))
    return "\n".join(parts)[:MAX_CHARS] + "\n"


def _source(value: Any) -> str:
    import inspect

    try:
        return inspect.getsource(value).rstrip("\n")
    except (TypeError, OSError):
        return ""


def _first_lines(text: str, n: int = 20) -> str:
    lines = text.split("\n")
    return text if len(lines) <= n else "\n".join(lines[:n]) + "\n..."
