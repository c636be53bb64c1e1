"""Where a benchmark's data lies: where the user says, or in the cache that `codeact data get` fills.

Each has a folder of its own name, in one that `--data` or CODEACT_DATA names, or in the cache. Nothing here asks the
network.
"""

import os
from pathlib import Path

from codeact.errors import ConfigError

__all__ = ["VARIABLE", "cache", "find", "home"]

VARIABLE = "CODEACT_DATA"


def cache() -> Path:
    """The folder that holds what was downloaded: `$XDG_CACHE_HOME/codeact/data`."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(home) / "codeact" / "data"


def home(given: str | None = None) -> Path:
    """The folder in which data is looked for: the given one, the one that CODEACT_DATA names, or the cache."""
    said = given or os.environ.get(VARIABLE)
    return Path(said).expanduser() if said else cache()


def find(name: str, given: str | None = None) -> Path:
    """The folder of the data `name`.

    Args:
        given: The folder that holds it; if None, the one that CODEACT_DATA names, else the cache.

    Raises:
        ConfigError: It is not there; the message says how to get it.
    """
    said = given or os.environ.get(VARIABLE)
    folder = home(given) / name
    if folder.is_dir():
        return folder
    if said:
        source = "--data" if given else VARIABLE
        raise ConfigError(f"{source} names {said}, which holds no folder {name!r}; leave it out and get the data with: "
                          f"codeact data get {name}")
    raise ConfigError(f"the data of {name} is not on this machine; get it with: codeact data get {name}. "
                      f"A copy of your own: --data DIR, where DIR holds the folder {name!r}")
