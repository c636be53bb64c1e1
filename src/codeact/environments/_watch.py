"""What a cell shows, as events of the one union: for the environments and for the HTTP service."""

from __future__ import annotations

from typing import Any

from codeact.events import Approval, Display, Observer, Output, ToolCalled
from codeact.interpreter import output
from codeact.protocols import RunResult

__all__ = ["CellWatch"]


class CellWatch:
    """Passes on what a cell shows: text, displays and tool calls as they come, the value and the error at the end."""

    def __init__(self, observe: Observer) -> None:
        self._observe = observe
        self._n_displays = 0

    def __call__(self, seen: Any) -> None:
        """Take what comes to `on_output` of `Interpreter.run`."""
        match seen:
            case output.Text(stream, text):
                self._observe(Output(text, "stderr" if stream == "stderr" else "stdout"))
            case output.Display(bundle):
                self._n_displays += 1
                self._observe(Display(bundle))
            case ToolCalled() | Approval():
                self._observe(seen)

    def end(self, result: RunResult) -> None:
        """The cell is over."""
        for bundle in result.outputs[self._n_displays :]:
            plain = bundle.get("text/plain")
            if isinstance(plain, str) and len(bundle) == 1:
                self._observe(Output(f"{plain}\n", "value"))
            else:
                self._observe(Display(bundle))
        if result.error:
            said = result.error.traceback or f"{result.error.name}: {result.error.message}"
            self._observe(Output(f"{said.rstrip()}\n", "error"))
        if hint := getattr(result, "hint", ""):
            self._observe(Output(f"[{hint}]\n", "error"))
