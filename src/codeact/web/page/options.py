"""How a conversation is had: the box that shows and changes its options."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import PurePath
from typing import Any

from nicegui import ui

from codeact.chats.advice import in_chat
from codeact.chats.chats import Chats
from codeact.chats.values import AMOUNTS, Amount, Options
from codeact.errors import ChatRefused, CodeActError
from codeact.web.page.dialogs import answer, box
from codeact.web.page.trying import model_to_try
from codeact.web.threads import in_thread

__all__ = ["choose", "words_of_use"]

_LIMITS = {
    "max_turns": ("Turns", "Turns for a message"),
    "max_seconds": ("Seconds", "Seconds for a message"),
    "max_tokens": ("Tokens", "Tokens for a message"),
    "max_cost": ("Dollars", "Dollars for a message"),
    "timeout": ("Seconds for a cell", "Seconds for a cell"),
}
"""What stands at each, and what a screen reader calls it."""
_FORMATS = {
    "code": "Python code",
    "json": "tool calls as JSON",
    "text": "tool calls as text",
    "native": "tool calls of the provider's API",
}


async def choose(chats: Chats, owner: str, now: Options, keep: Callable[[Options], Awaitable[object]]) -> None:
    """Another way to have the conversation.

    Args:
        keep: Has it so from now on; what it refuses is told while the box is still open.
    """
    used = words_of_use(await in_thread(chats.used, owner))
    with box("Settings of this conversation") as dialog, ui.card().classes("w-full").style("max-width: 36rem"):
        ui.label("Settings of this conversation").classes("text-h6").props("role=heading aria-level=2")
        ui.label("They hold from the next message on.").classes("aside")
        model = model_to_try(chats, owner, "Model, as openai:gpt-5-mini", now.model)
        formats = {now.format: now.format} | _FORMATS
        form = ui.select(formats, value=now.format, label="The agent acts by").classes("w-full").props("outlined")
        tools = _tools(chats, now)
        limits = _limits(now)
        words = (
            ui.textarea("Instructions to the agent", value=now.instructions)
            .classes("w-full")
            .props('outlined autogrow stack-label input-class=max-h-48 placeholder="none but the program\'s own"')
        )
        hosts = _hosts(chats, now)
        if used:
            ui.label(f"You have used {used}.").classes("aside")
        refused = ui.label("").classes("output error").props("role=alert")
        refused.set_visibility(False)

        async def use() -> None:
            chosen: dict[str, Any] = {"model": str(model.value or "").strip(), "format": form.value}
            chosen |= {"tools": list(tools.value or ()), "instructions": str(words.value or "")}
            chosen |= {"network": str(hosts.value or "").replace(",", " ").split()}
            chosen |= {name: _amount(AMOUNTS[name], limit.value) for name, limit in limits.items()}
            wrong = [_LIMITS[name][1] for name, limit in limits.items() if not limit.validate()]
            try:
                if wrong:   # it stands at each what it can be
                    raise ChatRefused(f"This cannot be a limit: {', '.join(wrong)}.")
                await keep(Options.from_json({**now.to_json(), **chosen}))
            except CodeActError as error:
                refused.set_text(in_chat(str(error)))
                refused.set_visibility(True)
                return
            dialog.submit(True)

        with ui.row().classes("w-full justify-end"):
            ui.button("Cancel", on_click=lambda: dialog.submit(None)).props("flat no-caps")
            ui.button("Use", on_click=use).props("unelevated no-caps")
    await answer(dialog)


def _tools(chats: Chats, now: Options) -> Any:
    tools = ui.select(
        {one: PurePath(one).stem if one.endswith(".py") else one for one in chats.tools_allowed},
        value=[one for one in now.tools if one in chats.tools_allowed],
        multiple=True,
        label="Tools it may call",
    )
    tools.classes("w-full").props("outlined use-chips stack-label").set_visibility(bool(chats.tools_allowed))
    return tools


def _limits(now: Options) -> dict[str, Any]:
    ui.label("What the agent may use for one message, and for one cell").classes("aside")
    with ui.element("div").classes("limits"):
        return {name: _limit(*labels, AMOUNTS[name], getattr(now, name)) for name, labels in _LIMITS.items()}


def _limit(label: str, called: str, amount: Amount, now: float | None) -> Any:
    """A number, with what it may be below it. It is not led there by itself: that would be a limit nobody chose."""

    def wrong(value: float | None) -> str | None:
        return None if amount.allows(_amount(amount, value)) else f"{'whole, ' * amount.whole}{words}"

    words = f"{amount.least:,.12g} to {amount.most:,.12g}"
    number = ui.number(label, value=now, validation=wrong)
    number.props(f'outlined stack-label aria-label="{called}" hint="{words}"')
    return number.props(f'placeholder="{"" if amount.needed else "no limit"}"')


def _amount(amount: Amount, value: float | None) -> float | None:
    """Numbers come from a page as floats."""
    return int(value) if value is not None and amount.whole and value == int(value) else value


def _hosts(chats: Chats, now: Options) -> Any:
    allowed = chats.powers.hosts
    hosts = ui.input("Hosts that cells may reach", value=" ".join(now.network)).classes("w-full")
    which = "Any public ones, as example.org *.example.org" if allowed is None else f"Of {', '.join(allowed)}"
    hosts.props["hint"] = f"{which}; with blanks between"
    hosts.props('outlined stack-label placeholder="none: no network"').set_visibility(allowed != ())
    if allowed == ():
        ui.label(
            "Cells have no network; whoever runs the server can open it (codeact serve --allow-network HOST)."
        ).classes("aside")
    return hosts


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
