"""Tools out of a module of the user's own, named by text: a file (`./mytools.py`) or a dotted path (`package.tools`).

    ./mytools.py               every public function with a docstring that is defined there, and what `@tool` made
    ./mytools.py:exchange      one function
    package.tools:exchange     the same of a module that Python finds

A module with a function `create` makes its tools itself: `create(argument)` returns them. The file is run on the host,
with the host's rights, as any import is.
"""

from __future__ import annotations

import importlib.util
import inspect
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from codeact import plugins
from codeact.errors import ConfigError
from codeact.tools.module import ToolModule
from codeact.tools.tool import Tool

__all__ = ["is_file", "make"]

_PREFIX = "codeact_tools_"
"""Before the name that a file is imported under, so that it hides no other module."""


def is_file(name: str) -> bool:
    """Whether text names a file rather than a module."""
    return name.endswith(".py") or "/" in name or name.startswith("~")


def make(name: str, argument: str | None) -> Any:
    """What a file or a module gives: tools, or what its `create` returns.

    Args:
        argument: What stands behind the colon.

    Raises:
        ConfigError: There is no such file, it cannot be imported, or has no such function, or none for a tool.
        UnknownPlugin: There is no such module.
    """
    try:
        module = _from_file(name) if is_file(name) else plugins.load("tools", name)
    except (ConfigError, KeyboardInterrupt):
        raise
    except BaseException as error:   # whatever its first lines do, sys.exit() too
        what = f"{type(error).__name__}: {error}{_line_of(error, name)}"
        raise ConfigError(f"{name} cannot be imported: {what}") from error
    if hasattr(module, "create"):
        return plugins.make(module, *([] if argument is None else [argument]), spec=name)
    return _picked(module, name, argument) if argument else _all(module, name)


def _from_file(name: str) -> ModuleType:
    path = Path(name).expanduser().resolve()
    if not path.is_file() or path.suffix != ".py":
        why = "is no file that ends in .py" if path.exists() else "is not there"
        raise ConfigError(f"the file of tools {name} {why}: a tool is given as ./mytools.py or ./mytools.py:FUNCTION")
    key = _PREFIX + path.stem
    while (known := sys.modules.get(key)) is not None:
        if known.__file__ == str(path):
            return known
        key += "_"
    spec = importlib.util.spec_from_file_location(key, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    if str(path.parent) not in sys.path:   # as for a script; but last, so that its neighbours hide nothing
        sys.path.append(str(path.parent))
    sys.modules[key] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[key]
        raise
    return module


def _all(module: ModuleType, name: str) -> list[Any]:
    found = [value for word, value in vars(module).items() if not word.startswith("_") and _is_tool(value, module)]
    if not found:
        raise ConfigError(f"{name} defines no tool: a tool is a function with annotations and a docstring, as\n"
                          '  def double(number: float) -> float:\n      "Twice a number."\n      return 2 * number\n'
                          f"A function without a docstring is named as {name}:FUNCTION")
    return list({id(one): one for one in found}.values())


def _is_tool(value: Any, module: ModuleType) -> bool:
    if isinstance(value, ToolModule):
        return True
    ours = getattr(value, "__module__", None) == module.__name__
    return ours and (isinstance(value, Tool) or (inspect.isfunction(value) and bool(value.__doc__)))


def _picked(module: ModuleType, name: str, word: str) -> Callable[..., Any] | ToolModule:
    value: Any = getattr(module, word, None)
    if isinstance(value, ToolModule) or callable(value):
        return value   # type: ignore[no-any-return]  # mypy does not see that a callable is one
    functions = [word for word, one in vars(module).items() if inspect.isfunction(one) or isinstance(one, Tool)]
    raise ConfigError(f"{name} has no function {word!r}; it has: {', '.join(functions) or 'none'}")


def _line_of(error: BaseException, name: str) -> str:
    """Where in the file it happened."""
    line = error.lineno if isinstance(error, SyntaxError) else None
    at = error.__traceback__
    while at is not None:
        if os.path.basename(at.tb_frame.f_code.co_filename) == os.path.basename(name):
            line = at.tb_lineno
        at = at.tb_next
    return f" (line {line})" if line else ""
