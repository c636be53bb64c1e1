"""What is said in a conversation and done in its interpreter: messages, cells of the user's own, stop, leave."""

from __future__ import annotations

import time
from collections.abc import Sequence

from codeact.chats.awake import AT_WORK, Awake
from codeact.chats.said import asked
from codeact.errors import ChatElsewhere, ChatRefused, NotFound
from codeact.messages import Image

__all__ = ["Talk", "judge_code", "judge_text", "title_of"]

_MAX_TEXT_CHARS = 2_000_000
_MAX_IMAGES = 20
_MAX_IMAGE_BYTES = 20 << 20
_MAX_ATTACHED = 100
_TITLE_CHARS = 60
_STOPPED_SECONDS, _LOOK_SECONDS = 30.0, 0.2
"""For what another server is to stop, and to see that it has."""


class Talk(Awake):
    """Conversations that can be talked in."""

    def send(self, key: str, owner: str, text: str, *, images: Sequence[Image] = (),
             attached: Sequence[str] = ()) -> int:
        """Say something; the agent works on it in a thread.

        Args:
            attached: Files that were uploaded with it, by name.

        Returns:
            The number of its entry: what follows comes after it.

        Raises:
            ChatBusy: Something runs.
            ChatRefused: There is nothing in it, or too much.
            ConfigError: The model cannot be had.
        """
        if not text.strip() and not images:
            raise ChatRefused("there is nothing in the message")
        if len(text) > _MAX_TEXT_CHARS or len(images) > _MAX_IMAGES or len(attached) > _MAX_ATTACHED:
            raise ChatRefused(f"a message may have {_MAX_TEXT_CHARS:,} characters, {_MAX_IMAGES} pictures and "
                              f"{_MAX_ATTACHED} files")
        if sum(len(image.data) for image in images) > _MAX_IMAGE_BYTES:
            raise ChatRefused(f"the pictures of a message may have {_MAX_IMAGE_BYTES >> 20} MiB together")
        said = {"text": text, "images": [image.to_json() for image in images], "files": list(attached)}
        with self._alone(key, owner) as summary:
            self._check_limits(key, owner)
            live = self._live(summary)
            seq = live.begin(("user", said, summary.n_turns), live.task(asked(said), tuple(images)))
            if not summary.title:
                self._store.update(key, title=title_of(text))
        return seq

    def stop(self, key: str, owner: str) -> bool:
        """Stop whatever runs: the model's reply, a cell, a tool; gives when it has. Whether something ran.

        Where another server is at work on it, that one is asked to.
        """
        summary = self._store.summary(key, owner)
        live = self._lives.get(key)
        if (live is not None and live.is_at_work) or summary.state not in AT_WORK:
            return live.stop() if live else False
        if not self._holding.is_elsewhere(key):
            with self._alone(key, owner) as settled:   # where a server that ended has left it
                return settled.state not in AT_WORK
        self._store.ask_to_stop(key)
        until = time.monotonic() + _STOPPED_SECONDS
        while self._holding.is_elsewhere(key) and time.monotonic() < until:
            time.sleep(_LOOK_SECONDS)
        return True

    def wait(self, key: str, owner: str, seconds: float | None = None) -> bool:
        """Wait until nothing runs; whether that came about."""
        self._store.summary(key, owner)
        live = self._lives.get(key)
        return live.wait(seconds) if live else True

    def approve(self, key: str, owner: str, call: str, granted: bool) -> None:
        """Answer what a running cell asks leave for.

        Raises:
            NotFound: Nobody waits for that.
            ChatElsewhere: Somebody does, on another server.
        """
        self._store.summary(key, owner)
        live = self._lives.get(key)
        if live is None or not live.answer(call, granted):
            if self._holding.is_elsewhere(key):
                raise ChatElsewhere("another server of this database asked for this: answer there, or stop it")
            raise NotFound("nobody waits for this answer any more")

    def run_cell(self, key: str, owner: str, code: str) -> int:
        """Run a cell of the user's own; the model is told of it with the next message."""
        judge_code(code)
        with self._alone(key, owner) as summary:
            self._check_limits(key, owner, asks=False)
            live = self._live(summary)
            return live.begin(("cell", {"code": code}, summary.n_turns), live.cell(code))


def title_of(text: str) -> str:
    """A short line for a message."""
    words = " ".join(text.split())
    return words if len(words) <= _TITLE_CHARS else f"{words[:_TITLE_CHARS].rsplit(' ', 1)[0]}..."


def judge_text(text: str) -> None:
    """Refuse a message that is none, or too long."""
    if not text.strip() or len(text) > _MAX_TEXT_CHARS:
        raise ChatRefused("there is nothing in the message" if not text.strip() else "the message is too long")


def judge_code(code: str) -> None:
    """Refuse a cell that is none, or too long."""
    if not code.strip() or len(code) > _MAX_TEXT_CHARS:
        raise ChatRefused("there is no code in the cell" if not code.strip() else "the cell is too long")
