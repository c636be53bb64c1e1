"""A conversation's entries as they come, for an event loop: of pages and of streams of events."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

from codeact.chats.chats import Chats
from codeact.chats.values import Entry
from codeact.web.threads import in_thread

__all__ = ["follow"]

_AT_ONCE = 1000


async def follow(chats: Chats, key: str, owner: str, after: int, *, beat: float = 15.0) -> AsyncIterator[list[Entry]]:
    """Entries with numbers above `after`, as soon as they are stored; an empty list now and then while nothing happens,
    and when something else of the conversation changed, as its state.

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
    news.set()
    try:
        while not chats.is_closed:
            with suppress(TimeoutError):
                async with asyncio.timeout(beat):
                    await news.wait()
            # Cleared before looking, so that what comes meanwhile is looked at too.
            news.clear()
            found = await in_thread(chats.entries, key, owner, after=after, limit=_AT_ONCE)
            after = found[-1].seq if found else after
            if len(found) == _AT_ONCE:
                news.set()
            yield found
    finally:
        end()
