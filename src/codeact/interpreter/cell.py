"""Runs one cell: reads its output, answers its questions, watches its limits, stops it in time.

Called by interpreter.py for every cell and by history.py for every cell it replays. Ends in an `Outcome` whatever the
kernel does; what it says is checked and never trusted.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from codeact.interpreter.limits import Limits
from codeact.interpreter.outcome import Outcome, death_in_words
from codeact.interpreter.output import OnOutput
from codeact.interpreter.result import ErrorInfo, Status
from codeact.interpreter.session import Running, Session
from codeact.interpreter.showing import Showing, bundle_of
from codeact.interpreter.streams import OutputReader
from codeact.kernel.wire import Frame, ProtocolError

if TYPE_CHECKING:
    from codeact.events import Approval, ToolCalled

__all__ = ["GRACE_SECONDS", "Answers", "CellRunner"]

GRACE_SECONDS = 1.0
"""Between an interrupt and the end of what does not obey it."""

LOOK_SECONDS = 0.05
"""Between two looks at memory, processor time and disk, while a cell runs."""


class Answers(Protocol):
    """Who answers the questions of a running cell: tools and input, or the journal in a replay."""

    def call(self, header: dict[str, Any], buffers: Sequence[memoryview], reply: Callable[..., None]) -> None:
        """Start a tool call; `reply(header, buffers)` may come from any thread. Must not block."""

    def input(self, prompt: str, hidden: bool) -> str | None:
        """A line a person types; may block. None when nobody is there."""

    def waiting(self) -> bool:
        """Whether a person is being asked: the cell's clock stands still meanwhile."""

    def cancel(self) -> None:
        """The cell is over or stopped: drop the calls still running."""


