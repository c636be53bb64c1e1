"""Find a plug-in by name: the file name is the name, so there is no list to edit.

    load("models", "openai")            the module codeact/models/openai.py
    load("models", "my_package.mine")   any other module, by its dotted path
    create("models", "openai:gpt-5-mini", base_url=...)   load, then call its `create`

Each plug-in module has a `create(...)`. Nothing is imported before it is asked for. A name chooses which module is
imported, so it must come from whoever may run code here anyway (flags, configuration), never from a model.
"""

import importlib
import pkgutil
from functools import cache
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from codeact.errors import ConfigError, UnknownPlugin

__all__ = ["available", "create", "load", "make"]

_FOLDERS = {"tools": "tools.builtin", "runners": "evals.runners"}
"""Kinds whose folder stands elsewhere, or holds other files too."""
_loaded: dict[tuple[str, str], ModuleType] = {}


def available(kind: str) -> list[str]:
    """The names there are, sorted; `kind` is a folder of the package, as "models"."""
    package = importlib.import_module(_home(kind))
    return sorted(module.name for module in pkgutil.iter_modules(package.__path__) if not module.name.startswith("_"))


def load(kind: str, name: str) -> ModuleType:
    """Import the plug-in `name` of a kind.

    Raises:
        UnknownPlugin: There is none; the message lists what there is.
    """
    if known := _loaded.get((kind, name)):   # looking through the folder takes longer than a session needs
        return known
    if "." in name:
        return _load_outside(kind, name)
    names = available(kind)
    if name not in names:
        raise UnknownPlugin(f"unknown {kind.removesuffix('s')} {name!r}; available: {', '.join(names)}")
    # Not out of `sys.modules`: what another thread is just importing is there already, half made.
    _loaded[kind, name] = importlib.import_module(f"{_home(kind)}.{name}")
    return _loaded[kind, name]


def create(kind: str, spec: str, **options: Any) -> Any:
    """Make what `spec` names: `name` or `name:argument`; options that are None are left out.

    Raises:
        UnknownPlugin: There is no plug-in of that name.
        ConfigError: It does not take what was given.
    """
    name, colon, argument = spec.partition(":")
    return make(load(kind, name), *([argument] if colon else []), spec=f"{kind.removesuffix('s')} {spec!r}", **options)


def make(module: ModuleType, *arguments: str, spec: str, **options: Any) -> Any:
    """Call a plug-in's `create`; options that are None are left out.

    Args:
        spec: What it is called in errors.

    Raises:
        ConfigError: It has none, or it does not take what was given.
    """
    maker = getattr(module, "create", None)
    if maker is None:
        raise ConfigError(f"{module.__name__} is not a plug-in: it has no function `create`")
    given = {key: value for key, value in options.items() if value is not None}
    try:
        return maker(*arguments, **given)
    except TypeError:   # for what it was given, or for another reason
        try:
            _signature_of(maker).bind(*arguments, **given)
        except TypeError as error:
            raise ConfigError(f"{spec}: {error}; it takes {_signature_of(maker)}") from None
        raise


def _home(kind: str) -> str:
    return f"codeact.{_FOLDERS.get(kind, kind)}"


def _load_outside(kind: str, name: str) -> ModuleType:
    parent = name.partition(".")[0]
    try:
        known = find_spec(parent) is not None and find_spec(name) is not None
    except (ImportError, ValueError):  # no package there, or no name of a module at all
        known = False
    if not known:
        names = ", ".join(available(kind))
        raise UnknownPlugin(f"no module {name!r} for a {kind.removesuffix('s')}; available: {names}")
    return importlib.import_module(name)


@cache
def _signature_of(maker: Any) -> Any:
    import inspect  # only needed here, and slow to import

    return inspect.signature(maker)
