"""One cell in this process: where its output goes, who answers its questions, and how it is stopped.

Used by inprocess.py. In the main thread a cell is stopped by SIGINT, which also ends a sleep or a read; in another
thread by an exception that comes with its next line of Python, so not inside a call that blocks. A cell that catches
KeyboardInterrupt and goes on cannot be ended.
"""

from __future__ import annotations

import builtins
import contextlib
import ctypes
import io
import queue
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

from codeact.events import Approval, ToolCalled
from codeact.interpreter.backend import OnOutput, Request
from codeact.interpreter.outcome import Outcome
from codeact.interpreter.output import Display, Text
from codeact.interpreter.result import ErrorInfo, Status
from codeact.interpreter.streams import Collected
from codeact.kernel import stubs
from codeact.kernel.streams import ADVICE
from codeact.tools.calls import Calls

__all__ = ["Cell", "Stream"]

AGAIN_SECONDS = 1.0
"""Between two interrupts of a cell that does not obey."""
LOOK_SECONDS = 0.05
"""Between two looks whether a person is being waited for."""
MAX_DISPLAYS = 500
MAX_DISPLAY_BYTES = 64 << 20


class Cell:
    """One run.

    Args:
        request: Whose tools, limits and callbacks.
        seconds: Until it is interrupted; None for ever.
    """

    def __init__(self, request: Request, seconds: float | None, on_output: OnOutput | None):
        self.outcome = Outcome()
        self._on_input, self._on_output, self._seconds = request.on_input, on_output, seconds
        self._news: deque[ToolCalled | Approval] = deque()
        """What tools did, told by their threads, for the thread of the cell."""
        self._approve = request.approve
        self._waiting = 0
        """Calls that the cell's own thread waits for."""
        self._questions: queue.SimpleQueue[tuple[Future[Any], str, dict[str, Any]]] = queue.SimpleQueue()
        """Approvals to be asked for in the cell's own thread."""
        self._calls = Calls(request.toolbox, self._approved if request.approve else None,
                            self._news.append if on_output is not None else None)
        self._may_pause = len(request.toolbox) > 0 or request.on_input is not None
        self._text = Collected(request.limits.output_kb << 10)
        self._text.on_text = self._show_text if on_output is not None else None
        self._lock = threading.RLock()
        self._thread = threading.get_ident()
        self._in_main = threading.current_thread() is threading.main_thread()
        self._executing = False
        self._stopping = False
        self._over = threading.Event()
        self._ids = 0
        self._display_bytes = 0
        self._paused = 0.0
        """Seconds that people were waited for."""
        self._asking: float | None = None
        """Since when one is asked."""
        self._before: Any = None
        self._handles = False
        getpass = sys.modules.get("getpass")
        self._own = [(owner, name, getattr(owner, name)) for owner, name in (
            (sys, "stdout"), (sys, "stderr"), (sys, "stdin"), (builtins, "input"), (getpass, "getpass")) if owner]
        """What a cell has replaced for it, as the program has it."""

    # Running ----------------------------------------------------------------------------------------------------------

    def run(self, evaluate: Callable[[], dict[str, Any]]) -> Outcome:
        """Call `evaluate`, which is `Repl.run`; it is interrupted when its time is up."""
        outcome, started = self.outcome, time.monotonic()
        if self._in_main and (before := signal.getsignal(signal.SIGINT)) is not None:
            self._before, self._handles = before, True
            signal.signal(signal.SIGINT, self._on_signal)
        if self._seconds is not None:
            threading.Thread(target=self._watch, args=(started,), name="codeact-clock", daemon=True).start()
        result: dict[str, Any] = {"value": None, "error": None}
        try:
            self._executing = True
            result = evaluate()
        except KeyboardInterrupt:
            pass   # between two lines of ours
        finally:
            self._end()
        outcome.seconds = outcome.kernel_seconds = max(0.0, time.monotonic() - started - self._paused)
        with self._lock:
            outcome.pieces = self._text.finish()
        self._tell(result)
        return outcome

    def _tell(self, result: dict[str, Any]) -> None:
        outcome = self.outcome
        outcome.value = result["value"]
        error = result["error"]
        if isinstance(error, dict):
            outcome.error = ErrorInfo(error["name"], error["message"], error["traceback"])
            outcome.chain = tuple(error.get("chain") or ())
            if outcome.status == "ok":
                outcome.status = "error"
        elif outcome.status in ("timeout", "interrupted") and not outcome.fault:
            outcome.status = "ok"   # it was done before the interrupt came

    def _end(self) -> None:
        """No interrupt of ours comes after this: the last one sent is taken here."""
        while True:
            try:
                with self._lock:
                    self._executing = False
                if self._stopping:
                    time.sleep(0.001)
                break
            except KeyboardInterrupt:
                continue
        self._over.set()
        self._calls.cancel_all()
        if self._handles:
            signal.signal(signal.SIGINT, self._before)
        try:
            self._show_news()
        except KeyboardInterrupt:
            pass   # what a callback raised is kept

    def _watch(self, started: float) -> None:
        """The clock's thread."""
        assert self._seconds is not None
        last = time.monotonic()
        left = self._seconds - (last - started)
        while not self._over.wait(max(0.001, min(left, LOOK_SECONDS) if self._may_pause else left)):
            now = time.monotonic()
            with self._lock:
                if self._asking is not None or self._calls.waiting_for_approval:
                    self._paused += now - last
                else:
                    left -= now - last
            last = now
            if left <= 0:
                self.stop("timeout", f"stopped after {self._seconds:g} s, its time limit")
                left = AGAIN_SECONDS

    def stop(self, status: Status, reason: str) -> None:
        """Interrupt the cell; from any thread."""
        with self._lock:
            if not self._executing:
                return
            if self.outcome.status == "ok":
                self.outcome.status, self.outcome.reason = status, reason
            self._stopping = True
            if self._handles:
                signal.pthread_kill(self._thread, signal.SIGINT)
            else:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._thread),
                                                           ctypes.py_object(KeyboardInterrupt))
        self._calls.cancel_all()

    def _on_signal(self, number: int, frame: object) -> None:
        if not self._stopping:   # Ctrl-C: the program's own to see, once the cell is over
            self._fail(KeyboardInterrupt())
        if self._executing:
            raise KeyboardInterrupt

    def _fail(self, error: BaseException) -> None:
        """What the program's own raised: for `Interpreter.run` to raise."""
        self.outcome.fault = self.outcome.fault or error
        self.outcome.status, self.outcome.reason = "interrupted", "interrupted by the user"
        self._on_output = self._text.on_text = None

    # What the cell does -----------------------------------------------------------------------------------------------

    def write(self, stream: str, text: str) -> None:
        """A print."""
        with self._lock:
            if not self._over.is_set():
                self._text.add(stream, text)

    def _show_text(self, stream: str, text: str) -> None:
        self._tell_program(Text("stderr" if stream == "stderr" else "stdout", text))

    def _show_news(self) -> None:
        if self._news:
            self._tell_program(None)

    def _tell_program(self, event: Text | Display | None) -> None:
        """Pass on what tools did, and then this."""
        try:
            with self._lock, self._as_the_program():
                while self._news and self._on_output is not None:
                    self._on_output(self._news.popleft())
                if event is not None and self._on_output is not None:
                    self._on_output(event)
        except BaseException as error:
            self._fail(error)
            raise KeyboardInterrupt from None   # ends the cell

    @contextmanager
    def _as_the_program(self) -> Iterator[None]:
        """For a callback: its prints and questions go where the program's go, and not into the cell."""
        before = [(owner, name, getattr(owner, name)) for owner, name, _ in self._own]
        try:
            for owner, name, value in self._own:
                setattr(owner, name, value)
            yield
        finally:
            for owner, name, value in before:
                setattr(owner, name, value)

    def display(self, bundle: dict[str, Any]) -> None:
        """A rich output."""
        with self._lock:
            displays = self.outcome.displays
            self._display_bytes += sum(map(len, bundle.values())) + 64
            if len(displays) >= MAX_DISPLAYS or self._display_bytes > MAX_DISPLAY_BYTES:
                displays.setdefault(-1, {})
                return
            number = len(displays) + 1
            displays[number] = bundle
            self._text.display(number)
        if self._on_output is not None:
            self._tell_program(Display(bundle))

    def ask(self, prompt: object, hidden: bool) -> str:
        """A line from a person; EOFError where nobody is there."""
        line = None
        if self._on_input is not None:
            self._asking = time.monotonic()
            try:
                with self._as_the_program():
                    line = self._on_input(str(prompt), hidden)
            except BaseException as error:
                self._fail(error)
                raise KeyboardInterrupt from None
            finally:
                self._asking = None
        if line is None:
            raise EOFError(ADVICE)
        return line

    def call(self, name: str, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """Call a tool, by the way all tool calls take: values are copied, arguments judged, approval asked for."""
        header, buffers = stubs.request(name, args, kwargs)
        if self._over.is_set():
            raise RuntimeError("a tool can be called, and input asked for, only while a cell runs")
        with self._lock:
            self._ids += 1
            number = self._ids
        answers: queue.SimpleQueue[tuple[dict[str, Any], Sequence[bytes]]] = queue.SimpleQueue()
        self._calls.start(number, header, [memoryview(part) for part in buffers],
                          lambda answer, parts: answers.put((answer, parts)))
        ours = threading.get_ident() == self._thread
        self._waiting += ours
        try:
            while not self._over.is_set():
                try:
                    answer = answers.get(timeout=LOOK_SECONDS)
                except queue.Empty:
                    answer = None
                if ours:
                    self._show_news()   # of other threads' calls it is shown with the next text
                    self._ask_for_approval()
                if answer is not None:
                    return stubs.answer(*answer)
            raise RuntimeError("the cell ended before the answer came")
        finally:
            self._waiting -= ours

    def _approved(self, name: str, arguments: dict[str, Any]) -> Any:
        """What the program says of a call, asked in the thread that runs the cell: only there can a notebook ask.

        Where that thread does something else, as when a thread of the cell's own calls, it is asked in this one.
        """
        assert self._approve is not None
        if not self._waiting:
            return self._approve(name, arguments)
        said: Future[Any] = Future()
        self._questions.put((said, name, arguments))
        while not self._over.is_set():
            with contextlib.suppress(TimeoutError):
                return said.result(LOOK_SECONDS)
        return False

    def _ask_for_approval(self) -> None:
        while not self._questions.empty():
            said, name, arguments = self._questions.get()
            assert self._approve is not None
            try:
                with self._as_the_program():
                    said.set_result(self._approve(name, arguments))
            except Exception as error:
                said.set_exception(error)


class Stream(io.TextIOBase):
    """`sys.stdout` or `sys.stderr` while a cell runs. It has no descriptor: children write where the program does."""

    encoding = "utf-8"

    def __init__(self, name: str, write: Callable[[str, str], None]):
        self._name, self._write = name, write

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        self._write(self._name, text)
        return len(text)
