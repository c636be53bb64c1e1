"""Questions in a box: a name, whether something is to go, a text to change; who is logged in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nicegui import ui

from codeact.web.page.composer import ON_CTRL_ENTER

__all__ = ["account", "answer", "ask_name", "box", "confirm", "edited", "ways_out"]

_LOG_OUT = """
const form = document.createElement('form'), field = document.createElement('input');
Object.assign(form, {method: 'post', action: '/logout'});
Object.assign(field, {type: 'hidden', name: '%s', value: 'yes'});
form.append(field); document.body.append(form); form.submit();
"""


def account(owner: str) -> None:
    """Who is logged in, and the ways out."""
    button = ui.button(owner, icon="person").props("flat no-caps align=left").classes("w-full")
    with button, ui.menu().props("auto-close"):
        ui.menu_item("Log out", on_click=lambda: ui.run_javascript(_LOG_OUT % ""))
        ui.menu_item("Log out everywhere", on_click=lambda: ui.run_javascript(_LOG_OUT % "everywhere"))


async def ask_name(now: str) -> str | None:
    """Another name."""
    with box("Another name") as dialog, ui.card():
        name = ui.input("Name", value=now).props("outlined dense autofocus").classes("w-80")
        name.on("keydown.enter", lambda: dialog.submit(name.value))
        ways_out(dialog, "Rename", lambda: name.value)
    done = await answer(dialog)
    return str(done).strip() if done and str(done).strip() else None


async def confirm(words: str, button: str) -> bool:
    """Whether it is to be done."""
    with box("Are you sure?") as dialog, ui.card():
        ui.label(words)
        ways_out(dialog, button, lambda: True, "color=negative")
    return bool(await answer(dialog))


async def edited(title: str, words: str, text: str, button: str, *, is_code: bool = False) -> str | None:
    """What somebody made of a text; None if they thought better of it.

    Args:
        is_code: As in a notebook, Shift+Enter runs it too; in other words that is a new line.
    """
    with box(title) as dialog, ui.card().classes("w-full").style("max-width: 50rem"):
        ui.label(title).classes("text-h6").props("role=heading aria-level=2")
        ui.label(words).classes("aside")
        keys = "e.ctrlKey || e.metaKey || e.shiftKey" if is_code else "e.ctrlKey || e.metaKey"
        style = "font-family: var(--mono); min-height: 6rem" if is_code else ""
        writing = (
            ui.textarea(value=text)
            .props(f'outlined autogrow autofocus input-class="max-h-[60vh]" input-style="{style}" aria-label="{title}"')
            .props(f"spellcheck={str(not is_code).lower()}")
            .classes("w-full")
            .on("keydown.enter", lambda event: dialog.submit(event.args), js_handler=ON_CTRL_ENTER % keys)
        )
        with ui.row().classes("w-full items-center no-wrap"):
            ui.label(f"Ctrl+Enter{' or Shift+Enter' if is_code else ''}: {button.lower()}; Esc: leave it").classes(
                "aside grow wide-only"
            )
            ways_out(dialog, button, lambda: writing.value)
    done = await answer(dialog)
    return str(done) if done and str(done).strip() else None


def box(name: str) -> ui.dialog:
    """A box over the page, which a screen reader calls so."""
    return ui.dialog().props(f'aria-label="{name}"')


def ways_out(dialog: ui.dialog, button: str, value: Callable[[], Any], props: str = "") -> None:
    """The buttons that end a box: with nothing, or with a value."""
    with ui.row().classes("grow justify-end no-wrap"):
        ui.button("Cancel", on_click=lambda: dialog.submit(None)).props("flat no-caps")
        ui.button(button, on_click=lambda: dialog.submit(value())).props(f"unelevated no-caps {props}")


async def answer(dialog: ui.dialog) -> Any:
    """What came of a box; None also where the page went away with it."""
    done = await dialog
    if not dialog.is_deleted:
        dialog.delete()
    return done
