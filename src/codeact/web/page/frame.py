"""The frame of the page: conversations on the left, the open one in the middle, what belongs to it on the right."""

from __future__ import annotations

from importlib import resources
from typing import Any

from fastapi import FastAPI, Request
from nicegui import ui

from codeact.chats.chats import Chats
from codeact.chats.values import Summary
from codeact.errors import CodeActError, NotFound
from codeact.web.page import dialogs, panels, turns, words
from codeact.web.page.conversation import Conversation
from codeact.web.threads import in_thread

__all__ = ["mount"]

_KEYS = """
document.addEventListener('keydown', (e) => {
  const key = e.key.toLowerCase();
  if ((e.ctrlKey || e.metaKey) && key === 'k') { e.preventDefault(); document.querySelector('.search input')?.focus(); }
  if (e.ctrlKey && e.altKey && key === 'n') { e.preventDefault(); document.querySelector('.new-chat')?.click(); }
  if (key === 'escape' && !document.querySelector('.q-dialog')) document.querySelector('[aria-label="Stop"]')?.click();
});
window.addEventListener('message', (e) => {
  const height = Number(e.data && e.data.codeactHeight);
  if (!height) return;
  for (const frame of document.querySelectorAll('.framed iframe'))
    if (frame.contentWindow === e.source) frame.style.height = Math.min(height + 4, 1200) + 'px';
});
window.addEventListener('scroll', () => {
  const earlier = document.querySelector('.earlier');
  if (window.scrollY > 60 || !earlier?.offsetParent || earlier.dataset.asked) return;
  earlier.dataset.asked = 1;
  setTimeout(() => delete earlier.dataset.asked, 1000);
  window.belowEarlier = document.body.scrollHeight - window.scrollY;
  earlier.click();
}, {passive: true});
document.addEventListener('paste', (e) => {
  const files = [...(e.clipboardData?.files || [])];
  if (files.length) { e.preventDefault(); uploadAll(files); }
});
document.addEventListener('dragover', (e) => e.preventDefault());
document.addEventListener('drop', (e) => { e.preventDefault(); uploadAll([...e.dataTransfer.files]); });
function uploadAll(files) {
  const element = document.querySelector('.q-uploader');
  if (!element || !files.length) return;
  const id = element.id.replace('c', '');
  window.getElement(Number(id))?.$refs?.qRef?.addFiles?.(files);
}
"""


def mount(app: FastAPI, chats: Chats) -> None:
    """Add the pages."""

    @ui.page("/", title="codeact")
    async def home(request: Request) -> None:
        await _page(chats, request, None)

    @ui.page("/c/{key}", title="codeact")
    async def one(request: Request, key: str) -> None:
        await _page(chats, request, key)

    @ui.page("/s/{token}", title="codeact, shared")
    async def shared(token: str) -> None:
        _dress()
        await _shared(chats, token)

    ui.run_with(app, title="codeact", dark=None, show_welcome_message=False, reconnect_timeout=30.0)


def _dress() -> None:
    style = resources.files(__package__).joinpath("style.css").read_text(encoding="utf-8")
    ui.add_css(style + words.colours())
    ui.add_body_html(f"<script>{_KEYS}</script>")
    ui.run_javascript("document.documentElement.lang = 'en'")
    ui.dark_mode(None)


async def _page(chats: Chats, request: Request, key: str | None) -> None:
    _dress()
    await _Frame(chats, str(request.state.owner), key).build()


