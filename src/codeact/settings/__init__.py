"""What the user has settled: flags over environment over `~/.config/codeact/config.toml`, and where each value is from.

The command line and the notebook extension call `settle`; `Agent` and the rest of the library do not, so a program that
uses the library gets what it asks for and nothing from a file. The file looks like this:

    model = "openai:gpt-5-mini"         # or the name of a profile below
    max_turns = 40

    [models.fast]                       # codeact --model fast
    model = "openai:qwen3:8b"
    base_url = "http://localhost:11434/v1"
    temperature = 0.2

    [prices."openai:gpt-5-mini"]        # US dollars for a million tokens
    input = 0.25
    output = 2.0

    [keys]                              # needs mode 600
    openai = "..."

A key is handed to the model that needs it and to nothing else: it is not put into the environment, where every child
process would have it, and is in no `repr`. The file belongs to the user and is trusted as the user's shell is: what it
names as a model is a module to import.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from codeact import plugins
from codeact.errors import ConfigError
from codeact.settings.file import KINDS, TABLES, Fault, SettingsFile, from_text, load

if TYPE_CHECKING:
    import argparse

    from codeact.protocols import Model

__all__ = ["Settings", "config_path", "create_model", "local", "settle"]

DEFAULT = "default"
_SEARCHERS = ("brave", "tavily", "serper")
_PROVIDERS = ("openai", "anthropic", *_SEARCHERS)
"""Whose keys are looked for in the environment, when keys are shown."""
_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class Settings:
    """All settings, settled; what is None is left to whoever uses it."""

    model: str = ""
    """As `openai:gpt-5-mini`; empty where none is configured."""
    base_url: str | None = None
    """Where the model's server is."""
    format: str | None = None
    """How actions are spelled: code, json, text, native."""
    temperature: float | None = None
    timeout: float = 60.0
    """Seconds, for one cell."""
    max_turns: int = 30
    max_cost: float | None = None
    """US dollars, for one task."""
    network: tuple[str, ...] = ("none",)
    """`none`, `all`, or hosts."""
    packages: tuple[str, ...] = ()
    """To be installed for the code; `*` lets it install more."""
    mode: str = "copy"
    """What happens to the files of a workspace: copy (they wait for `codeact apply`) or live."""
    sandbox: str = "auto"
    memory_mb: int | None = None
    tools: tuple[str, ...] = ()
    """As `--tool` takes them."""
    profile: str = ""
    """The profile that the model came from."""
    prices: Mapping[str, Any] = field(default_factory=dict)
    """`{model: {"input": dollars, "output": dollars}}`, for a million tokens."""
    models: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Profiles, as the file has them."""
    keys: Mapping[str, str] = field(default_factory=dict, repr=False)
    """API keys of the file, by provider or as a profile names them."""
    origins: Mapping[str, str] = field(default_factory=dict)
    """Where each value is from: a flag, a variable of the environment, a line of the file, or `default`."""
    _environ: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def provider(self) -> str:
        """The part of the model's name before the colon."""
        return self.model.partition(":")[0]

    def key(self, name: str) -> str | None:
        """The API key of this name in the file, unless the environment has one (`OPENAI_API_KEY`), which goes first."""
        return None if self._environ.get(f"{name.upper()}_API_KEY") else self.keys.get(name)

    def tool(self, spec: str) -> Any:
        """A tool as `Agent(tools=[...])` takes it: the text itself, or one made with a key of the file.

        Raises:
            ConfigError: There is no such search provider.
        """
        name, _, provider = spec.partition(":")
        if name != "web_search":
            return spec
        wanted = [provider] if provider else _SEARCHERS
        if any(self._environ.get(f"{one.upper()}_API_KEY") for one in wanted):
            return spec
        found = next((one for one in wanted if one in self.keys), None)
        return plugins.create("tools", f"web_search:{found}", api_key=self.keys[found]) if found else spec

    @property
    def unused_keys(self) -> Mapping[str, str]:
        """Keys of the file that nothing asks for, by name, with one that it may be meant as, or ""."""
        named = [str(profile["key"]) for profile in self.models.values() if "key" in profile]
        asked = [*plugins.available("models"), *_SEARCHERS, *named]
        return {name: next(iter(get_close_matches(name, asked, n=1)), "") for name in self.keys if name not in asked}

    @property
    def environment_keys(self) -> Mapping[str, str]:
        """API keys that the environment has, by provider."""
        variables = {f"{name.upper()}_API_KEY": name for name in (*_PROVIDERS, *self.keys)}
        return {name: self._environ[variable] for variable, name in variables.items() if self._environ.get(variable)}

    def filled(self, args: argparse.Namespace) -> argparse.Namespace:
        """The flags as if all that is settled had been given by them; for code that looks at flags."""
        import argparse

        network = [] if self.network == ("none",) else list(self.network)
        values = {
            "model": self.model or None, "base_url": self.base_url, "format": self.format, "timeout": self.timeout,
            "max_turns": self.max_turns, "max_cost": self.max_cost, "network": network, "sandbox": self.sandbox,
            "package": [name for name in self.packages if name != "*"], "allow_packages": "*" in self.packages,
            "live": self.mode == "live" and (args.workspace is not None or bool(args.live)),
            "memory_mb": self.memory_mb, "tool": [self.tool(spec) for spec in self.tools],
        }
        return argparse.Namespace(**{**vars(args), **values})


