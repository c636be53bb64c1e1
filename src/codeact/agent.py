"""The library user's face: a model, an interpreter and the loop between them.

    with Agent("openai:gpt-5-mini", tools=[search]) as agent:
        result = agent.run("Find the three cheapest hotels in Lisbon")
        result.answer, result.files, result.trajectory, result.usage
        for event in agent.stream("now the same for Porto"):      # the same conversation, the same variables
            ...
        agent.undo()                                              # as if it had not been asked

The command line uses it too. It looks down at every part, so it stands below them in the order of imports. Code runs
in `Interpreter`, with that class's walls; a tool runs on the host with the host's rights, so give only what the model
may use.
"""

import contextlib
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from codeact import plugins
from codeact.asking import Asking
from codeact.compaction import Compacting
from codeact.conversation import Conversation, Undone
from codeact.environments.chat import ChatEnvironment
from codeact.environments.stuck import StuckWatch
from codeact.errors import CannotGoBack, ConfigError, InterpreterBusy, InterpreterError, InterpreterGone
from codeact.events import Code, Event, Note, Observer, ignore
from codeact.keeping import Keeping
from codeact.loop import NEVER, Budget, Cancel, rollout
from codeact.messages import Image, Usage
from codeact.options import judge, pictures, provided
from codeact.protocols import ActionFormat, Model, Runner, Tool
from codeact.result import Result, files_of
from codeact.resuming import Resumed, Unfinished, bring_back, read
from codeact.trajectory import Stop, Trajectory, Turn
from codeact.watching import aiterate, iterate, wait

if TYPE_CHECKING:
    from codeact.tools.module import ToolModule

__all__ = ["Agent", "Result", "Undone", "of_cell"]

_log = logging.getLogger(__name__)
_MAX_TOLD_CHARS = 2_000
_AGAIN_SECONDS = 0.05
_CLOSE_TRIES = 100



