"""A model that somebody chooses while a program runs: by provider, name, address and key. Tried as it is, then kept.

What is kept is what `codeact config set` would write. A server with an address of its own becomes a profile with a key
of its own, so that it is never sent the key that is meant for a provider.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from codeact import plugins
from codeact.errors import ConfigError
from codeact.protocols import Model
from codeact.settings import Settings, config_path, settle
from codeact.settings.edit import put

__all__ = ["Choice", "create", "keep"]

_NO_KEY = "not-needed"


@dataclass(frozen=True)
class Choice:
    """Which model."""

    provider: str
    """openai (also for every server with its API), anthropic."""
    name: str
    """As its server calls it."""
    base_url: str = ""
    """Where the server is; "" is where the settings say, or the provider's own."""
    api_key: str = field(default="", repr=False)
    """Else the provider's that is set; with an address there is no else."""

    @property
    def spec(self) -> str:
        """As `--model` takes it."""
        return f"{self.provider}:{self.name}"


def create(choice: Choice, environ: Mapping[str, str] = os.environ, **parameters: Any) -> Model:
    """The model, from nothing but what was chosen and the keys that are set.

    Raises:
        ConfigError: Something is missing, which the message names for who fills in a form; or the file of settings
            cannot be used.
    """
    if not choice.name:
        raise ConfigError("name the model, as its server calls it")
    key: str | None = choice.api_key or _NO_KEY
    if not choice.base_url:
        settings = settle(environ=environ)
        key = choice.api_key or settings.key(choice.provider)
        if not key and choice.provider not in settings.environment_keys:
            raise ConfigError(f"give a key; none is set ({choice.provider.upper()}_API_KEY)")
    model: Model = plugins.create("models", choice.spec, base_url=choice.base_url or None, api_key=key, **parameters)
    return model


def keep(choice: Choice, environ: Mapping[str, str] = os.environ) -> str:
    """Write it into the file of settings as the model that is had where no other is named; its name from now on.

    Raises:
        ConfigError: The file cannot be used as it is, or does not take a value.
        MissingExtra: What keeps the file's comments is not installed.
        OSError: The file cannot be written.
    """
    path = config_path(environ)
    if not choice.base_url:
        if choice.api_key:
            put(path, f"keys.{choice.provider}", choice.api_key)
        put(path, "model", choice.spec)
        return choice.spec
    name = _profile(choice, settle(environ=environ))
    values = {f"keys.{name}": choice.api_key or _NO_KEY, f"models.{name}.model": choice.spec,
              f"models.{name}.base_url": choice.base_url, f"models.{name}.key": name, "model": name}
    for setting, value in values.items():
        put(path, setting, value)
    return name


def _profile(choice: Choice, settings: Settings) -> str:
    """A name that is free, or this model's already."""
    stem = re.sub(r"[^a-z0-9]+", "-", choice.name.lower()).strip("-")[:40] or "model"
    taken = {*plugins.available("models"), *settings.keys, *settings.models}
    for name in (stem, *(f"{stem}-{n}" for n in range(2, 1000))):
        known = settings.models.get(name, {})
        if name not in taken or (known.get("model"), known.get("base_url")) == (choice.spec, choice.base_url):
            return name
    raise ConfigError(f"there are very many profiles named {stem} already")
