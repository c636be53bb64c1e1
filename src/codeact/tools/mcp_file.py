"""The file of servers that many programs share: `{"mcpServers": {"github": {"command": "npx", "args": ["..."]}}}`.

Of each server: `command`, `args`, `env`, `cwd`; or `url`, `headers`, and `"type": "sse"` for the older transport.
`"disabled": true` leaves one out, and `approval` is codeact's own (see `mcp.connect`). `${NAME}` and `${NAME:-else}`
in texts stand for variables of this program's environment, so that keys need not be in the file.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from codeact.errors import ConfigError

__all__ = ["read"]

MAX_BYTES = 1 << 20
_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")


def read(path: Path) -> list[tuple[str, dict[str, Any]]]:
    """For each server of a file its name, and the arguments of `mcp.connect`.

    Raises:
        ConfigError: The file cannot be read, or something in it makes no sense.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ConfigError(f"{path} is too large for a file of servers")
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"the file of servers {path} cannot be read: {error}") from None
    found = content.get("mcpServers", content.get("servers")) if isinstance(content, dict) else None
    if not isinstance(found, dict):
        raise ConfigError(f"{path} is no file of servers: it needs {{\"mcpServers\": {{NAME: {{\"command\": ...}}}}}}")
    servers: list[tuple[str, dict[str, Any]]] = []
    for name, told in found.items():
        try:
            if not isinstance(told, dict):
                raise ValueError("it is an object with a command or a url")
            if told.get("disabled") is not True:
                servers.append((name, _options(told)))
        except ValueError as error:
            raise ConfigError(f"the server {name!r:.80} of {path}: {error}") from None
    return servers


def _options(told: dict[str, Any]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if isinstance(told.get("command"), str):
        options["target"] = [_filled(told["command"]), *map(_filled, _typed(told, "args", list))]
        options["env"] = {key: _filled(value) for key, value in _typed(told, "env", dict).items()}
        options["cwd"] = _filled(told["cwd"]) if told.get("cwd") is not None else None
    elif isinstance(told.get("url"), str):
        options["target"] = _filled(told["url"])
        options["headers"] = {key: _filled(value) for key, value in _typed(told, "headers", dict).items()}
        options["sse"] = told.get("type") == "sse"
    else:
        raise ValueError("it needs a \"command\" or a \"url\"")
    if "approval" in told:
        options["approval"] = told["approval"]
    return options


def _typed(told: dict[str, Any], key: str, kind: type) -> Any:
    value = told.get(key)
    if value is None:
        return kind()
    if not isinstance(value, kind):
        raise ValueError(f"\"{key}\" is {'a list' if kind is list else 'an object'} of texts")
    return value


def _filled(text: Any) -> str:
    """A text with its variables."""
    if not isinstance(text, str):
        raise ValueError(f"{text!r:.80} is no text")

    def value(found: re.Match[str]) -> str:
        known = os.environ.get(found[1], found[2])
        if known is None:
            raise ValueError(f"the environment variable {found[1]} is not set")
        return known

    return _VARIABLE.sub(value, text)
