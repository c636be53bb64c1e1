"""Where no conversation is open: a box that begins one; and a shared one, which is only read."""

from __future__ import annotations

import asyncio

from nicegui import ui

from codeact.chats.chats import Chats
from codeact.chats.values import Summary
from codeact.errors import CodeActError
from codeact.web.page import turns
from codeact.web.page.composer import Attached, Composer
from codeact.web.page.telling import refused
from codeact.web.threads import in_slow_thread, in_thread

__all__ = ["begin", "shared"]

_EXAMPLES = (
    "Plot sin(x)/x and its derivative",
    "How are the sums of two dice spread in 10,000 throws?",
    "Look at the file I attach and tell me what is odd in it",
)
"""What anybody can begin with: a press puts it in the box, to be changed."""


def begin(chats: Chats, owner: str) -> None:
    """A first message makes its conversation; so does a file that is to go with it, which lies there from then on."""
    made: list[str] = []
    making = asyncio.Lock()   # several files come at once

    async def key() -> str:
        async with making:
            if not made:
                made.append((await in_thread(chats.create, owner)).id)
            return made[0]

    async def keep(name: str, data: bytes) -> str | None:
        try:
            return (await in_slow_thread(chats.upload, await key(), owner, name, data)).name
        except CodeActError as error:
            refused(error)
            return None

    async def send(text: str, files: tuple[Attached, ...]) -> bool:
        pictures, names = tuple(one.picture for one in files if one.picture), tuple(one.name for one in files)
        try:
            await in_slow_thread(chats.send, await key(), owner, text, images=pictures, attached=names)
        except CodeActError as error:
            refused(error)
            return False
        ui.navigate.to(f"/c/{made[0]}")
        return True

    with ui.column().classes("welcome w-full"):
        ui.label("What shall it be?").classes("text-h5").props("role=heading aria-level=2")
        ui.label("The agent acts by writing Python, in an interpreter of its own behind walls.").classes("aside")
        composer = Composer(send, keep)
        with ui.row().classes("examples gap-2").props('role=group aria-label="Examples"'):
            for task in _EXAMPLES:
                example = ui.button(task, on_click=lambda task=task: composer.begin(task))
                example.props("outline no-caps dense align=left")


async def shared(chats: Chats, token: str, summary: Summary) -> None:
    """A conversation as it is, to be read."""
    entries = await in_thread(chats.shared_turns, token, limit=200)
    with ui.column().classes("middle"):
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
