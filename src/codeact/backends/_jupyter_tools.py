"""The host's side of tools in a Jupyter kernel: what is sent to define them, and the answers to their questions.

Used by jupyter.py and _jupyter_cell.py; kernel/bridge.py is the other side and says how a question is spelled. What
comes from the kernel is checked as anywhere: nothing is unpickled or evaluated, and `Calls` judges the arguments.
"""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from codeact.interpreter.journal import HostAnswers
from codeact.tools.toolbox import Toolbox

__all__ = ["MARK", "REMOVAL", "Questions", "definition"]

KERNEL = Path(__file__).resolve().parent.parent / "kernel"
FILES = ("wire", "plain", "arrays", "tables", "values", "stubs", "toolset", "bridge")
"""In the order in which they import one another."""
MARK = "codeact-tool:"
MAX_QUESTION = 64 << 20
"""Characters of a question that are read."""
MAX_IDS = 10_000

DEFINITION = """
def _codeact_define():
    import builtins, json, sys, types
    given = json.loads({given!r})
    shell = get_ipython()
    if given["tools"]:
        package = sys.modules["_codeact_kernel"] = types.ModuleType("_codeact_kernel")
        package.__path__ = []
        for name, text in given["files"]:
            module = sys.modules["_codeact_kernel." + name] = types.ModuleType("_codeact_kernel." + name)
            module.__package__ = "_codeact_kernel"
            exec(compile(text, "<codeact " + name + ">", "exec"), module.__dict__)
            setattr(package, name, module)
        ask = getattr(getattr(shell, "kernel", None), "raw_input", None) or builtins.input
        package.tools = package.bridge.install(shell.user_ns, given, ask, given["nonce"])
    if given["owned"]:
        def leave(code=None):
            raise SystemExit() if code is None else SystemExit(code)
        shell.user_ns.update(exit=leave, quit=leave)
        builtins.exit = builtins.quit = leave
        shell.execution_count = given["number"]
_codeact_define()
del _codeact_define
"""

REMOVAL = """
def _codeact_remove():
    import sys
    package = sys.modules["_codeact_kernel"]
    package.toolset.undefine(get_ipython().user_ns, package.tools)
_codeact_remove()
del _codeact_remove
"""
"""The cell that takes tools out of a kernel that was there before."""


def definition(toolbox: Toolbox, nonce: str, *, owned: bool, number: int) -> str:
    """The cell that prepares an IPython kernel.

    Args:
        nonce: Of the questions.
        owned: The kernel is ours: cells are counted from `number`, and `exit()` ends a cell only.
    """
    files = [[name, (KERNEL / f"{name}.py").read_text(encoding="utf-8")] for name in FILES] if len(toolbox) else []
    return DEFINITION.format(given=json.dumps({**toolbox.told(), "files": files, "nonce": nonce, "owned": owned,
                                               "number": number}))


class Questions:
    """The questions of one cell.

    Args:
        nonce: Theirs.
        answers: Who answers them.
        wake: Called from any thread when there is an answer to send.
    """

    def __init__(self, nonce: str, answers: HostAnswers, wake: Callable[[], None]):
        self._mark, self._answers, self._wake = f"{MARK}{nonce}:", answers, wake
        self._lock = threading.Lock()
        self._ready: list[list[Any]] = []
        self._open: set[int] = set()
        self._over = False
        self._due: float | None = None
        """When the question that waits is answered at the latest (monotonic seconds); None when none waits."""
        self._waiting: list[int] = []

    def take(self, prompt: str) -> bool:
        """Begin to answer a prompt, if it is a question of ours; `due` says when, `answer` what to send."""
        if not prompt.startswith(self._mark):
            return False
        try:
            if len(prompt) > MAX_QUESTION:
                raise ValueError("too long")
            asked = json.loads(prompt[len(self._mark):])
            waiting = [number for number in asked["waiting"] if type(number) is int][:MAX_IDS]
            seconds = min(1.0, max(0.0, float(asked["seconds"])))
            calls = [(number, dict(header), [base64.b64decode(text, validate=True) for text in texts])
                     for number, header, texts in asked["calls"] if type(number) is int]
        except (ValueError, TypeError, KeyError, RecursionError, AttributeError):
            waiting, seconds, calls = [], 0.0, []   # forged: it is answered with nothing
        self._waiting, self._due = waiting, time.monotonic() + seconds
        for number, header, buffers in calls:
            self._start(number, header, buffers)
        return True

    def _start(self, number: int, header: dict[str, Any], buffers: list[bytes]) -> None:
        with self._lock:
            if self._over or number in self._open:
                return
            self._open.add(number)

        def reply(answer: dict[str, Any], parts: Sequence[bytes] = ()) -> None:
            spelled = [base64.b64encode(part).decode("ascii") for part in parts]
            with self._lock:
                if not self._over:
                    self._ready.append([number, answer, spelled])
            self._wake()

        self._answers.call({**header, "id": number}, [memoryview(part) for part in buffers], reply)

    def seconds_left(self) -> float | None:
        """Until the question that waits has to be answered; None when none waits."""
        if self._due is None:
            return None
        with self._lock:
            ready = self._ready or any(number not in self._open for number in self._waiting)
        return 0.0 if ready else max(0.0, self._due - time.monotonic())

    def answer(self) -> str:
        """The line to type, now that it is time."""
        self._due = None
        with self._lock:
            ready, self._ready = self._ready, []
            over = [number for number in self._waiting if number not in self._open]
            self._open.difference_update(number for number, _, _ in ready)
        return json.dumps({"answers": ready, "over": over})

    def end(self) -> str | None:
        """The cell is over: no answers any more; a last line to type, where a question waits."""
        with self._lock:
            self._over = True
            self._open.clear()
            self._ready.clear()
        return self.answer() if self._due is not None else None
