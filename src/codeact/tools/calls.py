"""Runs the tool calls that come out of a kernel. The interpreter's reader starts them; nothing here blocks it.

    {"t": "call", "id": n, "tool": name, "arguments": tree}     tree: [list, dict], packed as one (kernel/values.py)
    {"t": "reply", "id": n, "ok": true, "value": tree}
    {"t": "reply", "id": n, "ok": false, "error": {"name", "message", "module"?, "base"?, "args"?}}

Plain tools run in daemon threads, kept for reuse and shared by all sessions; async ones on one event loop of the
process. What a kernel sends is hostile until `values.unpack` and `Tool.bind` have let it pass; whatever is wrong with
it is answered as an error, and a traceback of the host is never sent. What this does not protect against: a tool that
hangs keeps its thread (a timed-out cell gets no answer from it, but it cannot be stopped), and tools of one session
run at the same time, so they must bear that.

Source: docs/kernel_protocol.md.
"""

from __future__ import annotations

import builtins
import inspect
import logging
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeAlias

from codeact.kernel import values
from codeact.tools import background
from codeact.tools.preview import previews
from codeact.tools.tool import Tool
from codeact.tools.toolbox import Toolbox

if TYPE_CHECKING:
    from codeact.events import Approval, ToolCalled

__all__ = ["Approve", "Calls", "Reply", "Watch"]

Approve = Callable[[str, dict[str, Any]], "bool | Awaitable[bool]"]
"""Asked with a tool's name and arguments; only True lets the call go on."""
Reply = Callable[[dict[str, Any], list[bytes]], None]
"""Sends a frame to the kernel; called from any thread."""
Watch: TypeAlias = "Callable[[ToolCalled | Approval], None]"
"""Told of a call before its answer is sent; called from any thread, must not block or raise."""

MAX_RUNNING = 32
"""Calls of one session that have a thread at once; further ones wait."""
MAX_PENDING = 1000
"""Calls of one session without an answer; further ones are refused."""
MAX_MESSAGE = 10_000
"""Characters of an error's message."""
MAX_TOLD = 500
"""Of them, in an event."""

_log = logging.getLogger(__name__)


class _Call:
    """One call on its way; once it is `over()`, nothing more is done or answered for it."""

    __slots__ = ("_over", "arguments", "buffers", "future", "id", "reply", "shown", "started", "tool")

    def __init__(self, call_id: int, tool: Tool[..., Any], arguments: Any, buffers: Sequence[Any], reply: Reply):
        self.id, self.tool, self.arguments, self.buffers, self.reply = call_id, tool, arguments, buffers, reply
        self.started = time.monotonic()
        self.shown: dict[str, str] = {}
        """Its arguments for the eye, once they are judged; made only where somebody watches."""
        self.future: Future[None] | None = None
        self._over = False

    def end(self) -> None:
        self._over = True

    def over(self) -> bool:
        return self._over