def config_path(environ: Mapping[str, str] = os.environ) -> Path:
    """Where the file is, or would be."""
    base = environ.get("XDG_CONFIG_HOME", "")
    # A relative one is to be passed over, says the specification of these folders.
    folder = Path(base) if base.startswith("/") else Path(environ.get("HOME") or Path.home(), ".config")
    return folder / "codeact" / "config.toml"


def settle(
    args: argparse.Namespace | None = None, environ: Mapping[str, str] = os.environ, *, model: str | None = None,
    whence: str = "--model", faults: list[Fault] | None = None,
) -> Settings:
    """Settle every value, by the first that has it: flag, environment, file, default.

    Args:
        args: Flags, as the task's parser gives them; what is absent, None, False or empty was not given.
        environ: Looked into for `CODEACT_MODEL`, `CODEACT_MAX_TURNS`, ... and `OPENAI_BASE_URL`.
        model: Instead of the flag `--model`: for a change of the model in mid-conversation.
        whence: Where that is from, in words.
        faults: Where what is wrong in the file is put, to go on with the rest; without it, that is raised.

    Raises:
        ConfigError: A value cannot be used; the message says where it stands.
    """
    file = load(config_path(environ), faults)
    flags, variables, top = _flags(args), _environment(environ), _top(file)
    if model:
        flags["model"] = (model, whence)
    profiles = file.data.get("models", _NOTHING)
    spec, where = _first([flags, variables, top]).get("model", ("", ""))
    profile = spec if _is_profile(spec, where, profiles) else ""
    chosen = _profiled(file, profile)
    if profile:
        spec, where = profiles[profile]["model"], f"{where}, which is {file.where('models', profile)}"
    # An address goes with the models it was meant for: no provider gets requests, and keys, that are another's
    if not spec.startswith("openai:"):
        variables.pop("base_url", None)
    if profile or spec.partition(":")[0] != _provider_of(file):
        top.pop("base_url", None)
    found = _first([flags, chosen, variables, top]) | ({"model": (spec, where)} if spec else {})
    keys = file.data.get("keys", _NOTHING)
    origins = {**dict.fromkeys(KINDS, DEFAULT), **{name: origin for name, (_, origin) in found.items()},
               **{f"keys.{name}": file.where("keys", name) for name in keys},
               **{f"{table}.{name}.{key}": file.where(table, name, key) for table in TABLES
                  for name, inner in file.data.get(table, _NOTHING).items() for key in inner}}
    return Settings(**{name: value for name, (value, _) in found.items()}, profile=profile, models=profiles, keys=keys,
                    prices=file.data.get("prices", _NOTHING), origins=origins, _environ=environ)


