"""Functions of the host that cells can call. Importing this loads none of it: each name when it is first used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from codeact.tools.module import ToolModule
    from codeact.tools.specs import available, resolve
    from codeact.tools.tool import Tool
    from codeact.tools.toolbox import Toolbox

_HOMES = {"Tool": "tool", "ToolModule": "module", "Toolbox": "toolbox", "available": "specs", "resolve": "specs"}

__all__ = ["Tool", "ToolModule", "Toolbox", "available", "resolve"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'codeact.tools' has no attribute {name!r}")
    return getattr(importlib.import_module(f"codeact.tools.{_HOMES[name]}"), name)