class Calls:
    """The calls of one session.

    Args:
        toolbox: What may be called.
        approve: Asked before a tool that needs approval runs; may block, or be async. Without one such calls are
            refused.
        watch: Told of each call, and of what was asked and decided about it.
    """

    def __init__(self, toolbox: Toolbox, approve: Approve | None = None, watch: Watch | None = None):
        self._toolbox, self._approve, self._watch = toolbox, approve, watch
        self._lock = threading.Lock()
        self._calls: set[_Call] = set()
        self._asking: set[_Call] = set()
        self._queue: deque[_Call] = deque()
        self._running: set[_Call] = set()
        """For each thread at work, the call it began with."""

    @property
    def waiting_for_approval(self) -> int:
        """Calls whose approval is being asked for: while there are any, the cell's clock should rest."""
        return len(self._asking)

    def start(self, call_id: int, header: dict[str, Any], buffers: Sequence[Any], reply: Reply) -> None:
        """Run the call of one frame; its answer goes to `reply`, once, from another thread or at once.

        Raises nothing: what is wrong with a call is its answer.
        """
        try:
            name = header.get("tool")
            if not isinstance(name, str):
                raise ValueError("a call without the name of a tool")
            call = _Call(call_id, self._toolbox[name], header.get("arguments"), buffers, reply)
            on_loop = call.tool.is_async and not call.tool.needs_approval
            with self._lock:
                if len(self._calls) >= MAX_PENDING:
                    raise RuntimeError(f"more than {MAX_PENDING} tool calls at once")
                self._calls.add(call)
                wait = not on_loop and len(self._running) >= MAX_RUNNING
                if wait:
                    self._queue.append(call)
                elif not on_loop:
                    self._running.add(call)
        except Exception as error:
            _send(reply, call_id, error)
            return
        if on_loop:
            self._run_async(call, lambda: _apply(call.tool, self._bound(call)))
        elif not wait:
            background.run(self._work, call)

    def cancel_all(self) -> None:
        """The cell is over: async tools are cancelled, plain ones lose their answer, and none starts any more.

        An answer that is being sent at this moment may still arrive; the kernel knows its id no longer.
        """
        if not self._calls and not self._running:
            return   # as for most cells; the one thread that starts calls is this one
        with self._lock:
            calls = list(self._calls)
            for call in calls:
                call.end()
            self._calls.clear()
            self._asking.clear()
            self._queue.clear()
            self._running.clear()  # a tool that hangs takes no place from the next cell's calls
        for call in calls:
            self._tell(call, "the cell ended before the answer came")
            if call.future is not None:
                call.future.cancel()

    def _tell(self, call: _Call, error: str | None) -> None:
        """A call has its answer, or will have none."""
        if self._watch is not None:
            from codeact.events import ToolCalled  # a cold start without tools is quicker without it

            self._watch(ToolCalled(call.tool.name, call.shown, error, time.monotonic() - call.started))

    def _bound(self, call: _Call) -> inspect.BoundArguments:
        """The call's arguments, judged; what was sent is let go."""
        arguments = values.unpack(call.arguments, call.buffers)
        call.arguments, call.buffers = None, ()
        if type(arguments) is list and len(arguments) == 2:
            args, kwargs = arguments
            if type(args) is list and type(kwargs) is dict and all(type(key) is str for key in kwargs):
                bound = call.tool.bind(args, kwargs)
                if self._watch is not None:
                    call.shown = previews(bound)
                return bound
        raise ValueError("the arguments of a call are a list and a dict")

    def _work(self, first: _Call) -> None:
        """A thread's job: this call and, while there are any, those that wait."""
        call: _Call | None = first
        while call is not None:
            if not call.over():
                try:
                    self._run(call)
                except BaseException as error:  # SystemExit too: it ends no more than the call
                    self._finish(call, error)
            with self._lock:
                call = self._queue.popleft() if self._queue and first in self._running else None
                if call is None:
                    self._running.discard(first)

    def _run(self, call: _Call) -> None:
        bound = self._bound(call)
        if call.tool.needs_approval:
            bound.apply_defaults()
            if self._watch is not None:
                call.shown = previews(bound)
            self._ask(call, dict(bound.arguments))
        if call.over():
            return
        if call.tool.is_async:
            self._run_async(call, lambda: _apply(call.tool, bound))
            return
        result = _apply(call.tool, bound)
        if inspect.isawaitable(result):
            self._run_async(call, lambda: result)
        else:
            self._finish(call, None, result)

    def _run_async(self, call: _Call, start: Callable[[], Awaitable[Any]]) -> None:
        import asyncio  # slow to import, and most programs have no async tool

        future = asyncio.run_coroutine_threadsafe(self._await(call, start), background.loop())
        with self._lock:
            call.future = future
        if call.over():
            future.cancel()

    async def _await(self, call: _Call, start: Callable[[], Awaitable[Any]]) -> None:
        from asyncio import CancelledError

        try:
            value = await start()
        except CancelledError as error:
            self._finish(call, error)
            raise
        except BaseException as error:
            self._finish(call, error)
        else:
            self._finish(call, None, value)

    def _ask(self, call: _Call, arguments: dict[str, Any]) -> None:
        name = call.tool.name
        if self._approve is None:
            raise PermissionError(f"{name}() needs approval, and nobody is there to give it "
                                  f"(the host has no `approve`); it was not run")
        with self._lock:
            if call.over():
                return
            self._asking.add(call)
        self._tell_of_approval(call, None)
        verdict: Any = None
        try:
            verdict = self._approve(name, arguments)
            if inspect.isawaitable(verdict):
                import asyncio

                verdict = asyncio.run_coroutine_threadsafe(_awaited(verdict), background.loop()).result()
        except Exception as error:
            _log.warning("the approval of %s failed", name, exc_info=error)
            raise PermissionError(f"the approval of {name}() failed ({type(error).__name__}); it was not run") from None
        finally:
            with self._lock:
                self._asking.discard(call)
            self._tell_of_approval(call, verdict is True)
        if verdict is not True:  # not merely true in a condition: a slip in an approver must not approve
            raise PermissionError(f"{name}() was not approved; it was not run")

    def _tell_of_approval(self, call: _Call, granted: bool | None) -> None:
        if self._watch is not None and not call.over():
            from codeact.events import Approval

            self._watch(Approval(call.tool.name, call.shown, granted))

    def _finish(self, call: _Call, error: BaseException | None, value: Any = None) -> None:
        with self._lock:
            self._calls.discard(call)
            if call.over():
                return
            call.end()
        if error is not None:
            _log.debug("tool %s failed", call.tool.name, exc_info=error)
        _send(call.reply, call.id, error, value, lambda told: self._tell(call, told))


