"""You are the model: what a model would read is shown, and what you type is its reply.

    codeact --model human "Add up the primes below 50"

The best way to understand the loop, and a prompt. A reply ends with a line that holds a dot alone, or with the end of
the input (Ctrl-D); a reply may also come through a pipe.
"""

import sys
from collections.abc import Sequence
from typing import TextIO

from codeact.errors import Cancelled, ConfigError, ModelError
from codeact.events import Observer, Text
from codeact.messages import Completion, Message
from codeact.protocols import NativeTool, Stopper

__all__ = ["HumanModel", "create"]

_END = "."
_ASKED = "--- your reply as the model; end it with a line that holds only a dot ---"


class HumanModel:
    """Someone at a keyboard.

    Args:
        source: Where replies are read from; else standard input.
        screen: Where prompts are shown; else standard error, so that standard output stays the agent's.
    """

    name = "human"

    def __init__(self, *, source: TextIO | None = None, screen: TextIO | None = None) -> None:
        self._source, self._screen = source, screen
        self._n_shown = 0

    def complete(
        self,
        messages: Sequence[Message],
        *,
        stop: Sequence[str],
        tools: Sequence[NativeTool] = (),
        observe: Observer,
        cancel: Stopper,
    ) -> Completion:
        """Show what is new of the conversation, and read a reply; see `protocols.Model`.

        Raises:
            ModelError: The input has ended, so that no reply can come any more.
        """
        if tools:
            raise ConfigError("a person has no native tools to call: use --format code")
        if cancel.stop:
            raise Cancelled
        source, screen = self._source or sys.stdin, self._screen or sys.stderr
        if self._n_shown > len(messages):  # another conversation
            self._n_shown = 0
        for message in messages[self._n_shown :]:
            if message.role != "assistant" or not self._n_shown:
                print(f"--- {message.role} ---\n{message.content}", file=screen)
                if message.images:
                    print(f"[{len(message.images)} pictures]", file=screen)
        self._n_shown = len(messages)
        print(_ASKED, file=screen, flush=True)
        lines = []
        for line in iter(source.readline, ""):
            if line.rstrip("\r\n") == _END:
                break
            lines.append(line)
        else:
            if not lines:
                raise ModelError("the input has ended, and with it the replies")
        text = "".join(lines).rstrip("\n")
        observe(Text(text))
        return Completion(text)


def create() -> HumanModel:
    """The person at this terminal."""
    return HumanModel()
