"""The frame of the page: conversations on the left, the open one in the middle, what belongs to it on the right."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from importlib import resources
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import Response
from nicegui import Client, background_tasks, ui
from nicegui import app as framework
from sqlalchemy.exc import SQLAlchemyError

from codeact.chats.awake import AT_WORK
from codeact.chats.chats import Chats
from codeact.chats.values import Options, Summary
from codeact.errors import CodeActError, NotFound
from codeact.web.gate import LOCAL
from codeact.web.page import colours, dialogs, options, panels, plots, start
from codeact.web.page.conversation import Conversation, is_seen
from codeact.web.page.telling import refused
from codeact.web.page.welcome import welcome
from codeact.web.plain import nothing
from codeact.web.staying import AGAIN_SECONDS
from codeact.web.threads import in_slow_thread, in_thread

__all__ = ["mount"]

log = logging.getLogger("codeact.web")

_LIST_SECONDS = 0.5
_LISTED = 100
"""Conversations in the list, until older ones are asked for."""
_BUILD_SECONDS = 60.0   # on a busy machine; a page that took longer would be a fault of the server
_PANELS = {
    "Files": panels.files,
    "Variables": panels.variables,
    "Branches": panels.branches,
    "Share and export": panels.sharing,
}


def mount(app: FastAPI, chats: Chats) -> None:
    """Add the pages."""

    @ui.page("/", title="codeact", response_timeout=_BUILD_SECONDS)
    async def home(request: Request) -> None:
        await _page(chats, request, None)

    @ui.page("/c/{key}", title="codeact", response_timeout=_BUILD_SECONDS)
    async def one(request: Request, key: str) -> Response | None:
        try:
            await in_thread(chats.summary, key, str(request.state.owner))
        except NotFound:
            return nothing("There is no such conversation; it may have been deleted.")
        await _page(chats, request, key)
        return None

    @ui.page("/s/{token}", title="codeact, shared", response_timeout=_BUILD_SECONDS)
    async def shared(token: str) -> Response | None:
        try:
            summary = await in_thread(chats.shared, token)
        except NotFound as error:
            return nothing(f"{str(error).capitalize()}.")
        _dress()
        await start.shared(chats, token, summary)
        return None

    @framework.exception_handler(404)
    async def nowhere(_: Request, __: Exception) -> Response:
        return nothing("There is nothing at this address.")

    plots.mount(app)
    ui.run_with(app, title="codeact", dark=None, show_welcome_message=False, reconnect_timeout=30.0)


def _dress() -> None:
    style, script = (
        resources.files(__package__).joinpath(name).read_text(encoding="utf-8") for name in ("style.css", "page.js")
    )
    ui.add_css(style + colours.style_sheet())
    ui.add_body_html(f"<script>{script}{plots.script()}</script>")
    ui.dark_mode(None)


async def _page(chats: Chats, request: Request, key: str | None) -> None:
    _dress()
    await _Frame(chats, str(request.state.owner), key).build()
    client = ui.context.client

    async def look() -> None:
        if not await in_thread(request.state.may_stay):  # logged out elsewhere, or for too long here
            ui.navigate.to("/login")
            client.delete()

    ui.timer(AGAIN_SECONDS, look, immediate=False)


class _Frame:
    """One browser tab."""

    def __init__(self, chats: Chats, owner: str, key: str | None) -> None:
        self.chats, self.owner, self.key = chats, owner, key
        self._search, self._beside = "", ""
        self._n_listed = _LISTED
        self._told: tuple[object, ...] | None = None
        self._rows: dict[str, tuple[object, ui.row]] = {}
        """Of the list: what each shows, and its element."""
        self._listing, self._filling = asyncio.Lock(), asyncio.Lock()
        self._left: Any = None
        self._right: Any = None

    async def build(self) -> None:
        """Make the page."""
        summary: Summary | None = None
        if self.key is not None:
            summary = await in_thread(self.chats.summary, self.key, self.owner)
        with ui.header(bordered=False).classes("items-center q-py-xs no-wrap"):
            ui.button(icon="menu", on_click=lambda: self._left.run_method("toggle")).props(
                'flat round aria-label="Conversations"'
            )
            self._title = (
                ui.label(summary.title or "New conversation" if summary else "codeact")
                .classes("grow ellipsis")
                .props("role=heading aria-level=1")
            )
            if summary:
                self._tools()
        # Not `value=None`, which asks the browser and logs a fault where a page is left at once
        with ui.left_drawer(bordered=True, value=False, bottom_corner=True).props(
            'show-if-above width=270 breakpoint=800 role=navigation aria-label="Conversations"'
        ) as self._left:
            ui.button("New chat", icon="add", on_click=self._new).props("unelevated no-caps").classes("w-full new-chat")
            ui.input(placeholder="Search (Ctrl+K)", on_change=self._searched).props(
                'outlined dense clearable debounce=300 aria-label="Search conversations"'
            ).classes("w-full search")
            self._list = ui.column().classes("w-full gap-0").props("role=list")
            self._none = ui.label("").classes("aside q-pa-sm")
            self._older = ui.button("Older ones", on_click=self._more).props("flat dense no-caps").classes("w-full")
            if self.owner != LOCAL:
                dialogs.account(self.owner)
        with ui.right_drawer(bordered=True, value=False, bottom_corner=True).props(
            "width=320 breakpoint=1100"
        ) as self._right:
            with ui.row().classes("w-full items-center no-wrap"):
                self._panel_title = ui.label("").classes("text-h6 grow")
                ui.button(icon="close", on_click=lambda: self._right.hide()).props(
                    'flat round dense aria-label="Close"'
                )
            self._panel = ui.column().classes("w-full gap-1")
        await self._fill_list()
        client = ui.context.client
        following = background_tasks.create(self._follow_list(client), name="follow the list")
        client.on_delete(following.cancel)
        if summary is not None and self.key is not None:
            self._view = Conversation(self.chats, self.key, self.owner, changed=self._changed)
            await self._view.build()
        elif not self.chats.defaults.model:
            await welcome(self.chats, self.owner)
        else:
            start.begin(self.chats, self.owner)

    def _tools(self) -> None:
        tools: list[tuple[str, str, Any]] = [
            ("undo", "Take the last message back", lambda: self._view.undo()),
            ("replay", "Do the last message again", lambda: self._view.retry()),
            ("terminal", "A cell of your own", lambda: self._view.own_cell()),
            ("data_object", "Variables", lambda: self._open("Variables")),
            ("folder_open", "Files", lambda: self._open("Files")),
            ("call_split", "Branches", lambda: self._open("Branches")),
            ("tune", "Settings", self._choose),
            ("ios_share", "Share or export", lambda: self._open("Share and export")),
        ]
        with ui.row().classes("no-wrap gap-2 wide-only"):
            for icon, label, act in tools:
                ui.button(icon=icon, on_click=act).props(f'flat round dense aria-label="{label}"').tooltip(label)
        with (
            ui.button(icon="more_vert").props('flat round aria-label="Tools"').classes("narrow-only"),
            ui.menu().props("auto-close"),
        ):
            for _, label, act in tools:
                ui.menu_item(label, on_click=act)

    # The list ---------------------------------------------------------------------------------------------------------

    async def _fill_list(self) -> None:
        async with self._listing:   # of two at once, the one that was asked for first could be shown last
            found = await in_thread(self.chats.find, self.owner, search=self._search, limit=self._n_listed + 1)
            self._older.set_visibility(len(found) > self._n_listed)
            found = found[: self._n_listed]
            looks = {one.id: (one.title, one.pinned, one.state in AT_WORK) for one in found}
            for gone in self._rows.keys() - looks.keys():
                self._rows.pop(gone)[1].delete()
            for place, one in enumerate(found):
                look, row = self._rows.get(one.id, (None, None))
                if row is None or look != looks[one.id]:   # a row is some twenty elements: no more than have to be
                    if row is not None:
                        row.delete()
                    with self._list:
                        row = self._row(one)
                    self._rows[one.id] = looks[one.id], row
                if self._list.default_slot.children[place] is not row:
                    row.move(target_index=place)
            self._none.set_text("None yet." if not self._search else "Nothing found.")
            self._none.set_visibility(not found)

    async def _more(self) -> None:
        self._n_listed += _LISTED
        await self._fill_list()

    async def _follow_list(self, client: Client) -> None:
        """What happens in other conversations, and in other tabs."""
        loop, news = asyncio.get_running_loop(), asyncio.Event()
        end = self.chats.watch(lambda _: loop.call_soon_threadsafe(news.set))
        try:
            while not self.chats.is_closed:
                await news.wait()
                await asyncio.sleep(_LIST_SECONDS)   # much happens while something is written
                await is_seen(client)
                news.clear()
                try:
                    await self._fill_list()
                except SQLAlchemyError as error:   # a database that is gone for a moment
                    log.warning("a page could not show the list: %s", error)
                    news.set()
        finally:
            end()

    def _row(self, one: Summary) -> ui.row:
        current = " current" if one.id == self.key else ""
        title = one.title or "New conversation"
        with ui.row().classes(f"conversation items-center no-wrap gap-0{current}").props("role=listitem") as row:
            if one.pinned:
                ui.icon("push_pin", size="xs")
            ui.link(title, f"/c/{one.id}").classes("grow ellipsis q-pa-sm no-underline text-inherit").style(
                "color: inherit"
            )
            if one.state in AT_WORK:
                ui.spinner(size="xs")
            more: ui.button = ui.button(icon="more_vert", on_click=lambda: self._menu(more, one)).props(
                'flat round dense size=sm aria-label="More about this conversation"'
            )
        return row

    def _menu(self, at: ui.button, one: Summary) -> None:
        at.clear()
        with at, ui.menu().props("auto-close no-parent-event") as menu:
            ui.menu_item("Rename", on_click=lambda: self._rename(one))
            ui.menu_item("Unpin" if one.pinned else "Pin", on_click=lambda: self._pin(one))
            ui.menu_item("Delete", on_click=lambda: self._delete(one))
        menu.open()

    async def _new(self) -> None:
        try:
            made = await in_thread(self.chats.create, self.owner)
        except CodeActError as error:
            refused(error)
            return
        ui.navigate.to(f"/c/{made.id}")

    async def _searched(self, event: Any) -> None:
        self._search = str(event.value or "")
        await self._fill_list()

    async def _rename(self, one: Summary) -> None:
        with ui.context.client.content:   # a box stays when its row in the list goes
            name = await dialogs.ask_name(one.title)
            if name and await self._do(self.chats.update, one.id, title=name):
                await self._fill_list()
                if one.id == self.key:
                    self._title.set_text(name)

    async def _pin(self, one: Summary) -> None:
        if await self._do(self.chats.update, one.id, pinned=not one.pinned):
            await self._fill_list()

    async def _delete(self, one: Summary) -> None:
        with ui.context.client.content:
            if await dialogs.confirm(f"Delete {one.title or 'this conversation'!r}, with its files?", "Delete"):
                await self._do(self.chats.delete, one.id)
                if one.id == self.key:
                    ui.navigate.to("/")
                else:
                    await self._fill_list()

    async def _do(self, work: Callable[..., Any], key: str, **more: Any) -> bool:
        """A method of `Chats`; what it refuses is said, also that another tab deleted the conversation meanwhile."""
        try:
            await in_slow_thread(work, key, self.owner, **more)
        except CodeActError as error:
            refused(error)
            return False
        return True

    async def _changed(self, *, files: bool = False) -> None:
        """Something of the open conversation is another way: what stands around it shows that."""
        assert self.key is not None
        summary = await in_thread(self.chats.summary, self.key, self.owner)
        told = (summary.title, summary.state, summary.branch, summary.n_branches, summary.n_turns)
        is_other, self._told = told != self._told, told
        if is_other:
            self._title.set_text(summary.title or "New conversation")
            await self._fill_list()
        at_rest = summary.state not in ("running", "waiting")
        if self._right.value and ((is_other and at_rest) or (files and self._beside == "Files")):
            await self._fill_panel()

    # Beside it --------------------------------------------------------------------------------------------------------

    async def _open(self, what: str) -> None:
        self._beside = what
        self._panel_title.set_text(what)
        await self._fill_panel()
        self._right.show()

    async def _fill_panel(self) -> None:
        async with self._filling:
            assert self.key is not None
            before = list(self._panel)
            with self._panel, ui.column().classes("w-full gap-1") as filled:
                filled.set_visibility(bool(not before))
                await _PANELS[self._beside](self.chats, self.key, self.owner)
            for old in before:
                old.delete()
            filled.set_visibility(True)

    async def _choose(self) -> None:
        assert self.key is not None
        key = self.key
        summary = await in_thread(self.chats.summary, key, self.owner)

        async def keep(chosen: Options) -> None:
            await in_slow_thread(self.chats.update, key, self.owner, options=chosen)
            await self._view.refresh()

        await options.choose(self.chats, self.owner, summary.options, keep)
