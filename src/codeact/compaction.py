"""Fit a long conversation into what a model can read, without losing any of it from the record.

`Compacting` is a model around a model. When the conversation nears the model's limit, or the model says that it is over
it, old observations are shortened to head and tail; where that does not suffice the oldest turns are left out, and a
note in the first message stands for them: what was done, and what the interpreter holds now. The trajectory keeps
everything; only what is sent is shorter.

What was shortened once is sent again in the same words until the next time, so that between two compactions the
messages only grow, and the prompt caches of servers hit.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from codeact.errors import ContextOverflow
from codeact.events import Note, Observer
from codeact.messages import Completion, Message
from codeact.protocols import Model, NativeTool, Stopper

__all__ = ["Compacting"]

_FULL = 0.75
"""Share of the context at which the conversation is compacted; the rest is for the reply and for what is misjudged."""
_AFTER = 0.4
"""Share that it then takes: little enough that the next time is far."""
_HEAD_CHARS, _TAIL_CHARS = 400, 200
_IMAGE_CHARS = 4_000
"""About what a picture costs."""
_KEPT_MESSAGES = 4
"""The latest messages are sent as they are."""
_MAX_LINES = 40
_MAX_LINE_CHARS = 120
_TRIES = 3

_NOTE_SHARE = 1 / 3
"""What stands for the turns that are left out is at most this share of what is sent."""
_LEAST_NOTE_CHARS = 1_000

_LEFT_OUT = "Earlier turns of this conversation are left out. What was done in them, oldest first:\n{done}"
_CUT = "Earlier results in this conversation are shortened."


class Compacting:
    """A model that never reads more than it can.

    Args:
        model: The one that replies.
        context_tokens: How much it can read; else what it says of itself, else found out when it refuses.
        state: Says what else the model should know of what is left out: the user's requests, the variables.
    """

    def __init__(
        self, model: Model, *, context_tokens: int | None = None, state: Callable[[], str] = lambda: ""
    ) -> None:
        self.model = model
        self._context_tokens = context_tokens
        self._state = state
        self._chars_per_token = 3.0
        self._begin()

    def _begin(self) -> None:
        self._n_covered = 0
        self._last: Message | None = None
        self._prefix: tuple[Message, ...] = ()
        self._n_counted = self._chars = 0

    @property
    def name(self) -> str:
        """As the model within."""
        return str(getattr(self.model, "name", "") or type(self.model).__name__)

    @property
    def context_tokens(self) -> int | None:
        """How much the model can read, if that is known."""
        return self._context_tokens or getattr(self.model, "context_tokens", None)

    def complete(
        self,
        messages: Sequence[Message],
        *,
        stop: Sequence[str],
        tools: Sequence[NativeTool] = (),
        observe: Observer,
        cancel: Stopper,
    ) -> Completion:
        """Write the next reply; see `protocols.Model`."""
        sent = self._view(messages)
        limit = self.context_tokens
        if limit and self._chars > _FULL * limit * self._chars_per_token:
            sent = self._compact(messages, _AFTER * limit * self._chars_per_token, observe)
        for _ in range(_TRIES):
            try:
                done = self.model.complete(sent, stop=stop, tools=tools, observe=observe, cancel=cancel)
            except ContextOverflow:
                before = self._chars
                sent = self._compact(messages, before * _AFTER, observe)
                if self._chars >= before:  # all of it is needed
                    raise
            else:
                if done.usage.prompt_tokens:
                    self._chars_per_token = min(6.0, max(1.0, self._chars / done.usage.prompt_tokens))
                return done
        return self.model.complete(sent, stop=stop, tools=tools, observe=observe, cancel=cancel)

    def _view(self, messages: Sequence[Message]) -> Sequence[Message]:
        """What is sent: what was compacted, as it was, and all that came since."""
        covered = self._n_covered
        if covered > len(messages) or (covered and messages[covered - 1] != self._last):  # another conversation
            self._begin()
            covered = 0
        sent = (*self._prefix, *messages[covered:]) if covered else messages
        if len(sent) < self._n_counted:
            self._n_counted = self._chars = 0
        self._chars += sum(map(_chars, sent[self._n_counted :]))
        self._n_counted = len(sent)
        return sent

    def _compact(self, messages: Sequence[Message], most_chars: float, observe: Observer) -> Sequence[Message]:
        n_prompt = next((at for at, message in enumerate(messages) if message.role == "assistant"), len(messages))
        prompt, rest = list(messages[:n_prompt]), list(messages[n_prompt:])
        n_old = max(0, len(rest) - _KEPT_MESSAGES)
        while n_old and rest[n_old].role != "assistant":  # an answer to a call goes with the call
            n_old -= 1
        old, kept = [_shortened(message) for message in rest[:n_old]], rest[n_old:]
        size = sum(map(_chars, (*prompt, *old, *kept)))
        dropped = 0
        state = self._state() if old else ""
        most_note = max(_LEAST_NOTE_CHARS, int(most_chars * _NOTE_SHARE))
        size += min(len(state), most_note)
        # Whole turns go, a reply with all that answers it, so that what is left begins with the model again.
        while size > most_chars and dropped < len(old):
            size -= _chars(old[dropped])
            dropped += 1
            while dropped < len(old) and old[dropped].role != "assistant":
                size -= _chars(old[dropped])
                dropped += 1
        if dropped == len(old) and size > most_chars:
            kept = [_shortened(message) if message is not rest[-1] else message for message in kept]
            if kept and kept[-1].role == "user":
                kept[-1] = replace(_shortened(kept[-1], int(max(most_chars / 2, 1_000))), images=kept[-1].images)
        if prompt and (dropped or state):
            # The user's requests are told even if no turn goes: they stood with observations that are short now.
            done = _cut(_LEFT_OUT.format(done=_done(old[:dropped])), most_note // 2) if dropped else _CUT
            note = f"[{done}\n{_cut(state, most_note - min(len(done), most_note // 2))}".rstrip() + "]"
            prompt[-1] = replace(prompt[-1], content=f"{prompt[-1].content}\n\n{note}")
        self._prefix = (*prompt, *old[dropped:], *kept)
        self._n_covered, self._last = len(messages), messages[-1] if messages else None
        self._chars, self._n_counted = sum(map(_chars, self._prefix)), len(self._prefix)
        left = f", {dropped} messages left out" if dropped else ""
        observe(Note(f"the conversation was shortened to fit the model: {self._chars:,} characters are sent{left}"))
        return self._prefix


def _chars(message: Message) -> int:
    calls = sum(len(call.arguments) for call in message.calls)
    return len(message.content) + calls + _IMAGE_CHARS * len(message.images)


def _shortened(message: Message, most: int = _HEAD_CHARS + _TAIL_CHARS) -> Message:
    """An observation by head and tail, its pictures named; what the model said itself stays."""
    if message.role != "user":
        return message
    text = _cut(message.content, most)
    if message.images:
        text += f"\n[{len(message.images)} pictures left out]"
    return replace(message, content=text, images=())


def _cut(text: str, most: int) -> str:
    """Head and tail."""
    if len(text) <= most + 100:
        return text
    head, tail = most * 2 // 3, most - most * 2 // 3
    return f"{text[:head]}\n[... {len(text) - most:,} characters left out ...]\n{text[-tail:]}"


def _done(dropped: Sequence[Message]) -> str:
    """One line for each reply that is left out."""
    lines = [_line(message.content) for message in dropped if message.role == "assistant"]
    if len(lines) > _MAX_LINES:
        lines = [f"- ({len(lines) - _MAX_LINES} turns before these)", *lines[-_MAX_LINES:]]
    return "\n".join(lines)


def _line(text: str) -> str:
    words = " ".join(text.split())
    return f"- {words[:_MAX_LINE_CHARS]}{'...' if len(words) > _MAX_LINE_CHARS else ''}"
