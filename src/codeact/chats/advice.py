"""What the library advises in arguments of Python, said as what those who use a server, or run it, can do.

For results of cells it goes with the interpreter's style, so that the model hears the same; for faults by `in_chat`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["advice", "in_chat"]

_OF_CELLS = (
    ("Limits(memory_mb=N) sets another one", "`codeact serve --memory-mb N` sets another one"),
    ("Limits(file_mb=N) sets another limit", "write several that are smaller"),
    ("Limits(workspace_mb=N) sets another limit", "delete what is not needed"),
    (
        'or tell the user, who can allow it with Interpreter(packages="allow") or --allow-packages, or name some: '
        "packages=[...] or --package NAME",
        "or tell the user that whoever runs the server can install it there (pip install NAME, beside codeact)",
    ),
)
_OF_FAULTS = (
    (re.compile(r"network=\[\.\.\.\] needs"), "to reach hosts, cells need"),
    (re.compile(r"network=\[\.\.\.\] has"), "the list of hosts has"),
    (re.compile(r"network=\[((?:'[^']*'|\"[^\"]*\"))\]:"), r"the host \1 cannot be named:"),
    (re.compile(r"for every host say network='all'"), "each host is named by itself"),
    (
        re.compile(r"so sandbox='namespaces' or 'auto'; or say network='none' or 'all'"),
        "so `codeact serve --sandbox auto`; or name no hosts in the conversation's settings",
    ),
    (re.compile(r"network='none' works without"), "without hosts in its settings the conversation works"),
    (re.compile(r"sandbox='([\w-]+)'"), r"`codeact serve --sandbox \1`"),
)


def advice(hosts: Sequence[str] | None) -> tuple[tuple[str, str], ...]:
    """For `Style.advice`.

    Args:
        hosts: Those that conversations may name; None: any.
    """
    if hosts is None:
        ours = "hosts that are named in the conversation's settings can be reached"
    elif hosts:
        ours = (
            "hosts that are named in the conversation's settings can be reached; this server allows "
            f"{', '.join(hosts)[:300]}"
        )
    else:
        ours = "whoever runs the server can open it to some (codeact serve --allow-network HOST)"
    return (('network=["HOST"] or network="all" opens it', ours), *_OF_CELLS)


def in_chat(words: str) -> str:
    """A fault of the library's, as it is told in a chat."""
    for of_the_library, ours in _OF_FAULTS:
        words = of_the_library.sub(ours, words)
    return words
