"""The event loop of a session: top-level `await`, and tasks that live on between cells.

`Repl` calls `run` for a cell that awaits; the worker calls `run_until_readable` while it waits for the next request,
so that tasks a cell started go on. asyncio is imported only when a cell needs it.

The selector is `poll`, not `epoll`: an epoll descriptor is shared with a forked child, which would then disturb its
parent. What does not survive a fork: executor threads; their futures never finish in the child.
"""

from __future__ import annotations

from typing import Any, Coroutine, Optional

from .guard import keep_builtins

__all__ = ["Loop"]

keep_builtins(globals())


class Loop:
    """A loop made when first used."""

    def __init__(self) -> None:
        self._loop: Any = None

    def get(self) -> Any:
        """The loop, made and set as the current one."""
        import asyncio

        if self._loop is None or self._loop.is_closed():
            import selectors

            selector = getattr(selectors, "PollSelector", selectors.SelectSelector)()
            self._loop = asyncio.SelectorEventLoop(selector)
        asyncio.set_event_loop(self._loop)      # asyncio.run() leaves none behind
        return self._loop

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run to the end, on an interrupt to the end of the cancellation.

        Raises:
            BaseException: What the coroutine raises.
        """
        loop = self.get()
        task = loop.create_task(coroutine)
        try:
            return loop.run_until_complete(task)
        except BaseException as error:
            if not task.done():
                task.cancel()
            _settle(loop, task)
            if task.done() and not task.cancelled() and task.exception() is None and isinstance(error, SystemExit):
                return task.result()        # another task wanted to exit, when this one had ended already
            raise

    def is_busy(self) -> bool:
        """Whether a task is waiting to go on."""
        if self._loop is None or self._loop.is_closed():
            return False
        import asyncio

        return any(not task.done() for task in asyncio.all_tasks(self._loop))

    def run_until_readable(self, fd: int) -> None:
        """Let tasks go on until `fd` has something to read. Their failures are asyncio's to report (on stderr)."""
        loop = self.get()
        loop.add_reader(fd, loop.stop)
        try:
            loop.run_forever()
        finally:
            loop.remove_reader(fd)

    def after_fork(self) -> None:
        """In a forked child: a self-pipe of its own, and no executor whose threads stayed with the parent."""
        loop: Optional[Any] = self._loop
        if loop is None or loop.is_closed():
            return
        loop._close_self_pipe()
        loop._make_self_pipe()
        loop._default_executor = None
        import signal

        if signal.set_wakeup_fd(-1) != -1:
            signal.set_wakeup_fd(loop._csock.fileno())


def _settle(loop: Any, task: Any) -> None:
    """After an exception came out of a running loop: end a cancelled task, and what was scheduled for its end."""
    try:
        if not task.done():
            loop.run_until_complete(task)
    except BaseException:       # the cancellation itself, or what the task made of it
        pass
    try:
        loop.call_soon(loop.stop)
        loop.run_forever()
    except BaseException:       # another task's
        pass
    if task.done() and not task.cancelled():
        task.exception()        # seen: no complaint when it is collected
