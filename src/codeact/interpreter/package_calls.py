"""What cells ask of a session's packages: `%pip install` as calls of a tool whose name no tool can have.

    ["install", [texts]]    -> {}                               starts it
    ["more"]                -> {"lines": [text], "done": bool, "error": text or null}       what there is to tell since

The second is answered when there is something to tell. As calls, both are kept in the journal with their answers, so
that a cell that is run again installs nothing (journal.py). `HostAnswers` hands the calls over; what they hold is
hostile.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from codeact.errors import PackageError
from codeact.interpreter.package_job import Job, Stopped
from codeact.interpreter.packages import INSTALL_SECONDS, Packages
from codeact.kernel import values

__all__ = ["PackageCalls"]

log = logging.getLogger("codeact.packages")

Reply = Callable[..., None]
MAX_TEXTS = 1000


class PackageCalls:
    """The calls of one cell.

    Args:
        packages: Installs.
        base: Our folder of the session.
        level: Of its walls.
    """

    def __init__(self, packages: Packages, base: Path, level: int):
        self._packages, self._base, self._level = packages, base, level
        self._lock = threading.Lock()
        self._running: _Running | None = None
        self._is_over = False

    def call(self, header: dict[str, Any], buffers: Sequence[memoryview], reply: Reply) -> None:
        """Answer a call, at once or when there is something to tell; what is wrong with it is its answer."""
        def answer(value: dict[str, Any]) -> None:
            tree, parts = values.pack(value)
            reply({"t": "reply", "id": header["id"], "ok": True, "value": tree}, parts)

        try:
            self._do(_asked(header, buffers), answer)
        except (ValueError, TypeError) as error:
            answer({"lines": [], "done": True, "error": str(error)[:1000]})

    def _do(self, asked: list[Any], answer: Callable[[dict[str, Any]], None]) -> None:
        with self._lock:
            running = self._running
            if asked[0] == "more":
                if running is None:
                    raise ValueError("nothing is being installed")
                running.ask(answer)
                return
            if running is not None and not running.is_done:
                raise ValueError("another installation of this cell is running")
            if self._is_over:
                return
            self._running = running = _Running()
        thread = threading.Thread(target=running.work, args=(self._packages, asked[1], self._base, self._level),
                                  name="codeact-packages", daemon=True)
        thread.start()
        answer({})

    def cancel(self) -> None:
        """The cell is over or stopped: pip and what it started end."""
        with self._lock:
            self._is_over = True
            running = self._running
        if running is not None:
            running.job.stop()


class _Running:
    """One installation, and what was not told of it yet."""

    def __init__(self) -> None:
        self.job = Job(self._tell, INSTALL_SECONDS)
        self.is_done = False
        self._lock = threading.Lock()
        self._lines: list[str] = []
        self._error: str | None = None
        self._waiting: Callable[[dict[str, Any]], None] | None = None

    def work(self, packages: Packages, texts: Sequence[object], base: Path, level: int) -> None:
        """The thread's job."""
        error = None
        try:
            self._tell(packages.install(texts, base, level, self.job))
        except (ValueError, PackageError, Stopped) as failure:
            error = str(failure)
        except BaseException as failure:
            log.exception("an installation failed")
            error = f"the installation failed on the host ({type(failure).__name__})"
        with self._lock:
            self.is_done, self._error = True, error
            self._flush()
        self.job.close()

    def ask(self, answer: Callable[[dict[str, Any]], None]) -> None:
        """Answer when there is something to tell; who asked before and got no answer gets none any more."""
        with self._lock:
            self._waiting = answer
            self._flush()

    def _tell(self, line: str) -> None:
        with self._lock:
            self._lines.append(line)
            self._flush()

    def _flush(self) -> None:
        if self._waiting is not None and (self._lines or self.is_done) and not self.job.is_stopped:
            answer, self._waiting = self._waiting, None
            lines, self._lines = self._lines, []
            answer({"lines": lines, "done": self.is_done, "error": self._error})


def _asked(header: dict[str, Any], buffers: Sequence[memoryview]) -> list[Any]:
    """What a call asks for: ["install", texts] or ["more"]; raises ValueError for anything else."""
    arguments = values.unpack(header.get("arguments"), buffers)
    asked = arguments[0] if type(arguments) is list and len(arguments) == 2 else None
    if asked == ["more"]:
        return ["more"]
    if type(asked) is list and len(asked) == 2 and asked[0] == "install" and type(asked[1]) is list \
            and len(asked[1]) <= MAX_TEXTS:
        return asked
    raise ValueError("packages are installed with ['install', [names]]")
