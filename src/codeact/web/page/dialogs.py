"""Questions in a box: how a conversation is had, its name, whether it is to go; and the first words without a model."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import PurePath
from typing import Any

from nicegui import ui

from codeact.chats.chats import Chats
from codeact.chats.values import Options
from codeact.errors import CodeActError
from codeact.web.threads import in_slow_thread, in_thread

__all__ = ["account", "ask_name", "choose", "confirm", "first_words", "words_of_use"]

_LIMITS = {
    "max_turns": "Turns for a message",
    "max_seconds": "Seconds for a message",
    "max_tokens": "Tokens for a message",
    "max_cost": "Dollars for a message",
    "timeout": "Seconds for a cell",
}
_FORMATS = {"code": "Python code", "json": "JSON calls", "text": "text calls", "native": "native tool calls"}
_WAYS = """
**On this machine** — start [Ollama](https://ollama.com), llama.cpp, LM Studio or vLLM; then the model is
`openai:NAME`, with its address in `OPENAI_BASE_URL` (Ollama: `http://localhost:11434/v1`).

**From a provider** — set `OPENAI_API_KEY` or `ANTHROPIC_API_KEY` before you start the server; then `openai:gpt-5-mini`,
`anthropic:claude-sonnet-4-5`, ...

**For good** — `codeact config set model openai:gpt-5-mini`, and `codeact config set keys.openai`.
"""

_LOG_OUT = """
const form = document.createElement('form'), field = document.createElement('input');
Object.assign(form, {method: 'post', action: '/logout'});
Object.assign(field, {type: 'hidden', name: '%s', value: 'yes'});
form.append(field); document.body.append(form); form.submit();
"""


async def choose(chats: Chats, owner: str, now: Options, keep: Callable[[Options], Awaitable[object]]) -> None:
    """Another way to have the conversation.

    Args:
        keep: Has it so from now on; what it refuses is told while the box is still open.
    """
    used = words_of_use(await in_thread(chats.used, owner))
    with _box("How this conversation is had") as dialog, ui.card().classes("w-full").style("max-width: 34rem"):
        ui.label("How this conversation is had").classes("text-h6").props("role=heading aria-level=2")
        model = _model_to_try(chats, owner, "Model, as openai:gpt-5-mini", now.model)
        formats = {now.format: now.format} | _FORMATS
        form = ui.select(formats, value=now.format, label="Actions are").classes("w-full").props("outlined")
        tools = (
            ui.select(
                {one: PurePath(one).stem if one.endswith(".py") else one for one in chats.tools_allowed},
                value=[one for one in now.tools if one in chats.tools_allowed],
                multiple=True,
                label="Tools",
            )
            .classes("w-full")
            .props("outlined use-chips")
        )
        tools.set_visibility(bool(chats.tools_allowed))
        with ui.element("div").classes("limits"):
            boxes = {name: _limit(label, getattr(now, name)) for name, label in _LIMITS.items()}
        words = (
            ui.textarea("Further words to the model", value=now.instructions)
            .classes("w-full")
            .props("outlined autogrow input-class=max-h-48")
        )
        hosts = ui.input("Hosts that cells may reach, as example.org", value=" ".join(now.network))
        hosts.classes("w-full").props("outlined").set_visibility(chats.powers.hosts != ())
        if used:
            ui.label(f"You have used {used}.").classes("aside")
        refused = ui.label("").classes("output error").props("role=alert")
        refused.set_visibility(False)

        async def use() -> None:
            chosen: dict[str, Any] = {"model": str(model.value or "").strip(), "format": form.value}
            chosen |= {"tools": list(tools.value or ()), "instructions": str(words.value or "")}
            chosen |= {"network": str(hosts.value or "").replace(",", " ").split()}
            chosen |= {name: _amount(name, box.value) for name, box in boxes.items()}
            try:
                await keep(Options.from_json({**now.to_json(), **chosen}))
            except CodeActError as error:
                refused.set_text(str(error))
                refused.set_visibility(True)
                return
            dialog.submit(True)

        with ui.row().classes("w-full justify-end"):
            ui.button("Cancel", on_click=lambda: dialog.submit(None)).props("flat no-caps")
            ui.button("Use", on_click=use).props("unelevated no-caps")
    await dialog
    dialog.delete()


def _box(name: str) -> Any:
    return ui.dialog().props(f'aria-label="{name}"')


def _limit(label: str, now: float | None) -> Any:
    return ui.number(label, value=now, min=0).props('outlined stack-label placeholder="no limit"')


def _amount(name: str, value: float | None) -> float | None:
    if value is None:
        return Options().to_json()[name]  # type: ignore[no-any-return]
    return int(value) if name in ("max_turns", "max_tokens") and value == int(value) else value


def _model_to_try(chats: Chats, owner: str, label: str, now: str) -> Any:
    """A box for a model's name, with a button that asks it for a word."""
    with ui.row().classes("w-full items-stretch no-wrap gap-2"):
        model = (
            ui.input(label, value=now, autocomplete=list(chats.models_offered))
            if chats.powers.any_model
            else ui.select(list({now: 0, **dict.fromkeys(chats.models_offered)}), value=now, label="Model")
        )
        model.classes("grow").props("outlined")
        ui.button("Try it", on_click=lambda: attempt()).props("outline no-caps")
    said = ui.label("").classes("aside").props("role=status")
    said.set_visibility(False)

    async def attempt() -> None:
        said.set_visibility(True)
        said.set_text("asking ...")
        said.set_text(await in_slow_thread(_tried, chats, owner, str(model.value or "").strip()))

    return model


def _tried(chats: Chats, owner: str, name: str) -> str:
    """A word from the model, or why there is none."""
    from codeact.events import ignore
    from codeact.loop import Cancel
    from codeact.messages import Message

    if not name:
        return "name a model first"
    try:
        cancel = Cancel()
        with cancel.within(30):
            done = chats.model_for(owner)(name).complete(
                [Message("user", "Say the word: ready")], stop=(), observe=ignore, cancel=cancel
            )
        return f"It answers: {done.text.strip()[:100] or '(nothing)'}"
    except (CodeActError, BaseException) as error:
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            raise
        return f"It does not answer: {str(error)[:300] or type(error).__name__}"


def first_words(chats: Chats, owner: str) -> None:
    """Where no model is configured: the ways to get one; those that follow are had with one chosen here."""
    with ui.column().classes("welcome"):
        ui.label("Welcome to codeact").classes("text-h5").props("role=heading aria-level=1")
        if not chats.powers.any_model:
            ui.label("This server has no model yet; who runs it can name one: codeact serve --model MODEL.")
            return
        ui.label("An agent that acts by writing Python. It needs a model; there are three ways to one:")
        ui.markdown(_WAYS).classes("answer")
        model = _model_to_try(chats, owner, "Model, as openai:qwen3:8b", "")

        def use() -> None:
            if name := str(model.value or "").strip():
                chats.defaults = replace(chats.defaults, model=name)
                ui.navigate.to("/")

        ui.button("Use it", on_click=use).props("unelevated no-caps")


def words_of_use(told: dict[str, Any]) -> str:
    """What a user has used of what may be used at most; nothing where there is no limit."""
    units = {"disk": "MB", "cost": "dollars", "tokens": "tokens"}
    parts = []
    for name, unit in units.items():
        used, limit, per = (told[name][key] for key in ("used", "limit", "per"))
        if limit is not None:
            spelled = f"{used:,.0f}" if name == "tokens" else f"{used:,.2f}"
            parts.append(f"{spelled} of {limit:,.15g} {unit}{f' this {per}' if per else ''}")
    return ", ".join(parts)


def account(owner: str) -> None:
    """Who is logged in, and the ways out."""
    button = ui.button(owner, icon="person").props("flat no-caps align=left").classes("w-full")
    with button, ui.menu().props("auto-close"):
        ui.menu_item("Log out", on_click=lambda: ui.run_javascript(_LOG_OUT % ""))
        ui.menu_item("Log out everywhere", on_click=lambda: ui.run_javascript(_LOG_OUT % "everywhere"))


async def ask_name(now: str) -> str | None:
    """Another name."""
    with _box("Another name") as dialog, ui.card():
        box = ui.input("Name", value=now).props("outlined dense autofocus").classes("w-80")
        box.on("keydown.enter", lambda: dialog.submit(box.value))
        with ui.row().classes("w-full justify-end"):
            ui.button("Cancel", on_click=lambda: dialog.submit(None)).props("flat no-caps")
            ui.button("Rename", on_click=lambda: dialog.submit(box.value)).props("unelevated no-caps")
    done = await dialog
    dialog.delete()
    return str(done).strip() if done and str(done).strip() else None


async def confirm(words: str, button: str) -> bool:
    """Whether it is to be done."""
    with _box("Are you sure?") as dialog, ui.card():
        ui.label(words)
        with ui.row().classes("w-full justify-end"):
            ui.button("Cancel", on_click=lambda: dialog.submit(False)).props("flat no-caps")
            ui.button(button, on_click=lambda: dialog.submit(True)).props("unelevated no-caps color=negative")
    done = bool(await dialog)
    dialog.delete()
    return done
