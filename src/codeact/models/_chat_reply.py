"""A reply of the Chat Completions API as it streams in; `openai.py` feeds it.

What servers differ in is settled here: where reasoning stands, whether stop strings are heeded or removed, whether the
usage comes, and how native calls are pieced together.
"""

import time
from collections.abc import Iterator, Sequence
from typing import Any

from codeact.events import Observer, Text
from codeact.messages import MAX_DROPPED_CHARS, Call, Completion, Finish, Message, Usage
from codeact.models._partial import PartialCode
from codeact.models._stopping import cut, restore

__all__ = ["Chunks", "Reply", "estimated"]

PATIENCE_SECONDS = 2.0
"""So long the end of the stream is waited for when a stop string has ended the reply: it tells what the reply cost."""
_FINISHES: dict[str, Finish] = {"length": "length", "content_filter": "filter"}


class Reply:
    """A reply as it comes in."""

    def __init__(self, stop: Sequence[str], observe: Observer) -> None:
        self._stop, self._observe = stop, observe
        self.text = self.reasoning = self._finish = self._dropped = ""
        self.usage, self.told_cost, self.n_chunks = Usage(), False, 0
        self._calls: dict[int, list[str]] = {}
        self._code: dict[int, PartialCode] = {}
        self._cut_at: float | None = None

    @property
    def shown(self) -> bool:
        """Whether anything of it was shown."""
        return bool(self.text or self.reasoning or self._calls)

    @property
    def ended_by_us(self) -> bool:
        """Whether a stop string ended it that the server did not heed, or did not remove: nothing more is wanted."""
        return self._cut_at is not None

    @property
    def patience(self) -> float | None:
        """Seconds that are still waited for the end; None for as long as it takes."""
        return None if self._cut_at is None else max(0.0, self._cut_at + PATIENCE_SECONDS - time.monotonic())

    @property
    def is_cut(self) -> bool:
        """Whether it ended before it was over."""
        if self._finish or self.ended_by_us:
            return False
        return bool(self._calls) or not self.text or restore(self.text, self._stop) != self.text

    def take(self, chunk: Any) -> bool:
        """Take a piece of it; True where nothing more is waited for.

        After a stop string the rest is passed over, save for the usage, without which no limit of tokens or cost holds,
        and for the first words, as the model is told that they were dropped.
        """
        self.n_chunks += 1
        if usage := _usage(chunk):
            self.usage = usage
            self.told_cost = getattr(chunk.usage, "cost", None) is not None
        if self.ended_by_us:
            self._drop(chunk.choices[0].delta.content if chunk.choices else None)
            return not self.patience
        if not chunk.choices:
            return False
        choice = chunk.choices[0]
        self._finish = choice.finish_reason or self._finish
        thought = getattr(choice.delta, "reasoning_content", None) or getattr(choice.delta, "reasoning", None)
        if isinstance(thought, str):
            self.reasoning += thought
            self._observe(Text(thought, "reasoning"))
        for call in getattr(choice.delta, "tool_calls", None) or ():
            self._take_call(call)
        if not choice.delta.content:
            return False
        last = cut(self.text, choice.delta.content, self._stop)
        new = choice.delta.content if last is None else last
        self.text += new
        self._observe(Text(new))
        if last is not None:
            self._cut_at = time.monotonic()
            self._drop(choice.delta.content[len(last) :])
        return False

    def _drop(self, rest: str | None) -> None:
        self._dropped = (self._dropped + (rest or "")).lstrip()[:MAX_DROPPED_CHARS]

    def _take_call(self, piece: Any) -> None:
        at = piece.index if piece.index is not None else len(self._calls)
        call = self._calls.setdefault(at, ["", "", ""])
        call[0] = call[0] or piece.id or ""
        if function := piece.function:
            call[1] += function.name or ""
            call[2] += function.arguments or ""
            if code := self._code.setdefault(at, PartialCode()).feed(function.arguments or ""):
                self._observe(Text(code, "call"))

    def completion(self) -> Completion:
        """What it is now that it is over."""
        calls = tuple(
            Call(call_id or f"call_{at}", name, arguments)
            for at, (call_id, name, arguments) in sorted(self._calls.items())
        )
        if self._finish in _FINISHES and not self.ended_by_us:
            return Completion(self.text, self.reasoning, self.usage, _FINISHES[self._finish], calls)
        closed = self.text if self.ended_by_us else restore(self.text, self._stop)
        if closed != self.text:
            self._observe(Text(closed[len(self.text) :]))
        return Completion(closed, self.reasoning, self.usage, calls=calls, dropped=self._dropped.rstrip())


class Chunks:
    """The chunks of a stream."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[Any]:
        for chunk in self._stream:
            # A server that does not stream may answer with an error, or nothing of the kind, and status 200.
            if not hasattr(chunk, "choices"):
                raise ValueError(f"expected a chunk of a reply, found {str(chunk)[:200]}")
            yield chunk

    def close(self) -> None:
        self._stream.close()


def estimated(messages: Sequence[Message], *written: str) -> Usage:
    """About what a reply used, where the server does not tell: four characters a token, a thousand tokens a picture."""
    read = sum(len(message.content) // 4 + 1000 * len(message.images) for message in messages)
    return Usage(read, sum(map(len, written)) // 4 + 1)


def _usage(chunk: Any) -> Usage | None:
    told = getattr(chunk, "usage", None)
    if told is None:
        return None
    # OpenRouter and others add what it cost.
    cost = getattr(told, "cost", None)
    return Usage(told.prompt_tokens or 0, told.completion_tokens or 0, float(cost or 0.0))
