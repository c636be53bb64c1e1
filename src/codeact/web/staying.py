"""A long answer, and an open page, end when who asked for them may no longer come in: a logout ends them too."""

from __future__ import annotations

import time
from collections.abc import Callable

from codeact.server.guard import Message, Send
from codeact.web.threads import in_thread

__all__ = ["AGAIN_SECONDS", "staying"]

AGAIN_SECONDS = 30.0
"""So often it is looked at."""


def staying(send: Send, may_stay: Callable[[], bool]) -> Send:
    """What sends an answer, and ends it before its end when somebody may not stay.

    Args:
        may_stay: Asked in a thread, now and then.
    """
    looked, over = time.monotonic(), False

    async def send_or_end(message: Message) -> None:
        nonlocal looked, over
        if over:   # who makes the answer finds the connection closed
            return
        if message.get("more_body") and time.monotonic() - looked >= AGAIN_SECONDS:
            looked = time.monotonic()
            if not await in_thread(may_stay):
                over, message = True, {"type": "http.response.body", "body": b"", "more_body": False}
        await send(message)

    return send_or_end
