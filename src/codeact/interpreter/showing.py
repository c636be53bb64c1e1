"""What a running cell shows, passed on as it comes and in its order: prints, displays, and what its tools did."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from codeact.interpreter.output import Display, OnOutput, Text
from codeact.interpreter.streams import OutputReader
from codeact.kernel import values
from codeact.kernel.wire import ProtocolError

if TYPE_CHECKING:
    from codeact.events import Approval, ToolCalled

__all__ = ["Showing", "bundle_of"]

MAX_DISPLAYS = 500
MAX_DISPLAY_BYTES = 64 << 20


class Showing:
    """Shows what one cell gives.

    Args:
        reader: Of its output.
        news: What its tools did, told by their threads.
        on_output: Is told; None where nobody looks on.
    """

    def __init__(self, reader: OutputReader, news: deque[ToolCalled | Approval], on_output: OnOutput | None):
        self.reader, self._news, self._on_output = reader, news, on_output
        self.displays: dict[int, dict[str, str | bytes]] = {}
        """Number -> bundle; -1 where some were left out."""
        self._display_bytes = 0
        self._waiting: deque[Text | int] = deque()
        """What was printed, and where displays stand in it: one that has not come yet holds up what follows."""
        if on_output is not None:
            reader.on_text, reader.on_display = self._printed, self._displayed

    @property
    def is_seen(self) -> bool:
        """Whether somebody looks on."""
        return self._on_output is not None

    def take(self, header: dict[str, Any], buffers: Sequence[memoryview]) -> None:
        """A frame "display".

        Raises:
            ProtocolError: It is none.
        """
        self.reader.read()   # its place in the text was marked before this was sent
        if len(self.displays) >= MAX_DISPLAYS or self._display_bytes > MAX_DISPLAY_BYTES:
            self.displays.setdefault(-1, {})
            return
        bundle = bundle_of(header.get("data"), buffers)
        # As it lies in memory: a frame may have its text in the header, and a million names for nothing
        self._display_bytes += sum(map(sys.getsizeof, (bundle, *bundle, *bundle.values())))
        if self._display_bytes > MAX_DISPLAY_BYTES:
            self.displays.setdefault(-1, {})
            return
        number = header.get("id")
        if bundle and type(number) is int:
            self.displays[number] = bundle
            self._go_on()

    def tell_news(self) -> None:
        """Pass on what tools did."""
        news = self._news
        while news:
            event = news.popleft()
            if self._on_output is not None:
                self._on_output(event)

    def finish(self, *, all_read: bool) -> None:
        """Show the rest.

        Args:
            all_read: Nothing can be in the output that was not read.
        """
        self.tell_news()
        if not all_read:
            self.reader.read()
        self._go_on(all_came=True)

    def stop(self) -> None:
        """Tell nobody any more."""
        self._on_output = self.reader.on_text = self.reader.on_display = None

    def _printed(self, stream: str, text: str) -> None:
        self._waiting.append(Text("stderr" if stream == "stderr" else "stdout", text))
        self._go_on()

    def _displayed(self, number: int) -> None:
        self._waiting.append(number)
        self._go_on()

    def _go_on(self, *, all_came: bool = False) -> None:
        while self._waiting:
            if not isinstance(first := self._waiting[0], int):
                self._show(first)
            elif bundle := self.displays.get(first):
                self._show(Display(bundle))
            elif not all_came and -1 not in self.displays:   # else it may be one that is left out
                return
            self._waiting.popleft()

    def _show(self, event: Text | Display) -> None:
        """After what its tools did before it went on."""
        if self._on_output is not None:
            self.tell_news()
            self._on_output(event)


def bundle_of(tree: Any, buffers: Sequence[memoryview]) -> dict[str, str | bytes]:
    """A MIME bundle, of which only strings and bytes are kept.

    Raises:
        ProtocolError: It is none.
    """
    if type(tree) is dict and len(tree) == 1 and type(text := tree.get("text/plain")) is str and not buffers:
        return {"text/plain": text}   # as most are
    try:
        data = values.unpack(tree, buffers)
    except (ValueError, TypeError) as error:
        raise ProtocolError(str(error)) from None
    if not isinstance(data, dict):
        raise ProtocolError("a display is no bundle")
    return {str(kind): content for kind, content in data.items() if isinstance(content, (str, bytes))}
