"""`%load_ext codeact`: an agent that acts in the user's own kernel, with the user's variables.

    %%codeact --model openai:gpt-5-mini
    Plot the columns of df against one another

    %codeact                what is set; --new, --model, --max-turns, --yes and --ask set it

Not protected against: anything. There are no walls here, so a cell can do all that the user can, to the notebook too.
That is said at the beginning of each conversation, and each cell is shown and asked about before it runs: y, n, or
`always`; `--yes` stops the asking. The settings are those of `codeact config`; a key stays in the model's client, but
that is in this very process, where a cell that looks for it finds it.
"""

from __future__ import annotations

import argparse
import logging
import shlex
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NoReturn

from codeact import plugins
from codeact.agent import Agent, Result
from codeact.errors import Cancelled, CodeActError, ConfigError
from codeact.integrations._notebook_view import View
from codeact.loop import Budget, Cancel
from codeact.protocols import Runner, RunResult
from codeact.settings import Settings, create_model, settle
from codeact.trajectory import Bundle, Stop

__all__ = ["load", "unload"]

_NO_WALLS = "No walls: code runs in this very kernel and can do all that you can do, with your files and keys. {asking}"
_ASKING = "You are asked before each cell."
_NOT_ASKING = "You are NOT asked before a cell runs (`%codeact --ask` changes that)."
_REFUSED = ("[The user did not allow this code to run, and it did not run. Say what it was for and ask what to do "
            "instead, or take another way.]")
_INTERRUPTED = "[Interrupted by the user.]"
_MAX_VARIABLES = 60
_MAX_CALL_CHARS = 2_000


def load(shell: Any) -> None:
    """Register the magics; `%load_ext codeact` calls this."""
    session = getattr(shell, "_codeact", None)
    if session is None:
        shell._codeact = session = Session(shell)
    shell.register_magic_function(session.magic, "line_cell", "codeact")


def unload(shell: Any) -> None:
    """Forget the conversation; `%unload_ext codeact` calls this."""
    session = getattr(shell, "_codeact", None)
    if session is not None:
        session.new()
        shell.magics_manager.magics["line"].pop("codeact", None)
        shell.magics_manager.magics["cell"].pop("codeact", None)
        del shell._codeact


@dataclass(frozen=True)
class Plain:
    """The result of a cell that has not run, or not to its end."""

    text: str
    status: str
    outputs: tuple[Bundle, ...] = ()
    error: None = None
    files: tuple[str, ...] = ()


class Asking:
    """A runner that asks before each cell.

    Args:
        runner: What runs it.
    """

    def __init__(self, runner: Any) -> None:
        self._runner = runner
        self.ask: Callable[[], bool] | None = None
        """Whether the next cell may run; None for yes, always."""
        self.cancel = Cancel()
        """Set where the user interrupts the question or the cell."""
        self.is_asking = False

    def run(
        self, code: str, *, timeout: float | None = None, on_output: Callable[[Any], None] | None = None
    ) -> RunResult:
        """Ask, then run; see `protocols.Runner`."""
        try:
            if not self._may():
                return Plain(_REFUSED, "refused")
            result: RunResult = self._runner.run(code, timeout=timeout, on_output=on_output)
            return result
        except (KeyboardInterrupt, Cancelled):
            # The turn is kept: the model sees where it was stopped when the conversation goes on
            self.cancel.set()
            return Plain(_INTERRUPTED, "interrupted")

    def _may(self) -> bool:
        if self.ask is None:
            return True
        self.is_asking = True
        try:
            return self.ask()
        finally:
            self.is_asking = False

    def __getattr__(self, name: str) -> Any:
        if name == "_runner":   # of one that is being copied
            raise AttributeError(name)
        return getattr(self._runner, name)


