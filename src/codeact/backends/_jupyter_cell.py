"""Runs one cell in a Jupyter kernel and makes an `Outcome` of the messages that come back.

Used by jupyter.py. Output is bounded as everywhere: past `limits.output_kb` only the last of a flood is kept. What a
kernel does not tell stays unknown: memory, processor time, files.
"""

from __future__ import annotations

import base64
import json
import re
import time
from collections import deque
from collections.abc import Mapping
from typing import Any, TypeAlias

from codeact.backends._jupyter_tools import Questions
from codeact.backends._jupyter_wire import KernelLost, Message, Wire
from codeact.events import Approval, ToolCalled
from codeact.interpreter.backend import OnOutput
from codeact.interpreter.journal import HostAnswers
from codeact.interpreter.limits import Limits
from codeact.interpreter.outcome import Outcome
from codeact.interpreter.output import Display, Text
from codeact.interpreter.result import ErrorInfo, Status
from codeact.interpreter.streams import Collected

__all__ = ["Cell", "News", "bundle_of", "plain"]

News: TypeAlias = "deque[ToolCalled | Approval]"

GRACE_SECONDS = 2.0
"""Between an interrupt and the end of a cell that does not obey it."""
STRAGGLER_SECONDS = 2.0
"""Between a cell's answer and its last output: after that the kernel is asked something, to be answered later still."""
LOST_SECONDS = 60.0
"""Until that answer: longer than that, messages were lost. A large one can be long on its way."""
MAX_DISPLAYS = 500
MAX_DISPLAY_BYTES = 64 << 20
END_OF_FILE = "\x04"
ADVICE = "nobody can type here: put the value into the code, or ask the user in a message instead"

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")


