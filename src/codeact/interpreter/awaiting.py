"""Waits for a cell from within an event loop: the interpreter is synchronous, servers are not.

The HTTP service and the MCP server run each cell in a thread through here. A wait that is given up (the client has
gone, its request was withdrawn) stops the cell, and still lasts until it has stopped: the next one finds the
interpreter idle. anyio comes with the extras of those servers and is imported when one of them runs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import anyio
    import anyio.abc

__all__ = ["run_in_thread"]

T = TypeVar("T")

AGAIN_SECONDS = 0.05
"""Between two interrupts: the first may come before the cell has begun."""


async def run_in_thread(work: Callable[[], T], *, interrupt: Callable[[], object],
                        limiter: anyio.CapacityLimiter | None = None) -> T:
    """Run `work` in a thread; when this wait is cancelled, interrupt it until it ends.

    Args:
        interrupt: Stops `work`; called again and again, in the event loop's thread, so it must not block.
        limiter: Whose threads these are.
    """
    import anyio
    import anyio.lowlevel
    import anyio.to_thread

    outcome: list[Any] = []

    async def interrupt_when_cancelled(*, task_status: anyio.abc.TaskStatus[None]) -> None:
        try:
            task_status.started()
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                while not outcome:
                    interrupt()
                    await anyio.sleep(AGAIN_SECONDS)

    def keep() -> None:
        try:
            outcome.append(work())
        except BaseException as error:
            outcome.append(_Raised(error))

    async with anyio.create_task_group() as group:
        await group.start(interrupt_when_cancelled)
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(keep, limiter=limiter)
        group.cancel_scope.cancel()
    await anyio.lowlevel.checkpoint_if_cancelled()
    if isinstance(outcome[0], _Raised):
        raise outcome[0].error
    result: T = outcome[0]
    return result


class _Raised:
    def __init__(self, error: BaseException):
        self.error = error