class _Frame:
    """One browser tab."""

    def __init__(self, chats: Chats, owner: str, key: str | None) -> None:
        self.chats, self.owner, self.key = chats, owner, key
        self._search = ""
        self._told: tuple[str, str] | None = None
        self._left: Any = None
        self._right: Any = None

    async def build(self) -> None:
        """Make the page."""
        summary: Summary | None = None
        if self.key is not None:
            try:
                summary = await in_thread(self.chats.summary, self.key, self.owner)
            except NotFound:
                ui.label("There is no such conversation.").classes("welcome")
                ui.link("To the others", "/").classes("welcome")
                return
        with ui.header(bordered=False).classes("items-center q-py-xs no-wrap"):
            ui.button(icon="menu", on_click=lambda: self._left.toggle()).props('flat round aria-label="Conversations"')
            self._title = (
                ui.label(summary.title or "New conversation" if summary else "codeact")
                .classes("grow ellipsis")
                .props("role=heading aria-level=1")
            )
            if summary:
                self._tools()
        with ui.left_drawer(bordered=True, value=None, bottom_corner=True).props(
            'width=270 breakpoint=800 role=navigation aria-label="Conversations"'
        ) as self._left:
            ui.button("New chat", icon="add", on_click=self._new).props("unelevated no-caps").classes("w-full new-chat")
            ui.input(placeholder="Search (Ctrl+K)", on_change=self._searched).props(
                'outlined dense clearable debounce=300 aria-label="Search conversations"'
            ).classes("w-full search")
            self._list = ui.column().classes("w-full gap-0").props("role=list")
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
        if summary is not None and self.key is not None:
            self._view = Conversation(self.chats, self.key, self.owner, changed=self._changed)
            await self._view.build()
        elif not self.chats.defaults.model:
            await dialogs.first_words(self.chats)
        else:
            with ui.column().classes("welcome"):
                ui.label("What shall it be?").classes("text-h5")
                ui.label("The agent acts by writing Python, in an interpreter of its own behind walls.").classes(
                    "aside"
                )
                ui.button("New chat", on_click=self._new).props("unelevated no-caps")

    def _tools(self) -> None:
        tools: list[tuple[str, str, Any]] = [
            ("undo", "Take the last message back", lambda: self._view.undo()),
            ("replay", "Do the last message again", lambda: self._view.retry()),
            ("terminal", "A cell of your own", lambda: self._view.own_cell()),
            ("data_object", "Variables", lambda: self._open("Variables")),
            ("folder_open", "Files", lambda: self._open("Files")),
            ("call_split", "Branches", lambda: self._open("Branches")),
            ("tune", "Model, format, tools, limits", self._choose),
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
        found = await in_thread(self.chats.find, self.owner, search=self._search, limit=100)
        self._list.clear()
        with self._list:
            for one in found:
                self._row(one)
            if not found:
                ui.label("None yet." if not self._search else "Nothing found.").classes("aside q-pa-sm")

    def _row(self, one: Summary) -> None:
        current = " current" if one.id == self.key else ""
        title = one.title or "New conversation"
        with ui.row().classes(f"conversation items-center no-wrap gap-0{current}").props("role=listitem"):
            if one.pinned:
                ui.icon("push_pin", size="xs")
            ui.link(title, f"/c/{one.id}").classes("grow ellipsis q-pa-sm no-underline text-inherit").style(
                "color: inherit"
            )
            if one.state in ("running", "waiting"):
                ui.spinner(size="xs")
            with (
                ui.button(icon="more_vert").props('flat round dense size=sm aria-label="More about this conversation"'),
                ui.menu().props("auto-close"),
            ):
                ui.menu_item("Rename", on_click=lambda: self._rename(one))
                ui.menu_item("Unpin" if one.pinned else "Pin", on_click=lambda: self._pin(one))
                ui.menu_item("Delete", on_click=lambda: self._delete(one))

    async def _new(self) -> None:
        try:
            made = await in_thread(self.chats.create, self.owner)
        except CodeActError as error:
            ui.notify(str(error), type="warning")
            return
        ui.navigate.to(f"/c/{made.id}")

    async def _searched(self, event: Any) -> None:
        self._search = str(event.value or "")
        await self._fill_list()

    async def _rename(self, one: Summary) -> None:
        if name := await dialogs.ask_name(one.title):
            await in_thread(self.chats.update, one.id, self.owner, title=name)
            await self._fill_list()
            if one.id == self.key:
                self._title.set_text(name)

    async def _pin(self, one: Summary) -> None:
        await in_thread(self.chats.update, one.id, self.owner, pinned=not one.pinned)
        await self._fill_list()

    async def _delete(self, one: Summary) -> None:
        if await dialogs.confirm(f"Delete {one.title or 'this conversation'!r}, with its files?", "Delete"):
            await in_thread(self.chats.delete, one.id, self.owner)
            if one.id == self.key:
                ui.navigate.to("/")
            else:
                await self._fill_list()

    async def _changed(self) -> None:
        """Something of the open conversation is another way; the list shows title and state."""
        assert self.key is not None
        summary = await in_thread(self.chats.summary, self.key, self.owner)
        if (told := (summary.title, summary.state)) != self._told:
            self._told = told
            self._title.set_text(summary.title or "New conversation")
            await self._fill_list()

    # Beside it --------------------------------------------------------------------------------------------------------

    async def _open(self, what: str) -> None:
        assert self.key is not None
        self._panel_title.set_text(what)
        self._panel.clear()
        with self._panel:
            if what == "Files":
                await panels.files(self.chats, self.key, self.owner)
            elif what == "Variables":
                await panels.variables(self.chats, self.key, self.owner)
            elif what == "Branches":
                await panels.branches(self.chats, self.key, self.owner, self._view._reload)
            else:
                self._share()
        self._right.show()

    def _share(self) -> None:
        key = self.key
        for kind, label in (
            ("ipynb", "Notebook, runs again"),
            ("md", "Markdown"),
            ("jsonl", "Trajectory (JSON lines)"),
        ):
            ui.link(label, f"/api/v1/conversations/{key}/export/{kind}").props("download")
        ui.separator()

        async def share() -> None:
            token = await in_thread(self.chats.share, key, self.owner)
            place = await ui.run_javascript("window.location.origin", timeout=10)
            link.set_value(f"{place}/s/{token}")

        async def unshare() -> None:
            await in_thread(self.chats.unshare, key, self.owner)
            link.set_value("")
            ui.notify("The link leads nowhere any more.")

        ui.label("A link by which anybody who can reach this server may read it:").classes("aside")
        link = ui.input().props('outlined dense readonly aria-label="Link"').classes("w-full")
        with ui.row():
            ui.button("Make a link", on_click=share).props("outline no-caps dense")
            ui.button("Take it back", on_click=unshare).props("flat no-caps dense")

    async def _choose(self) -> None:
        assert self.key is not None
        summary = await in_thread(self.chats.summary, self.key, self.owner)
        try:
            chosen = await dialogs.choose(self.chats, summary.options)
            if chosen is not None:
                await in_thread(self.chats.update, self.key, self.owner, options=chosen)
        except CodeActError as error:
            ui.notify(str(error), type="warning", multi_line=True)


async def _shared(chats: Chats, token: str) -> None:
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
