"""Where no conversation is open: a box that begins one; and a shared one, which is only read."""

from __future__ import annotations

from nicegui import events, ui

from codeact.chats.chats import Chats
from codeact.errors import CodeActError, NotFound
from codeact.web.page import turns
from codeact.web.page.conversation import ON_ENTER, written_in
from codeact.web.page.telling import refused
from codeact.web.threads import in_slow_thread, in_thread

__all__ = ["begin", "shared"]


def begin(chats: Chats, owner: str) -> None:
    """A first message makes its conversation."""

    async def send(event: events.GenericEventArguments | events.ClickEventArguments) -> None:
        text = written_in(box, event)
        if not text.strip():
            return
        box.set_value("")   # at once, so that a key pressed twice sends it once
        try:
            made = await in_thread(chats.create, owner)
            await in_slow_thread(chats.send, made.id, owner, text)
        except CodeActError as error:
            box.set_value(text)
            refused(error)
            return
        ui.navigate.to(f"/c/{made.id}")

    with ui.column().classes("welcome w-full"):
        ui.label("What shall it be?").classes("text-h5").props("role=heading aria-level=2")
        ui.label("The agent acts by writing Python, in an interpreter of its own behind walls.").classes("aside")
        with ui.row().classes("w-full items-end no-wrap gap-2"):
            box = (
                ui.textarea(placeholder="Ask, or give a task")
                .props('autogrow outlined dense rounded input-class="max-h-48" aria-label="Message" autofocus')
                .classes("grow")
                .on("keydown.enter", send, js_handler=ON_ENTER)
            )
            ui.button(icon="arrow_upward", on_click=send).props('round unelevated aria-label="Send"')


async def shared(chats: Chats, token: str) -> None:
    """A conversation as it is, to be read."""
    try:
        summary = await in_thread(chats.shared, token)
    except NotFound as error:
        ui.label(str(error)).classes("welcome")
        return
    entries = await in_thread(chats.shared_turns, token, limit=200)
    with ui.column().classes("column"):
        ui.label(summary.title or "A conversation").classes("text-h5 q-mt-md").props("role=heading aria-level=1")
        cell = ""
        for entry in entries:
            if entry.kind == "user":
                turns.said(entry.data)
            elif entry.kind == "turn":
                turns.turn(entry.data, entry.turn or 0)
            elif entry.kind == "cell":
                cell = entry.data["code"]
            elif entry.kind == "cell_done":
                turns.own_cell(cell, entry.data)
            elif entry.kind == "cut":
                turns.cut(entry.data)
            else:
                turns.note(entry.kind, entry.data)
