"""What users may choose for a conversation: whoever keeps the server says so, and each way in is judged by it.

A model's name can name a module to import or a file to read, a tool runs with the server's rights, and a host can be
sent all that a cell has read. What an interpreter may have beyond that (its walls, its back-end, packages, folders of
the host) is no option of a conversation at all.
"""

from __future__ import annotations

from dataclasses import dataclass

from codeact import plugins
from codeact.chats.advice import in_chat
from codeact.chats.values import Options
from codeact.errors import ChatRefused
from codeact.interpreter.network import AllowList

__all__ = ["Powers"]


@dataclass(frozen=True)
class Powers:
    """What a server allows.

    Raises:
        ValueError: An entry of `hosts` is none.
    """

    models: tuple[str, ...] = ()
    """Models to choose from."""
    any_model: bool = True
    """Whether others may be named too: by those alone who are trusted as who runs the server is."""
    tools: tuple[str, ...] = ()
    hosts: tuple[str, ...] | None = None
    """What `Options.network` may name, as `Interpreter(network=[...])` takes it; None: every public host."""

    def __post_init__(self) -> None:
        AllowList(self.hosts or ())

    def judge(self, options: Options) -> None:
        """See that a conversation may be had so.

        Raises:
            ChatRefused: It may not; the message says what may.
        """
        for name in options.tools:
            if name not in self.tools:
                raise ChatRefused(f"the tool {name[:200]!r} is not allowed by this server; allowed: "
                                  f"{_named(self.tools)}")
        self.judge_model(options.model)
        if options.format not in (formats := plugins.available("formats")):   # another would be a module to import
            raise ChatRefused(f"there is no format {options.format[:200]!r}; there are {', '.join(formats)}")
        self._judge_hosts(options.network)

    def judge_model(self, name: str) -> None:
        """See that a model may be asked; no name at all is none to judge.

        Raises:
            ChatRefused: It may not.
        """
        if not self.any_model and name and name not in self.models:
            raise ChatRefused(f"the model {name[:200]!r} is not offered by this server; offered: {_named(self.models)}")

    def _judge_hosts(self, asked: tuple[str, ...]) -> None:
        try:
            wanted = AllowList(asked)
        except ValueError as error:
            raise ChatRefused(in_chat(str(error))) from None
        if self.hosts is None:
            return
        allowed = AllowList(self.hosts)
        for rule in wanted.rules:
            if not allowed.covers(rule):
                raise ChatRefused(f"cells may not reach {rule}; this server allows: {allowed or 'no host'}; whoever "
                                  "keeps it can allow more (codeact serve --allow-network HOST)")


def _named(names: tuple[str, ...]) -> str:
    return ", ".join(names) or "none"
