"""What models that run in this process share: messages a chat template takes, and a stream that ends in time."""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from codeact.errors import Cancelled, ConfigError, ContextOverflow
from codeact.events import Note, Observer, Text
from codeact.messages import MAX_DROPPED_CHARS, Message
from codeact.models._messages import joined, without_images, without_system
from codeact.models._stopping import cut
from codeact.protocols import NativeTool, Stopper

__all__ = ["alone", "chats", "check_room", "listen", "refuse_tools", "told_of_images"]

_LOOK_SECONDS = 0.05
"""How often who waits for its turn looks whether it is told to stop."""


@contextmanager
def alone(lock: threading.Lock, cancel: Stopper) -> Iterator[None]:
    """While inside, no other thread is: one set of weights writes one reply at a time.

    Raises:
        Cancelled: `cancel` is set, or was set while waiting.
    """
    while not cancel.stop:
        # Looking is safe where being woken is not: `cancel` may be set in a signal handler.
        if lock.acquire(timeout=_LOOK_SECONDS):
            break
    else:
        raise Cancelled
    try:
        yield
    finally:
        lock.release()


def refuse_tools(tools: Sequence[NativeTool], what: str) -> None:
    """Say what to do instead.

    Raises:
        ConfigError: There are tools.
    """
    if tools:
        raise ConfigError(f"{what} has no native tools here: use --format code")


def told_of_images(messages: Sequence[Message], observe: Observer, what: str) -> list[Message]:
    """The messages without their pictures; a note says so where there are any."""
    if any(message.images for message in messages):
        observe(Note(f"{what} does not see: pictures are left out"))
    return without_images(messages)


def chats(messages: Sequence[Message]) -> Iterable[list[dict[str, str]]]:
    """The conversation in the shapes that chat templates take, the truest first.

    The first has roles in turn and a system message; the second is for templates that refuse one.
    """
    for shape in (joined(messages), without_system(messages)):
        yield [{"role": message.role, "content": message.content} for message in shape]


def check_room(n_prompt: int, context_tokens: int | None, name: str) -> None:
    """See that there is room for at least one more token.

    Raises:
        ContextOverflow: There is none.
    """
    if context_tokens is not None and n_prompt >= context_tokens:
        raise ContextOverflow(
            f"the conversation is longer than {name} can read: {n_prompt} tokens, and it reads {context_tokens}"
        )


def listen(
    pieces: Iterable[Any], text_of: Callable[[Any], str], stop: Sequence[str], observe: Observer, cancel: Stopper
) -> tuple[str, bool, str]:
    """Read a reply to its end, or through its first stop string.

    Returns:
        The reply, whether a stop string ended it, and what the last piece held after that: the model is stopped there,
        so it is a few letters at most, unless a piece is long.

    Raises:
        Cancelled: `cancel` was set meanwhile.
    """
    text = ""
    for piece in pieces:
        if cancel.stop:
            raise Cancelled
        new = text_of(piece)
        if not new:
            continue
        last = cut(text, new, stop)
        kept = new if last is None else last
        text += kept
        observe(Text(kept))
        if last is not None:
            return text, True, new[len(last) :].strip()[:MAX_DROPPED_CHARS]
    if cancel.stop:
        raise Cancelled
    return text, False, ""
