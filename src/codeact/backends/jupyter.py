"""Cells in a Jupyter kernel: one started here by name, one that runs already, or one behind a gateway or server.

    jupyter:python3                                         a kernel of this machine, by its name
    jupyter:/path/to/kernel-1234.json                       a kernel that runs: its connection file
    jupyter:http://localhost:8888/?token=...                a new kernel of a gateway or server
    jupyter:http://localhost:8888/api/kernels/ID?token=...  one that runs there

Not protected against: anything. No wall of ours stands, the level is 0: the code can do all that the kernel's user
can, and of `Limits` only `wall_seconds` and `output_kb` hold. A kernel keeps no states: after a death all variables
are gone, and `checkpoint` and `restore` are an InterpreterError. `!cmd`, magics and tracebacks are the kernel's own. A
kernel that runs already is never ended or started again, and the files its cells touch are not told.
"""

from __future__ import annotations

import ast
import logging
import os
import time
import weakref
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

from codeact.backends._jupyter_cell import Cell, News, plain
from codeact.backends._jupyter_http import HttpWire
from codeact.backends._jupyter_tools import REMOVAL, definition
from codeact.backends._jupyter_wire import START_SECONDS, KernelLost, Message, Wire
from codeact.backends._jupyter_zmq import ZmqWire
from codeact.errors import ConfigError, InterpreterError, InterpreterGone
from codeact.events import Approval, ToolCalled
from codeact.interpreter.backend import KeepsNoStates, OnOutput, Ran, Request, only_locally
from codeact.interpreter.folders import new_folder, remove
from codeact.interpreter.journal import HostAnswers
from codeact.interpreter.session import new_nonce
from codeact.interpreter.settings import user_folder
from codeact.interpreter.watch import Watch
from codeact.tools.calls import Calls

if TYPE_CHECKING:
    pass

__all__ = ["JupyterBackend", "create"]

log = logging.getLogger("codeact.interpreter")

HELLO = "codeact: is anybody there?"
STDIN_TRIES = 8
STDIN_SECONDS = 0.3
"""In which the kernel's question comes, if it comes."""

LOST = "a Jupyter kernel keeps no states to go back to"


