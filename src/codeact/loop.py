"""The loop of the paper, on one page: the model acts, the environment answers, until someone stops.

`Agent`, the command line, evaluations and data generation all call `rollout`; what differs between them is the
environment. `Budget` and `Cancel` are the only things that stop it from outside.

A budget is checked between turns: a turn that has begun is finished. Where that is too late, as for a limit of time,
`Cancel.within` interrupts what is running.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from codeact.actions import CodeAction, ToolCall
from codeact.errors import Cancelled, ConfigError, ContextOverflow
from codeact.events import Ended, Observer, Started, ignore
from codeact.messages import Usage
from codeact.protocols import Environment, Model
from codeact.trajectory import Stop, Trajectory, Turn

__all__ = ["NEVER", "Budget", "Cancel", "rollout"]

_AGAIN_SECONDS = 1.0
"""Between two tries to stop what is over its time: the first may come before there is anything to interrupt."""


@dataclass(frozen=True)
class Budget:
    """How much one rollout may spend; each limit is inclusive, None means no limit.

    Raises:
        ConfigError: A limit is no number, or not more than 0.
    """

    max_turns: int | None = 30
    max_seconds: float | None = None
    """Wall clock of the turns together."""
    max_tokens: int | None = None
    """Tokens read and written; a conversation is read again each turn."""
    max_cost: float | None = None
    """US dollars, as far as the back-end tells."""

    def __post_init__(self) -> None:
        for name, kind in (("max_turns", int), ("max_seconds", float), ("max_tokens", int), ("max_cost", float)):
            limit = getattr(self, name)
            if limit is None:
                continue
            if isinstance(limit, bool) or not isinstance(limit, int | float) or (kind is int and limit != int(limit)):
                whole = "a whole number" if kind is int else "a number"
                raise ConfigError(f"{name}={limit!r}: a limit is {whole}, or None for none")
            if not limit > 0:
                raise ConfigError(f"{name}={limit!r}: a limit is more than 0, or None for none")

    def reached(self, spent: "Spent") -> Stop | None:
        """Which limit has been reached, if any."""
        limits = (
            (Stop.TURN_LIMIT, spent.n_turns, self.max_turns),
            (Stop.TIME_LIMIT, spent.seconds, self.max_seconds),
            (Stop.TOKEN_LIMIT, spent.usage.tokens, self.max_tokens),
            (Stop.COST_LIMIT, spent.usage.cost, self.max_cost),
        )
        return next((stop for stop, amount, limit in limits if limit is not None and amount >= limit), None)


@dataclass(frozen=True)
class Spent:
    """What the turns of one rollout have used up, added up as they come."""

    n_turns: int = 0
    seconds: float = 0.0
    usage: Usage = field(default_factory=Usage)

    def __add__(self, turn: Turn) -> "Spent":
        return Spent(self.n_turns + 1, self.seconds + turn.seconds, self.usage + turn.completion.usage)


class Cancel:
    """A switch that stops a rollout; may be set from any thread and from a signal handler."""

    def __init__(self) -> None:
        self._stop: Stop | None = None
        self._interrupts: list[Callable[[], object]] = []

    @property
    def stop(self) -> Stop | None:
        """Why to stop, once set."""
        return self._stop

    def set(self, stop: Stop = Stop.CANCELLED) -> bool:
        """Stop as soon as possible; may be set again, where what runs has not stopped yet.

        Returns:
            Whether something was running that has now been interrupted. If not, the rollout notices by itself
            when it next looks.
        """
        self._stop = self._stop or stop
        interrupts = tuple(self._interrupts)
        # One that says False is a switch below this one, with nothing to interrupt.
        return sum(interrupt() is not False for interrupt in interrupts) > 0

    @contextmanager
    def calling(self, interrupt: Callable[[], object]) -> Iterator[None]:
        """While inside, `interrupt` is called whenever the switch is set."""
        self._interrupts.append(interrupt)
        try:
            yield
        finally:
            self._interrupts.remove(interrupt)

    @contextmanager
    def within(self, seconds: float | None) -> Iterator[None]:
        """While inside, the switch sets itself with `Stop.TIME_LIMIT` when the time is up; None: never."""
        left = threading.Event()

        def watch(wait: float) -> None:
            while not left.wait(wait):
                self.set(Stop.TIME_LIMIT)
                wait = _AGAIN_SECONDS

        if seconds is not None:
            threading.Thread(target=watch, args=(seconds,), name="codeact-time-limit", daemon=True).start()
        try:
            yield
        finally:
            left.set()


NEVER = Cancel()
"""For rollouts that only their budget stops; nobody sets it."""


def rollout(
    model: Model,
    env: Environment,
    *,
    budget: Budget = Budget(),
    start: Trajectory | None = None,
    observe: Observer = ignore,
    cancel: Cancel = NEVER,
) -> Trajectory:
    """Run one episode: the model completes, the environment answers, until someone stops.

    Args:
        start: Go on from this trajectory; the budget counts the new turns only.

    Raises:
        ModelError: The model could not be reached; what was watched so far is all there is.
        InterpreterError: The interpreter could not be brought back.

    Source: paper figure 2 and section 2.1.
    """
    trajectory = start or Trajectory(prompt=tuple(env.reset()))
    form, spent = env.format, Spent()
    observe(Started(trajectory))
    while not (stop := cancel.stop or budget.reached(spent)):
        began = time.perf_counter()
        try:
            completion = model.complete(
                trajectory.messages, stop=form.stop, tools=form.native_tools, observe=observe, cancel=cancel
            )
        except ContextOverflow:
            stop = Stop.CONTEXT_LIMIT
            break
        except Cancelled:
            stop = cancel.stop or Stop.CANCELLED
            break
        action = form.parse(completion.text, truncated=completion.truncated, calls=completion.calls)
        if completion.dropped and isinstance(action, CodeAction | ToolCall):
            action = replace(action, ignored="\n".join(filter(None, (action.ignored, completion.dropped))))
        observation = env.step(action, observe=observe, cancel=cancel)
        turn = Turn(completion, action, observation, seconds=time.perf_counter() - began)
        trajectory, spent = trajectory.add(turn), spent + turn
        observe(turn)
        if stop := observation.stop:
            break
    observe(Ended(stop))
    return trajectory.end(stop)