@dataclass
class Session:
    """One notebook's settings and its conversation."""

    shell: Any
    options: dict[str, Any] = field(default_factory=dict)
    """Set by `%codeact`, for all cells."""
    agent: Agent | None = None
    runner: Asking | None = None
    spec: str = ""
    _told: dict[str, str] = field(default_factory=dict)
    """Variables that the model has been told of."""

    def magic(self, line: str, cell: str | None = None) -> None:
        """`%codeact` and `%%codeact`."""
        try:
            given = _parse(line)
            if given.pop("new", False):
                self.new()
            if cell is None:
                self._set(given)
            elif not cell.strip():
                raise ConfigError("what is the task? write it below %%codeact")
            else:
                self._do(cell.strip(), {**self.options, **given})
        except (CodeActError, ValueError) as error:
            raise _usage(str(error)) from None

    def new(self) -> None:
        """Begin another conversation; variables stay, as they are the user's."""
        if self.runner is not None:
            self.runner.close()
        self.agent = self.runner = None
        self._told = {}

    def _set(self, given: dict[str, Any]) -> None:
        if given:
            settings = self._settle({**self.options, **given})
            if settings.model:
                create_model(settings)   # what cannot be had is said now
            self.options |= given
        settings = self._settle(self.options)
        n_turns = len(self.agent.trajectory.turns) if self.agent and self.agent.trajectory else 0
        print(f"model      {settings.model or '(none: --model, CODEACT_MODEL or `codeact config set model`)'}\n"
              f"max turns  {settings.max_turns}\n"
              f"asking     {'before each cell' if self._asks(self.options) else 'no'}\n"
              f"so far     {f'{n_turns} turn' + 's' * (n_turns != 1) if n_turns else 'a new conversation'}")

    def _settle(self, options: dict[str, Any]) -> Settings:
        return settle(argparse.Namespace(max_turns=options.get("max_turns"), timeout=options.get("timeout"),
                                         base_url=options.get("base_url")), model=options.get("model"))

    def _asks(self, options: dict[str, Any]) -> bool:
        return not options.get("yes", False)

    # A task -----------------------------------------------------------------------------------------------------------

    def _do(self, task: str, options: dict[str, Any]) -> None:
        settings = self._settle(options)
        asks = self._asks(options)
        if asks and not getattr(getattr(self.shell, "kernel", None), "_allow_stdin", True):
            raise ConfigError("this front end cannot ask before each cell; --yes runs them unasked")
        agent, runner, view = self._agent(settings)
        if agent.trajectory is None:
            view.note(_NO_WALLS.format(asking=_ASKING if asks else _NOT_ASKING))
        runner.ask = self._ask if asks else None
        agent.budget = Budget(max_turns=settings.max_turns, max_cost=settings.max_cost)
        agent.timeout = settings.timeout
        runner.cancel = cancel = Cancel()
        try:
            with _interruptible(cancel, runner):
                result = agent.run(self._with_variables(runner, task), observe=view, cancel=cancel)
        finally:
            view.finish()
        if (said := _end(result, settings)):
            view.note(said)

    def _agent(self, settings: Settings) -> tuple[Agent, Asking, View]:
        format = plugins.create("formats", settings.format or "code")
        view = View(self.shell, format)
        if self.agent is None or self.runner is None:
            model = create_model(settings)
            self.runner = Asking(_interpreter(settings))
            self.agent = Agent(model, interpreter=self.runner, format=format)
            self.agent.about["model"] = self.spec = settings.model
        elif settings.model != self.spec:
            self.agent.model = create_model(settings)
            self.agent.about["model"] = self.spec = settings.model
        return self.agent, self.runner, view

    def _ask(self) -> bool:
        """Whether the cell that was just shown may run."""
        for _ in range(3):
            said = input("Run this in your notebook? y(es), n(o), a(lways): ").strip().lower()
            if said in ("a", "always"):
                assert self.runner is not None
                self.runner.ask = None
                self.options["yes"] = True
                return True
            if said in ("y", "yes", "n", "no"):
                return said.startswith("y")
        return False

    def _with_variables(self, runner: Runner, task: str) -> str:
        """The task, with the notebook's variables that are new to the model."""
        hidden = set(getattr(self.shell, "user_ns_hidden", ()))
        found = {}
        for one in runner.variables():  # type: ignore[attr-defined]
            if not one.name.startswith("_") and one.name not in hidden:
                shape = f" {one.shape}" if one.shape else ""
                found[one.name] = f"{one.name}: {one.type}{shape} = {one.preview}"
        new = [row for name, row in found.items() if self._told.get(name) != row]
        self._told = found
        if not new:
            return task
        more = f"\n... and {len(new) - _MAX_VARIABLES} more" if len(new) > _MAX_VARIABLES else ""
        listed = "\n".join(new[:_MAX_VARIABLES])
        return f"{task}\n\n[Variables of the user's notebook, which your code shares:\n{listed}{more}]"