class JupyterBackend(KeepsNoStates):
    """A kernel and a way to it.

    Args:
        target: A kernel's name, the path of a connection file, or the address of a server.
        request: What is wanted.

    Raises:
        MissingExtra: A package that speaks to such a kernel is not installed.
        ConfigError: There is no such kernel, or it cannot do what is asked.
        InterpreterGone: It does not answer.
        ValueError: The preload file fails.
    """

    no_states = LOST

    def __init__(self, target: str, request: Request):
        target = target or "python3"
        remote = target.startswith(("http://", "https://"))
        file = target if not remote and (target.endswith(".json") or os.sep in target) else ""
        _refuse(request, owned_here=not remote and not file)
        self._request = request
        self._nonce = new_nonce()
        self._base: Path | None = None
        self._watch: Watch | None = None
        self._cell: Cell | None = None
        self._python = False
        folder = None
        if not remote and not file:
            if request.workspace is None:
                self._base = new_folder()
                folder = self._base / "workspace"
                folder.mkdir()
            else:
                folder = user_folder(request.workspace, "workspace")
        wire: Wire | None = None
        try:
            wire = HttpWire(target) if remote else ZmqWire(name="" if file else target, file=file, folder=folder)
            self._wire: Wire = wire
            self._await_start()
            self._prepare(1)
            if folder is not None:
                self._watch = Watch(folder)
            self._folder = folder or Path(self._ask_folder())
        except BaseException as error:
            if wire is not None:
                wire.close()
            if self._base is not None:
                remove(self._base)
            if isinstance(error, KernelLost):
                raise InterpreterGone(f"the Jupyter kernel {_shown(target)} did not start: {error}") from None
            raise
        # Also at the end of a program that never closed it: a server would keep the kernel for ever
        self._let_go = weakref.finalize(self, _close, self._wire, os.getpid())
        log.warning("cells run in the Jupyter kernel %s, with no walls of codeact's (level 0)", _shown(target))

    # The kernel -------------------------------------------------------------------------------------------------------

    def _await_start(self) -> None:
        """Ask until both the answer and the broadcast come: the latter is subscribed to some time after connecting."""
        deadline = time.monotonic() + START_SECONDS
        replied = heard = False
        while not (replied and heard):
            if time.monotonic() > deadline:
                raise KernelLost(f"no answer in {START_SECONDS:g} s")
            asked = self._wire.send("shell", "kernel_info_request", {})
            until = time.monotonic() + 1.0
            while time.monotonic() < until and not (replied and heard):
                for message in self._wire.wait(0.2):
                    heard = heard or message.channel == "iopub"
                    if message.kind == "kernel_info_reply":
                        replied = True
                        language = message.content.get("language_info")
                        self._python = isinstance(language, dict) and language.get("name") == "python"
                    if message.parent == asked and message.content.get("execution_state") == "idle":
                        heard = True

    def _prepare(self, number: int) -> None:
        """Give a kernel that has just started, or just been found, its tools and helpers.

        Args:
            number: Of its first cell.

        Raises:
            KernelLost, ConfigError, ValueError
        """
        request = self._request
        if not self._python:
            if len(request.toolbox) or request.preload is not None:
                raise ConfigError("tools and preload need a kernel whose language is Python")
            return
        failed = self._silently(definition(request.toolbox, self._nonce, owned=self._wire.owned, number=number))
        if failed:
            raise ConfigError(f"the kernel does not take codeact's tools; it has to be IPython's:\n{failed}")
        self._await_stdin()
        if request.preload is not None:
            failed = self._silently(request.preload)
            if failed:
                raise ValueError(f"the preload file fails:\n{failed}")

    def _await_stdin(self) -> None:
        """Have the kernel ask once: what it asks before the channel for that stands is lost, and it waits for ever."""
        for _ in range(STDIN_TRIES):
            asked = self._wire.send("shell", "execute_request", {
                "code": f"getattr(get_ipython().kernel, 'raw_input', input)({HELLO!r})", "silent": True,
                "store_history": False, "user_expressions": {}, "allow_stdin": True})
            heard, patience, deadline = False, STDIN_SECONDS, time.monotonic() + START_SECONDS
            interrupt_at = time.monotonic() + patience
            while time.monotonic() < deadline:
                messages = self._wire.wait(0.1)
                for message in messages:
                    if message.kind == "input_request" and message.parent == asked:
                        heard = True
                        self._wire.send("stdin", "input_reply", {"value": "", "status": "ok"})
                if any(message.kind == "execute_reply" and message.parent == asked for message in messages):
                    break
                if not heard and time.monotonic() > interrupt_at:
                    patience *= 2   # a kernel that had not begun yet took no notice of the first
                    interrupt_at += patience
                    self._wire.interrupt()
            if heard:
                return
        raise KernelLost("it cannot ask for input")

    def _silently(self, code: str) -> str:
        """Run code of ours; its traceback, empty where it has none."""
        reply = self._answer("execute_request", {"code": code, "silent": True, "store_history": False,
                                                 "user_expressions": {}, "allow_stdin": False})
        if reply.content.get("status") == "ok":
            return ""
        lines = reply.content.get("traceback")
        return plain("\n".join(map(str, lines)) if isinstance(lines, list) else str(reply.content.get("evalue")))

    def _answer(self, kind: str, content: dict[str, object]) -> Message:
        asked = self._wire.send("shell", kind, content)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            for message in self._wire.wait(0.5):
                if message.channel == "shell" and message.parent == asked:
                    return message
        raise KernelLost("it is busy, or does not answer")

    def _ask_folder(self) -> str:
        if not self._python:
            return "."
        reply = self._answer("execute_request", {
            "code": "", "silent": True, "store_history": False, "allow_stdin": False,
            "user_expressions": {"folder": "__import__('os').getcwd()"}})
        found = reply.content.get("user_expressions")
        data = found.get("folder", {}).get("data", {}) if isinstance(found, dict) else {}
        try:
            return str(ast.literal_eval(data.get("text/plain", "'.'"))) or "."
        except (ValueError, SyntaxError):
            return "."

    def _restart(self, number: int) -> None:
        """Begin with no variables.

        Raises:
            InterpreterGone: It cannot.
        """
        try:
            self._wire.restart()
            self._await_start()
            self._prepare(number)
        except (KernelLost, ConfigError, ValueError) as error:
            raise InterpreterGone(f"the Jupyter kernel is gone ({error}); make a new interpreter") from None

    # The contract -----------------------------------------------------------------------------------------------------

    @property
    def level(self) -> int:
        return 0

    @property
    def workspace(self) -> Path:
        return self._folder

    def run(self, code: str, number: int, *, seconds: float | None, on_output: OnOutput | None) -> Ran:
        request = self._request
        before = self._bring_up(number)
        if self._watch is not None:
            self._watch.take()
        news: News = deque()

        def tell(event: ToolCalled | Approval) -> None:
            news.append(event)
            self._wire.wake()

        calls = Calls(request.toolbox, request.approve, tell if on_output is not None else None)
        answers = HostAnswers(calls, request.on_input)
        cell = Cell(self._wire, request.limits, answers, self._nonce, can_ask=request.on_input is not None,
                    seconds=seconds, on_output=on_output, news=news)
        self._cell = cell
        try:
            outcome = cell.run(code)
        finally:
            self._cell = None
        outcome.before = before
        lost: list[str] = []
        if outcome.dead:
            lost = [f"all variables are gone: {LOST}"]
            outcome.after = self._after_death(number + 1)
        return Ran(outcome, self._watch.take()[0] if self._watch is not None else [], lost)

    def _bring_up(self, number: int) -> str:
        """See whether the kernel lives, and start it again where it does not; what to tell the model of that."""
        try:
            self._wire.wait(0.0)
        except KernelLost as error:
            if not self._wire.owned:
                raise InterpreterGone(f"the Jupyter kernel is gone ({error})") from None
            self._restart(number)
            return "The kernel ended after the last cell and was started again; all variables are gone."
        return ""

    def _after_death(self, number: int) -> str:
        if not self._wire.owned:
            return ("The kernel is not ours to start again: it may be busy with this cell still, and later ones wait "
                    "for it.")
        self._restart(number)
        return "The kernel was started again; all variables are gone."

    def interrupt(self) -> None:
        cell = self._cell
        if cell is not None:
            cell.stop_asked = True
            self._wire.wake()

    def reset(self) -> None:
        if not self._wire.owned:
            raise InterpreterError("this kernel was there before: codeact does not start it again; `%reset -f` in a "
                                   "cell forgets the variables")
        self._restart(1)

    def close(self) -> None:
        try:
            if not self._wire.owned and len(self._request.toolbox):
                self._silently(REMOVAL)
        except KernelLost:
            pass
        if self._watch is not None:
            self._watch.close()
        self._let_go()
        if self._base is not None:
            remove(self._base)
            self._base = None


