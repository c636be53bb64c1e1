"""Arguments of a call, shortened for the eye: what `ToolCalled` and `Approval` events carry.

Made on the host, of values that a signature and its annotations have let pass, so no `__repr__` of a kernel's is ever
run. Cut while it is made: a table of a gigabyte costs no more than a number.
"""

from __future__ import annotations

import inspect
import reprlib
from typing import Any

__all__ = ["MAX_CHARS", "previews"]

MAX_CHARS = 200
"""Of one argument."""
MAX_ARGUMENTS = 50

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxlong = _SHORT.maxother = MAX_CHARS
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxdict = _SHORT.maxset = _SHORT.maxfrozenset = _SHORT.maxdeque = 20
_SHORT.maxlevel = 4


def previews(bound: inspect.BoundArguments) -> dict[str, str]:
    """Each argument that was given, by its name."""
    given = list(bound.arguments.items())[:MAX_ARGUMENTS]
    return {name: _preview(value) for name, value in given}


def _preview(value: Any) -> str:
    if isinstance(value, (bytes, bytearray, memoryview)) and len(value) > MAX_CHARS:
        value = bytes(value[:MAX_CHARS])  # reprlib would spell all of it first
    try:
        text = " ".join(_SHORT.repr(value).split())
    except Exception:
        text = object.__repr__(value)
    return text if len(text) <= MAX_CHARS else text[:MAX_CHARS - 3] + "..."
