"""codeact: agents that act by writing Python, over a walled interpreter whose state lives from turn to turn.

Importing this starts nothing and imports nothing heavy: each name is loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from codeact.agent import Agent, Result
    from codeact.environments.chat import ChatEnvironment
    from codeact.errors import (
        CannotGoBack,
        ChangeConflict,
        CodeActError,
        ConfigError,
        ContextOverflow,
        InterpreterBusy,
        InterpreterError,
        InterpreterGone,
        MissingExtra,
        ModelError,
        PackageError,
        SandboxUnavailable,
        TrajectoryError,
    )
    from codeact.interpreter.access import NetworkRequest
    from codeact.interpreter.changes import Change, Changes
    from codeact.interpreter.history import Checkpoint
    from codeact.interpreter.interpreter import Interpreter
    from codeact.interpreter.limits import Limits
    from codeact.interpreter.result import ErrorInfo, ExecutionResult
    from codeact.interpreter.saving import LoadReport, SaveReport
    from codeact.interpreter.style import Style
    from codeact.interpreter.variables import Variable
    from codeact.loop import Budget, Cancel, rollout
    from codeact.messages import Completion, Message, Usage
    from codeact.tools.module import ToolModule
    from codeact.tools.tool import Tool, tool
    from codeact.trajectory import Observation, Stop, Trajectory, Turn

__version__ = "0.1.0"

_HOMES = {
    "Agent": "agent",
    "Budget": "loop",
    "Cancel": "loop",
    "Change": "interpreter.changes",
    "CannotGoBack": "errors",
    "ChangeConflict": "errors",
    "Changes": "interpreter.changes",
    "ChatEnvironment": "environments.chat",
    "Checkpoint": "interpreter.history",
    "CodeActError": "errors",
    "Completion": "messages",
    "ConfigError": "errors",
    "ContextOverflow": "errors",
    "ErrorInfo": "interpreter.result",
    "ExecutionResult": "interpreter.result",
    "Interpreter": "interpreter.interpreter",
    "InterpreterBusy": "errors",
    "InterpreterError": "errors",
    "InterpreterGone": "errors",
    "Limits": "interpreter.limits",
    "LoadReport": "interpreter.saving",
    "Message": "messages",
    "MissingExtra": "errors",
    "ModelError": "errors",
    "NetworkRequest": "interpreter.access",
    "Observation": "trajectory",
    "Result": "agent",
    "PackageError": "errors",
    "SandboxUnavailable": "errors",
    "SaveReport": "interpreter.saving",
    "Stop": "trajectory",
    "Style": "interpreter.style",
    "Tool": "tools.tool",
    "ToolModule": "tools.module",
    "Trajectory": "trajectory",
    "TrajectoryError": "errors",
    "Turn": "trajectory",
    "Usage": "messages",
    "Variable": "interpreter.variables",
    "rollout": "loop",
    "tool": "tools.tool",
}

__all__ = [
    "Agent",
    "Budget",
    "Cancel",
    "CannotGoBack",
    "Change",
    "ChangeConflict",
    "Changes",
    "ChatEnvironment",
    "Checkpoint",
    "CodeActError",
    "Completion",
    "ConfigError",
    "ContextOverflow",
    "ErrorInfo",
    "ExecutionResult",
    "Interpreter",
    "InterpreterBusy",
    "InterpreterError",
    "InterpreterGone",
    "Limits",
    "LoadReport",
    "Message",
    "MissingExtra",
    "ModelError",
    "NetworkRequest",
    "Observation",
    "PackageError",
    "Result",
    "SandboxUnavailable",
    "SaveReport",
    "Stop",
    "Style",
    "Tool",
    "ToolModule",
    "Trajectory",
    "TrajectoryError",
    "Turn",
    "Usage",
    "Variable",
    "__version__",
    "rollout",
    "tool",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'codeact' has no attribute {name!r}")
    return getattr(importlib.import_module(f"codeact.{_HOMES[name]}"), name)


def load_ipython_extension(shell: Any) -> None:
    """What `%load_ext codeact` calls; see `integrations/ipython.py`."""
    from codeact.integrations import ipython

    ipython.load(shell)


def unload_ipython_extension(shell: Any) -> None:
    """What `%unload_ext codeact` calls."""
    from codeact.integrations import ipython

    ipython.unload(shell)


def __dir__() -> list[str]:
    return sorted(__all__)
