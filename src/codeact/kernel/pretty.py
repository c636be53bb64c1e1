"""The text of a value, laid out over lines the way notebooks do it.

`display.bundle` calls `pretty` for every `text/plain`. A container that fits in 79 columns stays on one line;
otherwise it has one element a line, and its inner containers are judged in turn. Sets are sorted where possible.
After 1000 elements a container ends in `...`, after about a million characters the whole text is cut.

Objects may bring `_repr_pretty_(printer, cycle)`, the hook that libraries wrote for IPython. What this does not do:
protect against a `__repr__` that raises or never returns; the caller runs it as user code.

Source: the layout is that of IPython's output as recorded in MINT's observations.
"""

from __future__ import annotations

import collections
import sys
from typing import Any, Callable, Dict, List, Optional, Tuple

from .guard import keep_builtins
from .layout import MAX_CHARS, WIDTH, Full, Writer

__all__ = ["MAX_ITEMS", "Printer", "pretty"]

keep_builtins(globals())

MAX_ITEMS = 1000
MAX_DEPTH = 100

_ATOMS = frozenset([int, float, bool, complex, str, bytes, type(None), type(Ellipsis), type(NotImplemented), range])
_SILENT_MODULES = (None, "builtins")


def pretty(value: Any, width: int = WIDTH) -> str:
    """Lay a value out in lines of `width` columns where its parts allow it.

    Raises:
        BaseException: Whatever a `__repr__` in it raises.
    """
    if type(value) in _ATOMS:
        return _cut(repr(value))
    printer = Printer(width)
    try:
        printer.pretty(value)
    except Full:
        printer.abandon()
        return printer.finish() + "..."
    return printer.finish()


def _cut(text: str) -> str:
    """Keep both ends of a text that is too long; a str of the user's own class becomes a plain one."""
    text = "".join((text,))
    if len(text) <= MAX_CHARS:
        return text
    half = MAX_CHARS // 2
    return "%s... [%d characters left out] ...%s" % (text[:half], len(text) - 2 * half, text[-half:])


class Printer(Writer):
    """Prints values into a layout; the object that `_repr_pretty_` is handed."""

    def __init__(self, width: int = WIDTH):
        super().__init__(width)
        self.max_seq_length = MAX_ITEMS
        self._inside: List[int] = []

    def pretty(self, value: Any) -> None:
        """Print a value inside this one."""
        kind = type(value)
        if kind in _ATOMS:
            self.text(_cut(repr(value)))
            return
        if len(self._inside) >= MAX_DEPTH:
            self.text("...")
            return
        key = id(value)
        cycle = key in self._inside
        self._inside.append(key)
        try:
            _printer_for(kind)(self, value, cycle)
        finally:
            self._inside.pop()

    def items(self, values: Any, one: Callable[[Any], None]) -> None:
        """Print elements with commas between them, as many as are wanted of one container."""
        for i, value in enumerate(values):
            if i:
                self.text(",")
                self.breakable()
            if i >= MAX_ITEMS:
                self.text("...")
                return
            one(value)


# How each type is printed. Every function takes (printer, value, whether the value stands inside itself).

_Function = Callable[[Printer, Any, bool], None]


def _printer_for(kind: type) -> _Function:
    """The way to print a type: that of its nearest ancestor which says anything."""
    exact = _PRINTERS.get(kind)
    if exact is not None:
        return exact
    for cls in type.mro(kind) if issubclass(kind, type) else kind.__mro__:
        own = vars(cls)
        if "_repr_pretty_" in own:
            return _own_way
        if cls in _PRINTERS and (cls is not set and cls is not frozenset):
            return _PRINTERS[cls]
        if cls is object:
            break
        if "__repr__" in own:
            return _lines_of_repr
    return _default


def _own_way(p: Printer, value: Any, cycle: bool) -> None:
    value._repr_pretty_(p, cycle)


def _lines_of_repr(p: Printer, value: Any, cycle: bool = False) -> None:
    """`repr`, its later lines moved in as far as the text around them."""
    text = _cut(repr(value))
    if "\n" not in text:
        p.text(text)
        return
    lines = text.splitlines()
    p.begin_group()
    for i, line in enumerate(lines):
        if i:
            p.break_()
        p.text(line)
    p.end_group()


def _default(p: Printer, value: Any, cycle: bool) -> None:
    p.text("<%s at %#x>" % (_class_name(type(value)), id(value)))


def _class_name(cls: type) -> str:
    module = _plain_attribute(cls, "__module__")
    name = _plain_attribute(cls, "__qualname__")
    if not isinstance(name, str) or name == "<unknown>":
        name = cls.__name__
    return name if module in _SILENT_MODULES or not isinstance(module, str) else "%s.%s" % (module, name)


def _plain_attribute(value: Any, name: str) -> Any:
    try:
        return getattr(value, name, None)
    except Exception:
        return None


