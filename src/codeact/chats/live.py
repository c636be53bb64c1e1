"""A conversation that is awake: its agent, the thread it works in, and whoever is asked for leave.

The agent keeps its trajectory and the state of its interpreter in a file for each branch (`keeping.py`), so that it can
be put to sleep, or die, and go on. The file is for the agent; what a page shows is the database's.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from codeact.agent import Agent
from codeact.chats.log import RunLog
from codeact.chats.store import Store
from codeact.chats.values import Options, Summary
from codeact.environments._watch import CellWatch
from codeact.errors import Cancelled, ChatBusy, CodeActError, InterpreterError
from codeact.loop import Budget, Cancel
from codeact.messages import Image, Message
from codeact.protocols import Model
from codeact.trajectory import Stop, Trajectory, Turn, plain

__all__ = ["Live"]

_SETTLED_SECONDS = 30.0
_END_SECONDS = 2.0


class Live:
    """One conversation's agent.

    Args:
        summary: Whose.
        folder: Its own: `workspace/`, and a trajectory for each branch.
        model: Makes the model of a name.
        told: Called when something was stored.
        sandbox: The walls.
    """

    def __init__(self, store: Store, summary: Summary, folder: Path, *, model: Callable[[str], Model],
                 told: Callable[[], object], sandbox: str) -> None:
        self._store, self.key, self.owner, self._told = store, summary.id, summary.owner, told
        self.folder, self.options = folder, summary.options
        self.branch = summary.branch
        self._cancel: Cancel | None = None
        self._working = threading.Lock()
        self._idle = threading.Event()
        self._idle.set()
        self._log: RunLog | None = None
        self._asked: dict[str, tuple[threading.Event, list[bool]]] = {}
        self.used = time.monotonic()
        self.agent, self.lost = self._agent(model(summary.options.model), sandbox)

    @property
    def is_running(self) -> bool:
        """Whether something runs in it; what is just about to end is waited for."""
        if (log := self._log) is not None and log.ended:
            self._idle.wait(_END_SECONDS)
        return not self._idle.is_set()

    @property
    def workspace(self) -> Path:
        """Its files."""
        return self.folder / "workspace"

    def file(self, branch: str | None = None) -> Path:
        """The trajectory of a branch."""
        return self.folder / f"{branch or self.branch}.jsonl"

    def _agent(self, model: Model, sandbox: str) -> tuple[Agent, tuple[str, ...]]:
        options = self.options
        self.workspace.mkdir(parents=True, exist_ok=True)
        settings: dict[str, Any] = {
            "tools": list(options.tools), "format": options.format, "budget": budget_of(options),
            "timeout": options.timeout, "approve": self._approve, "instructions": options.instructions,
            "workspace": self.workspace, "network": list(options.network) or "none", "sandbox": sandbox,
        }
        path = self.file()
        if not path.exists() and self._store.n_turns(self.key):
            # Another machine had it, or its disk is gone: the database has all but the variables.
            rebuilt(self._store, self.key).save(path)
        if path.exists() and path.stat().st_size:
            agent = Agent.resume(path, model, **settings)
            return agent, tuple(agent.resumed.lost)
        return Agent(model, save=path, **settings), ()

    # Work -------------------------------------------------------------------------------------------------------------

    def begin(self, first: tuple[str, dict[str, Any], int | None], work: Callable[[RunLog, Cancel], None]) -> int:
        """Do something in a thread of its own.

        Args:
            first: The entry that tells of it, stored before it begins.
            work: What is done; foreseeable faults of it become an entry.

        Returns:
            The number of that entry.

        Raises:
            ChatBusy: Something runs.
        """
        if (before := self._log) is not None and before.ended:
            self._idle.wait(_SETTLED_SECONDS)   # the answer is there already; on a busy machine its keeping takes time
        # A run that rests lets go a moment after it is seen to be idle
        if self.is_running or not self._working.acquire(timeout=1.0):
            raise ChatBusy("something runs in this conversation: wait for it, or stop it")
        self._idle.clear()
        cancel = self._cancel = Cancel()
        log = self._log = RunLog(self._store, self.key, self._store.n_turns(self.key), self._told)
        try:
            seq = log.put(*first, state="running")
        except BaseException:
            self._rest(log)
            raise

        def run() -> None:
            try:
                work(log, cancel)
            except CodeActError as error:
                log.put("error", {"message": str(error)})
            except Cancelled:
                pass
            except Exception as error:   # a fault of ours must not leave a page waiting for ever
                log.put("error", {"message": f"{type(error).__name__}: {error}"})
            finally:
                if cancel.stop:
                    log.put("stopped", {"why": str(cancel.stop)})
                self._rest(log)

        threading.Thread(target=run, name=f"codeact-chat-{self.key}", daemon=True).start()
        return seq

    def _rest(self, log: RunLog) -> None:
        log.close()
        self.used = time.monotonic()
        self._store.update(self.key, state="idle")
        self._idle.set()     # before another run can begin, which is not idle
        self._log = None
        self._working.release()
        self._told()

    def task(self, text: str | None, images: tuple[Image, ...] = ()) -> Callable[[RunLog, Cancel], None]:
        """The agent's work on a message; None: it goes on with the one before."""
        return lambda log, cancel: void(self.agent.run(text, images=images, observe=log, cancel=cancel))

    def cell(self, code: str, then: Callable[[RunLog, Cancel], None] | None = None) -> Callable[[RunLog, Cancel], None]:
        """A cell of the user's own."""

        def work(log: RunLog, cancel: Cancel) -> None:
            watch = CellWatch(log)
            with cancel.calling(self.agent.interpreter.interrupt):
                result = self.agent.execute(code, on_output=watch)
            watch.end(result)
            outputs = [plain(bundle) for bundle in result.outputs]
            log.put("cell_done", {"status": result.status, "text": result.text, "outputs": outputs}, log.n_turns)
            if then and not cancel.stop:
                then(log, cancel)

        return work

    def stop(self) -> bool:
        """Stop what runs, and wait until it has; whether something did."""
        if not self.is_running:
            return False
        until = time.monotonic() + _SETTLED_SECONDS
        while self.is_running and time.monotonic() < until:
            for event, said in list(self._asked.values()):
                said.append(False)
                event.set()
            if self._cancel:
                self._cancel.set(Stop.CANCELLED)
            self._idle.wait(0.5)
        return True

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until nothing runs; whether that came about."""
        return self._idle.wait(seconds)

    # Leave ------------------------------------------------------------------------------------------------------------

    def _approve(self, tool: str, arguments: dict[str, Any]) -> bool:
        """Asked by a running cell, in a thread of its tool."""
        log, call = self._log, secrets.token_hex(6)
        if log is None or (self._cancel and self._cancel.stop):
            return False
        event: threading.Event = threading.Event()
        said: list[bool] = []
        self._asked[call] = (event, said)
        shown = {name: str(value)[:2000] for name, value in arguments.items()}
        log.put("approval", {"type": "approval", "tool": tool, "arguments": shown, "granted": None, "call": call},
                state="waiting")
        event.wait()
        self._asked.pop(call, None)
        log.put("answered", {"call": call, "granted": said[0]}, state="running")
        return said[0]

    def answer(self, call: str, granted: bool) -> bool:
        """Answer a question; whether it was open."""
        if call not in self._asked:
            return False
        event, said = self._asked[call]
        said.append(granted)
        event.set()
        return True

    def close(self) -> None:
        """Put it to sleep: the agent's file has its state."""
        self.stop()
        self.agent.close()


def budget_of(options: Options) -> Budget:
    """For each message."""
    return Budget(options.max_turns, options.max_seconds, options.max_tokens, options.max_cost)


def rebuilt(store: Store, key: str) -> Trajectory:
    """The trajectory of the current branch, of what the database has.

    Raises:
        InterpreterError: It has no beginning.
    """
    trajectory: Trajectory | None = None
    for entry in store.all_of(key, ("started", "user", "turn")):
        if entry.kind == "started":
            trajectory = Trajectory(tuple(map(Message.from_json, entry.data["prompt"])))
        elif trajectory is not None and entry.kind == "user":
            trajectory = trajectory.reply(entry.data["text"], tuple(map(Image.from_json, entry.data.get("images", ()))))
        elif trajectory is not None:
            turn = Turn.from_json(entry.data)
            trajectory = trajectory.add(turn)
            if turn.observation.stop:
                trajectory = trajectory.end(turn.observation.stop)
    if trajectory is None:
        raise InterpreterError("the conversation has no beginning to go on from")
    return trajectory


def void(_: object) -> None:
    """The value is of no interest."""
