"""A conversation that is awake: its agent, the thread it works in, and whoever is asked for leave.

The agent keeps its trajectory and the state of its interpreter in a file for each branch (`keeping.py`), so that it can
be put to sleep, or die, and go on. The file is for the agent; what a page shows is the database's.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from codeact.agent import Agent
from codeact.chats.advice import advice, in_chat
from codeact.chats.holding import Holding
from codeact.chats.log import RunLog
from codeact.chats.meter import size_of
from codeact.chats.rebuilding import kept, rebuilt
from codeact.chats.said import TOLD, unanswered
from codeact.chats.settling import why_it_ended
from codeact.chats.store import Store
from codeact.chats.values import Options, Summary
from codeact.environments._watch import CellWatch
from codeact.errors import Cancelled, ChatBusy, CodeActError
from codeact.interpreter.limits import Limits
from codeact.interpreter.style import STYLES
from codeact.loop import Budget, Cancel
from codeact.messages import Image
from codeact.protocols import Model
from codeact.trajectory import Stop, plain

__all__ = ["Live"]

_faults = logging.getLogger(__name__)

_SETTLED_SECONDS = 30.0
_END_SECONDS = 10.0
_AGAIN_SECONDS = 0.05


class Live:
    """One conversation's agent.

    Args:
        summary: Whose.
        folder: Its own: `workspace/`, and a trajectory for each branch.
        model: Makes the model of a name.
        told: Called when something was stored.
        sandbox: The walls.
        hosts: What its options may name as reachable; None: any. Here only for advice.
        memory_mb: Of its cells together; None: as an interpreter has it.
        room: Bytes that its files may take; None: as much as an interpreter's may.
        holding: Keeps other servers off while something runs.
    """

    def __init__(self, store: Store, summary: Summary, folder: Path, *, model: Callable[[str], Model],
                 told: Callable[[], object], sandbox: str, hosts: Sequence[str] | None, memory_mb: int | None,
                 room: int | None, holding: Holding) -> None:
        self._store, self.key, self.owner, self._told = store, summary.id, summary.owner, told
        self.folder, self.options = folder, summary.options
        self.branch, self._holding = summary.branch, holding
        self._cancel: Cancel | None = None
        self._working = threading.Lock()
        self._idle = threading.Event()
        self._idle.set()
        self._log: RunLog | None = None
        self._asked: dict[str, tuple[threading.Event, list[bool]]] = {}
        self._asking = threading.Lock()
        """Of who writes that a run waits or goes on, and of who writes that it rests: that is the last word."""
        self.used = time.monotonic()
        self._limits, self._advice = _limits_for(room, memory_mb), advice(hosts)
        self._n_bytes = size_of(self.workspace)
        self.agent, self.lost = self._agent(model(summary.options.model), sandbox)

    @property
    def is_at_work(self) -> bool:
        """Whether something runs in it at this moment."""
        return not self._idle.is_set()

    @property
    def is_running(self) -> bool:
        """Whether something runs in it; what is just about to end is waited for."""
        if (log := self._log) is not None and log.ended:
            self._idle.wait(_END_SECONDS)
        return not self._idle.is_set()

    def is_up_to(self, summary: Summary) -> bool:
        """Whether it knows all turns that the database has, or is at work on the next one."""
        n_turns = len(self.agent.trajectory.turns) if self.agent.trajectory else 0
        return not self._idle.is_set() or (summary.branch == self.branch and summary.n_turns <= n_turns)

    @property
    def workspace(self) -> Path:
        """Its files."""
        return self.folder / "workspace"

    @property
    def room(self) -> int:
        """Bytes that its cells may still add to its files."""
        return ((self._limits.workspace_mb or 0) << 20) - (size_of(self.workspace) - self._n_bytes)

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
            "limits": self._limits, "style": replace(STYLES["default"], advice=self._advice),
        }
        path = self.file()
        n_turns, (trajectory, aside) = self._store.n_turns(self.key), kept(path)
        if n_turns and (trajectory is None or len(trajectory.turns) < n_turns):
            # Another machine had it, its disk is gone, or the file is: the database has all but the variables.
            trajectory = rebuilt(self._store, self.key)
            trajectory.save(path)
        if trajectory is not None:
            agent = Agent.resume(path, model, **settings)
            return agent, tuple(agent.resumed.lost)
        if not aside and path.exists() and path.stat().st_size:   # nothing that anybody could read
            path.unlink()
        agent = Agent(model, save=path, **settings)
        if not aside:
            return agent, ()
        lost = "the code that the user ran before the first message was not run again"
        for told in (*aside, f"[The interpreter is a new one: {lost}.]"):
            agent.tell(told)
        return agent, (lost,)

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
        until = time.monotonic() + _SETTLED_SECONDS
        while self.is_running or not self._working.acquire(timeout=_AGAIN_SECONDS):
            if self.is_running or time.monotonic() > until:
                raise ChatBusy("something runs in this conversation: wait for it, or stop it")
        try:
            self._holding.hold(self.key)
        except BaseException:
            self._working.release()
            raise
        self._idle.clear()
        cancel = self._cancel = Cancel()
        try:
            log = self._log = RunLog(self._store, self.key, self.branch, self._store.n_turns(self.key), self._told,
                                     self._holding.name)
            log.settle("it was stopped")   # where the end of the run before could not be stored
            seq = log.put(*first, state="running")
        except BaseException:
            self._rest()
            raise

        def run() -> None:
            said = ""
            try:
                work(log, cancel)
            except Cancelled:
                pass
            except CodeActError as error:
                said = in_chat(str(error))
            except Exception as error:   # a fault of ours must not leave a page waiting for ever
                said = f"{type(error).__name__}: {error}"
            try:
                log.settle("an error ended it" if said else why_it_ended(cancel.stop))
                if said:
                    log.put("error", {"message": said})
                if cancel.stop:
                    log.put("stopped", {"why": str(cancel.stop)})
            except Exception as error:
                _faults.warning("the end of a run was not stored: %s", error)
            finally:
                self._rest()

        threading.Thread(target=run, name=f"codeact-chat-{self.key}", daemon=True).start()
        return seq

    def _rest(self) -> None:
        """Nothing runs any more, whatever the database says to that."""
        try:
            if self._log is not None:
                with self._asking:
                    self._log.ended = True   # who comes from here on waits
                # Of threads that cells left: nobody waits for these answers any more
                left = [call for call in tuple(self._asked) if self.answer(call, granted=False)]
                self._log.close()
                for call in left:
                    self._log.put("answered", {"call": call, "granted": False, "why": "its cell has ended"})
            self._store.update(self.key, holder=self._holding.name, state="idle")
        except Exception as error:
            _faults.warning("the end of a run was not stored: %s", error)
        finally:
            self.used = time.monotonic()
            self._holding.drop(self.key)
            self._idle.set()   # before another run can begin, which is not idle
            self._log = None
            self._working.release()
        self._told()

    def task(self, text: str, images: tuple[Image, ...] = ()) -> Callable[[RunLog, Cancel], None]:
        """The agent's work on a message, told with what of the one before came to no turn.

        To be called before the message is stored.
        """
        before = self.agent.trajectory
        again, pictures = unanswered(self._store.since_turn(self.key, TOLD), under_way=self.agent.resumed.under_way,
                                     known=before is not None and not before.turns)
        words = text if again == [text] else "\n\n".join((*again, text))   # the same, said again, is said once
        return lambda log, cancel: void(self.agent.run(words, images=(*pictures, *images), observe=log, cancel=cancel))

    def cell(self, code: str, then: Callable[[RunLog, Cancel], None] | None = None) -> Callable[[RunLog, Cancel], None]:
        """A cell of the user's own."""

        def work(log: RunLog, cancel: Cancel) -> None:
            watch = CellWatch(log)
            with cancel.calling(self.agent.interpreter.interrupt):
                result = self.agent.execute(code, on_output=watch)
            watch.end(result)
            outputs = [plain(bundle) for bundle in result.outputs]
            log.put("cell_done", {"status": result.status, "text": result.text, "outputs": outputs,
                                  "files": result.files}, log.n_turns)
            if then and not cancel.stop:
                then(log, cancel)

        return work

    def cancel(self) -> None:
        """Have what runs stop; questions are answered with no."""
        if self._cancel:
            self._cancel.set(Stop.CANCELLED)
        for call in tuple(self._asked):
            self.answer(call, granted=False)

    def stop(self) -> bool:
        """Stop what runs, and wait until it has; whether something did."""
        if not self.is_running:
            return False
        until = time.monotonic() + _SETTLED_SECONDS
        while self.is_at_work and time.monotonic() < until:
            self.cancel()
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
        shown = {name: str(value)[:2000] for name, value in arguments.items()}
        self._asked[call] = (event, said)
        try:
            asked = {"type": "approval", "tool": tool, "arguments": shown, "granted": None, "call": call}
            if not self._told_while_it_runs(log, "approval", asked):
                return False
            event.wait()
        finally:
            self._asked.pop(call, None)
        return self._told_while_it_runs(log, "answered", {"call": call, "granted": said[0]}) and said[0]

    def _told_while_it_runs(self, log: RunLog, kind: str, data: dict[str, Any]) -> bool:
        """Store what is asked and answered; not after the run's end, which has told of what was open then."""
        with self._asking:
            if log.ended:
                return False
            log.put(kind, data, state="waiting" if self._asked else "running")
        return True

    def answer(self, call: str, granted: bool) -> bool:
        """Answer a question; whether it was open: the first answer counts."""
        if (asked := self._asked.pop(call, None)) is None:
            return False
        event, said = asked
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


def _limits_for(room: int | None, memory_mb: int | None) -> Limits:
    limits = Limits() if memory_mb is None else Limits(memory_mb=memory_mb)
    if room is None or limits.workspace_mb is None:
        return limits
    return replace(limits, workspace_mb=max(1, min(limits.workspace_mb, room >> 20)))


def void(_: object) -> None:
    """The value is of no interest."""
