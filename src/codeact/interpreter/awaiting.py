"""Waits for a cell from within an event loop: the interpreter is synchronous, servers are not.

The HTTP service and the MCP server run each cell in a thread through here. A wait that is given up (the client has
gone, its request was withdrawn) stops the cell, and still lasts until it has stopped: the next one finds the
interpreter idle. anyio comes with the extras of those servers; it and asyncio are imported when one of them runs.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypeVar

__all__ = ["run_in_thread"]

T = TypeVar("T")

AGAIN_SECONDS = 0.05
"""Between two interrupts: the first may come before the cell has begun."""


async def run_in_thread(work: Callable[[], T], *, interrupt: Callable[[], object],
                        executor: Executor | None = None) -> T:
    """Run `work` in a thread; when this wait is cancelled, interrupt it until it ends.

    Args:
        interrupt: Stops `work`; called again and again, in the event loop's thread, so it must not block.
        executor: Whose threads; None takes the event loop's own.
    """
    import asyncio

    import anyio

    future = asyncio.get_running_loop().run_in_executor(executor, work)
    try:
        await asyncio.wait([future])
    except asyncio.CancelledError:
        with anyio.CancelScope(shield=True):
            while not future.done():
                interrupt()
                await asyncio.wait([future], timeout=AGAIN_SECONDS)
        future.exception()   # nobody is there to be told
        raise
    return future.result()