async def _awaited(awaitable: Awaitable[bool]) -> bool:
    return await awaitable


def _apply(tool: Tool[..., Any], bound: inspect.BoundArguments) -> Any:
    return tool.function(*bound.args, **bound.kwargs)


def _untold(told: str | None) -> None:
    """Nobody watches."""


def _send(reply: Reply, call_id: int, error: BaseException | None, value: Any = None,
          tell: Callable[[str | None], None] = _untold) -> None:
    """Answer; a value that cannot cross, or is too large to be sent, becomes an error.

    Args:
        tell: Told how it came out, before the answer goes: what the cell does next is seen after it.
    """
    answer: dict[str, Any] = {"t": "reply", "id": call_id, "ok": True}
    buffers: list[bytes] = []
    if error is None:
        try:
            answer["value"], buffers = values.pack(value)
        except Exception as failure:
            error = failure
    if error is not None:
        answer |= {"ok": False, "error": _described(error)}
    tell(None if error is None else f"{answer['error']['name']}: {answer['error']['message']}"[:MAX_TOLD])
    try:
        try:
            reply(answer, buffers)
        except OSError:  # the kernel is gone
            raise
        except Exception as failure:  # it does not fit into a frame
            reply({"t": "reply", "id": call_id, "ok": False, "error": _described(failure)}, [])
    except OSError:
        pass
    except Exception as failure:
        _log.error("an answer could not be sent", exc_info=failure)


def _described(error: BaseException) -> dict[str, Any]:
    """An error's type and message, enough for kernel/stubs.py to raise its like."""
    kind = type(error)
    try:
        message = str(error)
    except Exception:
        message = "(its message could not be made)"
    described: dict[str, Any] = {"name": kind.__name__, "message": message[:MAX_MESSAGE]}
    if kind.__module__ != "builtins":
        described["module"] = kind.__module__
        base = next((base for base in kind.__mro__ if base is getattr(builtins, base.__name__, None)), Exception)
        if base not in (Exception, BaseException, object):
            described["base"] = base.__name__
    elif all(arg is None or type(arg) in (str, int, bool) for arg in error.args) and len(message) <= MAX_MESSAGE:
        described["args"] = list(error.args)
    return described
