"""What stands beside a conversation: files with previews, variables, branches, what leaves it."""

from __future__ import annotations

import csv
import io
from typing import Any
from urllib.parse import quote

from nicegui import ui

from codeact.chats.chats import Chats
from codeact.errors import CodeActError
from codeact.web.page.telling import refused, tell
from codeact.web.threads import in_slow_thread, in_thread

__all__ = ["branches", "files", "preview", "sharing", "variables"]

_PREVIEW_BYTES, _PREVIEW_ROWS, _PREVIEW_COLUMNS = 200_000, 100, 30
_SHOWN_FILES = 200
_COPY_LINK = """(e) => {
  const words = e.currentTarget.querySelector('.block');
  copyText(document.querySelector('[aria-label="Link"]').value).then(() => {
    words.textContent = 'Copied';
    setTimeout(() => words.textContent = 'Copy', 2000);
  });
}"""
_EXPORTS = {"ipynb": "Notebook, runs again", "md": "Markdown", "jsonl": "Trajectory (JSON lines)"}


async def files(chats: Chats, key: str, owner: str) -> None:
    """The workspace's files: preview, download, all as a zip."""
    found = await in_thread(chats.files, key, owner)
    if not found:
        ui.label("No files yet. Attach some, or ask for one.").classes("aside")
        return
    base = f"/api/v1/conversations/{key}"
    ui.link("all as a zip", f"{base}/files.zip").props("download")
    for one in found[:_SHOWN_FILES]:
        with ui.row().classes("w-full items-center no-wrap gap-1"):
            ui.label(one.name).classes("grow ellipsis").tooltip(one.name)
            ui.label(_size(one.size)).classes("aside")
            ui.button(icon="visibility", on_click=lambda name=one.name: preview(chats, key, owner, name)).props(
                f'flat round dense size=sm aria-label="Preview {_plain(one.name)}"'
            )
            _download(key, one.name)


def _download(key: str, name: str) -> None:
    ui.button(icon="download").props(
        f'flat round dense size=sm href="/api/v1/conversations/{key}/files/{quote(name)}" download '
        f'aria-label="Download {_plain(name)}"'
    )


async def preview(chats: Chats, key: str, owner: str, name: str) -> None:
    """Show a file in a box, by its kind, with its download."""
    from codeact.web.page.outputs import bundle, printed

    try:
        data = await in_thread(chats.read_file, key, owner, name)
    except CodeActError as error:
        refused(error)
        return
    # Outside of the list of files, which may be made anew while it is open
    with (
        ui.context.client.content,
        ui.dialog().props(f'aria-label="{_plain(name)}"') as dialog,
        ui.card().classes("w-full").style("max-width: 56rem"),
    ):
        with ui.row().classes("w-full items-center no-wrap"):
            ui.label(name).classes("text-h6 grow ellipsis")
            _download(key, name)
            ui.button(icon="close", on_click=dialog.close).props('flat round dense aria-label="Close"')
        kind = _picture(data)
        if kind:
            import base64

            bundle({kind: {"base64": base64.b64encode(data).decode()}, "text/plain": name})
        elif name.lower().endswith((".csv", ".tsv")):
            _table(data[:_PREVIEW_BYTES].decode(errors="replace"), "\t" if name.lower().endswith("tsv") else ",")
        elif b"\0" not in data[:8000]:
            printed(data[:_PREVIEW_BYTES].decode(errors="replace"))
        else:
            ui.label(f"{_size(len(data))} that are no text: download it to look at it.").classes("aside")
    dialog.on("hide", dialog.delete)
    dialog.open()


