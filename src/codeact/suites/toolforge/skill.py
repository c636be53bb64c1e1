"""Models of graded skill, to measure how hard tasks are without any real model.

Such a model follows the solution, and each thing it does goes well with a chance: its skill. It slips in choosing a
tool, the sooner the more tools there are that do not help; in taking in a record; in reading a date or a size that is
not spelled plainly. Who takes the wrong tool gives up; who misreads goes on, may still be right, or gives up where what
was read makes no sense. What slips depends on the task and the skill alone. Luck with calls, records and readings is
drawn apart: where one dial is changed, it stays the same for all else.

What this is not: a model of any real one. It shows that the dials turn the way they say, not by how much.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from codeact.suites.toolforge.draws import Draws
from codeact.suites.toolforge.forged import Forged
from codeact.suites.toolforge.forging import world_of
from codeact.suites.toolforge.oracle import walk

__all__ = ["attempt", "effort"]

_CALL, _RECORD, _READING = 1.0, 0.1, 0.3
"""What a call, a record, and a date or size not spelled plainly ask of a model; a call of the easiest task asks 1."""
_MAX_CALLS = 500
"""A model that misread its way into a circle gives up."""


class _Careless:
    """Slips at some of what it does, and counts how much that was."""

    def __init__(self, skill: float, seed: str, forged: Forged) -> None:
        self.skill, self.effort, self.n_calls = skill, 0.0, 0
        self.luck = {what: Draws(f"{seed} {what}") for what in ("call", "record", "reading", "how")}
        self.tools = forged.tools()
        n_useful = len(self.tools) - len(forged.distractors)
        self.call_weight = _CALL * (1 + 0.2 * len(forged.distractors) / n_useful)

    def slips(self, what: str, weight: float) -> bool:
        self.effort += weight
        return not self.luck[what].chance(self.skill**weight)

    def using(self, tool: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(tool)
        def call(*args: Any, **kwargs: Any) -> Any:
            self.n_calls += 1
            if self.n_calls > _MAX_CALLS:
                raise TimeoutError("gives up")
            if self.slips("call", self.call_weight):
                raise LookupError("took the wrong tool, or believed that this one does not work")
            result = tool(*args, **kwargs)
            items = result.get("items", ()) if isinstance(result, Mapping) else ()
            for place in reversed(range(len(items))):
                if self.slips("record", _RECORD):
                    result["items"][place] = self.misread(items[place])
            return result

        return call

    def reading(self, original: Callable[[Any], Any], given: Any) -> Any:
        value = original(given)
        plain = given["value"] == value if isinstance(given, Mapping) else given[4:5] == "-"
        return self.misread(value) if not plain and self.slips("reading", _READING) else value

    def misread(self, value: Any) -> Any:
        """The value, one thing in it wrong."""
        if isinstance(value, bool):
            return not value
        if isinstance(value, int | float):
            return value + self.luck["how"].pick((-2, -1, 1, 10))
        if isinstance(value, str):
            return value[1:] or "?"
        if isinstance(value, Mapping):
            key = self.luck["how"].pick(list(value)) if "items" not in value else "items"
            return {**value, key: self.misread(value[key])}
        if isinstance(value, list):
            return self.luck["how"].picks(value, len(value) - 1)
        return value


def attempt(id: str, forged: Forged, skill: float) -> Any:
    """The answer of a model of this skill; None if it gives up.

    Args:
        id: The task's; it seeds the slips.
        skill: The chance that a thing that asks 1 goes well, 0 to 1; at 1 the answer is right.
    """
    model = _Careless(skill, f"{world_of(id)} at {skill}", forged)
    try:
        return _walked(model, forged)
    except Exception:  # whatever a misread value leads the solution to
        return None


def effort(forged: Forged) -> float:
    """What a task asks in all: a model of skill s gets through without a slip with the chance s ** effort."""
    model = _Careless(1.0, "", forged)
    _walked(model, forged)
    return model.effort


def _walked(model: _Careless, forged: Forged) -> Any:
    tools: Sequence[Callable[..., Any]] = [model.using(tool) for tool in model.tools]
    return walk(forged.solution, tools, day=model.reading, size=model.reading).answer