def _close(wire: Wire, owner: int) -> None:
    if os.getpid() == owner:   # not in a child that this program forked
        wire.close()


def _refuse(request: Request, *, owned_here: bool) -> None:
    """What a kernel cannot be asked for.

    Raises:
        ConfigError: Named.
    """
    said = "backend='jupyter:...'"
    only_locally(request, said)
    if request.sandbox not in ("auto", "none", 0, "0"):
        raise ConfigError(f"{said}: codeact's walls do not stand around a Jupyter kernel, so sandbox="
                          f"{request.sandbox!r} cannot be had; leave it out, or use backend='local'")
    if request.python is not None:
        raise ConfigError(f"{said}: the kernel decides on its Python; python=... goes with backend='local'")
    if request.read:
        raise ConfigError(f"{said}: the kernel may read all that its user may; read=... goes with backend='local'")
    if request.workspace is not None and not owned_here:
        raise ConfigError(f"{said}: a kernel that was there before, or is elsewhere, works in a folder of its own; "
                          "workspace=... goes with a kernel started by name")


def _shown(target: str) -> str:
    """An address without its token."""
    return target.partition("?")[0]


def create(target: str = "python3", *, request: Request) -> JupyterBackend:
    """This back-end, for `plugins`."""
    return JupyterBackend(target, request)