def _interpreter(settings: Settings) -> Any:
    from codeact.interpreter.interpreter import Interpreter

    # That there are no walls is told in the notebook; the log need not say it a second time
    tools = [settings.tool(spec) for spec in settings.tools]

    def approve(tool: str, arguments: dict[str, Any]) -> bool:
        given = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
        try:
            said = input(f"The code wants to call {tool}({given[:_MAX_CALL_CHARS]}). Let it? y(es), n(o): ")
        except EOFError:
            return False
        return said.strip().lower() in ("y", "yes")

    log, quiet = logging.getLogger("codeact.interpreter"), (lambda record: "no walls" not in record.getMessage())
    log.addFilter(quiet)
    try:
        return Interpreter(tools, backend="inprocess:notebook", approve=approve)
    finally:
        log.removeFilter(quiet)


def _end(result: Result, settings: Settings) -> str:
    """How it ended, where that was not with an answer."""
    match result.stop:
        case Stop.ANSWER:
            return ""
        case Stop.CANCELLED:
            return "interrupted; %%codeact goes on from here, %codeact --new begins anew"
        case Stop.TURN_LIMIT:
            return f"ended without an answer after {settings.max_turns} turns; allow more with --max-turns"
    return f"ended without an answer: {result.stop.value.replace('_', ' ')}"


@contextmanager
def _interruptible(cancel: Cancel, runner: Asking) -> Iterator[None]:
    """The interrupt button, or Ctrl-C, stops the wait for the model and a question; a cell sees to it itself."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(signum: int, frame: object) -> None:
        if cancel.stop:
            raise KeyboardInterrupt
        # While it asks, an interrupt of the runner finds no cell to stop
        if not cancel.set() or runner.is_asking:
            raise Cancelled

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    except Cancelled:
        raise KeyboardInterrupt from None
    finally:
        signal.signal(signal.SIGINT, before)


# The line -------------------------------------------------------------------------------------------------------------


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}\n{self.format_usage().strip()}")


def _parse(line: str) -> dict[str, Any]:
    """The options on a line; only those that were given.

    Raises:
        ConfigError: There is something else on it.
    """
    parser = _Parser(prog="%%codeact", add_help=False, allow_abbrev=False, argument_default=argparse.SUPPRESS)
    parser.add_argument("--model", metavar="PROVIDER:NAME")
    parser.add_argument("--base-url", metavar="URL")
    parser.add_argument("--max-turns", metavar="N", type=int)
    parser.add_argument("--timeout", metavar="SECONDS", type=float)
    parser.add_argument("--yes", action="store_true")
    parser.add_argument("--ask", dest="yes", action="store_false")
    parser.add_argument("--new", action="store_true")
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise ConfigError(f"cannot read the line: {error}") from None
    given, others = parser.parse_known_args(words)
    if others:
        raise ConfigError(f"{' '.join(others)!r} is no option; the task goes below %%codeact\n"
                          f"{parser.format_usage().strip()}")
    for name in ("max_turns", "timeout"):
        if (number := getattr(given, name, 1)) is not None and not number > 0:
            raise ConfigError(f"--{name.replace('_', '-')} is a number above 0, not {number}")
    return vars(given)


def _usage(message: str) -> Exception:
    """An error that IPython shows in one line, without a traceback."""
    from IPython.core.error import UsageError

    return UsageError(message)
