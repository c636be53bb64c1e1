"""Everything a session holds, as data for a file; and a session made from such data. worker.py calls it.

Each name of the user's is one of three: a value that is stored (heap.py), a statement that is run again
(definitions.py: modules, functions, classes), or left over, with the reason. The host decides what to do about those.
Stored beside them: the working folder, changed environment variables, where `random` and NumPy's old generator stand.

Not stored: In, Out and `_`, what libraries were set to (options, styles), threads, asyncio tasks, open connections.
No code of the user's runs in `store`; nothing is ever pickled.
"""

from __future__ import annotations

import json
import os
import random
import sys
import threading
from types import BuiltinFunctionType, FunctionType
from typing import Any, Callable, Dict, List, Tuple

from . import definitions
from .guard import keep_builtins
from .heap import Refused, Writer
from .heap_reader import Reader, attribute
from .kinds import is_class, is_module, user_names
from .repl import Repl

__all__ = ["restore", "store"]

keep_builtins(globals())

MAX_JSON = 64 << 20
MAX_NAMES = 100_000


def store(repl: Repl, given: Dict[str, Any], environment: Dict[str, str], workspace: str) -> Tuple[str, List[bytes]]:
    """The session as JSON and buffers.

    Args:
        given: Names the session began with; functions, classes and modules among them are there again in any session.
        environment: The environment variables it began with.
        workspace: Its folder.
    """
    names = user_names(repl.namespace, {name: value for name, value in given.items() if _is_code(value)})
    if len(names) > MAX_NAMES:
        raise ValueError("the session has more than %d variables" % MAX_NAMES)
    known = definitions.Definitions(repl.namespace, repl.sources.texts)
    rest: Dict[str, str] = {}
    imports: List[Any] = []
    defined: List[Any] = []
    named = {id(value): name for name, value in given.items() if _is_code(value)}
    for name, value in names:
        try:
            found = known.imported(name, value)
            if found is not None:
                imports.append([name, *found])
            else:
                statement = known.statement(name, value)
                if statement is None:
                    continue
                defined.append([name, *statement])
            named.setdefault(id(value), name)
        except Refused as refused:
            rest[name] = str(refused)
        except Exception as error:      # a class in a state that nobody thought of
            rest[name] = "it cannot be understood (%s)" % type(error).__name__
    writer = Writer(named)
    again = {item[0] for item in (*imports, *defined)}
    stored: Dict[str, int] = {}
    for name, value in sorted(names):       # the order of names alone: a replay may have made them in another one
        if name in again or (name in rest and id(value) not in named):
            continue
        rest.pop(name, None)
        try:
            stored[name] = writer.add(value)
        except Refused as refused:
            if given.get(name, given) is not value:     # the helper file makes it again
                rest[name] = str(refused)
    if threading.active_count() > 1:
        rest["(threads)"] = "threads are running, and end with the session"
    if repl.is_busy():
        rest["(tasks)"] = "asyncio tasks are waiting, and end with the session"
    packages = {name: str(getattr(sys.modules[name], "__version__", "")) for name in ("numpy", "pandas")
                if name in sys.modules}
    text = json.dumps({
        "names": stored, "imports": sorted(imports, key=str), "definitions": sorted(defined, key=lambda item: item[1:]),
        "rest": rest, "heap": writer.nodes, "chance": _chance(), "order": [name for name, _ in names],
        "flags": repl.flags, "folder": _folder(workspace), "environment": _changed(environment),
        "python": "%d.%d.%d" % sys.version_info[:3], "packages": packages})
    if len(text) > MAX_JSON:
        raise ValueError("the session holds too many values to be stored one by one")
    return text, writer.buffers


def _is_code(value: Any) -> bool:
    """A function, class or module."""
    return is_module(value) or is_class(value) or type(value) in (FunctionType, BuiltinFunctionType)


