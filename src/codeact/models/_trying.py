"""Try a request again where that makes sense, and stop waiting when told to: for models behind a network.

A back-end's own client can do the first as well, but silently and without an end in sight: here whoever watches is
told, a server's Retry-After is heeded, and an interruption is answered at once, also while nothing has come yet.
"""

import queue
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

from codeact.errors import Cancelled
from codeact.events import Note, Observer
from codeact.protocols import Stopper

__all__ = ["Passing", "pieces", "retry_after", "trying"]

T = TypeVar("T")

FIRST_SECONDS = 0.5
"""Before the second try; doubled for each further one."""
MOST_SECONDS = 30.0
MOST_ASKED_SECONDS = 120.0
"""A server that asks for more patience than this is believed to be out of order."""


class Passing(Exception):
    """A fault that may pass.

    Args:
        reason: In a few words, for whoever watches.
        error: What is raised when it does not pass.
        seconds: How long the server asks to wait.
    """

    def __init__(self, reason: str, error: Exception, seconds: float | None = None) -> None:
        super().__init__(reason)
        self.error, self.seconds = error, seconds


def trying(attempt: Callable[[], T], n_retries: int, observe: Observer, cancel: Stopper) -> T:
    """What `attempt` gives, tried again after `Passing` faults.

    Raises:
        Cancelled: While waiting.
        Exception: The error of the last `Passing`.
    """
    for n in range(n_retries + 1):
        try:
            return attempt()
        except Passing as fault:
            asked = fault.seconds or 0.0
            if n == n_retries or asked > MOST_ASKED_SECONDS:
                raise fault.error from None
            wait = max(asked, min(MOST_SECONDS, FIRST_SECONDS * 2**n) * random.uniform(0.5, 1.0))
            observe(Note(f"{fault}; trying again in {wait:.1f} s ({n + 1} of {n_retries})"))
            _pause(wait, cancel)
    raise AssertionError("unreachable")


def retry_after(headers: Any) -> float | None:
    """Seconds that a server asks to wait, from its headers; None where it does not, or makes no sense.

    Source: RFC 9110 section 10.2.3; `retry-after-ms` is OpenAI's.
    """
    try:
        if value := headers.get("retry-after-ms"):
            return max(0.0, float(value) / 1000)
        value = headers.get("retry-after")
        if not value:
            return None
        if value.strip().replace(".", "", 1).isdigit():
            return float(value)
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError, OverflowError):
        return None


def pieces(
    opened: Callable[[], Iterable[T]], cancel: Stopper, patience: Callable[[], float | None] = lambda: None
) -> Iterator[T]:
    """What a stream gives, and `Cancelled` as soon as `cancel` is set, even if nothing has come yet.

    Args:
        opened: Sends the request and gives the stream, in another thread; a `close()` of it is called at the end.
        patience: Seconds that the next piece is waited for before it is taken to be the end; None for ever.
    """
    found: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
    over = threading.Event()

    def read() -> None:
        stream: Any = None
        try:
            stream = opened()
            for piece in stream:
                if over.is_set():
                    break
                found.put(("piece", piece))
            found.put(("end", None))
        except BaseException as error:
            found.put(("error", error))
        finally:
            if hasattr(stream, "close"):
                stream.close()

    threading.Thread(target=read, name="codeact-model", daemon=True).start()
    try:
        with cancel.calling(lambda: found.put(("cancelled", None))):
            while not cancel.stop:
                try:
                    kind, value = found.get(timeout=patience())
                except queue.Empty:
                    return
                match kind:
                    case "piece":
                        yield value
                    case "error":
                        raise value
                    case "end":
                        return
            raise Cancelled
    finally:
        over.set()


def _pause(seconds: float, cancel: Stopper) -> None:
    woken = threading.Event()
    with cancel.calling(woken.set):
        if cancel.stop or woken.wait(seconds):
            raise Cancelled