def create_model(settings: Settings, **parameters: Any) -> Model:
    """The model that is settled, with its key and its price.

    Args:
        parameters: For its provider, further to what the settings say.

    Raises:
        ConfigError: None is configured, or it cannot be had.
    """
    if not settings.model:
        raise ConfigError(f"no model is configured: name one with --model, CODEACT_MODEL or in {config_path()}")
    profile = settings.models.get(settings.profile, _NOTHING)
    named = profile.get("key")
    if named is not None and named not in settings.keys:
        raise ConfigError(f"the profile {settings.profile!r} wants the key {named!r}, and [keys] in "
                          f"{config_path(settings._environ)} has none of that name; "
                          f"add it with: codeact config set keys.{named}")
    api_key = settings.keys[named] if named is not None else settings.key(settings.provider)
    price = settings.prices.get(settings.model)
    prices = (price["input"], price["output"]) if price is not None else None
    model: Model = plugins.create("models", settings.model, base_url=settings.base_url, api_key=api_key, prices=prices,
                                  temperature=settings.temperature, context_tokens=profile.get("context_tokens"),
                                  **parameters)
    return model


def local(settings: Settings, model: str, base_url: str, server: str) -> Settings:
    """The same with a model of a server that was found on this machine; it gets no key, as anyone may be listening."""
    origins = {**settings.origins, **dict.fromkeys(("model", "base_url"), f"{server}, found on this machine")}
    return replace(settings, model=f"openai:{model}", base_url=base_url, profile="", keys={"openai": "not-needed"},
                   origins=origins, _environ=_NOTHING)


# The layers: name to (value, where it is from) -----------------------------------------------------------------------

_Layer = dict[str, tuple[Any, str]]


def _flags(args: argparse.Namespace | None) -> _Layer:
    layer: _Layer = {}
    for name in KINDS:
        flag = {"tools": "tool", "packages": "package"}.get(name, name)
        value = getattr(args, flag, None)
        if name == "packages" and getattr(args, "allow_packages", False):
            layer[name] = (*(value or ()), "*"), "--allow-packages"
        elif name == "mode" and getattr(args, "live", False):
            layer[name] = "live", "--live"
        elif value not in (None, [], ()):
            layer[name] = tuple(value) if isinstance(value, list) else value, f"--{flag.replace('_', '-')}"
    return layer


def _environment(environ: Mapping[str, str]) -> _Layer:
    layer: _Layer = {}
    for name in KINDS:
        variable = "OPENAI_BASE_URL" if name == "base_url" else f"CODEACT_{name.upper()}"
        if text := environ.get(variable, "").strip():
            try:
                layer[name] = from_text(name, text), variable
            except ValueError as error:
                raise ConfigError(f"{variable} in the environment is {text[:60]!r}; it takes {error}") from None
    return layer


def _top(file: SettingsFile) -> _Layer:
    return {name: (file.data[name], file.where(name)) for name in KINDS if name in file.data}


def _profiled(file: SettingsFile, name: str) -> _Layer:
    profile = file.data.get("models", _NOTHING).get(name, _NOTHING)
    return {key: (value, f"{file.where('models', name, key)}, of the profile {name}")
            for key, value in profile.items() if key in KINDS}


def _first(layers: list[_Layer]) -> _Layer:
    """Of each name the first there is."""
    return {name: value for layer in reversed(layers) for name, value in layer.items()}


def _is_profile(name: str, where: str, profiles: Mapping[str, Any]) -> bool:
    if name in profiles:
        return True
    if name and not set(":.") & set(name) and name not in plugins.available("models"):
        close = get_close_matches(name, profiles, n=1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        there = f"profiles there are: {', '.join(sorted(profiles))}" if profiles else "there are no profiles"
        raise ConfigError(f"{where} names the model {name!r}, and no profile is called so{hint}; {there}. A model is "
                          "written PROVIDER:NAME, as openai:gpt-5-mini")
    return False


def _provider_of(file: SettingsFile) -> str:
    """Whose models the address at the top of the file is for: those of the model beside it."""
    beside = file.data.get("model", "openai:")
    beside = file.data.get("models", _NOTHING).get(beside, _NOTHING).get("model", beside)
    return str(beside).partition(":")[0]
