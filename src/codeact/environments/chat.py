"""A user with a task, and an interpreter to do it with: the environment of `codeact "task"` and of `Agent`.

Code is run and its result shown to the model; an answer, or words without code, end the rollout and go to the user; a
reply that cannot be read is answered with the right form. What the model is told about its tools, its files and its
limits is in the prompt that `reset` makes.

The walls are the interpreter's. Nothing here looks at code before it is run.
"""

import keyword
import os
from collections.abc import Sequence
from pathlib import Path

from codeact.actions import Action, Answer, CodeAction, Malformed, Say, ToolCall
from codeact.environments._watch import CellWatch
from codeact.events import Code, Observer
from codeact.formats.code import CodeFormat
from codeact.messages import Message
from codeact.prompts import render
from codeact.protocols import ActionFormat, Runner, Stopper, Tool
from codeact.trajectory import Observation, Stop

__all__ = ["ChatEnvironment"]

_MAX_FILES_TOLD = 40
_ALONE = "input() has nobody to ask. If you cannot go on without the user, ask in your answer."
_ATTENDED = "input() asks the user, who may be away: ask in your answer unless the code itself needs a line."
_MAX_IGNORED_CHARS = 200


class ChatEnvironment:
    """One user's task, done in one interpreter."""

    def __init__(
        self,
        runner: Runner,
        task: str,
        *,
        format: ActionFormat | None = None,
        tools: Sequence[Tool] = (),
        timeout: float = 60.0,
        memory_mb: int | None = None,
        network: str | Sequence[str] = "none",
        read: Sequence[str | Path] = (),
        packages: str | Sequence[str] = "none",
        attended: bool = False,
        instructions: str = "",
    ) -> None:
        """Make one; nothing is run yet.

        Args:
            runner: Where code runs. It has the tools already; here they are only described.
            timeout: Seconds of wall clock for one cell.
            memory_mb, network, read, packages: What the runner was made with, for the prompt.
            attended: Whether somebody answers when code reads a line.
            instructions: Further words of the system's to the model, after ours.
        """
        self.format = format or CodeFormat()
        self.runner = runner
        self.task = task
        self.tools = tuple(tools)
        self.timeout = timeout
        self.memory_mb = memory_mb
        self.network = network
        self.packages = packages
        self.attended = attended
        self.instructions = instructions.strip()
        self.read = tuple(map(str, read))

    def reset(self) -> list[Message]:
        """What the model first sees."""
        prompt = render(
            "chat",
            instructions=self.format.instructions(self.tools),
            timeout=f"{self.timeout:g} seconds",
            memory=f", and use {self.memory_mb} MB of memory" if self.memory_mb else "",
            network=f"{self._reachable()} {self._installable()}",
            files=self._files(),
            input=_ATTENDED if self.attended else _ALONE,
        )
        return [Message("system", f"{prompt}\n\n{self.instructions}".strip()), Message("user", self.task)]

    def step(self, action: Action, *, observe: Observer, cancel: Stopper) -> Observation:
        """Do what the action asks; see `protocols.Environment`."""
        match action:
            case CodeAction(code, ignored=ignored):
                return self._run(code, ignored, observe, cancel)
            case ToolCall(name, arguments, ignored=ignored, positional=positional):
                known = [tool.name for tool in self.tools]
                if name not in known:   # such as `exec`: a format without code runs none
                    told = f"The tools are: {_listed(known)}." if known else "There are no tools."
                    return Observation(f"There is no tool {name!r}. {told}", status="none")
                # Tools live in the interpreter, under every format.
                named = [f"{key}={value!r}" for key, value in arguments.items() if not keyword.iskeyword(key)]
                odd = {key: value for key, value in arguments.items() if keyword.iskeyword(key)}
                given = [*map(repr, positional), *named, *([f"**{odd!r}"] if odd else [])]
                return self._run(f"{name}({', '.join(given)})", ignored, observe, cancel)
            case Answer() | Say():
                return Observation("", stop=Stop.ANSWER, status="none")
            case Malformed(message):
                return Observation(message, status="none")

    def _run(self, code: str, ignored: str, observe: Observer, cancel: Stopper) -> Observation:
        if cancel.stop:  # since the model was asked
            return Observation("[not run: the task was interrupted]", status="none")
        observe(Code(code))
        watch = CellWatch(observe)
        with cancel.calling(self.runner.interrupt):
            result = self.runner.run(code, timeout=self.timeout, on_output=watch)
        watch.end(result)
        text = result.text
        if result.files:
            text += f"\n[files written: {_listed(result.files)}]"
        if ignored:
            start = " ".join(ignored[:_MAX_IGNORED_CHARS].split())
            text += f"\n[what you wrote after the code was ignored, as the code had not run yet: {start!r}]"
        rich = tuple(bundle for bundle in result.outputs if set(bundle) - {"text/plain"})
        return Observation(text, status=result.status, outputs=rich, files=tuple(result.files))

    def _reachable(self) -> str:
        if self.network == "all":
            return "The network can be reached."
        if isinstance(self.network, str) or not self.network:
            return "There is no network."
        return (f"Of the network only these hosts can be reached: {_listed(self.network)}. This goes through the HTTP "
                "proxy that the environment names, which urllib, requests, pip and curl use by themselves.")

    def _installable(self) -> str:
        named = [] if isinstance(self.packages, str) else [one for one in self.packages if one != "*"]
        told = f"Installed for you: {_listed(named)}. " if named else ""
        if self.packages == "allow" or "*" in self.packages:
            return told + "What else you need from the Python package index you can add with `%pip install NAME`."
        return told + "Packages cannot be installed: use what is there."

    def _files(self) -> str:
        """What lies in the workspace and in the folders that may be read."""
        names = []
        with os.scandir(self.runner.workspace) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                folder = entry.is_dir(follow_symlinks=False)
                size = "" if folder else f" ({_size(entry.stat(follow_symlinks=False).st_size)})"
                names.append(f"{entry.name}{'/' if folder else ''}{size}")
        told = f"In it: {_listed(sorted(names))}." if names else "It is empty."
        return told + (f" You may also read, but not write, in {_listed(self.read)}." if self.read else "")


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_MAX_FILES_TOLD])
    return shown if len(names) <= _MAX_FILES_TOLD else f"{shown} and {len(names) - _MAX_FILES_TOLD} more"


def _size(n_bytes: int) -> str:
    if n_bytes < 1000:
        return f"{n_bytes} bytes"
    return f"{n_bytes / 1000:.1f} kB" if n_bytes < 1_000_000 else f"{n_bytes / 1_000_000:.1f} MB"
