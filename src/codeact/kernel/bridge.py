"""Tools in a Jupyter kernel that is not ours: calls travel as prompts of input requests, answers as the lines typed.

The host (backends/jupyter.py) sends this file and those it imports as text, to be executed in an IPython kernel: so
tools work wherever the kernel's standard input is carried, over a gateway too. A prompt of ours begins with a mark that
holds a nonce; what follows is one JSON object, and so is the answer:

    {"calls": [[id, header, [base64...]]...], "waiting": [ids], "seconds": s}
    {"answers": [[id, header, [base64...]]...], "over": [ids the host knows nothing of]}

with the headers of stubs.py. A kernel can ask one question at a time, so whoever waits asks for the answers of all, and
never for long: another thread may have a call to start.

Code in the kernel can forge a question. It can only make calls that way, which it may do anyway.
"""

from __future__ import annotations

import base64
import json
import sys
import threading
from typing import Any, Callable, Dict, List, Sequence, Tuple

from . import stubs, toolset

__all__ = ["MARK", "Bridge", "either", "install"]

MARK = "codeact-tool:"
_MACHINERY = ("IPython", "ipykernel", "asyncio", "codeact.")
FIRST_SECONDS, LONGEST_SECONDS = 0.05, 0.25
"""That one question waits for an answer."""


class Bridge:
    """Asks the host.

    Args:
        ask: Shows a prompt and returns the line typed.
        nonce: Known to the host.
    """

    def __init__(self, ask: Callable[[str], str], nonce: str):
        self._ask, self._mark = ask, MARK + nonce + ":"
        self._lock = threading.Lock()
        self._last = 0
        self._waiting: List[int] = []
        self._answers: Dict[int, Tuple[Dict[str, Any], List[bytes]]] = {}

    def call(self, name: str, args: Sequence[Any], kwargs: Dict[str, Any]) -> Any:
        """Call a tool and wait; raises the host's error."""
        header, buffers = stubs.request(name, args, kwargs)
        texts = [base64.b64encode(part).decode("ascii") for part in buffers]
        seconds = FIRST_SECONDS
        with self._lock:
            self._last += 1
            number = self._last
            self._waiting.append(number)
            self._exchange([[number, header, texts]], seconds)
        try:
            while number not in self._answers:
                seconds = min(2 * seconds, LONGEST_SECONDS)
                with self._lock:
                    if number not in self._answers:
                        self._exchange([], seconds)
            return stubs.answer(*self._answers[number])
        finally:
            self._answers.pop(number, None)
            if number in self._waiting:
                self._waiting.remove(number)

    async def call_async(self, name: str, args: Sequence[Any], kwargs: Dict[str, Any]) -> Any:
        """As `call`, without stopping the event loop."""
        import asyncio

        return await asyncio.get_running_loop().run_in_executor(None, self.call, name, args, kwargs)

    def _exchange(self, calls: List[Any], seconds: float) -> None:
        question = {"calls": calls, "waiting": list(self._waiting), "seconds": seconds}
        said = json.loads(self._ask(self._mark + json.dumps(question)))
        for number, header, texts in said["answers"]:
            self._settle(number, header, [base64.b64decode(text) for text in texts])
        for number in said["over"]:
            self._settle(number, {"ok": False, "error": {
                "name": "RuntimeError", "message": "the cell ended before the answer came"}}, [])

    def _settle(self, number: int, header: Dict[str, Any], buffers: List[bytes]) -> None:
        if number in self._waiting:
            self._waiting.remove(number)
            self._answers[number] = header, buffers


def install(namespace: Dict[str, Any], given: Dict[str, Any], ask: Callable[[str], str], nonce: str) -> List[str]:
    """Put the tools into a namespace, and give their names.

    Stubs of async tools wait like all others in a plain cell, and return an awaitable in a coroutine of the user's: a
    kernel has a loop that runs at all times.

    Args:
        given: `tools`, `modules` and `search`, as in an `open` frame.
    """
    bridge = Bridge(ask, nonce)
    return toolset.define(namespace, given, lambda spec: (
        either(bridge.call, bridge.call_async) if spec.get("async") else bridge.call))


def either(call: Callable[..., Any], call_async: Callable[..., Any]) -> Callable[..., Any]:
    """The call of an async tool where an event loop runs at all times, as in notebooks."""
    def choose(name: str, args: Sequence[Any], kwargs: Dict[str, Any]) -> Any:
        return (call_async if _asked_in_coroutine() else call)(name, args, kwargs)

    return choose


def _asked_in_coroutine() -> bool:
    """Whether a coroutine of the user's is among the callers; those of the machinery below do not count."""
    frame: Any = sys._getframe(1)
    package = __name__.rpartition(".")[0]
    while frame is not None and str(frame.f_globals.get("__name__")).startswith(package):
        frame = frame.f_back
    while frame is not None and not str(frame.f_globals.get("__name__")).startswith(_MACHINERY):
        if frame.f_code.co_flags & 0x280:   # inspect.CO_COROUTINE, CO_ASYNC_GENERATOR
            return True
        frame = frame.f_back
    return False
