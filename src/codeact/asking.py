"""An agent as a tool: other agents call it with a task, and get its answer.

Each call is a conversation of its own in an interpreter of its own, made for it and closed after it, so that several
can be under way at once; `Agent.as_tool` makes the tool. What they cost adds up in `cost`.
"""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

from codeact.loop import Cancel
from codeact.messages import Usage
from codeact.tools.tool import Tool
from codeact.trajectory import Trajectory

__all__ = ["Asking"]

_DOC = "Have another agent do a task; tell it all that it needs to know. Gives its answer as text."


class _Twin(Protocol):
    """What is used of an agent."""

    @property
    def trajectory(self) -> Trajectory | None: ...

    def run(self, task: str, *, cancel: Cancel) -> Any: ...


class Asking:
    """What others ask of one agent.

    Args:
        make: A fresh agent like it, for one task.
    """

    def __init__(self, make: Callable[[], AbstractContextManager[_Twin]]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._under_way: set[Cancel] = set()
        self.cost = Usage()
        """What it has cost so far."""

    def tool(self, name: str, description: str) -> Tool[..., str]:
        """The function that others call."""

        def ask(task: str) -> str:
            return self._ask(task, name)

        ask.__doc__ = description or _DOC
        ask.asking = self  # type: ignore[attr-defined]
        return Tool(ask, name=name)

    @classmethod
    def behind(cls, tool: object) -> "Asking | None":
        """What stands behind a tool, if it is an agent."""
        found = getattr(getattr(tool, "function", None), "asking", None)
        return found if isinstance(found, cls) else None

    def stop(self) -> bool:
        """Stop all that is under way; whether there was something."""
        with self._lock:
            under_way = list(self._under_way)
        return sum(switch.set() for switch in under_way) > 0

    def _ask(self, task: str, name: str) -> str:
        switch = Cancel()
        with self._lock:
            self._under_way.add(switch)
        try:
            with self._make() as twin:
                try:
                    result = twin.run(task, cancel=switch)
                finally:
                    if twin.trajectory is not None:
                        with self._lock:
                            self.cost += twin.trajectory.usage
        finally:
            with self._lock:
                self._under_way.discard(switch)
        if result.answer is None:
            raise RuntimeError(f"{name}() ended without an answer: {result.stop}")
        return str(result.answer)
