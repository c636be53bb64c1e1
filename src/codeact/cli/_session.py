"""The flags that say how a session is made, shared by `codeact exec` and `codeact mcp`, and what comes of them."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from codeact.cli._flags import _positive, add_network, add_packages, network_of, packages_of

if TYPE_CHECKING:
    from codeact.interpreter.limits import Limits

__all__ = ["add_flags", "arguments_of", "limits_of"]


def add_flags(parser: argparse.ArgumentParser, *, timeout: str) -> None:
    """Give a parser these flags.

    Args:
        timeout: What a cell's time limit is without the flag, in words.
    """
    parser.add_argument("--workspace", metavar="DIR",
                        help="work on DIR, which stays as it is until `codeact apply` (default: a fresh folder)")
    parser.add_argument("--live", action="store_true", help="let the code change the files of DIR themselves, at once")
    parser.add_argument("--read", metavar="DIR", action="append", default=[], help="let the code read DIR; repeatable")
    add_network(parser)
    add_packages(parser)
    parser.add_argument("--sandbox", default="auto", metavar="WALLS",
                        help="auto (default: the strongest that works), namespaces, landlock, landlock-narrow, none")
    parser.add_argument("--python", metavar="PATH", help="another Python to run the code with")
    parser.add_argument("--timeout", type=_positive(float), metavar="SECONDS",
                        help=f"of each cell (default: {timeout})")
    parser.add_argument("--memory-mb", type=_positive(int), metavar="MB",
                        help="of all processes together (default: 2048)")


def arguments_of(options: argparse.Namespace) -> dict[str, Any]:
    """Keyword arguments of `Interpreter`, but the limits.

    Raises:
        ValueError: The flags do not fit together.
    """
    if options.live and not options.workspace:
        raise ValueError("--live goes with --workspace DIR")
    copy = options.workspace is not None and not options.live
    return {"workspace": options.workspace, "mode": "copy" if copy else "live", "keep_changes": copy,
            "read": options.read, "network": network_of(options.network),
            "packages": packages_of(options.package, options.allow_packages), "index_url": options.index_url,
            "sandbox": options.sandbox, "python": options.python}


def limits_of(options: argparse.Namespace, *, seconds: float | None, **others: Any) -> Limits:
    """The limits of a session.

    Args:
        seconds: A cell's time limit without `--timeout`.
        others: Limits that no flag says.
    """
    from codeact.interpreter.limits import Limits

    if options.memory_mb is not None:
        others["memory_mb"] = options.memory_mb
    return Limits(wall_seconds=options.timeout if options.timeout is not None else seconds, **others)
