"""Shows a rollout in a notebook or at an IPython prompt as it goes: thoughts, code, output, figures. For ipython.py.

It writes to the display publisher itself: while a cell of the agent's runs, the functions of `IPython.display` are
that cell's. At a prompt without pictures, the plain text of each thing is shown.
"""

from __future__ import annotations

import base64
import re
import sys
import time
from typing import Any

from codeact.actions import Answer, CodeAction, Malformed, Say, ToolCall
from codeact.events import Code, Display, Event, Note, Output, Text, ToolCalled
from codeact.protocols import ActionFormat
from codeact.trajectory import Turn

__all__ = ["View"]

_AGAIN_SECONDS = 0.2
"""Between two updates of what is being written."""
_SHOWN = 600
"""Characters of the reply's end that are shown while it is written."""


class View:
    """An observer.

    Args:
        shell: IPython's.
        format: How the model spells its actions; the thought before an action is told by it.
    """

    def __init__(self, shell: Any, format: ActionFormat) -> None:
        self._shell, self._format = shell, format
        self._live = hasattr(shell, "kernel")   # only front ends of kernels can show a thing anew
        self._reply = ""
        self._shown_at = 0.0
        self._n_previews = 0
        self._preview: str | None = None
        """Where the reply is shown while it is written."""

    def __call__(self, event: Event) -> None:
        """Show one event."""
        match event:
            case Text(text, "reply"):
                self._reply += text
                self._update()
            case Code(code):
                self._thought()
                self.markdown(_fenced(code, "python"), _margin(code))
            case Output(text, "error"):
                self._print(text, sys.stderr)
            case Output(text, stream):
                self._print(text, sys.stderr if stream == "stderr" else sys.stdout)
            case Display(bundle):
                self.publish({mime: data if isinstance(data, str) else base64.b64encode(data).decode("ascii")
                              for mime, data in bundle.items()})
            case ToolCalled(tool, error=error):
                self.note(f"{tool} failed: {error}" if error else f"{tool} was called")
            case Note(text):
                self.note(text)
            case Turn():
                self._end(event)

    def _end(self, turn: Turn) -> None:
        self._unpreview()
        match turn.action:
            case Answer(text, thought):
                self.markdown(f"{thought}\n\n{text}".strip())
            case Say(text):
                self.markdown(text)
            case Malformed():
                self.note("the reply could not be read; the model is shown the right form")
        self._reply = ""

    def finish(self) -> None:
        """Nothing more comes."""
        self._unpreview()

    def _thought(self) -> None:
        """Show what was said before the code that is about to run."""
        self._unpreview()
        action = self._format.parse(self._reply) if self._reply else None
        if isinstance(action, CodeAction | ToolCall) and action.thought.strip():
            self.markdown(action.thought.strip())
        self._reply = ""

    # How things are shown ---------------------------------------------------------------------------------------------

    def markdown(self, text: str, plain: str | None = None) -> None:
        """Words of the model's, or code."""
        self.publish({"text/markdown": text, "text/plain": (text if plain is None else plain) + "\n"})

    def note(self, text: str) -> None:
        """A word of ours."""
        self._print(f"[{text}]\n", sys.stdout)

    def publish(self, data: dict[str, str], **more: Any) -> None:
        """A rich output of the notebook cell that `%%codeact` stands in."""
        self._shell.display_pub.publish(data=data, metadata={}, **more)

    def _print(self, text: str, stream: Any) -> None:
        stream.write(text)
        stream.flush()

    def _update(self) -> None:
        now = time.monotonic()
        if not self._live or now - self._shown_at < _AGAIN_SECONDS:
            return
        self._shown_at = now
        end = self._reply[-_SHOWN:]
        data = {"text/markdown": _fenced(end, "text"), "text/plain": end}
        if self._preview is None:
            self._n_previews += 1
            self._preview = f"codeact-{id(self)}-{self._n_previews}"
            self.publish(data, transient={"display_id": self._preview})
        else:
            self.publish(data, transient={"display_id": self._preview}, update=True)

    def _unpreview(self) -> None:
        """What was being written is shown in full elsewhere."""
        if self._preview is not None:
            self.publish({"text/markdown": "", "text/plain": ""}, transient={"display_id": self._preview}, update=True)
            self._preview = None


def _fenced(text: str, language: str) -> str:
    longest = max((len(run) for run in re.findall(r"`{3,}", text)), default=2)
    return f"{'`' * (longest + 1)}{language}\n{text}\n{'`' * (longest + 1)}"


def _margin(code: str) -> str:
    return "\n".join(f"  │ {line}" for line in code.split("\n"))
