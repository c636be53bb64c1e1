"""Starts the process of a zygote, at once or ahead of time: a program that is sure to want a session lets it load its
kernel beside its own imports (`codeact exec`), which saves a third of a cold start.
"""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

from codeact.interpreter.settings import environment, python_program

__all__ = ["begin", "give_up", "process_for"]

KERNEL = Path(__file__).resolve().parent.parent / "kernel"

Started = tuple["subprocess.Popen[bytes]", socket.socket]

_begun: tuple[str, dict[str, str], Started] | None = None


def begin(python: str | None) -> None:
    """Start one now, for the next zygote with this Python (None: our own). What fails is told when it is wanted."""
    global _begun
    try:
        program = python_program(python)
        kept = environment(program)
        _begun = program, kept, _launch(program, kept)
    except OSError:
        pass


def process_for(python: str) -> Started:
    """A process that waits for the frame "start" on the socket: the one that was begun, if it is such a one.

    Raises:
        OSError: It cannot be started.
    """
    global _begun
    kept = environment(python)
    if _begun is not None and _begun[:2] == (python, kept):
        started, _begun = _begun[2], None
        return started
    give_up()
    return _launch(python, kept)


def give_up() -> None:
    """End one that was begun and is not wanted after all."""
    global _begun
    if _begun is None:
        return
    (process, sock), _begun = _begun[2], None
    sock.close()
    process.kill()
    process.communicate()


def _launch(python: str, kept: dict[str, str]) -> Started:
    ours, theirs = socket.socketpair()
    try:
        return subprocess.Popen(
            [python, str(KERNEL), str(theirs.fileno())], pass_fds=[theirs.fileno()], env=kept,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE if os.environ.get("CODEACT_DEBUG") is None else None, cwd="/"), ours
    except OSError:
        ours.close()
        raise
    finally:
        theirs.close()
