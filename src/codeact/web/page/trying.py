"""A model asked for a word, so that somebody sees at once whether it can be had."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nicegui import ui

from codeact.chats.chats import Chats
from codeact.errors import Cancelled
from codeact.protocols import Model
from codeact.web.threads import in_slow_thread

__all__ = ["model_to_try", "tried", "try_button"]

_SECONDS = 30.0


def model_to_try(chats: Chats, owner: str, label: str, now: str) -> Any:
    """A box for a model's name, with a button that asks it for a word."""
    with ui.row().classes("w-full items-stretch no-wrap gap-2") as row:
        model = (
            ui.input(label, value=now, autocomplete=list(chats.models_offered))
            if chats.powers.any_model
            else ui.select(list({now: 0, **dict.fromkeys(chats.models_offered)}), value=now, label="Model")
        )
        model.classes("grow").props("outlined")

    def make() -> Model:
        return chats.model_for(owner)(str(model.value or "").strip())

    try_button(make, at=row, ready=lambda: bool(str(model.value or "").strip()))
    return model


def try_button(make: Callable[[], Model], *, at: ui.row, ready: Callable[[], bool] = lambda: True) -> None:
    """A button, and below it what came of it.

    Args:
        make: Makes the model.
        at: Where the button stands.
        ready: Whether there is one to be made.
    """
    with at:
        ui.button("Try it", on_click=lambda: attempt()).props("outline no-caps")
    said = ui.label("").classes("aside").props("role=status")
    said.set_visibility(False)

    async def attempt() -> None:
        said.set_visibility(True)
        said.set_text("asking ...")
        said.set_text(await in_slow_thread(tried, make) if ready() else "name a model first")


def tried(make: Callable[[], Model]) -> str:
    """A word from the model, or why there is none."""
    from codeact.events import ignore
    from codeact.loop import Cancel
    from codeact.messages import Message

    try:
        cancel = Cancel()
        with cancel.within(_SECONDS):
            done = make().complete([Message("user", "Say the word: ready")], stop=(), observe=ignore, cancel=cancel)
        return f"It answers: {done.text.strip()[:100] or '(nothing)'}"
    except Cancelled:
        return f"It does not answer: nothing came within {_SECONDS:.0f} seconds"
    except Exception as error:   # a model's name can name a module of anybody's
        return f"It does not answer: {str(error)[:300] or type(error).__name__}"
