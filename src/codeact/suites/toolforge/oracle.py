"""The solution of a task, run here or spelled as a model's replies: the proof that it can be solved in every format.

The solutions are ours and run on the host, over the task's own tools; nothing a model wrote is run here.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from codeact import plugins
from codeact.actions import Answer, CodeAction, ToolCall
from codeact.messages import Completion, Message, Usage
from codeact.protocols import NativeTool, Stopper
from codeact.suites.toolforge.families._shared import UNITS

__all__ = ["HEADER", "OracleModel", "Walk", "answer_text", "program", "walk"]

HEADER = f'''\
from datetime import date, datetime, timedelta

UNITS = {dict(UNITS)!r}


def patient(tool):
    def call(*args, **kwargs):
        for _ in range(4):
            try:
                return tool(*args, **kwargs)
            except Exception as error:
                if "try again" not in str(error):
                    raise
        return tool(*args, **kwargs)
    return call


def every(tool, *args):
    items, token = [], ""
    while token is not None:
        page = tool(*args, page_token=token)
        items += page["items"]
        token = page["next_token"]
    return items


def day(text):
    for shape in ("%Y-%m-%d", "%d %b %Y", "%b %d, %Y"):
        try:
            return datetime.strptime(text, shape).date()
        except ValueError:
            pass
    raise ValueError(text)


def size(record):
    return record["value"] * UNITS[record["unit"]]
'''
"""What solutions may use: `every` record of a paged tool, a `day` from its text, a `size` in its least unit."""


@dataclass(frozen=True)
class Walk:
    """One run of a solution."""

    calls: Sequence[ToolCall]
    """Calls of tools in order, those that failed too."""
    answer: Any


def program(solution: str, tools: Iterable[Callable[..., Any]]) -> str:
    """The solution as a cell that follows `HEADER`: each tool is called again where it fails for a moment."""
    patience = "\n".join(f"{tool.__name__} = patient({tool.__name__})" for tool in tools)
    return f"{patience}\n{solution.strip()}\n"


def walk(solution: str, tools: Sequence[Callable[..., Any]], **helpers: Callable[..., Any]) -> Walk:
    """Run a solution here.

    Args:
        helpers: Stand in for what `HEADER` defines, by name; each is called with the original first.
    """
    calls: list[ToolCall] = []

    def noted(tool: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            calls.append(ToolCall(tool.__name__, kwargs, positional=args))
            return tool(*args, **kwargs)

        return call

    space: dict[str, Any] = {tool.__name__: noted(tool) for tool in tools}
    exec(HEADER, space)
    for name, helper in helpers.items():
        space[name] = _over(helper, space[name])
    exec(program(solution, tools), space)
    return Walk(calls, space["answer"])


def _over(helper: Callable[..., Any], original: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args: helper(original, *args)


def answer_text(answer: Any) -> str:
    """An answer as a model would write it."""
    return answer if isinstance(answer, str) else repr(answer)


class OracleModel:
    """A model that solves one task: in code with two cells, in other formats with one call a turn.

    Args:
        spoiled: What it answers in place of what it found out.
    """

    remembers = True
    """It is of one conversation: each needs one of its own."""

    def __init__(self, solution: str, tools: Sequence[Callable[..., Any]], format: str, *, spoiled: Any = None) -> None:
        self._format = plugins.create("formats", format)
        if format == "code":
            cell = program(solution, tools) + "print(answer if isinstance(answer, str) else repr(answer))"
            self._actions: list[Any] = [CodeAction(HEADER), CodeAction(cell)]
            self._answer = spoiled
        else:
            done = walk(solution, tools)
            self._actions = list(done.calls)
            self._answer = done.answer if spoiled is None else spoiled
        self._n_given = 0

    def complete(self, messages: Sequence[Message], *, stop: Sequence[str], tools: Sequence[NativeTool] = (),
                 observe: Any, cancel: Stopper) -> Completion:  # fmt: skip
        """The next action, then the answer."""
        if self._n_given < len(self._actions):
            action = self._actions[self._n_given]
        elif self._answer is None:
            action = Answer(messages[-1].content.strip().rpartition("\n")[2])
        else:
            action = Answer(answer_text(self._answer))
        self._n_given += 1
        return Completion(self._format.spell(action), usage=Usage())
