"""A conversation's entries as they come, for an event loop: of pages and of streams of events."""

import asyncio
from collections.abc import AsyncIterator

from codeact.chats.chats import Chats
from codeact.chats.values import Entry
from codeact.web.threads import in_thread

__all__ = ["follow"]


async def follow(chats: Chats, key: str, owner: str, after: int, *, beat: float = 15.0) -> AsyncIterator[list[Entry]]:
    """Entries with numbers above `after`, as soon as they are stored; an empty list now and then while nothing happens.

    Args:
        beat: Seconds between two empty lists; what another server stored is seen as late.

    Raises:
        NotFound: There is no such conversation, or no longer.
    """
    loop, news = asyncio.get_running_loop(), asyncio.Event()

    def told(about: str) -> None:
        if about in ("", key):
            loop.call_soon_threadsafe(news.set)

    end = chats.watch(told)
    try:
        while not chats.is_closed:
            news.clear()
            found = await in_thread(chats.entries, key, owner, after=after)
            if found:
                after = found[-1].seq
                yield found
                continue
            try:
                async with asyncio.timeout(beat):
                    await news.wait()
            except TimeoutError:
                yield []
    finally:
        end()
