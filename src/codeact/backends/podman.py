"""Cells in a container of Podman's: docker.py with another program, which needs no daemon and no root.

    podman:docker.io/library/python:3.12-slim

What it does not protect against is what docker.py says; started by an ordinary user, the container is that user's.
"""

from __future__ import annotations

from codeact.backends.docker import ContainerBackend, kind_of
from codeact.interpreter.backend import Request

__all__ = ["create"]


def create(image: str = "", *, request: Request, runtime: str | None = None) -> ContainerBackend:
    """This back-end, for `plugins`.

    Args:
        image: With the registry's name, as Podman wants it.
        runtime: The container's, as "runsc".
    """
    return ContainerBackend(kind_of("podman", image, request, runtime), request)