class Cell:
    """One run.

    Args:
        wire: To the kernel.
        limits: How much output is kept.
        answers: Who answers tool calls and input.
        nonce: Of tool calls.
        can_ask: Somebody is there to type.
        news: What tools did, told by their threads.
    """

    def __init__(self, wire: Wire, limits: Limits, answers: HostAnswers, nonce: str, *, can_ask: bool,
                 seconds: float | None, on_output: OnOutput | None, news: News):
        self._wire, self._answers, self._can_ask, self._seconds = wire, answers, can_ask, seconds
        self._on_output, self._news = on_output, news
        self.outcome = Outcome()
        self._questions = Questions(nonce, answers, wire.wake)
        self._text = Collected(limits.output_kb << 10, self._show_text if on_output is not None else None)
        self._display_bytes = 0
        self._request = ""
        self._replied = self._idle = self._refused_input = False
        self._straggling = 0.0
        self._marker: str | None = None
        """A question that was asked after the cell."""
        self._started = self._now = time.monotonic()
        self._deadline = None if seconds is None else self._started + seconds
        self._kill_at: float | None = None
        self.stop_asked = False

    def run(self, code: str) -> Outcome:
        """Run it to its end, or until the kernel has to be given up (`outcome.dead`)."""
        outcome = self.outcome
        try:
            self._request = self._wire.send("shell", "execute_request", {
                "code": code.encode("utf-8", "replace").decode(), "silent": False, "store_history": True,
                "user_expressions": {}, "allow_stdin": True, "stop_on_error": True})
            while not self._is_over():
                try:
                    self._step()
                except KernelLost:
                    raise
                except BaseException as error:   # a callback's, or Ctrl-C: raised once the cell has stopped
                    outcome.fault = outcome.fault or error
                    self._on_output = self._text.on_text = None
                    if self._kill_at is None:
                        self._stop("interrupted", "interrupted by the user")
        except KernelLost as error:
            self._die(str(error))
        self._answers.cancel()
        last = self._questions.end()
        if last is not None and not outcome.dead:
            self._type(last)
        try:
            self._show_news()
        except BaseException as error:   # a callback's
            outcome.fault = outcome.fault or error
        outcome.pieces = self._text.finish()
        outcome.seconds = outcome.kernel_seconds = max(0.0, time.monotonic() - self._started)
        return outcome

    def _is_over(self) -> bool:
        if self.outcome.dead:
            return True
        if not (self._replied or self._idle):
            return False
        if self._replied and self._idle:
            return True
        self._straggling = self._straggling or self._now
        if self._marker is None and self._now - self._straggling > STRAGGLER_SECONDS:
            self._marker = self._wire.send("shell", "kernel_info_request", {})
        return self._now - self._straggling > LOST_SECONDS

    def _step(self) -> None:
        for message in self._wire.wait(self._patience()):
            self._take(message)
        self._show_news()
        before, self._now = self._now, time.monotonic()
        if self._deadline is not None and self._kill_at is None and self._answers.waiting():
            self._deadline += self._now - before
            self._started += self._now - before
        left = self._questions.seconds_left()
        if left == 0.0:
            self._type(self._questions.answer())
        if self._kill_at is not None:
            if self._now >= self._kill_at:
                self._die(self.outcome.reason + ", and did not stop when interrupted")
        elif self.stop_asked:
            self._stop("interrupted", "interrupted by the user")
        elif self._deadline is not None and self._now >= self._deadline:
            self._stop("timeout", f"stopped after {self._seconds:g} s, its time limit")

    def _patience(self) -> float:
        due = [0.2]
        for at in (self._kill_at, self._deadline):
            if at is not None:
                due.append(at - time.monotonic())
        left = self._questions.seconds_left()
        return max(0.0, min(due if left is None else [*due, left]))

    def _stop(self, status: Status, reason: str) -> None:
        if self._replied:
            return   # it was done before
        self.outcome.status, self.outcome.reason = status, reason
        self._kill_at = time.monotonic() + GRACE_SECONDS
        self._answers.cancel()
        self._wire.interrupt()

    def _die(self, reason: str) -> None:
        if self.outcome.status == "ok":
            self.outcome.status = "died"
        self.outcome.dead, self.outcome.reason = True, reason

    # What the kernel says ---------------------------------------------------------------------------------------------

    def _take(self, message: Message) -> None:
        mine = message.parent == self._request
        content = message.content
        if message.channel == "stdin" and message.kind == "input_request":
            self._input(content, mine)
        elif message.channel == "shell" and mine and message.kind == "execute_reply":
            self._reply(content)
        elif message.channel != "iopub":
            return
        elif message.kind == "status" and (mine or message.parent == self._marker):
            if content.get("execution_state") == "idle":   # of the later question: what did not come until now is lost
                self._idle = True
                self._replied = self._replied or not mine
        elif message.kind == "stream" and (mine or message.ours):   # ours: what an earlier cell left running
            stream = "stderr" if content.get("name") == "stderr" else "stdout"
            self._text.add(stream, str(content.get("text", "")))
        elif message.kind in ("display_data", "update_display_data") and (mine or message.ours):
            self._display(bundle_of(content.get("data")))
        elif message.kind in ("execute_result", "pyout") and mine:
            self.outcome.value = bundle_of(content.get("data")) or None
        elif message.kind == "error" and mine:
            self._error(content)

    def _show_text(self, stream: str, text: str) -> None:
        self._show(Text("stderr" if stream == "stderr" else "stdout", text))

    def _show(self, event: Text | Display) -> None:
        if self._on_output is not None:
            self._show_news()
            self._on_output(event)

    def _show_news(self) -> None:
        while self._news:
            event = self._news.popleft()
            if self._on_output is not None:
                self._on_output(event)

    def _display(self, bundle: dict[str, str | bytes]) -> None:
        displays = self.outcome.displays
        self._display_bytes += sum(map(len, bundle.values())) + 64
        if len(displays) >= MAX_DISPLAYS or self._display_bytes > MAX_DISPLAY_BYTES:
            displays.setdefault(-1, {})
        elif bundle:
            number = len(displays) + 1
            displays[number] = bundle
            self._text.display(number)
            self._show(Display(bundle))

    def _input(self, content: Mapping[str, Any], mine: bool) -> None:
        prompt = str(content.get("prompt", ""))
        if self._questions.take(prompt):
            return
        line = None
        if mine and self._can_ask:
            line = self._answers.input(prompt[:10_000], content.get("password") is True)
            waited = time.monotonic() - self._now
            self._now += waited
            self._started += waited
            if self._deadline is not None:
                self._deadline += waited
        self._refused_input = self._refused_input or line is None
        self._type(END_OF_FILE if line is None else line)

    def _type(self, line: str) -> None:
        self._wire.send("stdin", "input_reply", {"value": line, "status": "ok"})

    def _error(self, content: Mapping[str, Any]) -> None:
        lines = content.get("traceback")
        name, message = str(content.get("ename", "Error")), plain(str(content.get("evalue", "")))
        traceback = plain("\n".join(map(str, lines[:1000])) if isinstance(lines, list) else "")
        if name == "EOFError" and not message and self._refused_input:
            message, traceback = ADVICE, f"{traceback.rstrip(': ')}: {ADVICE}"
        self.outcome.error = ErrorInfo(name, message[:1 << 16], traceback[:1 << 18].rstrip()
                                       or f"{name}: {message}"[:1 << 16])

    def _reply(self, content: Mapping[str, Any]) -> None:
        self._replied = True
        outcome = self.outcome
        if content.get("status") in ("error", "aborted", "abort"):
            if outcome.error is None:
                self._error(content if content.get("status") == "error" else {
                    "ename": "RuntimeError", "evalue": "the kernel did not run the cell"})
            if outcome.status == "ok":
                outcome.status = "error"
        elif outcome.status in ("timeout", "interrupted"):
            outcome.status = "ok"   # it was done before the interrupt came


def plain(text: str) -> str:
    """Text without a terminal's colours and moves."""
    return _ANSI.sub("", text)


def bundle_of(data: Any) -> dict[str, str | bytes]:
    """A MIME bundle as codeact has it: text, and bytes for images, which Jupyter spells in base64."""
    bundle: dict[str, str | bytes] = {}
    for kind, content in data.items() if isinstance(data, Mapping) else ():
        if isinstance(content, list) and all(isinstance(part, str) for part in content):
            content = "".join(content)
        if not isinstance(content, str):
            content = json.dumps(content)
        if kind == "text/plain":
            content = plain(content)
        elif (kind.startswith("image/") and kind != "image/svg+xml") or kind == "application/pdf":
            try:
                bundle[kind] = base64.b64decode("".join(content.split()), validate=True)
            except ValueError:
                pass   # no image at all
            continue
        bundle[str(kind)] = content
    return bundle
