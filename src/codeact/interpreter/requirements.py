"""What may be asked of pip: names with versions and extras, and nothing else.

`Packages` (packages.py) lets each text that a cell or a user sends through here before anything is done with it. What
is written like an option, a path or an address is refused: pip would read files of the host, or run code of a source
distribution there.

Not protected against: what a package of an allowed name holds. It runs inside the walls.

Source: PEP 508 and PEP 440, of which this takes a part.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["Requirement", "normalised", "policy", "requirements"]

MAX_AT_ONCE = 20
MAX_CHARS = 200
"""Of one requirement."""

_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9])?"
_CLAUSE = r"(?:==|~=|!=|<=|>=|<|>) *[A-Za-z0-9][A-Za-z0-9._*+!-]{0,63}"
_REQUIREMENT = re.compile(rf"({_NAME}) *(?:\[ *({_NAME}(?: *, *{_NAME})*) *\])? *({_CLAUSE}(?: *, *{_CLAUSE})*)?", re.A)
_ARCHIVE = re.compile(r"\.(whl|zip|egg|tar|tgz|gz|bz2|xz|tbz|txz|tlz|lzma)\Z", re.I)
"""A name that pip would take for a file's."""


class Requirement:
    """One requirement.

    Args:
        text: `name`, `name>=1.0,<2`, `name[extra]==1.0`.

    Raises:
        ValueError: It is something else; the message says what would be right.
    """

    def __init__(self, text: object):
        if not isinstance(text, str):
            raise ValueError(f"a package is named by a text, not {type(text).__name__}")
        found = _REQUIREMENT.fullmatch(text.strip(" ")) if len(text) <= MAX_CHARS else None
        if found is None or _ARCHIVE.search(found[1]):
            shown = text if len(text) <= 100 else text[:100] + "..."
            raise ValueError(f"{shown!r} cannot be installed: packages are asked for by name, as 'einops', "
                             "'einops>=0.7,<1' or 'httpx[http2]'; no options, paths or addresses")
        self.name = normalised(found[1])
        self.text = re.sub(" ", "", found[0])

    def __repr__(self) -> str:
        return f"Requirement({self.text!r})"


def requirements(texts: Sequence[object]) -> list[Requirement]:
    """All of a request; raises ValueError as `Requirement` does, or where there are too many or none."""
    if not texts:
        raise ValueError("which package is to be installed? as 'einops' or 'einops>=0.7'")
    if len(texts) > MAX_AT_ONCE:
        raise ValueError(f"{len(texts)} packages at once; at most {MAX_AT_ONCE} are taken")
    return [Requirement(text) for text in texts]


def normalised(name: str) -> str:
    """A package's name in the spelling that all its spellings have in common."""
    return re.sub(r"[-_.]+", "-", name).lower()


def policy(packages: str | Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """What `Interpreter(packages=...)` means: "" (none), "given" or "allow"; and what to install at the start.

    Raises:
        ValueError: It is none of what it may be.
    """
    if isinstance(packages, str):
        if packages not in ("none", "allow"):
            raise ValueError(f"packages={packages!r}: it is 'none', 'allow', or a list of packages: [{packages!r}]")
        return ("allow" if packages == "allow" else ""), ()
    named = tuple(dict.fromkeys(Requirement(one).text for one in packages if one != "*"))
    return ("allow" if "*" in packages else "given" if named else ""), named