class CellRunner:
    """Runs cells on a session's worker, one at a time.

    Args:
        session: Its `running` worker is used.
        limits: Watched while the cell runs.
        disk_bytes: What the session has added to its workspace so far; called now and then.
        on_checkpoint: Takes the frames "checkpointed" and "refused".
    """

    def __init__(self, session: Session, limits: Limits, disk_bytes: Callable[[], int],
                 on_checkpoint: Callable[[dict[str, Any], Running], None]):
        self.session, self.limits = session, limits
        self._disk_bytes, self._on_checkpoint = disk_bytes, on_checkpoint
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._wake_lock = threading.Lock()
        self._polled: tuple[int, ...] = ()
        self._poll = select.poll()
        self._idle, self._idle_fd = select.poll(), -1
        self._stop_asked = False
        self._send_lock = threading.Lock()
        self._news: deque[ToolCalled | Approval] = deque()
        """What tools did, told by their threads, for the thread that runs the cell."""

    def close(self) -> None:
        with self._wake_lock:
            os.close(self._wake)
            self._wake = -1

    @property
    def stop_asked(self) -> bool:
        """`interrupt` was called since `listen`, or since the latest cell began."""
        return self._stop_asked

    def listen(self) -> None:
        """From now on an interrupt is meant for what comes next."""
        self._stop_asked = False
        self._drain_wake()

    def interrupt(self) -> None:
        """Stop the running cell; from any thread."""
        self._stop_asked = True
        self._wake_up()

    def tell(self, event: ToolCalled | Approval) -> None:
        """Have `on_output` told of a tool call by the thread that runs the cell; from any thread."""
        from codeact.events import Approval  # a cold start without tools is quicker without it

        self._news.append(event)
        if isinstance(event, Approval):   # a person waits; all else is told with the next look at the latest
            self._wake_up()

    def _wake_up(self) -> None:
        with self._wake_lock:   # its number may be another file's once it is closed
            if self._wake >= 0:
                os.eventfd_write(self._wake, 1)

    def run(self, header: dict[str, Any], answers: Answers, *, seconds: float | None,
            on_output: OnOutput | None = None, buffers: Sequence[bytes] = (), stopped: bool = False) -> Outcome:
        """Send a "run" frame, or another one that "done" answers, and see it through.

        Args:
            seconds: Wall clock until the cell is interrupted; None for ever. Waits for a person do not count.
            stopped: It was to be interrupted already before it could begin.
        """
        running = self.session.running
        assert running is not None
        if self._stop_asked:
            self._stop_asked = False
            self._drain_wake()
        if stopped:
            self.interrupt()
        self._news.clear()
        started, refused = time.monotonic(), ""
        try:
            running.connection.send(header, buffers, timeout=30)   # first of all: what follows is done while it runs
        except (OSError, ProtocolError) as error:
            refused = f"the kernel did not take the cell ({error})"
        cell = _Cell(self, running, answers, started, seconds, on_output)
        if refused:
            cell.outcome.taken = False
            cell.die(refused)
        cell.see_through()
        answers.cancel()
        return cell.finish()

    def poll(self, *fds: int) -> select.poll:
        """A poll object for these and for `interrupt`; the last one again, as most cells follow one another."""
        if self._polled != fds:
            self._poll = select.poll()
            for fd in (*fds, self._wake):
                self._poll.register(fd, select.POLLIN)
            self._polled = fds
        return self._poll

    def is_alive(self) -> bool:
        """Whether the idle worker is there and keeps the rules; takes what it said meanwhile."""
        running = self.session.running
        if running is None:
            return False
        connection = running.connection
        if self._idle_fd != (fd := connection.fileno()):
            self._idle, self._idle_fd = select.poll(), fd
            self._idle.register(fd, select.POLLIN)
        if not self._idle.poll(0):
            return True
        try:
            alive = connection.fill(block=False)
        except BlockingIOError:
            return True
        except (OSError, ProtocolError):
            return False
        try:
            while (frame := connection.take()) is not None:
                if frame[0]["t"] in ("checkpointed", "refused"):
                    self._on_checkpoint(frame[0], running)
        except (ProtocolError, OSError):
            return False
        return alive

    def _drain_wake(self) -> None:
        try:
            os.eventfd_read(self._wake)
        except BlockingIOError:
            pass

    def send(self, running: Running, header: dict[str, Any], buffers: Sequence[bytes] = ()) -> None:
        """Answer the kernel, from any thread. A kernel that is gone, or does not read, is noticed elsewhere."""
        with self._send_lock:
            if self.session.running is running:
                try:
                    running.connection.send(header, buffers, timeout=10)
                except OSError:
                    pass


