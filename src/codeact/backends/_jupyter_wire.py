"""What the two ways to a Jupyter kernel have in common: messages, and the errors of a kernel that is gone.

_jupyter_zmq.py speaks to a kernel on this machine, _jupyter_http.py to one behind a kernel gateway or Jupyter server;
jupyter.py uses either through `Wire`. All that comes from a kernel is data: types are checked where a field is used,
messages over `MAX_MESSAGE_BYTES` end the connection.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

__all__ = ["MAX_MESSAGE_BYTES", "START_SECONDS", "KernelLost", "Message", "Wire", "message_of"]

MAX_MESSAGE_BYTES = 256 << 20
START_SECONDS = 60.0
"""A kernel has to answer for the first time."""


class KernelLost(Exception):
    """The kernel, or the way to it, is gone; the text says how, in words for the model."""


@dataclass(frozen=True)
class Message:
    """One message of a kernel."""

    channel: str
    """"shell", "iopub", "stdin" or "control"."""
    kind: str
    parent: str
    """Id of the request it answers or comes from; empty where there is none."""
    ours: bool
    """That request was of this session, not of another front end of the same kernel."""
    content: Mapping[str, Any]


class Wire(Protocol):
    """A kernel, seen from the host. For one thread, `wake` excepted."""

    owned: bool
    """We started the kernel: it may be restarted, and is ended with the session."""
    folder: Path | None
    """Where its cells work, where this side chose it."""

    def send(self, channel: str, kind: str, content: dict[str, Any]) -> str:
        """Send a message; its id. Raises KernelLost."""

    def wait(self, seconds: float) -> list[Message]:
        """What has come; waits for it, `seconds` at most, or until `wake`. Raises KernelLost."""

    def wake(self) -> None:
        """End a `wait`, from any thread."""

    def interrupt(self) -> None:
        """Stop what runs; returns when that has been sent. Raises nothing."""

    def restart(self) -> None:
        """Start the kernel anew, with no state. Raises KernelLost."""

    def close(self) -> None:
        """Let go; ends a kernel that is ours."""


def message_of(raw: Any, channel: str, session: str) -> Message | None:
    """A message as the protocol spells it, or None for something else."""
    if not isinstance(raw, Mapping):
        return None
    header, parent, content = (raw.get(key) for key in ("header", "parent_header", "content"))
    if not isinstance(header, Mapping) or not isinstance(content, Mapping):
        return None
    parent = parent if isinstance(parent, Mapping) else {}
    return Message(channel, str(header.get("msg_type", raw.get("msg_type", ""))), str(parent.get("msg_id", "")),
                   parent.get("session") == session, content)
