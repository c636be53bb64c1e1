"""The session's variables as a table: name, type, size, a short preview. Made for the host, which shows it to a person.

The rows of Python's own types, of NumPy's and of pandas' are made without running code of the user's. Where a class has
a `__repr__` of its own (the user's, or a library's), that is run under a limit of time, and all of them under another.

What this does not protect against: a `__repr__` that swallows the interrupt, or hangs in C. The host waits for a while
and then gives the worker up, as with a cell; it asks again with `own=False`, and nothing of the user's is run.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from contextlib import contextmanager
from types import BuiltinFunctionType, FunctionType
from typing import Any, Dict, Iterator, List, Optional, Tuple

from .guard import keep_builtins
from .kinds import ATOMS, is_class, is_module, library_type, mro, name_of, plain_table, plain_zone, user_names

__all__ = ["MAX_VARIABLES", "listing"]

keep_builtins(globals())

MAX_VARIABLES = 1000
WIDTH = 80
EACH_SECONDS, ALL_SECONDS, TICK_SECONDS = 0.2, 1.5, 0.05
_MAX_NAME = 200
_TIMED_OUT = "<preview timed out>"
_CONTAINERS: Dict[type, str] = {list: "[]", tuple: "()", set: "{}", frozenset: "{}", dict: "{}"}
_SIZED = frozenset([str, bytes, bytearray, list, tuple, set, frozenset, dict, range])

Row = List[Any]
"""name, type, shape or None, length or None, bytes or None, preview."""


def listing(namespace: Dict[str, Any], given: Dict[str, Any], *, own: bool) -> Dict[str, Any]:
    """The table, as data for JSON.

    Args:
        given: What the session began with, which is left out; modules and names that begin with `_` are, too.
        own: Run the `__repr__` of other classes than the builtin ones, NumPy's and pandas'.
    """
    found = [(name, value) for name, value in user_names(namespace, given)
             if name[:1] != "_" and not is_module(value)]
    previews = _Previews(own)
    rows = [previews.row(name, value) for name, value in found[:MAX_VARIABLES]]
    return {"rows": rows, "more": max(0, len(found) - MAX_VARIABLES)}


class _Expired(BaseException):
    """The time for a preview is over."""


class _Previews:
    """Makes rows, and keeps count of the time spent in code of the user's."""

    def __init__(self, own: bool):
        self._own = own
        self._left = ALL_SECONDS

    def row(self, name: str, value: Any) -> Row:
        kind = name_of(type(value))
        shape, length, size = None, None, None
        try:
            shape, length, size = _measures(value)
            text = _known(value)
        except Exception:       # a library that was tampered with, or is broken
            text = "<%s>" % kind
        if text is None:
            text = self._asked(value)
        if is_class(value):
            kind = "class"
        elif type(value) is BuiltinFunctionType:
            kind = "function"
        return [_line(name, _MAX_NAME), _line(kind, _MAX_NAME), shape, length, size, _line(text, WIDTH)]

    def _asked(self, value: Any) -> str:
        """What the value's own `__repr__` says, if it says it in time."""
        plain = "<%s object>" % name_of(type(value))
        if not self._own or not _has_own_repr(type(value)):
            return plain
        if self._left <= 0:
            return _TIMED_OUT
        started = time.monotonic()
        try:
            with _limit(min(EACH_SECONDS, self._left)):
                text = repr(value)
            return str.__getitem__(text, slice(0, 4 * WIDTH))
        except _Expired:
            return _TIMED_OUT
        except BaseException as error:      # SystemExit and KeyboardInterrupt of the user's, too
            return "<%s: its repr raised %s>" % (name_of(type(value)), name_of(type(error)))
        finally:
            self._left -= time.monotonic() - started


