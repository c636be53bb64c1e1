"""Synchronous work, waited for in an event loop; what may take long has threads of its own, and delays nothing else."""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import anyio.to_thread
from anyio.lowlevel import RunVar

__all__ = ["in_slow_thread", "in_thread"]

T = TypeVar("T")

_SLOW_THREADS = 256
_slow: RunVar[anyio.CapacityLimiter] = RunVar("codeact_slow_threads")


async def in_thread(work: Callable[..., T], *words: Any, **more: Any) -> T:
    """What `work` gives, done in a thread."""
    return await anyio.to_thread.run_sync(partial(work, *words, **more))


async def in_slow_thread(work: Callable[..., T], *words: Any, **more: Any) -> T:
    """The same for what wakes an interpreter or waits until one has stopped."""
    try:
        limiter = _slow.get()
    except LookupError:
        limiter = anyio.CapacityLimiter(_SLOW_THREADS)
        _slow.set(limiter)
    return await anyio.to_thread.run_sync(partial(work, *words, **more), limiter=limiter)
