"""The box that a message is written in: files go with it, Enter sends it once, what was refused stays in it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from nicegui import events, ui

from codeact.errors import CodeActError
from codeact.messages import Image

__all__ = ["ON_CTRL_ENTER", "Attached", "Composer"]

_MAX_BYTES = 250 << 20
_ON_ENTER = "(e) => { if (!e.shiftKey && !e.isComposing) { e.preventDefault(); whenConnected(e.target, emit); } }"
ON_CTRL_ENTER = "(e) => { if ((%s) && !e.isComposing) { e.preventDefault(); emit(e.target.value); } }"
"""What it sends is the box's text; `%s` says of `e` which keys go with Enter."""


@dataclass(frozen=True)
class Attached:
    """A file that goes with a message."""

    name: str
    """As it is kept."""
    picture: Image | None
    """What a model that sees is shown of it."""


class Composer:
    """A box with its buttons.

    Args:
        send: Sends a message; whether it went.
        keep: Keeps a file (its name, and what reads it); the name it got, or None if it was refused.
    """

    def __init__(
        self,
        send: Callable[[str, tuple[Attached, ...]], Awaitable[bool]],
        keep: Callable[[str, bytes], Awaitable[str | None]],
    ) -> None:
        self._send, self._keep = send, keep
        self._files: list[Attached] = []
        self._chips = ui.row().classes("attached gap-2")
        with ui.row().classes("composing w-full items-end no-wrap gap-2") as self.row:
            self._upload = (
                ui.upload(on_upload=self._uploaded, auto_upload=True, multiple=True, max_file_size=_MAX_BYTES)
                .classes("hidden")
                .props('aria-label="Attach files" tabindex=-1')
            )
            ui.button(icon="attach_file", on_click=lambda: self._upload.run_method("pickFiles")).props(
                'flat round aria-label="Attach files"'
            ).tooltip("Attach files; or drop them on the page, or paste them")
            self.box = (
                ui.textarea(placeholder="Ask, or give a task")
                .props('autogrow outlined dense rounded input-class="max-h-48" aria-label="Message" autofocus')
                .classes("grow")
                .on("keydown.enter", self._sent, js_handler=_ON_ENTER)
            )
            self.button = ui.button(icon="arrow_upward", on_click=self._sent).props(
                'round unelevated aria-label="Send"'
            )

    def begin(self, text: str) -> None:
        """Put a text into the box, to be changed and sent."""
        self.box.set_value(text)
        self.box.run_method("focus")

    async def _sent(self, event: events.GenericEventArguments | events.ClickEventArguments) -> None:
        # With the event comes what was in the box of a page that was not connected when Enter was pressed
        told: Any = getattr(event, "args", None)
        text, files = told if isinstance(told, str) else str(self.box.value or ""), self._files
        if not text.strip() and not any(one.picture for one in files):
            return
        # At once, so that a key pressed twice sends it once
        self.box.set_value("")
        self._files = []
        if await self._send(text, tuple(files)):
            self._show()
        else:
            self.box.set_value(text)
            self._files = files

    async def _uploaded(self, event: events.UploadEventArguments) -> None:
        data = await event.file.read()
        name = await self._keep(event.file.name, data)
        self._upload.run_method("removeUploadedFiles")   # `reset` would break off those that still come
        if name is None:
            return
        self._files = [*(one for one in self._files if one.name != name), Attached(name, _picture(data))]
        self._show()

    def _show(self) -> None:
        self._chips.clear()
        with self._chips:
            for one in self._files:
                chip = ui.chip(one.name, icon="attach_file", removable=True).props(
                    'outline dense remove-aria-label="Do not send it along"'
                )
                chip.on_value_change(lambda _, one=one: self._without(one))

    def _without(self, gone: Attached) -> None:
        self._files = [one for one in self._files if one is not gone]
        self._show()


def _picture(data: bytes) -> Image | None:
    try:
        return Image.of(data)
    except CodeActError:   # it is none
        return None