def _sequence(open: str, close: str) -> _Function:
    def print_sequence(p: Printer, value: Any, cycle: bool) -> None:
        if cycle:
            p.text(open + "..." + close)
            return
        p.begin_group(len(open), open)
        p.items(value, p.pretty)
        if len(value) == 1 and open == "(":
            p.text(",")
        p.end_group(len(open), close)

    return print_sequence


def _set(open: str, close: str, empty: str) -> _Function:
    def print_set(p: Printer, value: Any, cycle: bool) -> None:
        if cycle or not value:
            p.text(open + "..." + close if cycle else empty)
            return
        elements = value
        if len(value) < MAX_ITEMS:
            try:
                elements = sorted(value)
            except Exception:       # not comparable: the set's own order will do
                pass
        p.begin_group(len(open), open)
        p.items(elements, p.pretty)
        p.end_group(len(open), close)

    return print_set


def _dict(p: Printer, value: Any, cycle: bool) -> None:
    if cycle:
        p.text("{...}")
        return

    def pair(key: Any) -> None:
        p.pretty(key)
        p.text(": ")
        p.pretty(value[key])

    p.begin_group(1, "{")
    p.items(value, pair)
    p.end_group(1, "}")


def _call(name: str, *args: Any, **named: Any) -> Callable[[Printer], None]:
    """Print `name(args, key=value)`."""
    def print_call(p: Printer) -> None:
        def one(item: Tuple[Optional[str], Any]) -> None:
            if item[0] is not None:
                p.text(item[0] + "=")
            p.pretty(item[1])

        p.begin_group(len(name) + 1, name + "(")
        p.items([(None, arg) for arg in args] + list(named.items()), one)
        p.end_group(len(name) + 1, ")")

    return print_call


def _ordered_dict(p: Printer, value: Any, cycle: bool) -> None:
    name = type(value).__name__
    if cycle:
        p.text(name + "(...)")
    elif value:
        _call(name, list(value.items()))(p)
    else:
        p.text(name + "()")


def _default_dict(p: Printer, value: Any, cycle: bool) -> None:
    name = type(value).__name__
    if cycle:
        p.text(name + "(...)")
    else:
        _call(name, value.default_factory, dict(value))(p)


def _counter(p: Printer, value: Any, cycle: bool) -> None:
    name = type(value).__name__
    if cycle:
        p.text(name + "(...)")
    elif value:
        _call(name, dict(value.most_common()))(p)
    else:
        p.text(name + "()")


def _deque(p: Printer, value: Any, cycle: bool) -> None:
    name = type(value).__name__
    if cycle:
        p.text(name + "(...)")
    elif value.maxlen is None:
        _call(name, list(value))(p)
    else:
        _call(name, list(value), maxlen=value.maxlen)(p)


def _mapping_proxy(p: Printer, value: Any, cycle: bool) -> None:
    _call("mappingproxy", dict(value))(p)


def _namespace(p: Printer, value: Any, cycle: bool) -> None:
    name = "namespace" if type(value).__name__ == "SimpleNamespace" else type(value).__name__
    if cycle:
        p.text(name + "(...)")
    else:
        _call(name, **vars(value))(p)


def _class(p: Printer, value: Any, cycle: bool) -> None:
    """A class is its dotted name, unless its metaclass knows better."""
    metaclass: Any = type(value)
    if metaclass.__repr__ is not type.__repr__:
        _lines_of_repr(p, value)
    else:
        p.text(_class_name(value))


def _function(p: Printer, value: Any, cycle: bool) -> None:
    import inspect

    name = _plain_attribute(value, "__qualname__") or value.__name__
    module = _plain_attribute(value, "__module__")
    if module not in _SILENT_MODULES:
        name = "%s.%s" % (module, name)
    try:
        name += str(inspect.signature(value))
    except (TypeError, ValueError):
        pass
    p.text("<function %s>" % name)


def _exception(p: Printer, value: Any, cycle: bool) -> None:
    if cycle:
        p.text(type(value).__name__ + "(...)")
    else:
        _call(_class_name(type(value)), *(_plain_attribute(value, "args") or ()))(p)


_PRINTERS: Dict[type, _Function] = {
    list: _sequence("[", "]"),
    tuple: _sequence("(", ")"),
    dict: _dict,
    set: _set("{", "}", "set()"),
    frozenset: _set("frozenset({", "})", "frozenset()"),
    type: _class,
    type(pretty): _function,
    type(len): _function,
    type(type.__dict__): _mapping_proxy,
    type(sys.implementation): _namespace,
    BaseException: _exception,
    int: _lines_of_repr, float: _lines_of_repr, str: _lines_of_repr, bytes: _lines_of_repr,
    collections.OrderedDict: _ordered_dict,
    collections.defaultdict: _default_dict,
    collections.Counter: _counter,
    collections.deque: _deque,
}
