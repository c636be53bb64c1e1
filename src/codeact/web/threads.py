"""Synchronous work, waited for in an event loop."""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import anyio.to_thread

__all__ = ["in_thread"]

T = TypeVar("T")


async def in_thread(work: Callable[..., T], *words: Any, **more: Any) -> T:
    """What `work` gives, done in a thread."""
    return await anyio.to_thread.run_sync(partial(work, *words, **more))
