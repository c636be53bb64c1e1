"""Where no model is configured: three ways to one, each to be tried before it is used.

What is used is kept as `codeact config` would, so that it is there after a restart, and for the command line too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from nicegui import ui

from codeact.chats.chats import Chats
from codeact.chats.meter import Metered
from codeact.errors import CodeActError, ConfigError
from codeact.protocols import Model
from codeact.settings import chosen, config_path
from codeact.settings.chosen import Choice
from codeact.web.page.telling import refused
from codeact.web.page.trying import try_button
from codeact.web.threads import in_slow_thread

__all__ = ["welcome"]

_PROVIDERS = {"openai": ("OpenAI", "gpt-5-mini"), "anthropic": ("Anthropic", "claude-sonnet-4-5")}


async def welcome(chats: Chats, owner: str) -> None:
    """The page."""
    with ui.column().classes("welcome ways w-full"):
        ui.label("Welcome to codeact").classes("text-h5").props("role=heading aria-level=1")
        if not chats.powers.any_model:
            ui.label("This server has no model yet; who runs it can name one: codeact serve --model MODEL.")
            return
        ui.label("An agent that acts by writing Python. It needs a model; there are three ways to one:")
        _here(chats, owner)
        _server(chats, owner)
        _provider(chats, owner)
        ui.label(
            f"What you use is kept in {config_path()}, which is closed to others, as by “codeact config”; “codeact "
            "serve --model MODEL” names any other."
        ).classes("aside")


@contextmanager
def _way(title: str, words: str) -> Iterator[None]:
    with ui.element("section").classes("way").props(f'aria-label="{title}"'):
        ui.label(title).classes("text-subtitle1 text-weight-medium").props("role=heading aria-level=2")
        ui.label(words).classes("aside")
        yield


def _here(chats: Chats, owner: str) -> None:
    """Servers that run beside this one."""
    with _way("A model on this machine", "Ollama, llama.cpp, LM Studio or vLLM, where the server of this page runs."):
        said = ui.label("looking ...").props("role=status")
        with ui.column().classes("w-full") as there:
            model: Any = ui.select({}, label="Model").classes("w-full").props("outlined dense")
            _ends(chats, owner, lambda: model.value or _nothing("choose a model"))
        there.set_visibility(False)

        async def look() -> None:
            from codeact.models._local import find

            said.set_text("looking ...")
            servers = await in_slow_thread(find)
            choices = {
                Choice("openai", name, one.base_url): f"{name} ({one.server})" for one in servers for name in one.models
            }
            empty = "; ".join(f"{one.server} runs, but has no model yet" for one in servers if not one.models)
            none = "None was found. Start one, as “ollama run qwen3:8b” (ollama.com), and look again."
            said.set_text("" if choices else empty or none)
            said.set_visibility(not choices)
            there.set_visibility(bool(choices))
            model.set_options(choices, value=next(iter(choices), None))

        ui.button("Look again", icon="refresh", on_click=look).props("flat dense no-caps")
        ui.timer(0.0, look, once=True)


def _server(chats: Chats, owner: str) -> None:
    """Any server with OpenAI's API."""
    with _way("A server with OpenAI's API", "Your own, your company's, or a provider's that has one: by its address."):
        address = _field("Address, as http://localhost:8000/v1", "url")
        name = _field("Model, as the server calls it", "text")
        key = _field("Key, if it wants one", "password")

        def choice() -> Choice:
            if not _of(address):
                _nothing("give the server's address, as http://localhost:8000/v1")
            return Choice("openai", _of(name), _of(address).rstrip("/"), _of(key))

        _ends(chats, owner, choice)


def _provider(chats: Chats, owner: str) -> None:
    """By a key."""
    with _way("A provider", "By a key of yours; what is asked goes to the provider."):
        who: Any = ui.select({one: names[0] for one, names in _PROVIDERS.items()}, value="openai", label="Provider")
        who.classes("w-full").props("outlined dense")
        name = _field("Model", "text", _PROVIDERS["openai"][1])
        key = _field("Key", "password")

        def another() -> None:
            name.set_value(_PROVIDERS[who.value][1])
            key.set_value("")   # which is the other's

        who.on_value_change(another)
        _ends(chats, owner, lambda: Choice(who.value, _of(name), api_key=_of(key)))


def _field(label: str, kind: str, value: str = "") -> Any:
    box = ui.input(label, value=value, password=kind == "password").classes("w-full").props("outlined dense")
    return box.props(f"inputmode={'url' if kind == 'url' else 'text'} autocomplete=off spellcheck=false")


def _of(box: Any) -> str:
    return str(box.value or "").strip()


def _nothing(words: str) -> Choice:
    raise ConfigError(words)


def _ends(chats: Chats, owner: str, choice: Callable[[], Choice]) -> None:
    """The buttons of a way."""

    def make() -> Model:
        found = choice()
        return Metered(chosen.create(found, max_retries=0), chats.meter, owner, found.spec)

    def keep() -> str:
        make()   # what cannot be had is told before it is kept
        return chosen.keep(choice())

    async def use() -> None:
        try:
            name = await in_slow_thread(keep)
        except CodeActError as error:
            refused(error)
        except OSError as error:
            refused(ConfigError(f"it cannot be kept in {config_path()}: {error.strerror}"))
        else:
            chats.begin_with(name)
            ui.navigate.to("/")

    row = ui.row().classes("w-full items-center gap-2")
    try_button(make, at=row)
    with row:
        ui.button("Use it", on_click=use).props("unelevated no-caps")