@contextmanager
def _limit(seconds: float) -> Iterator[None]:
    """Raise `_Expired` inside after this time, again and again should it be swallowed; the user's own alarm waits."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def expire(number: int, frame: Any) -> None:
        raise _Expired

    before = signal.signal(signal.SIGALRM, expire)
    remaining, interval = signal.setitimer(signal.ITIMER_REAL, seconds, TICK_SECONDS)

    def stop() -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before if before is not None else signal.SIG_DFL)

    try:
        try:
            yield
        finally:
            stop()
    finally:        # a tick may have come in between; the next one is far
        stop()
        if remaining:
            signal.setitimer(signal.ITIMER_REAL, remaining, interval)


def _has_own_repr(kind: type) -> bool:
    for cls in mro(kind):
        if cls is object:
            return False
        if "__repr__" in type.__dict__["__dict__"].__get__(cls):
            return True
    return False


# What is known without asking ---------------------------------------------------------------------------------------


def _measures(value: Any) -> Tuple[Optional[List[int]], Optional[int], Optional[int]]:
    """Shape, length and bytes, as far as they cost nothing."""
    kind = type(value)
    if kind in _SIZED:
        return None, _length(value), sys.getsizeof(value)
    if kind in ATOMS or kind in (FunctionType, BuiltinFunctionType):
        return None, None, sys.getsizeof(value)
    if library_type(value, "numpy") == "ndarray":
        return [int(side) for side in value.shape], None, int(value.nbytes)
    if _is_table(value) and plain_table(value):
        if library_type(value, "pandas") == "DataFrame":
            return [int(side) for side in value.shape], None, int(value.memory_usage(deep=False).sum())
        return [len(value)], None, int(value.memory_usage(deep=False))
    for base in mro(kind):      # a class of the user's over one of these: asked as the builtin, not as itself
        if base in (list, tuple, set, frozenset, dict, str, bytes, bytearray):
            return None, int(base.__len__(value)), None
    return None, None, None


def _is_table(value: Any) -> bool:
    name = library_type(value, "pandas")
    return name in ("DataFrame", "Series") or name.endswith("Index")


def _length(value: Any) -> Optional[int]:
    try:
        return len(value)
    except OverflowError:       # a range
        return None


def _known(value: Any, depth: int = 0) -> Optional[str]:
    """A preview made without code of the user's; None where there is none."""
    kind = type(value)
    if kind is str or kind is bytes or kind is bytearray:
        return repr(value[:WIDTH]) + ("..." if len(value) > WIDTH else "")
    if kind is int and value.bit_length() > 4 * WIDTH:
        return "<an int of %d bits>" % value.bit_length()
    if kind in ATOMS or kind is range:
        return repr(value)
    if kind in _CONTAINERS:
        return _container(value, depth)
    if kind is FunctionType:
        code = value.__code__
        names = code.co_varnames[:code.co_argcount + code.co_kwonlyargcount]
        return "%s(%s)" % ("".join((value.__name__,)), ", ".join(names))
    if kind is BuiltinFunctionType:
        return "<built-in %s>" % value.__name__
    if is_class(value):
        return "<class %s>" % name_of(value)
    if library_type(value, "numpy"):
        return _numpy(value)
    if library_type(value, "pandas"):
        return _pandas(value, depth)
    return None


def _container(value: Any, depth: int) -> str:
    opening, closing = _CONTAINERS[type(value)][0], _CONTAINERS[type(value)][1]
    if depth > 2:
        return opening + "..." + closing
    parts: List[str] = []
    room = WIDTH
    for item in (value.items() if type(value) is dict else value):
        if type(value) is dict:
            part = "%s: %s" % (_item(item[0], depth), _item(item[1], depth))
        else:
            part = _item(item, depth)
        parts.append(part)
        room -= len(part)
        if room < 0:
            break
    if len(parts) < len(value):
        parts.append("...")
    if type(value) is tuple and len(value) == 1:
        closing = "," + closing
    if not parts and type(value) is not dict:
        return "%s()" % name_of(type(value)) if opening == "{" else opening + closing
    return opening + ", ".join(parts) + closing


def _item(value: Any, depth: int) -> str:
    """Inside a container nobody is asked."""
    known = _known(value, depth + 1)
    return "<%s object>" % name_of(type(value)) if known is None else known


def _numpy(value: Any) -> Optional[str]:
    import numpy

    name = name_of(type(value))
    if name == "ndarray":
        if value.dtype.hasobject:
            return "object array"
        if value.dtype.kind not in "biufcUSmM" or not (value.flags.c_contiguous or value.size < 1 << 16):
            return "%s array" % value.dtype
        first = value.reshape(-1)[:8]
        return "%s [%s%s]" % (value.dtype, ", ".join(str(item)[:WIDTH] for item in first), ", ..." * (value.size > 8))
    if isinstance(value, numpy.generic) and value.dtype.kind in "biufcUSmM":
        return repr(value)
    return None


def _pandas(value: Any, depth: int) -> Optional[str]:
    name = name_of(type(value))
    if _is_table(value) and not plain_table(value):
        return None
    if name == "DataFrame":
        columns = [_item(column, depth) for column in list(value.columns[:40])]
        return "columns %s%s" % (", ".join(columns), ", ..." * (len(value.columns) > 40))
    if name == "Series" or name.endswith("Index"):
        items = [_item(item, depth) for item in list(value.array[:8])] if hasattr(value, "array") else []
        return "%s [%s%s]" % (value.dtype, ", ".join(items), ", ..." * (len(value) > 8))
    if name == "Timestamp" and not plain_zone(value.tzinfo):
        return None
    if name in ("Timestamp", "Timedelta", "NaTType", "NAType", "Interval", "Period"):
        return repr(value)
    return None


def _line(text: str, width: int) -> str:
    """One line of at most this many characters, and none that a terminal would obey."""
    text = " ".join(text.split())
    text = "".join([char if char.isprintable() else "?" for char in text[:2 * width]])
    return text if len(text) <= width else text[:width - 3] + "..."
