"""An agent as a tool: other agents call it with a task, and get its answer.

Each call is a conversation of its own in an interpreter of its own, made for it and closed after it, so that several
can be under way at once; `Agent.as_tool` makes the tool. Whoever asks has an `Asking` of its own, so that one who stops
does not stop what others ask of the same agent.
"""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

from codeact.loop import Cancel
from codeact.messages import Usage
from codeact.tools.tool import Tool

__all__ = ["Asking"]

_DOC = "Have another agent do a task; tell it all that it needs to know. Gives its answer as text."


class _Twin(Protocol):
    """What is used of an agent."""

    @property
    def usage(self) -> Usage: ...

    def run(self, task: str, *, cancel: Cancel) -> Any: ...


class Asking:
    """What one agent asks of another.

    Args:
        make: A fresh agent like the other, for one task.
        tell: Told what each task has cost.
        name, description: Of the tool.
    """

    def __init__(
        self,
        make: Callable[[], AbstractContextManager[_Twin]],
        tell: Callable[[Usage], None],
        name: str,
        description: str,
    ) -> None:
        self._make, self._tell = make, tell
        self._name, self._description = name, description
        self._lock = threading.Lock()
        self._under_way: set[Cancel] = set()
        self.cost = Usage()
        """What it has cost so far."""

    def tool(self) -> Tool[..., str]:
        """The function to call."""

        def ask(task: str) -> str:
            return self._ask(task)

        ask.__doc__ = self._description or _DOC
        ask.asking = self  # type: ignore[attr-defined]
        return Tool(ask, name=self._name)

    def again(self) -> "Asking":
        """The same for another one who asks."""
        return Asking(self._make, self._tell, self._name, self._description)

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

    def _ask(self, task: str) -> str:
        switch = Cancel()
        with self._lock:
            self._under_way.add(switch)
        try:
            with self._make() as twin:
                try:
                    result = twin.run(task, cancel=switch)
                finally:
                    with self._lock:
                        self.cost += twin.usage
                    self._tell(twin.usage)
        finally:
            with self._lock:
                self._under_way.discard(switch)
        if result.answer is None:
            raise RuntimeError(f"{self._name}() ended without an answer: {result.stop}")
        return str(result.answer)
