"""The library user's face: a model, an interpreter and the loop between them.

    with Agent("openai:gpt-5-mini", tools=[search]) as agent:
        result = agent.run("Find the three cheapest hotels in Lisbon")
        result.answer, result.files, result.trajectory, result.usage
        agent.run("now the same for Porto")          # the same conversation, the same variables

The command line uses it too. It looks down at every part, so it stands below them in the order of imports. Code runs
in `Interpreter`, with that class's walls; a tool runs on the host with the host's rights, so give only what the model
may use.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from codeact import plugins
from codeact.environments.chat import ChatEnvironment
from codeact.errors import ConfigError
from codeact.events import Observer, ignore
from codeact.loop import NEVER, Budget, Cancel, rollout
from codeact.messages import Usage
from codeact.protocols import ActionFormat, Model, Runner, Tool
from codeact.trajectory import Stop, Trajectory

__all__ = ["Agent", "Result"]


@dataclass(frozen=True)
class Result:
    """What came of one task."""

    answer: str | None
    """What the model answered or said at the end; None if it did not come to that."""
    stop: Stop
    """Why it ended."""
    files: tuple[Path, ...]
    """Files the cells of this task wrote and that are still there: in the workspace, or, with mode="copy", in what
    holds the changes to it."""
    trajectory: Trajectory
    """The conversation so far, earlier tasks included."""

    @property
    def usage(self) -> Usage:
        """What the conversation so far has cost."""
        return self.trajectory.usage


class Agent:
    """A model that acts by writing Python."""

    def __init__(
        self,
        model: str | Model,
        *,
        tools: Sequence[Callable[..., Any]] = (),
        interpreter: Runner | None = None,
        format: ActionFormat | None = None,
        budget: Budget | None = None,
        timeout: float = 60.0,
        **options: Any,
    ) -> None:
        """Make one; an interpreter of its own starts here.

        Args:
            model: As "openai:gpt-5-mini", or an object that fits `protocols.Model`.
            tools: Functions the model may call; they run on the host.
            interpreter: One that is there already, with its tools; it stays open when the agent is closed.
            format: How actions are spelled; else the code format.
            budget: For each task; else `Budget()`.
            timeout: Seconds of wall clock for one cell.
            options: For the interpreter the agent makes: workspace, read, network, sandbox, limits, ...

        Raises:
            ConfigError: The model is unknown, or an option contradicts another.
            InterpreterError: The interpreter could not be started.
        """
        self.model: Model = plugins.create("models", model) if isinstance(model, str) else model
        self.budget = budget or Budget()
        self.timeout = timeout
        self._format = format
        self._given = interpreter is not None
        if interpreter is not None and (tools or options):
            given = ", ".join([*(["tools"] if tools else []), *options])
            raise ConfigError(f"the interpreter is made already: give {given} to it, not to the agent")
        self._options = options
        if interpreter is None:
            from codeact.interpreter.interpreter import Interpreter  # an agent with a given one needs none of it
            from codeact.tools.toolbox import Toolbox

            toolbox = Toolbox(tools)
            self.interpreter: Runner = Interpreter(toolbox, **options)
            self._tools: tuple[Tool, ...] = tuple(toolbox)
        else:
            self.interpreter = interpreter
            self._tools = tuple(getattr(interpreter, "tools", ()))
        self.about: dict[str, Any] = {
            "model": model if isinstance(model, str) else type(model).__name__,
            "level": getattr(self.interpreter, "level", None),
        }
        """What is kept beside the trajectory: which model, which walls."""
        self.trajectory: Trajectory | None = None

    def run(self, task: str, *, observe: Observer = ignore, cancel: Cancel = NEVER) -> Result:
        """Do a task; later ones go on with the same conversation and the same variables.

        Raises:
            ModelError: The model could not be reached.
            InterpreterError: The interpreter could not be brought back.
        """
        env = ChatEnvironment(
            self.interpreter,
            task,
            format=self._format,
            tools=self._tools,
            timeout=self.timeout,
            memory_mb=getattr(getattr(self.interpreter, "limits", None), "memory_mb", None),
            network=self._options.get("network", "none"),
            read=self._options.get("read", ()),
            packages=self._options.get("packages", "none"),
        )
        if self.trajectory is None:
            start = Trajectory(tuple(env.reset()), about={**self.about, "task": task})
        else:
            start = self.trajectory.reply(task)
        ended = rollout(self.model, env, budget=self.budget, start=start, observe=observe, cancel=cancel)
        self.trajectory = ended
        return Result(ended.answer, ended.stop or Stop.ANSWER, self._files(ended, len(start.turns)), ended)

    def close(self) -> None:
        """End the interpreter, if the agent made it; its workspace goes too, unless it was the user's."""
        if not self._given:
            self.interpreter.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _files(self, trajectory: Trajectory, n_before: int) -> tuple[Path, ...]:
        turns = trajectory.turns[n_before:]
        names = dict.fromkeys(name for turn in turns for name in turn.observation.files)
        folder = getattr(self.interpreter, "output_folder", self.interpreter.workspace)
        paths = (folder / name for name in names)
        return tuple(path for path in paths if path.is_file())
