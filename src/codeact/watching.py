"""Have a running task as an iterator of its events, or as something to wait for in an event loop.

Both are the same synchronous run in a thread. Whoever stops looking, or is cancelled while waiting, stops the task, and
is let go when it has stopped: what comes next finds everything at rest.
"""

import contextlib
import contextvars
import queue
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from typing import Protocol, TypeVar

from codeact.events import Event, Observer
from codeact.loop import Cancel

__all__ = ["Run", "aiterate", "iterate", "wait"]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

_AGAIN_SECONDS = 0.05
"""Between two tries to stop: the first may come before there is anything to interrupt."""


class Run(Protocol[T_co]):
    """A task that can be watched and stopped."""

    def __call__(self, *, observe: Observer, cancel: Cancel) -> T_co: ...


def iterate(run: Run[object]) -> Iterator[Event]:
    """The events of a run as they come; then raises what it raised."""
    events: queue.SimpleQueue[Event | BaseException | None] = queue.SimpleQueue()
    cancel = Cancel()

    def work() -> None:
        try:
            run(observe=events.put, cancel=cancel)
        except BaseException as error:
            events.put(error)
        finally:
            events.put(None)

    thread = _thread(work)
    try:
        while (event := events.get()) is not None:
            if isinstance(event, BaseException):
                raise event
            yield event
    finally:
        thread.join(_AGAIN_SECONDS)
        while thread.is_alive():
            cancel.set()
            thread.join(_AGAIN_SECONDS)


async def wait(run: Run[T], *, observe: Observer, cancel: Cancel) -> T:
    """Wait for a run in an event loop; `observe` is called in the run's thread."""
    import asyncio  # slow to import, and most programs do not use it

    # Not the loop's own threads: they are few, and agents that wait for one another would wait for ever.
    done: Future[T] = Future()
    done.set_running_or_notify_cancel()  # it cannot be cancelled but by the switch

    def carry_out() -> None:
        try:
            result = run(observe=observe, cancel=cancel)
        except BaseException as error:
            done.set_exception(error)
        else:
            done.set_result(result)

    _thread(carry_out)
    work = asyncio.wrap_future(done)
    try:
        await asyncio.wait([work])
    except asyncio.CancelledError:
        while not work.done():
            cancel.set()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([work], timeout=_AGAIN_SECONDS)
        work.exception()  # nobody is there to be told
        raise
    return work.result()


async def aiterate(run: Run[object]) -> AsyncIterator[Event]:
    """As `iterate`, in an event loop."""
    import asyncio

    loop = asyncio.get_running_loop()
    events: asyncio.Queue[Event | None] = asyncio.Queue()

    def observe(event: Event) -> None:
        loop.call_soon_threadsafe(events.put_nowait, event)

    work = asyncio.ensure_future(wait(run, observe=observe, cancel=Cancel()))
    work.add_done_callback(lambda _: events.put_nowait(None))
    try:
        while (event := await events.get()) is not None:
            yield event
        await work
    finally:
        if not work.done():
            work.cancel()
            await asyncio.wait([work])
        if not work.cancelled():
            work.exception()  # whoever left early is not told


def _thread(work: Callable[[], None]) -> threading.Thread:
    """Begin, with the caller's context variables: traces and loggers look there."""
    thread = threading.Thread(target=contextvars.copy_context().run, args=(work,), name="codeact-agent", daemon=True)
    thread.start()
    return thread
