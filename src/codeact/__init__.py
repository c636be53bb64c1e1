"""codeact: agents that act by writing Python, over a walled interpreter whose state lives from turn to turn.

Importing this starts nothing and imports nothing heavy: each name is loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from codeact.errors import InterpreterBusy, InterpreterError, InterpreterGone, SandboxUnavailable
    from codeact.interpreter.history import Checkpoint
    from codeact.interpreter.interpreter import Interpreter
    from codeact.interpreter.limits import Limits
    from codeact.interpreter.result import ErrorInfo, ExecutionResult
    from codeact.interpreter.style import Style
    from codeact.tools.tool import Tool, tool

__version__ = "0.1.0"

_HOMES = {
    "Checkpoint": "interpreter.history",
    "ErrorInfo": "interpreter.result",
    "ExecutionResult": "interpreter.result",
    "Interpreter": "interpreter.interpreter",
    "InterpreterBusy": "errors",
    "InterpreterError": "errors",
    "InterpreterGone": "errors",
    "Limits": "interpreter.limits",
    "SandboxUnavailable": "errors",
    "Style": "interpreter.style",
    "Tool": "tools.tool",
    "tool": "tools.tool",
}

__all__ = ["Checkpoint", "ErrorInfo", "ExecutionResult", "Interpreter", "InterpreterBusy", "InterpreterError",
           "InterpreterGone", "Limits", "SandboxUnavailable", "Style", "Tool", "__version__", "tool"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'codeact' has no attribute {name!r}")
    return getattr(importlib.import_module(f"codeact.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
