"""One conversation on a page: what was said, what happens now, and what can be done about it.

The page holds nothing of its own: it loads the latest turns, then follows the entries by their number. A reload, a
second tab, a connection that was lost: the same entries again, each once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from nicegui import Client, background_tasks, ui
from sqlalchemy.exc import SQLAlchemyError

from codeact.chats.chats import Chats
from codeact.chats.store import PIECES
from codeact.chats.values import Entry, Summary
from codeact.errors import CodeActError, NotFound
from codeact.web.following import follow
from codeact.web.page import panels, turns
from codeact.web.page.composer import Attached, Composer
from codeact.web.page.dialogs import edited
from codeact.web.page.telling import refused, tell
from codeact.web.threads import in_slow_thread, in_thread

__all__ = ["Conversation", "is_seen"]

_log = logging.getLogger(__name__)

_PAGE_TURNS = 30
_SEEN_SECONDS = 0.1
_AGAIN_SECONDS = 2.0
_ENDS = ("ended", "stopped", "interrupted", "error")


class Conversation:
    """The view of one conversation, for one browser tab.

    Args:
        key, owner: Which, and whose.
        changed: Called when what is shown around it may have changed; with `files=True` if that is its files.
    """

    def __init__(self, chats: Chats, key: str, owner: str, *, changed: Callable[..., Awaitable[None]]) -> None:
        self.chats, self.key, self.owner = chats, key, owner
        self._changed = changed
        self._seen, self._first, self._last = 0, 0, ""
        self._branch_shown = ""
        self._live: turns.LiveTurn | None = None
        self._cell: tuple[Any, str] | None = None
        self._asked, self._took = 0.0, 0.0
        self._open: dict[str, Any] = {}

    # The page ---------------------------------------------------------------------------------------------------------

    async def build(self) -> None:
        """Make the elements and begin to follow."""
        with ui.column().classes("middle").props('role=log aria-label="Conversation"') as self._column:
            self._earlier = (
                ui.button("earlier turns", on_click=self._more).props("flat dense no-caps").classes("note earlier")
            )
            self._shown = ui.column().classes("w-full gap-0 turns")
        with ui.footer(bordered=False).classes("q-pa-none"), ui.column().classes("composer gap-1"):
            self._composer = Composer(self._send, self._keep)
            self._composer.box.on("keydown.up", self._edit_last, js_handler=_UP)
            with self._composer.row:
                self._stop_button = (
                    ui.button(icon="stop", on_click=self.stop)
                    .props('round unelevated color=negative aria-label="Stop"')
                    .tooltip("Stop (Esc)")
                )
            self._status = ui.label("").classes("aside").props("role=status")
        await self._reload()
        client = ui.context.client
        following = background_tasks.create(self._follow(client), name=f"follow {self.key}")
        client.on_delete(following.cancel)

    async def _reload(self) -> None:
        entries = await in_thread(self.chats.shown, self.key, self.owner, limit=_PAGE_TURNS)
        self._shown.clear()
        self._live, self._cell = None, None
        self._asked, self._took = 0.0, 0.0
        self._open.clear()
        with self._shown:
            for entry in entries:
                self._show(entry)
        numbers = [entry.turn for entry in entries if entry.turn is not None]
        self._first = min(numbers, default=0)
        self._earlier.set_visibility(self._first > 0)
        self._seen = max((entry.seq for entry in entries), default=0)
        await self.refresh()
        self._to_end()

    async def _more(self) -> None:
        entries = await in_thread(self.chats.shown, self.key, self.owner, before=self._first, limit=_PAGE_TURNS)
        with self._shown, ui.column().classes("w-full gap-0") as above:
            for entry in entries:
                self._show(entry)
        above.move(target_index=0)
        self._first = min((entry.turn for entry in entries if entry.turn is not None), default=0)
        self._earlier.set_visibility(self._first > 0)
        # What was read stays where it was
        ui.run_javascript(
            "const below = window.belowEarlier; delete window.belowEarlier;"
            "if (below) setTimeout(() => window.scrollTo(0, document.body.scrollHeight - below), 60)"
        )

    async def _follow(self, client: Client) -> None:
        await is_seen(client)
        while not self.chats.is_closed:
            try:
                async for found in follow(self.chats, self.key, self.owner, self._seen):
                    with self._column:
                        await self._take(found)
            except NotFound:
                with self._shown:
                    ui.label("This conversation was deleted.").classes("note")
                return
            except SQLAlchemyError as error:   # a database that is gone for a moment; what came meanwhile is there then
                _log.warning("a page could not follow its conversation: %s", error)
                await asyncio.sleep(_AGAIN_SECONDS)

    async def _take(self, found: list[Entry]) -> None:
        summary = await self._summary()
        is_elsewhere = summary is not None and summary.branch != self._branch_shown   # somebody chose another branch
        if is_elsewhere or any(entry.kind == "branched" for entry in found):
            await self._reload()
            return
        with self._shown:
            for entry in found:
                if entry.seq > self._seen:
                    self._seen = entry.seq
                    self._show(entry)
        await self.refresh(summary)
        self._to_end(only_if_near=True)

    # Entries ----------------------------------------------------------------------------------------------------------

    def _show(self, entry: Entry) -> None:
        try:
            self._draw(entry)
        except Exception:   # one entry that cannot be drawn must not be the last that is
            _log.exception("an entry could not be drawn")
            ui.label("This part could not be shown; exports and the API have it.").classes("note aside")

    def _draw(self, entry: Entry) -> None:
        data, self._last = entry.data, entry.kind
        match entry.kind:
            case "user":
                self._asked, self._took = entry.at, 0.0
                self._end_live(keep=True)
                turns.said(data)
            case "turn":
                self._took = entry.at - self._asked if self._asked else 0.0
                self._end_live()
                if data["action"]["type"] == "answer":
                    self._last = "ended"
                turns.turn(data, entry.turn or 0, edit=self._edit_cell, branch=self._branch, look=self._look)
            case "cell":
                with ui.column().classes("w-full gap-0") as place:
                    turns.own_cell(data["code"], None)
                self._cell = place, data["code"]
            case "cell_done":
                self._end_live()
                if self._cell:
                    place, code = self._cell
                    place.clear()
                    with place:
                        turns.own_cell(code, data, self._look)
                    self._cell = None
            case "approval":
                self._ask(data)
            case "answered":
                if card := self._open.pop(data["call"], None):
                    card.delete()
            case "cut":
                self._end_live()
                turns.cut(data)
            case "error" | "stopped" | "interrupted" | "ended":
                self._end_live(keep=True)
                if entry.kind in ("stopped", "interrupted"):
                    for card in self._open.values():
                        card.delete()
                    self._open.clear()
                turns.note(entry.kind, data)
            case "restored" | "note":
                turns.note(entry.kind, data)
            case kind if kind in PIECES:
                if self._live is None:
                    self._live = turns.LiveTurn()
                self._live.take(kind, data)

    def _end_live(self, *, keep: bool = False) -> None:
        if self._live:
            if keep:
                self._live.freeze()
            else:
                self._live.remove()
            self._live = None

    def _ask(self, data: Any) -> None:
        call = data["call"]

        async def answer(granted: bool) -> None:
            await self._do(self.chats.approve, call, granted)

        with (
            ui.element("section").classes("approval").props('role=alertdialog aria-label="A tool wants to run"') as card
        ):
            ui.label(f"The code wants to call {data['tool']}").classes("text-weight-medium")
            for name, value in data["arguments"].items():
                ui.label(f"{name} = {value}").classes("output")
            with ui.row():
                ui.button("Allow", on_click=lambda: answer(True)).props("unelevated no-caps")
                ui.button("Refuse", on_click=lambda: answer(False)).props("outline no-caps")
        self._open[call] = card

    # What the user does -----------------------------------------------------------------------------------------------

    async def _do(self, work: Callable[..., Any], *words: Any, **more: Any) -> Any:
        """A method of `Chats`; what it refuses is said."""
        try:
            return await in_slow_thread(work, self.key, self.owner, *words, **more)
        except CodeActError as error:
            refused(error)
            return error

    async def _send(self, text: str, files: tuple[Attached, ...]) -> bool:
        pictures = tuple(one.picture for one in files if one.picture)
        done = await self._do(self.chats.send, text, images=pictures, attached=tuple(one.name for one in files))
        if isinstance(done, CodeActError):
            return False
        await self._changed()
        self._to_end()
        return True

    async def _keep(self, name: str, data: bytes) -> str | None:
        info = await self._do(self.chats.upload, name, data)
        if isinstance(info, CodeActError):
            return None
        await self._changed(files=True)
        return str(info.name)

    async def stop(self) -> None:
        """Stop what runs."""
        await self._do(self.chats.stop)

    async def undo(self) -> None:
        """Take the last message back."""
        await self._do(self.chats.undo)

    async def retry(self) -> None:
        """Have it done again."""
        await self._do(self.chats.retry)

    async def _branch(self, number: int) -> None:
        done = await self._do(self.chats.branch, number)
        if not isinstance(done, CodeActError):
            tell("On a branch of its own; the other way is kept under Branches.")

    async def _look(self, name: str) -> None:
        await panels.preview(self.chats, self.key, self.owner, name)

    async def _edit_cell(self, number: int) -> None:
        found = await in_thread(self.chats.turns, self.key, self.owner, before=number + 1, limit=1)
        code = await edited(
            "Change this cell",
            "It runs with the variables as they were then, and the agent goes on from "
            "it. The other way is kept under Branches.",
            next((one.code for one in found if one.number == number and one.action != "cut"), ""),
            "Run from here",
            is_code=True,
        )
        if code is not None:
            await self._do(self.chats.edit, number, code)

    async def _edit_last(self) -> None:
        said = [one for one in await in_thread(self.chats.turns, self.key, self.owner) if one.user]
        if not said:
            return
        last = said[-1]
        text = await edited(
            "Say it in another way",
            "What came of it so far is kept under Branches.",
            str((last.user or {}).get("text", "")),
            "Send",
        )
        if text is not None:
            await self._do(self.chats.edit_message, last.number, text)

    async def own_cell(self) -> None:
        """Ask for a cell of the user's own and run it."""
        words = "It runs in the same interpreter; the agent is told of it."
        code = await edited("A cell of your own", words, "", "Run", is_code=True)
        if code is not None:
            await self._do(self.chats.run_cell, code)

    # ------------------------------------------------------------------------------------------------------------------

    async def _summary(self) -> Summary | None:
        try:
            return await in_thread(self.chats.summary, self.key, self.owner)
        except NotFound:
            return None

    async def refresh(self, summary: Summary | None = None) -> None:
        """Show anew what is known of the whole: state, model, tokens, cost."""
        if (summary := summary or await self._summary()) is None:
            return
        self._branch_shown = summary.branch
        busy = summary.state in ("running", "waiting")
        self._stop_button.set_visibility(busy)
        self._composer.button.set_visibility(not busy)
        if not busy and self._live and self._live.is_empty:   # else its end is still to come
            self._end_live()
        elif self._live is None and summary.state == "running" and self._last not in _ENDS:
            with self._shown:
                self._live = turns.LiveTurn()
        used = summary.usage
        cost = f" · ${used.cost:.3f}" if used.cost else ""
        told = {"running": "working", "waiting": "waits for your approval", "interrupted": "interrupted"}.get(
            summary.state, ""
        )
        tokens = f"{used.tokens:,} tokens{cost}" if used.tokens else ""
        took = f"last answer {self._took:.1f} s" if self._took and not busy else ""
        self._status.set_text(" · ".join(filter(None, (summary.options.model, told, tokens, took))))
        await self._changed()

    def _to_end(self, *, only_if_near: bool = False) -> None:
        near = "window.innerHeight + window.scrollY > document.body.scrollHeight - 400" if only_if_near else "true"
        ui.run_javascript(
            f"const near = {near}; if (near) setTimeout(() => window.scrollTo(0, document.body.scrollHeight), 60)"
        )


_UP = "(e) => { if (!e.target.value) { e.preventDefault(); emit(); } }"


async def is_seen(client: Client) -> None:
    """Until the page is in a browser: a program that reads it, or a reader who has gone, needs nothing to follow."""
    while not client.has_socket_connection:
        await asyncio.sleep(_SEEN_SECONDS)
