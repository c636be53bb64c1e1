"""The flags that say how a session is made, shared by `codeact exec` and `codeact mcp`, and what comes of them."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from codeact.cli._flags import add_backend, add_memory, add_network, add_packages, network_of, packages_of, positive

if TYPE_CHECKING:
    from codeact.interpreter.limits import Limits

__all__ = ["add_flags", "arguments_of", "in_flags", "limits_of", "mode_of", "told", "walls_of"]

_FLAGS = (('network=["HOST"] or network="all"', "--network HOST or --network all"),
          ("Limits(memory_mb=N)", "--memory-mb N"), ("python=...", "--python"), ("workspace='", "--workspace '"),
          ("read='", "--read '"), ("network=['", "--network ['"), ("python='", "--python '"),
          ("index_url=... says where packages come from; packages=... says which, or 'allow'",
           "--index-url says where packages come from; say which with --package NAME, or --allow-packages"))
"""How messages of the library name what a flag says, and the flag."""


def add_flags(parser: argparse.ArgumentParser, *, timeout: str) -> None:
    """Give a parser these flags.

    Args:
        timeout: What a cell's time limit is without the flag, in words.
    """
    parser.add_argument("--workspace", metavar="DIR",
                        help="work on DIR, which stays as it is until `codeact apply` (default: a fresh folder)")
    parser.add_argument("--live", action="store_true", help="let the code change the files of DIR themselves, at once")
    parser.add_argument("--read", metavar="DIR", action="append", default=[],
                        help="also let it read DIR; may be repeated")
    add_network(parser)
    add_packages(parser)
    parser.add_argument("--sandbox", default="auto", metavar="WALLS",
                        help="auto (default: the strongest that works), namespaces, landlock, landlock-narrow, none")
    parser.add_argument("--python", metavar="PATH",
                        help="run the code with this Python instead; nothing needs to be installed there")
    add_backend(parser)
    parser.add_argument("--timeout", type=positive(float), metavar="SECONDS",
                        help=f"that each cell may take (default: {timeout})")
    add_memory(parser)


def arguments_of(options: argparse.Namespace) -> dict[str, Any]:
    """Keyword arguments of `Interpreter`, but the limits.

    Raises:
        ValueError: The flags do not fit together.
    """
    return {"workspace": options.workspace, **mode_of(options), "read": options.read,
            "network": network_of(options.network),
            "packages": packages_of(options.package, options.allow_packages), "index_url": options.index_url,
            "sandbox": options.sandbox, "python": options.python, "backend": options.backend}


def mode_of(options: argparse.Namespace) -> dict[str, Any]:
    """What happens to the files of `--workspace`, as keyword arguments of `Interpreter`.

    Raises:
        ValueError: The flags do not fit together.
    """
    copy = options.workspace is not None and not options.live
    if options.live and options.workspace is None:
        raise ValueError("--live goes with --workspace DIR")
    if copy and options.backend != "local":
        raise ValueError(f"--backend {options.backend} cannot hold changes to DIR back: say --live, and the code "
                         "changes DIR itself")
    return {"mode": "copy" if copy else "live", "keep_changes": copy}


def in_flags(words: str) -> str:
    """A message of the library, with the command line's flags in place of arguments."""
    for argument, flag in _FLAGS:
        words = words.replace(argument, flag)
    return words


def told(error: BaseException) -> str:
    """A fault in words, without the number of the system's error."""
    if not isinstance(error, OSError) or not error.strerror:
        return str(error)
    return f"{error.filename}: {error.strerror}" if error.filename else error.strerror


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


def walls_of(level: int | None, backend: str) -> str:
    """What stands around the code, in words."""
    if level:
        return f"behind walls of level {level}"
    program = backend.partition(":")[0]
    if program in ("docker", "podman"):
        return f"in a container of {program}'s"
    if program == "jupyter":
        return "in a Jupyter kernel, with no walls of ours"
    return "with NO WALLS: the code can do all that you can do"