def _folder(workspace: str) -> Any:
    try:
        folder = os.path.relpath(os.getcwd(), workspace)
    except OSError:     # it was removed
        return None
    return None if folder == "." or folder.startswith("..") else folder


def _changed(before: Dict[str, str]) -> Dict[str, Any]:
    """Environment variables that were set (text) or removed (null) since."""
    now = dict(os.environ)
    changed: Dict[str, Any] = {name: text for name, text in now.items() if before.get(name) != text}
    changed.update({name: None for name in before if name not in now})
    return changed


def _chance() -> Dict[str, Any]:
    """Where the random generators stand."""
    version, numbers, gauss = random.getstate()
    states: Dict[str, Any] = {"random": [version, list(numbers), gauss]}
    if "numpy.random" in sys.modules:
        name, keys, *others = sys.modules["numpy.random"].get_state()
        states["numpy"] = [name, keys.tolist(), *others]
    return states


# Back again ----------------------------------------------------------------------------------------------------------


def restore(repl: Repl, state: Any, cells: List[Any], buffers: List[Any], workspace: str) -> Dict[str, str]:
    """Make the session what `store` found, in a process that has just begun.

    Args:
        state: What `store` made, parsed; taken for hostile, which here means that it may fail.
        cells: [number, text] of the cells that ran.

    Returns:
        What could not be brought back, with the reason.
    """
    failed: Dict[str, str] = {}
    texts = {int(number): str(text) for number, text in cells}
    for number, text in sorted(texts.items()):
        repl.sources.remember("<cell %d>" % number, text)
    repl.began_with([texts.get(number, "") for number in range(1, max(texts, default=0) + 1)], state["flags"])
    _environment(state, workspace, failed)
    for name, module, place in state["imports"]:
        _try(failed, name, _import, repl.namespace, name, module, place)
    bodies: Dict[int, List[Any]] = {}
    for name, number, line, flags in state["definitions"]:
        if number not in bodies:
            bodies[number] = definitions.parse(texts.get(number, ""), "<cell %d>" % number)
        _try(failed, name, definitions.run, (number, line, flags), bodies[number], repl.namespace)
    reader = Reader(state["heap"], buffers, repl.namespace)
    for name, node in state["names"].items():
        _try(failed, name, _read, repl.namespace, name, reader, node)
    _in_order(repl.namespace, state["order"])
    _try(failed, "(random)", _set_chance, state["chance"])
    return failed


def _try(failed: Dict[str, str], name: str, act: Callable[..., Any], *arguments: Any) -> None:
    try:
        act(*arguments)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        failed[str(name)] = ("%s: %s" % (type(error).__name__, str(error)[:200]))


def _import(namespace: Dict[str, Any], name: str, module: str, place: Any) -> None:
    import importlib

    found = importlib.import_module(module)
    namespace[name] = found if place is None else attribute(found, place)


def _read(namespace: Dict[str, Any], name: str, reader: Reader, node: Any) -> None:
    namespace[name] = reader.value(node)


def _environment(state: Any, workspace: str, failed: Dict[str, str]) -> None:
    if state["folder"]:
        _try(failed, "(working folder)", os.chdir, os.path.join(workspace, state["folder"]))
    for name, text in state["environment"].items():
        if text is None:
            os.environ.pop(name, None)
        else:
            _try(failed, "(environment)", os.environ.__setitem__, name, text)


def _set_chance(states: Dict[str, Any]) -> None:
    version, numbers, gauss = states["random"]
    random.setstate((version, tuple(numbers), gauss))
    if "numpy" in states:
        import numpy

        name, keys, *others = states["numpy"]
        numpy.random.set_state((name, numpy.array(keys, "u4"), *others))


def _in_order(namespace: Dict[str, Any], names: List[Any]) -> None:
    """`%who` and its kin list variables in the order in which they were first given."""
    for name in names:
        if name in namespace:
            namespace[name] = namespace.pop(name)
