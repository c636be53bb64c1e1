"""What the parts must provide to fit together. A class fits by having the methods; it need not inherit.

`loop.rollout` knows a `Model` and an `Environment`; environments know an `ActionFormat`, `Tool`s and a `Runner`.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from codeact.actions import Action
from codeact.events import Observer
from codeact.messages import Call, Completion, Message
from codeact.trajectory import Bundle, Observation, Stop

__all__ = [
    "MANY_TOOLS",
    "ActionFormat",
    "Environment",
    "Model",
    "NativeTool",
    "RunError",
    "RunResult",
    "Runner",
    "Stopper",
    "Tool",
]

MANY_TOOLS = 20
"""With more tools than this a prompt has a line for each, and code looks the rest up: `help(tool)`, `search_tools`."""


class Stopper(Protocol):
    """How a rollout is stopped from outside; `loop.Cancel` is one."""

    @property
    def stop(self) -> Stop | None:
        """Why to stop, or None to go on; cheap enough to ask for every piece of a stream."""

    def calling(self, interrupt: Callable[[], object]) -> AbstractContextManager[None]:
        """While inside, `interrupt` is called when it is time to stop; from any thread, or a signal handler."""


@dataclass(frozen=True)
class NativeTool:
    """A tool as chat APIs want it described; a format may offer some in place of text to write."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    """A JSON schema of the arguments."""


class Model(Protocol):
    """Something that continues a conversation.

    Two attributes are looked for and need not be there: `name` (as people know it) and `context_tokens` (how many
    tokens it can read; None or absent: unknown).
    """

    def complete(
        self,
        messages: Sequence[Message],
        *,
        stop: Sequence[str],
        tools: Sequence[NativeTool] = (),
        observe: Observer,
        cancel: Stopper,
    ) -> Completion:
        """Write the next reply; `rollout` calls this once a turn.

        Args:
            stop: The reply ends where one of these first occurs.
            tools: The API's own tools, where the format acts by them; the reply then has `calls`.
            observe: Receives `Text` events as the reply is written.

        Raises:
            ConfigError: It has no tools of its own, and is given some.
            ContextOverflow: The messages are too long.
            ModelError: Any other failure, after the retries that make sense.
            Cancelled: `cancel` was set while waiting.
        """


class Tool(Protocol):
    """A function the model can call, as formats and prompts describe it."""

    @property
    def name(self) -> str:
        """What cells call it: an identifier, or `module.function`."""

    @property
    def signature(self) -> Any:
        """As `str()`: `(city: str, nights: int = 1) -> list[dict]`."""

    @property
    def doc(self) -> str:
        """What it does, for the model."""


class ActionFormat(Protocol):
    """How actions are spelled; the prompt, the stop strings and the parser of one format agree."""

    @property
    def stop(self) -> Sequence[str]:
        """Strings at which a reply is over."""

    @property
    def native_tools(self) -> Sequence[NativeTool]:
        """Tools of the API's own kind that this format acts by; empty for formats that are text."""

    def instructions(self, tools: Sequence[Tool]) -> str:
        """The part of the prompt that teaches the model to act."""

    def parse(self, text: str, *, truncated: bool = False, calls: Sequence[Call] = ()) -> Action:
        """Read the action in a reply; never raises, a reply without a readable action is `Malformed`.

        Args:
            truncated: The reply was cut off, so what is not closed is not complete.
            calls: Native tool calls in it; formats that are text pass them over.
        """

    def spell(self, action: Action) -> str:
        """Write an action the way `parse` reads it."""


class Environment(Protocol):
    """What answers the model's actions."""

    @property
    def format(self) -> ActionFormat:
        """How this environment wants actions spelled."""

    def reset(self) -> Sequence[Message]:
        """The prompt; `rollout` calls this once, unless it goes on from a trajectory."""

    def step(self, action: Action, *, observe: Observer, cancel: Stopper) -> Observation:
        """Do what the action asks and say what came of it; `rollout` calls this once a turn.

        Raises:
            InterpreterError: The program, not the model, is at fault.
        """


class RunError(Protocol):
    """What a cell ended with."""

    @property
    def name(self) -> str:
        """The type of the exception."""

    @property
    def message(self) -> str:
        """Its text."""

    @property
    def traceback(self) -> str:
        """Plain text; empty if there is none."""


class RunResult(Protocol):
    """What a `Runner` says about a cell; `interpreter.ExecutionResult` is one."""

    @property
    def text(self) -> str:
        """What the model is shown."""

    @property
    def status(self) -> str:
        """`ok`, or how it went wrong."""

    @property
    def outputs(self) -> Sequence[Bundle]:
        """Rich outputs in order, the value of the last expression at the end."""

    @property
    def error(self) -> RunError | None:
        """None where the cell ran to its end."""

    @property
    def files(self) -> Sequence[str]:
        """Files created or changed, relative to the workspace."""


class Runner(Protocol):
    """What an environment needs of an interpreter; `codeact.Interpreter` is one."""


    @property
    def workspace(self) -> Path:
        """The folder cells work in, on the host."""

    def run(
        self, code: str, *, timeout: float | None = None, on_output: Callable[[Any], None] | None = None
    ) -> RunResult:
        """Run one cell and wait; variables stay for the next."""

    def interrupt(self) -> None:
        """Stop the running cell; callable from another thread or a signal handler."""

    def close(self) -> None:
        """End the session."""