class _Cell:
    """The state of one run."""

    def __init__(self, runner: CellRunner, running: Running, answers: Answers, started: float, seconds: float | None,
                 on_output: OnOutput | None):
        self.runner, self.session, self.limits = runner, runner.session, runner.limits
        self.running, self.answers = running, answers
        self.outcome = Outcome()
        self.done = False
        self.started = self.now = started
        self.called = False
        """The keeper was, to account for what the cell uses."""
        self.read_all = False
        """Nothing can be in the output pipe that was not read."""
        self.deadline = None if seconds is None else self.started + seconds
        self.wall_seconds = seconds
        self.kill_at: float | None = None
        self.look_at = self.started + LOOK_SECONDS
        self.cpu_before: float | None = None
        self.disk_before: int | None = None
        self.nameless_bytes = 0
        self.reader = OutputReader(running.output, self.session.nonce, self.limits.output_kb << 10)
        self.showing = Showing(self.reader, runner._news, on_output)
        self.session.forget_usage()

    # The wait ---------------------------------------------------------------------------------------------------------

    def see_through(self) -> None:
        """Wait until the cell is done or its worker has to be given up."""
        control, output, keeper = self.running.connection.fileno(), self.running.output, self.session.keeper.watched()
        poll = self.runner.poll(control, output, keeper)
        while not self.done:
            try:
                ready = dict(poll.poll(self._wait_ms()))
                self._tick()
                self.showing.tell_news()
                if output in ready:
                    self._read_output()
                if control in ready:
                    self._hear(silent=output not in ready)
                if keeper in ready and not self.done and not self.session.keeper.hear():
                    self.die("the session's first process ended")
                if self.runner._wake in ready:
                    self.runner._drain_wake()
                if self.runner._stop_asked and self.kill_at is None and not self.done:
                    self.stop("interrupted", "interrupted by the user")
                if not self.done:
                    self._check()
            except BaseException as error:
                # Ours to raise once the cell is stopped, and not before: the next one must find an idle worker
                self.outcome.fault = self.outcome.fault or error
                self.showing.stop()
                if self.kill_at is None:
                    self.stop("interrupted", "interrupted by the user")

    def _wait_ms(self) -> float:
        due = self.look_at
        if self.kill_at is not None:
            due = min(due, self.kill_at)
        elif self.deadline is not None:
            due = min(due, self.deadline)
        return max(0.0, (due - time.monotonic()) * 1000 + 0.5)

    def _tick(self) -> None:
        before, self.now = self.now, time.monotonic()
        if self.deadline is not None and self.kill_at is None and self.answers.waiting():
            self.deadline += self.now - before
            self.started += self.now - before

    def _read_output(self) -> None:
        self.reader.read()
        if self.reader.flooding and not self.done:
            time.sleep(0.02)   # the writer waits too, on a full pipe

    def _check(self) -> None:
        if self.kill_at is not None:
            if self.now >= self.kill_at:
                self.die(self.outcome.reason + ", and did not stop when interrupted")
            return
        if self.deadline is not None and self.now >= self.deadline:
            self.stop("timeout", f"stopped after {self.wall_seconds:g} s, its time limit")
        elif self.now >= self.look_at:
            self._look()

    def _look(self) -> None:
        """Memory, processor time and disk: a look every now and then."""
        self.look_at = self.now + (LOOK_SECONDS if self.now - self.started < 5 else 4 * LOOK_SECONDS)
        session, limits = self.session, self.limits
        if not session.keeper.hear():
            self.die("the session's first process ended")
            return
        usage = session.usage
        if usage is not None:
            session.forget_usage()
            self._judge(usage)
        if self.done or self.kill_at is not None:
            return
        if session.asked_usage and self.now - session.asked_usage > 10:
            self.die("the session no longer answers")
            return
        if not session.asked_usage and (limits.memory_mb is not None or limits.cpu_seconds is not None):
            try:
                if not self.called:
                    session.keeper.call()
                    self.called = True
                session.ask_usage((limits.memory_mb or 1 << 20) << 10)
            except OSError:
                self.die("the session's first process ended")
                return
        if limits.workspace_mb is not None:
            used = self.runner._disk_bytes() + self.nameless_bytes
            if self.disk_before is None:
                self.disk_before = used
            if used > limits.workspace_mb << 20 and used >= self.disk_before:
                self.stop("limit", f"stopped: the workspace is full (its limit is {limits.workspace_mb} MB); delete "
                                   "what is not needed")

    def _judge(self, usage: dict[str, Any]) -> None:
        memory, cpu, nameless = usage.get("memory_kb"), usage.get("cpu_seconds"), usage.get("nameless_kb")
        if type(nameless) is int:
            self.nameless_bytes = nameless << 10
        if self.limits.tree_kb is not None and isinstance(memory, int) and memory > self.limits.tree_kb:
            self.outcome.status = "limit"
            self.die(f"killed: it used {memory >> 10} MB of memory, and its limit is {self.limits.memory_mb} MB")
        elif self.limits.cpu_seconds is not None and isinstance(cpu, (int, float)):
            if self.cpu_before is None:
                self.cpu_before = cpu
            elif cpu - self.cpu_before > self.limits.cpu_seconds:
                self.stop("limit", f"stopped after {self.limits.cpu_seconds:g} s of processor time, its limit")

    # Stopping ---------------------------------------------------------------------------------------------------------

    def stop(self, status: Status, reason: str) -> None:
        """Interrupt it; it has a grace to obey."""
        self.outcome.status, self.outcome.reason = status, reason
        self.kill_at = time.monotonic() + GRACE_SECONDS
        self.answers.cancel()
        self.session.interrupt()

    def die(self, reason: str) -> None:
        """Give the worker up."""
        if self.outcome.status == "ok":
            self.outcome.status = "died"
        self.outcome.dead, self.outcome.reason, self.done = True, reason, True

    # What the kernel says ---------------------------------------------------------------------------------------------

    def _hear(self, *, silent: bool) -> None:
        """Take what it says.

        Args:
            silent: The poll that told of it found nothing in the output pipe.
        """
        connection = self.running.connection
        try:
            alive = connection.fill(block=False)
            first = True
            while (frame := connection.take()) is not None:
                self._take(frame)
                # poll looks at the socket first: what was printed before this frame began was in the pipe by then
                self.read_all = silent and first and self.done
                first = False
        except BlockingIOError:
            return
        except (ProtocolError, OSError) as error:
            self.die(f"it broke the connection to its host ({error})")
            return
        if not alive and not self.done:
            self._died()

    def _take(self, frame: Frame) -> None:
        header, buffers = frame
        kind = header["t"]
        if kind == "done":
            self._finish_with(header, buffers)
        elif kind == "display":
            self.showing.take(header, buffers)
        elif kind == "call" and type(header.get("id")) is int:
            if self.showing.is_seen:
                self.reader.read()   # what it wrote before it called
            self.answers.call(header, buffers, lambda answer, parts=(): self.runner.send(self.running, answer, parts))
        elif kind == "input" and type(header.get("id")) is int:
            self._input(header)
        elif kind in ("checkpointed", "refused"):
            self.runner._on_checkpoint(header, self.running)

    def _input(self, header: dict[str, Any]) -> None:
        self.reader.read()
        text = self.answers.input(str(header.get("prompt", ""))[:10_000], header.get("hidden") is True)
        now = time.monotonic()
        if self.deadline is not None:
            self.deadline += now - self.now
        self.started += now - self.now
        self.now = now
        self.runner.send(self.running, {"t": "reply", "id": header["id"], "text": text})

    def _finish_with(self, header: dict[str, Any], buffers: Sequence[memoryview]) -> None:
        outcome = self.outcome
        error = header.get("error")
        if header.get("value") is not None:
            outcome.value = bundle_of(header["value"], buffers) or None
        outcome.pure = header.get("pure") is True
        took = header.get("seconds")
        outcome.kernel_seconds = max(0.0, took) if isinstance(took, (int, float)) else 0.0
        if isinstance(error, dict):
            outcome.error = ErrorInfo(*(str(error.get(key, ""))[:1 << 20] for key in ("name", "message", "traceback")))
            chain = error.get("chain")
            outcome.chain = tuple(chain) if isinstance(chain, list) else ()
            if outcome.status == "ok":
                outcome.status = "error"
        elif outcome.status in ("timeout", "interrupted"):
            outcome.status = "ok"   # it was done before the interrupt came
        self.done = True

    def _died(self) -> None:
        status = self.session.exit_status(self.running)
        self.die(f"the process {death_in_words(status)}")

    def finish(self) -> Outcome:
        """Everything there is to say of the cell."""
        if self.called:
            self.session.keeper.dismiss()
        try:
            self.showing.finish(all_read=self.read_all)
        except BaseException as error:   # a callback's
            self.outcome.fault = self.outcome.fault or error
            self.showing.stop()
            self.reader.read()
        self.outcome.pieces, self.outcome.displays = self.reader.finish(), self.showing.displays
        self.outcome.seconds = max(0.0, time.monotonic() - self.started)
        self.outcome.kernel_seconds = min(self.outcome.kernel_seconds, self.outcome.seconds)
        return self.outcome
