"""A model that says what it was told to say: for tests, for the demo, for trying an agent without a server.

    ScriptedModel(["<execute>1 + 1</execute>", "<solution>2</solution>"])
    codeact --model scripted:replies.jsonl "any task"

A file holds one reply a line: a JSON string, a chat message of the role assistant, or a turn of a trajectory file;
messages of other roles and other events are passed over. What it was asked plays no part. From a program a reply may
also be a `Completion`, with usage, reasoning or native calls in it.
"""

import json
import re
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from codeact.errors import Cancelled, ConfigError, ModelError
from codeact.events import Observer, Text
from codeact.messages import Completion, Message
from codeact.protocols import NativeTool, Stopper

__all__ = ["ScriptedModel", "create"]


class ScriptedModel:
    """Gives the replies in order, whatever it is asked."""

    remembers = True
    """It is of one conversation: each needs one of its own."""

    def __init__(self, replies: Iterable[str | Completion], *, seconds_per_word: float = 0.0) -> None:
        """Make one.

        Args:
            seconds_per_word: A pause after each word, for people who watch.
        """
        self.replies = tuple(replies)
        self.n_given = 0
        self.seconds_per_word = seconds_per_word

    def complete(
        self,
        messages: Sequence[Message],
        *,
        stop: Sequence[str],
        tools: Sequence[NativeTool] = (),
        observe: Observer,
        cancel: Stopper,
    ) -> Completion:
        """The next reply.

        Raises:
            ModelError: All replies have been given.
        """
        if self.n_given >= len(self.replies):
            n = len(self.replies)
            raise ModelError(f"the script has {n} repl{'y' if n == 1 else 'ies'}, and all have been given; write more, "
                             f"or end each task there (--max-turns {n})")
        given = self.replies[self.n_given]
        reply = Completion(given) if isinstance(given, str) else given
        self.n_given += 1
        for word in re.findall(r"\s*\S+|\s+\Z", reply.text):
            if cancel.stop:
                raise Cancelled
            observe(Text(word))
            if self.seconds_per_word:
                time.sleep(self.seconds_per_word)
        return reply


def create(path: str) -> ScriptedModel:
    """The replies of a file.

    Raises:
        ConfigError: The file cannot be read or holds no replies; the message names the line.
    """
    if not path:
        raise ConfigError("which script? write its path after the colon, as in scripted:replies.jsonl")
    try:
        lines = Path(path).read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise ConfigError(f"cannot read the script {path}: {why}") from None
    replies = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                replies.append(_reply(json.loads(line)))
            except (ValueError, KeyError, TypeError) as error:
                raise ConfigError(f"{path}, line {number}: not a reply, a message or a turn: {error}") from None
    said = [reply for reply in replies if reply is not None]
    if not said:
        raise ConfigError(f"{path} holds no reply; write one JSON string a line, each what the model says")
    return ScriptedModel(said)


def _reply(data: Any) -> str | None:
    if isinstance(data, str):
        return data
    if not isinstance(data, dict):
        raise TypeError(f"expected a string or an object, found {type(data).__name__}")
    if data.get("type") == "turn":
        text = data["completion"]["text"]
    elif "type" in data or data.get("role") in ("system", "user"):
        return None
    else:
        text = data["content"]
    if not isinstance(text, str):
        raise TypeError("the text of a reply must be a string")
    return text