def _table(text: str, delimiter: str) -> None:
    rows = []
    try:
        for row in csv.reader(io.StringIO(text), delimiter=delimiter):
            rows.append(row[:_PREVIEW_COLUMNS])
            if len(rows) > _PREVIEW_ROWS:
                break
    except csv.Error:
        rows = []
    if not rows:
        ui.label("Nothing in it that is a table.").classes("aside")
        return
    head, *body = rows
    columns: list[dict[str, Any]] = [
        {"name": str(n), "label": label, "field": str(n), "align": "left", "sortable": True}
        for n, label in enumerate(head)
    ]
    ui.table(
        columns=columns,
        rows=[{"id": i, **{str(n): value for n, value in enumerate(row)}} for i, row in enumerate(body)],
        row_key="id",
    ).props("dense flat").classes("w-full")
    if len(rows) > _PREVIEW_ROWS:
        ui.label(f"the first {_PREVIEW_ROWS} rows").classes("aside")


async def variables(chats: Chats, key: str, owner: str) -> None:
    """What the interpreter holds."""
    try:
        found = await in_slow_thread(chats.variables, key, owner)
    except CodeActError as error:
        ui.label(str(error)).classes("aside")
        return
    if not found:
        ui.label("No variables yet.").classes("aside")
    for one in found[:300]:
        with ui.element("div").classes("w-full q-mb-sm"):
            shape = f" {one['shape']}" if one.get("shape") else ""
            ui.label(f"{one['name']}: {one['type']}{shape}").classes("text-weight-medium ellipsis")
            ui.label(str(one.get("preview") or "")[:300]).classes("output ellipsis")


async def branches(chats: Chats, key: str, owner: str) -> None:
    """All ways it went; one of them is the current one."""
    found = await in_thread(chats.branches, key, owner)

    async def switch(branch: str) -> None:
        try:
            await in_slow_thread(chats.switch, key, owner, branch)
        except CodeActError as error:
            refused(error)

    for number, one in enumerate(found, start=1):
        with ui.row().classes("w-full items-center no-wrap"):
            label = one.label or ("the first" if number == 1 else f"from turn {one.at_turn}")
            ui.label(f"{number}. {label}").classes("grow ellipsis" + (" text-weight-bold" if one.current else ""))
            if one.current:
                ui.label("here").classes("aside")
            else:
                ui.button("go", on_click=lambda branch=one.id: switch(branch)).props(
                    f'flat dense no-caps aria-label="Go to branch {number}"'
                )


async def sharing(chats: Chats, key: str, owner: str) -> None:
    """Files to take away, and a link to be read by others."""
    for kind, label in _EXPORTS.items():
        ui.link(label, f"/api/v1/conversations/{key}/export/{kind}").props("download")
    ui.separator()

    async def show(token: str | None) -> None:
        place = await ui.run_javascript("window.location.origin", timeout=10) if token else ""
        link.set_value(f"{place}/s/{token}" if token else "")
        shown.set_visibility(bool(token))
        make.set_visibility(not token)

    async def share() -> None:
        await show(await in_thread(chats.share, key, owner))

    async def unshare() -> None:
        await in_thread(chats.unshare, key, owner)
        await show(None)
        tell("The link leads nowhere any more.")

    ui.label("By a link, anybody who can reach this server may read the conversation, also what comes yet.").classes(
        "aside"
    )
    make = ui.button("Make a link", on_click=share).props("outline no-caps dense")
    with ui.column().classes("w-full gap-1") as shown:
        link = ui.input().props('outlined dense readonly aria-label="Link"').classes("w-full")
        with ui.row():
            ui.button("Copy", icon="content_copy").props("outline no-caps dense").on("click", js_handler=_COPY_LINK)
            ui.button("Take it back", on_click=unshare).props("flat no-caps dense")
    await show((await in_thread(chats.summary, key, owner)).shared)


def _picture(data: bytes) -> str:
    from codeact.messages import Image

    try:
        return Image.of(data).mime
    except CodeActError:
        return ""


def _plain(name: str) -> str:
    """For an attribute's value."""
    return "".join(one if one.isalnum() or one in " ._-/" else "_" for one in name)[:100]


def _size(n_bytes: int) -> str:
    if n_bytes < 1000:
        return f"{n_bytes} bytes"
    return f"{n_bytes / 1000:.1f} kB" if n_bytes < 1_000_000 else f"{n_bytes / 1_000_000:.1f} MB"
