"""Shows what a cell of `codeact exec` writes, as it comes, and saves its figures.

What goes to a terminal is freed of what a cell could control it by; what goes to a pipe is left as it is.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, TextIO

from codeact.cli._control import Cleaner
from codeact.cli._files import OUTPUT_FOLDER
from codeact.cli._session import in_flags

if TYPE_CHECKING:
    from codeact.interpreter.output import Bundle
    from codeact.interpreter.result import ExecutionResult

__all__ = ["Printer"]


class Printer:
    """Shows output as it comes, and saves figures.

    Args:
        workspace: Where figures go; None for `codeact-output/`.
        names: What cells are called in what they write to stderr, in place of `<cell 1>`.
    """

    def __init__(self, workspace: str | None, names: Mapping[str, str] = MappingProxyType({})):
        self._folder, self._names = Path(workspace or OUTPUT_FOLDER).absolute(), names   # a cell here may go elsewhere
        self._in_line = False
        """Whether the cursor stands behind something."""
        self.begin()

    def begin(self) -> None:
        """Another cell is run."""
        self._cleaners = {stream: Cleaner(colours=True) for stream in ("stdout", "stderr")}
        self._shown = {"stdout": 0, "stderr": 0}
        """Characters shown as they came."""

    def __call__(self, event: object) -> None:
        """Take what comes to `on_output`; tool calls are not shown."""
        from codeact.interpreter.output import Display, Text

        if isinstance(event, Text):
            self._shown[event.stream] += len(event.text)
            self._flow(event.text, event.stream)
        elif isinstance(event, Display):
            self._bundle(event.bundle)

    def _flow(self, text: str, stream: str) -> None:
        """A piece of what a cell writes."""
        file = sys.stderr if stream == "stderr" else sys.stdout
        self._put(self._cleaners[stream].feed(text) if file is not None and file.isatty() else text, file)

    def _write(self, text: str, file: TextIO | None) -> None:
        """A text of its own."""
        if file is not None and file.isatty():
            cleaner = Cleaner(colours=True)
            text = cleaner.feed(text) + cleaner.end()
        self._put(text, file)

    def _put(self, text: str, file: TextIO | None) -> None:
        if file is None or not text:   # closed by the shell
            return
        if file is sys.stderr:
            for cell, name in self._names.items():
                text = text.replace(cell, name)
        encoding = file.encoding or "utf-8"
        file.write(text.encode(encoding, "replace").decode(encoding))
        file.flush()
        self._in_line = not text.endswith(("\n", "\n\x1b[0m"))

    def _settle(self) -> None:
        """Back to no colours, if the cell has left others."""
        for stream, cleaner in self._cleaners.items():
            if back := cleaner.end():
                in_line = self._in_line
                self._put(back, sys.stderr if stream == "stderr" else sys.stdout)
                self._in_line = in_line

    def fresh_line(self) -> None:
        """Go to the beginning of a line, if the cell has left the cursor elsewhere."""
        self._settle()
        if self._in_line:
            self._put("\n", sys.stdout)

    def _bundle(self, bundle: Bundle, prefix: str = "") -> None:
        from codeact.cli._files import FIGURES, Shelf
        from codeact.cli._terminal import shown

        for mime in FIGURES:
            if mime in bundle:
                try:
                    path = Shelf(self._folder).add_figure(mime, bundle[mime])
                except BrokenPipeError:
                    raise
                except OSError as error:
                    self._write(f"[a figure could not be saved: {error}]\n", sys.stderr)
                else:
                    self._write(f"{prefix}[figure saved to {shown(path)}]\n", sys.stdout)
                return
        if isinstance(text := bundle.get("text/plain"), str):
            self._write(prefix + ("\n" if prefix and "\n" in text else "") + text + "\n", sys.stdout)

    def finish(self, result: ExecutionResult, *, value: bool, prefix: str = "", error: str | None = None) -> None:
        """What is known at the end: the rest of a flood, the last value, the error, what happened to the state.

        Args:
            error: Said of the error.
        """
        # Of a flood only the beginning is shown as it comes; here is what was kept of the rest
        self._flow(result.stdout[self._shown["stdout"]:], "stdout")
        self._flow(result.stderr[self._shown["stderr"]:], "stderr")
        self._settle()
        if prefix:
            self.fresh_line()
        if value and result.value is not None:
            self._bundle(result.value, prefix)
        if error:
            self._write(error.rstrip("\n") + "\n", sys.stderr)
        if result.hint:
            self._write(f"[{in_flags(result.hint)}]\n", sys.stderr)
        if result.restored and not result.lost and prefix:
            self._write("[the process was started again; variables are as they were before this cell]\n", sys.stderr)
        for lost in result.lost:
            self._write(f"[{lost}]\n", sys.stderr)
