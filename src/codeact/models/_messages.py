"""Put a conversation into the shape that chat templates and servers take.

Most want the roles user and assistant in turn, and some know no system role (Mistral-Instruct, Gemma). What is joined
here is joined for one request only; the trajectory keeps messages as they were.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from codeact.messages import Message

__all__ = ["joined", "without_images", "without_system"]


def joined(messages: Iterable[Message]) -> list[Message]:
    """Neighbours of one role as one message; calls and answers to calls stay apart."""
    found: list[Message] = []
    for message in messages:
        before = found[-1] if found else None
        if before and before.role == message.role and not any((*_native(before), *_native(message))):
            text = "\n\n".join(filter(None, (before.content, message.content)))
            found[-1] = replace(before, content=text, images=(*before.images, *message.images))
        else:
            found.append(message)
    return found


def without_system(messages: Sequence[Message]) -> list[Message]:
    """System messages as the beginning of the user's next one."""
    return joined(replace(one, role="user") if one.role == "system" else one for one in messages)


def without_images(messages: Iterable[Message]) -> list[Message]:
    """The text alone; it names the pictures already."""
    return [replace(one, images=()) if one.images else one for one in messages]


def _native(message: Message) -> tuple[object, ...]:
    return (message.calls, message.call_id)
