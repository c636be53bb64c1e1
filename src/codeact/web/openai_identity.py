"""Which conversation a request of OpenAI's API goes on with: such a client sends the whole history each time.

A conversation is known by the name that the client gives it (`X-Conversation-Id`, `metadata.conversation`: one of its
own, or the id that an answer carried), else by what was said: the user's words and the end of the last reply. A history
that stands elsewhere than its conversation does now, because a reply was asked for anew or an earlier message was
changed, goes on on a branch, with the interpreter's state of that moment. What is known stands in the database, so that
it outlives the server; the conversations of two users never meet.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from codeact.chats.chats import Chats
from codeact.errors import ChatRefused, NotFound
from codeact.messages import Image

__all__ = ["Said", "begin", "remember"]

_END_CHARS = 200
"""Of the last reply: clients trim what they show, not its end."""


@dataclass(frozen=True)
class Said:
    """One message of a client's."""

    role: str
    text: str
    images: tuple[Image, ...] = ()


def begin(chats: Chats, owner: str, messages: Sequence[Said], *, model: str, name: str = "") -> tuple[str, int]:
    """Say the last message in its conversation: that one's key, and the number of the message's entry.

    Args:
        model: Empty: as the conversation has it, or the server's.
        name: The client's, for the conversation.

    Raises:
        ChatRefused: The last message is not the user's.
        ChatBusy: Something runs in the conversation.
    """
    *before, last = messages
    if last.role != "user":
        raise ChatRefused("the last message must be the user's")
    found = chats.store.named(_fingerprint(owner, before)) if before else None
    key = _by_name(chats, owner, name) if name else found[0] if found else None
    if key is not None:
        try:
            _go_to(chats, owner, key, found)
            options = chats.summary(key, owner).options
            if model and model != options.model:
                chats.update(key, owner, options=replace(options, model=model))
            return key, chats.send(key, owner, last.text, images=last.images)
        except NotFound:   # deleted since
            pass
    instructions = "\n\n".join(one.text for one in before if one.role in ("system", "developer"))
    made = chats.create(owner, replace(chats.defaults, model=model or chats.defaults.model, instructions=instructions))
    if name:
        chats.store.name(_hash([owner, "name", name]), made.id, made.branch, 0)
    text, earlier = last.text, [one for one in before if one.role in ("user", "assistant")]
    if earlier:   # a history that is not known here: the words are all there is of it
        told = "\n\n".join(f"{one.role}: {one.text}" for one in earlier)
        text = f"[The conversation so far, whose variables are not there any more:]\n{told}\n\n[Now:]\n{text}"
    return made.id, chats.send(made.id, owner, text, images=last.images)


def remember(chats: Chats, owner: str, messages: Sequence[Said], reply: str, key: str) -> None:
    """Know a history, with what was replied to it, from now on."""
    now = chats.summary(key, owner)
    chats.store.name(_fingerprint(owner, [*messages, Said("assistant", reply)]), key, now.branch, now.n_turns)


def _by_name(chats: Chats, owner: str, name: str) -> str | None:
    try:
        return chats.summary(name, owner).id
    except NotFound:
        known = chats.store.named(_hash([owner, "name", name]))
        return known[0] if known else None


def _go_to(chats: Chats, owner: str, key: str, found: tuple[str, str, int] | None) -> None:
    """Have the conversation stand where the history does, if that is known."""
    if found is None or found[0] != key:
        return
    _, branch, turn = found
    if chats.summary(key, owner).branch != branch:
        chats.switch(key, owner, branch)
    if chats.summary(key, owner).n_turns != turn:
        chats.branch(key, owner, turn)


def _fingerprint(owner: str, messages: Sequence[Said]) -> str:
    said = [one.text.strip() for one in messages if one.role == "user"]
    last = [one.text.strip()[-_END_CHARS:] for one in messages if one.role == "assistant"][-1:]
    return _hash([owner, "said", said, last])


def _hash(parts: object) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
