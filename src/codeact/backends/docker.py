"""Cells in a container of Docker's: the same kernel, with the container's walls around it.

    docker:python:3.12-slim                 any image with Python 3.9 or later; nothing is installed in it
    docker:python:3.12-slim?runtime=runsc   with another runtime, here gVisor's

No network, no capabilities, no new privileges, a read-only root, an unprivileged user, limits of memory and processes;
the workspace and the folders of `read=` are shown at their own paths. State, tools, checkpoints and recovery are as
with backend="local"; `imports=` is not done ahead. podman.py is the same with another program.

Not protected against: faults of Docker and of the Linux kernel, which the container shares (unless the runtime is
gVisor's or a virtual machine's). codeact raises no wall of its own inside: `level` is 0, and code in the cells can end
its session and lie about what it uses. Whoever may run `docker` is as good as root on the machine: this does not
change it.
"""

from __future__ import annotations

import logging
import urllib.parse

from codeact.backends.local import LocalBackend
from codeact.errors import ConfigError
from codeact.interpreter.backend import Request
from codeact.interpreter.container import ContainerKind, open_session
from codeact.interpreter.folders import Base
from codeact.interpreter.session import Session
from codeact.interpreter.settings import SPACE, Settings, user_folder

__all__ = ["ContainerBackend", "create", "kind_of"]

log = logging.getLogger("codeact.interpreter")


class ContainerBackend(LocalBackend):
    """A session in a container, and its history.

    Args:
        kind: Program, image, runtime.
        request: What is wanted.

    Raises:
        ConfigError: The program, its daemon or the image is missing, or something that cannot be is asked for.
        InterpreterGone: The container does not start.
        ValueError, FileNotFoundError: An argument makes no sense.
    """

    def __init__(self, kind: ContainerKind, request: Request):
        if request.sandbox not in ("auto", "none", 0, "0"):
            raise ConfigError(f"backend='{kind.program}:...': the walls are the container's, so sandbox="
                              f"{request.sandbox!r} cannot be had; leave it out, or use backend='local'")
        if not isinstance(request.network, str):
            raise ConfigError(f"backend='{kind.program}:...': network=[...] needs the local back-end's walls; use "
                              "network='none' or 'all', or backend='local'")
        if request.packages and request.packages != "none":
            raise ConfigError(f"backend='{kind.program}:...': packages=... goes with backend='local'; take an image "
                              "that has them")
        if request.mode == "copy":
            raise ConfigError(f"backend='{kind.program}:...': mode='copy' goes with backend='local'; a container works "
                              "in the folder itself (mode='live')")
        self._kind = kind
        super().__init__(request)
        log.info("cells run in a container of %s's (%s)", kind.program, kind.image)

    def _settle(self, request: Request) -> Settings:
        return Settings(
            python=self._kind.python, imports=(), sandbox="none",
            network="all" if request.network == "all" else "none", limits=request.limits,
            workspace=user_folder(request.workspace, "workspace") if request.workspace is not None else None,
            read=tuple(user_folder(path, "read") for path in request.read))

    def _open_session(self, base: Base | None = None, space: str = SPACE) -> Session:
        return open_session(self._kind, self._settings, base, space)


def kind_of(program: str, image: str, request: Request, runtime: str | None) -> ContainerKind:
    """What `IMAGE?runtime=NAME` means.

    Raises:
        ConfigError: It means nothing.
    """
    image, _, query = image.partition("?")
    options = dict(urllib.parse.parse_qsl(query))
    runtime = options.pop("runtime", runtime)
    if options:
        raise ConfigError(f"backend='{program}:{image}?{query}': only runtime= can be told so")
    if not image or image.startswith("-") or any(mark.isspace() for mark in image):
        raise ConfigError(f"backend='{program}:{image}': name an image, as in '{program}:python:3.12-slim'")
    return ContainerKind(program, image, runtime, request.python or "python3")


def create(image: str = "", *, request: Request, runtime: str | None = None) -> ContainerBackend:
    """This back-end, for `plugins`.

    Args:
        image: As above.
        runtime: The container's, as "runsc".
    """
    return ContainerBackend(kind_of("docker", image, request, runtime), request)