class Agent:
    """A model that acts by writing Python.

    Args:
        model: As "openai:gpt-5-mini", or an object that fits `protocols.Model`.
        tools: Functions the model may call, and modules of them (`ToolModule`); they run on the host. Text names
            built-in tools and servers: "web_fetch", "files:DIR", "mcp:COMMAND", "mcp:URL". An `Agent` among them is
            asked by calling it.
        interpreter: One that is there already, with its tools; it stays open when the agent is closed.
        format: How actions are spelled: "code", "json", ..., or an object that fits `protocols.ActionFormat`.
        budget: For each task; else `Budget()`.
        timeout: Seconds of wall clock for one cell.
        approve: Asked (tool's name, arguments) before a tool marked `needs_approval` runs, while the cell waits.
        save: A file that the trajectory is written to as it grows; `Agent.resume` goes on from it. The
            interpreter's state is kept beside it.
        context_tokens: How much the model can read; else as it says itself. Longer conversations are shortened for it.
        instructions: Further words to the model, after ours.
        name, description: What other agents call it, and are told of it, when it is a tool of theirs.
        options: For the interpreter the agent makes: workspace, read, network, sandbox, limits, ...

    Raises:
        ConfigError: The model is unknown, or an option contradicts another.
        InterpreterError: The interpreter could not be started.
    """

    def __init__(
        self,
        model: str | Model,
        *,
        tools: "Sequence[Callable[..., Any] | ToolModule | Agent | str]" = (),
        interpreter: Runner | None = None,
        format: str | ActionFormat | None = None,
        budget: Budget | None = None,
        timeout: float = 60.0,
        approve: Callable[[str, dict[str, Any]], Any] | None = None,
        save: str | Path | None = None,
        context_tokens: int | None = None,
        instructions: str = "",
        name: str = "agent",
        description: str = "",
        _state: Path | None = None,
        **options: Any,
    ) -> None:
        self._settings: dict[str, Any] = {
            "format": format,
            "budget": budget,
            "timeout": timeout,
            "approve": approve,
            "context_tokens": context_tokens,
            "instructions": instructions,
            "tools": tools,
        }
        judge(type(self), budget, tools, options)
        self.name, self.description = name, description
        self.budget = budget or Budget()
        self.timeout = timeout
        self.instructions = instructions
        self._format: ActionFormat | None = plugins.create("formats", format) if isinstance(format, str) else format
        self._context_tokens = context_tokens
        self._options = options
        self.about: dict[str, Any] = {}
        """What is kept beside the trajectory: which model, which walls."""
        self.model = model if not isinstance(model, str) else plugins.create("models", provided(model))
        if isinstance(model, str):
            self.about["model"] = model
        if interpreter is not None and (tools or approve or options):
            given = ", ".join([*(["tools"] if tools else []), *(["approve"] if approve else []), *options])
            raise ConfigError(f"the interpreter is made already: give {given} to it, not to the agent")
        self._keeping = Keeping(save)
        self._given = interpreter is not None
        try:
            self.interpreter: Runner = interpreter if interpreter is not None else self._made(tools, approve, _state)
        except BaseException:
            self._keeping.close()
            raise
        self._tools: tuple[Tool, ...] = tuple(getattr(self.interpreter, "tools", ()))
        self._helpers = [asking for tool in self._tools if (asking := Asking.behind(tool))]
        self.about["level"] = getattr(self.interpreter, "level", None)
        self.result: Result | None = None
        """What came of the last task."""
        self.resumed = Resumed()
        """After `resume`: what of the interpreter's state came back."""
        self._warned = False
        self._asked, self._asked_lock = Usage(), threading.Lock()
        self._conversation = Conversation()
        self._n_cells = 0
        """Cells run since the interpreter is this agent's: so far back `undo` can go."""
        self._closed = False
        self._busy = threading.Lock()
        self._switch: Cancel | None = None
        """Stops the task that runs, in the thread `_owner`."""
        self._owner = 0

    def _made(self, tools: Sequence[Any], approve: Any, state: Path | None) -> Runner:
        from codeact.interpreter.interpreter import Interpreter  # an agent with a given one needs none of it
        from codeact.tools.toolbox import Toolbox

        with Toolbox([_own(tool) for tool in tools]) as toolbox:
            if state is not None:
                try:
                    return Interpreter.load(state, toolbox, approve=approve, told=False, **self._options)
                except ConfigError as error:
                    _log.warning("the saved state %s cannot be loaded; its cells are run again: %s", state, error)
            return Interpreter(toolbox, approve=approve, **self._options)

    # The model can be exchanged between two tasks ---------------------------------------------------------------------

    @property
    def model(self) -> Model:
        """Who replies; another one may be set between two tasks."""
        return self._fitting.model

    @model.setter
    def model(self, model: Model) -> None:
        self._fitting = Compacting(model, context_tokens=self._context_tokens, state=self._told_instead)
        self.about["model"] = getattr(model, "name", "") or type(model).__name__

    @property
    def trajectory(self) -> Trajectory | None:
        """The conversation so far; None before the first task."""
        return self._conversation.trajectory

    @property
    def unanswered(self) -> bool:
        """Whether `run(None)` has something to go on with: a task that a limit or an interruption ended."""
        return self._conversation.unanswered

    @property
    def asked(self) -> Usage:
        """What it has cost where other agents asked it as a tool of theirs."""
        return self._asked

    @property
    def usage(self) -> Usage:
        """What the conversation so far has cost, the agents among the tools included."""
        return (self.trajectory.usage if self.trajectory else Usage()) + self._helpers_usage()

    def _helpers_usage(self) -> Usage:
        return sum((helper.cost for helper in self._helpers), Usage())

    # One task after another -------------------------------------------------------------------------------------------

    def run(
        self,
        task: str | None,
        *,
        images: Sequence[Image | str | Path | bytes] = (),
        observe: Observer = ignore,
        cancel: Cancel = NEVER,
    ) -> Result:
        """Do a task; later ones go on with the same conversation and the same variables.

        Args:
            task: What the user says. None goes on where a limit, an interruption or a crash ended the last one.
            images: Pictures that go with it, for models that see: files, bytes, or `Image`s.

        Raises:
            ModelError: The model could not be reached. The turns done before that are kept.
            InterpreterError: The interpreter could not be brought back.
            InterpreterBusy: The agent is at work.
            ConfigError: There is nothing to go on with.
        """
        with self._at_rest():
            return self._run(task, pictures(images), observe, cancel)

    def _run(self, task: str | None, images: tuple[Image, ...], observe: Observer, cancel: Cancel) -> Result:
        self.result = None
        env = StuckWatch(self._environment(task or ""))
        conversation = self._conversation
        start = conversation.say(task, images, env.reset, {**self.about, "task": task})
        switch = self._switch = Cancel()
        self._owner = threading.get_ident()

        def watch(event: Event) -> None:
            if isinstance(event, Code):
                conversation.ran_a_cell()
                self._n_cells += 1
            self._keeping(event)
            if isinstance(event, Turn) and conversation.trajectory:
                conversation.trajectory = conversation.trajectory.add(event)  # kept, also if a later one fails
            observe(event)
            if isinstance(event, Turn):
                self._warn_of_estimates(observe)
                self._keeping.state(self.interpreter, conversation.n_turns, observe)

        if self.budget.max_cost is not None and not getattr(self.model, "knows_cost", True):
            watch(Note("what this model costs is not known, so the limit of cost may not hold: give its prices"))
        with contextlib.ExitStack() as stack:
            stack.enter_context(cancel.calling(switch.set))
            stack.enter_context(switch.within(self.budget.max_seconds))
            for helper in self._helpers:
                stack.enter_context(switch.calling(helper.stop))
            if cancel.stop:
                switch.set(cancel.stop)
            ended = rollout(self._fitting, env, budget=self.budget, start=start, observe=watch, cancel=switch)
        conversation.trajectory = ended
        self._keeping.state(self.interpreter, conversation.n_turns, observe, now=True)
        self.result = Result(
            ended.answer,
            ended.stop or Stop.ANSWER,
            files_of(self.interpreter, ended.turns[len(start.turns) :]),
            ended,
            self._helpers_usage(),
        )
        return self.result

    def _warn_of_estimates(self, observe: Observer) -> None:
        limited = self.budget.max_tokens is not None or self.budget.max_cost is not None
        if limited and not getattr(self.model, "counts_tokens", True) and not self._warned:
            self._warned = True
            observe(Note("the server does not tell what was used: limits count a quarter of the characters as tokens"))

    def stream(self, task: str | None, *, images: Sequence[Image | str | Path | bytes] = ()) -> Iterator[Event]:
        """Do a task, and see it as it happens; afterwards `result` holds what came of it.

        Whoever stops before the end stops the task. The task runs in a thread of its own.

        Raises:
            As for `run`.
        """
        return iterate(partial(self.run, task, images=images))

    async def arun(
        self,
        task: str | None,
        *,
        images: Sequence[Image | str | Path | bytes] = (),
        observe: Observer = ignore,
        cancel: Cancel | None = None,
    ) -> Result:
        """As `run`, in a thread; when the wait is cancelled, the task is stopped and has ended before this returns."""
        run = partial(self.run, task, images=images)
        return await wait(run, observe=observe, cancel=cancel or Cancel())

    def astream(self, task: str | None, *, images: Sequence[Image | str | Path | bytes] = ()) -> AsyncIterator[Event]:
        """As `stream`, in an event loop."""
        return aiterate(partial(self.run, task, images=images))

    # Back and forth ---------------------------------------------------------------------------------------------------

    def undo(self, n: int = 1) -> Undone:
        """Take back the last exchanges: what the user said and all that was done on it, variables and small files too.

        A folder of the user's is never put back, nor what tools did. The file of `save` keeps every line.

        Args:
            n: How many exchanges; at most as many as there were.

        Raises:
            CannotGoBack: The interpreter cannot go back that far; nothing was changed.
            ValueError: `n` is no number above zero.
        """
        if n < 1:
            raise ValueError(f"undo({n!r}): it is a number of exchanges, from 1")
        with self._at_rest():
            taken = self._conversation.last(n)
            if not taken:
                return Undone((), ())
            n_cells = sum(exchange.n_cells for exchange in taken)
            if n_cells > self._n_cells:
                n_within = self._conversation.n_within(self._n_cells)
                raise CannotGoBack("the interpreter cannot go back to before the conversation was resumed; since "
                                       f"then: {n_within} message{'' if n_within == 1 else 's'}")
            lost = self._undo_cells(n_cells) if n_cells else []
            was_written = self._conversation.trajectory is not None
            self._conversation.take_back(taken)
            self.result = None
            self._keeping.cut(self._conversation.n_turns, was_written=was_written)
            self._keeping.state(self.interpreter, self._conversation.n_turns, ignore, now=True)
            return Undone(tuple(exchange.task for exchange in taken if exchange.task), tuple(lost))

    def retry(self, *, observe: Observer = ignore, cancel: Cancel = NEVER) -> Result:
        """Take the last exchange back and do its task again.

        Raises:
            ConfigError: There is none.
            Further ones as for `undo` and `run`.
        """
        images = self._conversation.last_images()
        tasks = self.undo().tasks
        if not tasks:
            raise ConfigError("there is nothing to do again yet")
        return self.run(tasks[-1], images=images, observe=observe, cancel=cancel)

    def execute(
        self, code: str, *, timeout: float | None = None, on_output: Callable[[Any], None] | None = None
    ) -> Any:
        """Run a cell of the user's own between two tasks; the model is told with the next one.

        Returns:
            What `Interpreter.run` returns.
        """
        with self._at_rest():
            self._conversation.ran_a_cell()
            self._n_cells += 1
            result = self.interpreter.run(code, timeout=timeout or self.timeout, on_output=on_output)
            self.tell(of_cell(code, result.text))
            if self._conversation.trajectory:
                self._keeping.state(self.interpreter, self._conversation.n_turns, ignore, now=True)
            return result

    def tell(self, words: str) -> None:
        """Have the model told something with the next task."""
        self._conversation.aside.append(words)
        self._keeping.aside(words)

    @classmethod
    def resume(cls, path: str | Path, model: str | Model | None = None, **settings: Any) -> Self:
        """Go on with the last conversation of a file that `save` wrote, also after a crash.

        The interpreter's state is loaded from beside the file; cells run since then are run again where that is safe
        (`resuming.py`), and `resumed` says what did not come back; the model is told with the next task. Then
        `run(None)` goes on with a task that was under way, `run(task)` with another one. Format, tools, instructions
        and limits are those given here, and the system's words to the model say so.

        Args:
            path: The file; it is written on.
            model: Else the one that the file names.
            settings: As for `Agent`, but `save` and `interpreter`.

        Raises:
            ConfigError: There is nothing to go on with, or another program is at it.
            TrajectoryError: The file is no trajectory file.
        """
        unfinished = read(path)
        if model is None:
            model = unfinished.trajectory.about.get("model")
            if not isinstance(model, str) or ":" not in model:
                raise ConfigError(f"{path} does not say which model to go on with: give it, as model=\"openai:...\"")
        agent = cls(model, save=path, _state=unfinished.state, **settings)
        agent.about = {**unfinished.trajectory.about, **agent.about}
        prompt = unfinished.trajectory.prompt
        if prompt and prompt[0].role == "system":
            prompt = (agent._environment("").reset()[0], *prompt[1:])
        said = any(message.role == "user" for message in prompt)   # else all of it was taken back
        agent._conversation = Conversation(
            replace(unfinished.trajectory, about=agent.about, prompt=prompt) if said else None
        )
        agent.resumed = agent._brought_back(unfinished)
        agent._conversation.aside += unfinished.aside
        if agent.resumed.note:
            agent._conversation.aside.append(agent.resumed.note)
        return agent

    def _brought_back(self, unfinished: Unfinished) -> Resumed:
        """Run what the loaded state has not seen; what is missing then."""

        def run(code: str) -> Any:
            self._n_cells += 1
            return self.interpreter.run(code, timeout=self.timeout)

        try:
            return bring_back(
                unfinished,
                getattr(self.interpreter, "loaded", None),
                run,
                own_workspace=self._options.get("workspace") is None,
                network=self._options.get("network", "none") != "none",
                tools=bool(self._tools),
            )
        except BaseException:
            self.close()
            raise

    # As a tool of another agent ---------------------------------------------------------------------------------------

    def as_tool(self, name: str | None = None, description: str | None = None) -> Any:
        """This agent as a function that other agents call with a task, and that gives the answer.

        Each call is a conversation of its own in an interpreter of its own, so several can be under way at once; each
        has this agent's budget. What they cost is in `asked`, and in the `usage` of the agent that asks.

        Args:
            name: What it is called; else the agent's `name`.
            description: What the asking model reads of it; else the agent's `description`.

        Raises:
            ConfigError: The agent works in an interpreter that was given to it, which no two can share.
        """
        if self._given:
            raise ConfigError("an agent with an interpreter of yours cannot be a tool: let it make its own")
        return Asking(self._twin, self._tell_cost, name or self.name, description or self.description).tool()

    def _twin(self) -> "Agent":
        return Agent(self.model, **self._settings, **self._options)

    def _tell_cost(self, usage: Usage) -> None:
        with self._asked_lock:
            self._asked += usage

    # ------------------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """End the interpreter, if the agent made it; its workspace goes too, unless it was the user's.

        A task that runs in another thread is stopped first.
        """
        self._closed = True
        for _ in range(_CLOSE_TRIES):
            if self._busy.acquire(timeout=_AGAIN_SECONDS):
                self._busy.release()
                break
            if self._switch is None or self._owner == threading.get_ident():  # called by who watches
                break
            self._switch.set()
        if not self._given:
            self.interpreter.close()
        self._keeping.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        import asyncio  # slow to import, and most programs do not use it

        await asyncio.to_thread(self.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @contextlib.contextmanager
    def _at_rest(self) -> Iterator[None]:
        if self._closed:
            raise InterpreterGone("this agent is closed; make another one")
        if not self._busy.acquire(blocking=False):
            raise InterpreterBusy("this agent is at work: wait for it, or make another one")
        try:
            yield
        finally:
            self._busy.release()

    def _environment(self, task: str) -> ChatEnvironment:
        return ChatEnvironment(
            self.interpreter,
            task,
            format=self._format,
            tools=self._tools,
            timeout=self.timeout,
            memory_mb=getattr(getattr(self.interpreter, "limits", None), "memory_mb", None),
            network=self._options.get("network", "none"),
            read=self._options.get("read", ()),
            packages=self._options.get("packages", "none"),
            attended=self._options.get("on_input") is not None,
            instructions=self.instructions,
        )

    def _undo_cells(self, n: int) -> list[str]:
        undo = getattr(self.interpreter, "undo", None)
        if undo is None:
            raise CannotGoBack("this interpreter cannot go back")
        lost = undo(n)
        self._n_cells -= n
        return list(lost)

    def _told_instead(self) -> str:
        """What a model should know of turns that are no longer sent: what was asked, what the interpreter holds."""
        variables = getattr(self.interpreter, "variables", None)
        with contextlib.suppress(InterpreterError):
            return self._conversation.told_instead(variables() if variables else [])
        return self._conversation.told_instead([])



def of_cell(code: str, result: str) -> str:
    """What the model is told of a cell of the user's own."""
    return (f"[The user ran this in the interpreter:]\n{code.rstrip()}\n"
            f"[Its result:]\n{result[:_MAX_TOLD_CHARS]}")


def _own(tool: Any) -> Any:
    """A tool for one agent alone, where another agent stands behind it: calls are stopped and counted by who asks."""
    if isinstance(tool, Agent):
        return tool.as_tool()
    return asking.again().tool() if (asking := Asking.behind(tool)) else tool
