"""Where benchmarks' data comes from: public homes, pinned to a commit, and the hashes of what must come out."""

from collections.abc import Mapping
from dataclasses import dataclass

from codeact.errors import ConfigError

__all__ = ["SOURCES", "Source", "source"]


@dataclass(frozen=True)
class Source:
    """One benchmark's data."""

    name: str
    url: str
    """A git repository."""
    commit: str
    """Forty digits: git's hash of all that is fetched."""
    folder: str
    """What is needed of the repository."""
    digests: Mapping[str, str]
    """`canonical.digest` of each file that is made of it."""
    about: str


M3TOOLEVAL = Source(
    "m3tooleval",
    "https://github.com/xingyaoww/code-act",
    "d40487f29abd0926b29e9fc94a3ce86e2caf9389",
    "scripts/eval/m3tooleval",
    {
        "tasks.jsonl": "68132ac73afbefbf962691dbf37ec3a5efd81d9399474c23a43ee699d0b49eea",
        "tools.json": "860fc9de42525c585d5974f9cbdb1ec3703a290c9f08f48533d1bcad181e7a0b",
        "travel.json": "0a013312713f0865f0a68fab9db0ffa7a59040a0a4af6f98e18ce27d744306bc",
        "web_pages.jsonl": "5c565cbe5f5aca877c395ac14b176c998cf48a5c7a64fae63a778843aa99f0c9",
    },
    "82 tasks over five families of tools (paper section 2.3)",
)

SOURCES = {found.name: found for found in (M3TOOLEVAL,)}


def source(name: str) -> Source:
    """The source of a name.

    Raises:
        ConfigError: There is none; the message lists those there are.
    """
    if name not in SOURCES:
        raise ConfigError(f"there is no data named {name!r}; available: {', '.join(SOURCES)}")
    return SOURCES[name]
