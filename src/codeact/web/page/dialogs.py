"""Questions in a box: how a conversation is had, its name, whether it is to go; and the first words without a model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from nicegui import ui

from codeact.chats.chats import Chats
from codeact.chats.values import Options
from codeact.errors import CodeActError
from codeact.web.threads import in_thread

__all__ = ["account", "ask_name", "choose", "confirm", "first_words", "words_of_use"]

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


async def choose(chats: Chats, owner: str, now: Options) -> Options | None:
    """Another way to have the conversation; None if it is to stay."""
    used = words_of_use(await in_thread(chats.used, owner))
    with ui.dialog() as dialog, ui.card().classes("w-full").style("max-width: 34rem"):
        ui.label("How this conversation is had").classes("text-h6")
        model = ui.input("Model, as openai:gpt-5-mini", value=now.model).classes("w-full").props("outlined dense")
        await _try_button(chats, owner, model)
        form = ui.select(_FORMATS, value=now.format, label="Actions are").classes("w-full").props("outlined dense")
        tools = (
            ui.select(
                list(chats.tools_allowed),
                value=[one for one in now.tools if one in chats.tools_allowed],
                multiple=True,
                label="Tools",
            )
            .classes("w-full")
            .props("outlined dense use-chips")
        )
        tools.set_visibility(bool(chats.tools_allowed))
        with ui.row().classes("w-full no-wrap"):
            n_turns = ui.number("Turns for a message", value=now.max_turns, min=1, precision=0).props("outlined dense")
            cost = ui.number("Dollars for a message", value=now.max_cost, min=0).props("outlined dense clearable")
            timeout = ui.number("Seconds for a cell", value=now.timeout, min=1).props("outlined dense")
        hosts = ui.input("Hosts that cells may reach, as example.org", value=" ".join(now.network))
        hosts.classes("w-full").props("outlined dense").set_visibility(chats.powers.hosts != ())
        words = (
            ui.textarea("Further words to the model", value=now.instructions)
            .classes("w-full")
            .props("outlined autogrow")
        )
        if used:
            ui.label(f"You have used {used}.").classes("aside")
        with ui.row().classes("w-full justify-end"):
            ui.button("Cancel", on_click=lambda: dialog.submit(None)).props("flat no-caps")
            ui.button("Use", on_click=lambda: dialog.submit(True)).props("unelevated no-caps")
    done = await dialog
    dialog.delete()
    if not done:
        return None
    return Options.from_json(
        {
            **now.to_json(),
            "model": str(model.value or "").strip(),
            "format": form.value,
            "tools": list(tools.value or ()),
            "network": str(hosts.value or "").replace(",", " ").split(),
            "max_turns": int(n_turns.value or now.max_turns),
            "max_cost": cost.value or None,
            "timeout": float(timeout.value or now.timeout),
            "instructions": str(words.value or ""),
        }
    )


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


async def _try_button(chats: Chats, owner: str, model: Any) -> None:
    said = ui.label("").classes("aside").props("role=status")

    async def attempt() -> None:
        said.set_text("asking ...")
        said.set_text(await in_thread(_tried, chats, owner, str(model.value or "").strip()))

    ui.button("Try it", on_click=attempt).props("outline no-caps")


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


async def first_words(chats: Chats, owner: str) -> Options | None:
    """Where no model is configured: the ways to get one; the options with one that was chosen."""
    with ui.column().classes("welcome"):
        ui.label("Welcome to codeact").classes("text-h5").props("role=heading aria-level=1")
        if not chats.powers.any_model:  # what is chosen here is for everybody
            ui.label("No model is set. Whoever keeps this server names one: codeact serve --model MODEL.")
            return None
        ui.label("An agent that acts by writing Python. It needs a model; there are three ways to one:")
        ui.markdown(_WAYS).classes("answer")
        model = ui.input("Model, as openai:qwen3:8b", value="").classes("w-full").props("outlined dense")
        await _try_button(chats, owner, model)

        def use() -> None:
            chats.defaults = replace(chats.defaults, model=str(model.value or "").strip())
            ui.navigate.to("/")

        ui.button("Use it", on_click=use).props("unelevated no-caps")
    return None


def account(owner: str) -> None:
    """Who is logged in, and the ways out."""
    button = ui.button(owner, icon="person").props("flat no-caps align=left").classes("w-full")
    with button, ui.menu().props("auto-close"):
        ui.menu_item("Log out", on_click=lambda: ui.run_javascript(_LOG_OUT % ""))
        ui.menu_item("Log out everywhere", on_click=lambda: ui.run_javascript(_LOG_OUT % "everywhere"))


async def ask_name(now: str) -> str | None:
    """Another name."""
    with ui.dialog() as dialog, ui.card():
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
    with ui.dialog() as dialog, ui.card():
        ui.label(words)
        with ui.row().classes("w-full justify-end"):
            ui.button("Cancel", on_click=lambda: dialog.submit(False)).props("flat no-caps")
            ui.button(button, on_click=lambda: dialog.submit(True)).props("unelevated no-caps color=negative")
    done = bool(await dialog)
    dialog.delete()
    return done
