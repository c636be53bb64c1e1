"""What is done when no model is configured: local servers are looked for and offered, else told how to get a model.

Nothing is used unasked: anyone may listen at a port, and gets to read the task.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from codeact.errors import ConfigError
from codeact.settings import Settings, local

if TYPE_CHECKING:
    from codeact.models._local import Server

__all__ = ["HOW_TO_CONFIGURE", "kept", "offer"]

HOW_TO_CONFIGURE = """\
Name a model, as one of these:
  export OPENAI_API_KEY=...; codeact --model openai:gpt-5-mini "your task"
  codeact --model openai:qwen3:8b --base-url http://localhost:11434/v1 "your task"
(the second is Ollama; any OpenAI-compatible server will do)
`codeact config set model openai:gpt-5-mini` saves typing; so does CODEACT_MODEL in the environment."""

_MAX_OFFERED = 20


def offer(settings: Settings, why: str, *, ask: Callable[[str], str] | None = None) -> Settings:
    """Settings with a model of a server on this machine, which the user has chosen.

    Args:
        why: What a model is missing for; the beginning of the error.
        ask: Shows words and returns a line of the user's, where there is one; else the error names what was found.

    Raises:
        ConfigError: No server was found, none was chosen, or nobody can be asked.
    """
    from codeact.models._local import find

    servers = find()
    choices = [(server, model) for server in servers for model in server.models][:_MAX_OFFERED]
    if not choices:
        empty = "".join(f"\n{server.server} listens at {server.base_url}, but has no model yet" for server in servers)
        raise ConfigError(f"{why}{empty}\n{HOW_TO_CONFIGURE}")
    if ask is None:
        ways = "\n".join(f"  codeact {_flags(server, model)} ...      {server.server}" for server, model in choices)
        raise ConfigError(f"{why}\nThese are on this machine:\n{ways}\n{HOW_TO_CONFIGURE}")
    listed = "\n".join(f"  {number}  {model} ({server.server}, {server.base_url})"
                       for number, (server, model) in enumerate(choices, start=1))
    said = ask(f"No model is configured. These are on this machine:\n{listed}\nWhich one? 1 to {len(choices)}, "
               "or Enter for none: ").strip()
    if not (said.isascii() and said.isdigit() and 1 <= int(said[:9]) <= len(choices)):
        raise ConfigError(f"{why}\n{HOW_TO_CONFIGURE}")
    server, model = choices[int(said) - 1]
    return local(settings, model, server.base_url, server.server)


def _flags(server: Server, model: str) -> str:
    return shlex.join(["--model", f"openai:{model}", "--base-url", server.base_url])


def kept(settings: Settings) -> Sequence[str]:
    """The commands that make a choice the one of next time too."""
    return [shlex.join(["codeact", "config", "set", name, str(value)])
            for name, value in (("model", settings.model), ("base_url", settings.base_url))]
