"""A Jupyter kernel on this machine: one that is started here by its name, or one that runs and is told by its file.

Used by jupyter.py. A kernel started here gets a short list of this program's environment variables and a folder to
work in; its ports listen on this machine and want the key of its connection file, as always with Jupyter.
"""

from __future__ import annotations

import os
import queue
import uuid
from pathlib import Path
from typing import Any

from codeact.backends._jupyter_wire import MAX_MESSAGE_BYTES, KernelLost, Message, message_of
from codeact.errors import ConfigError, InterpreterGone, MissingExtra
from codeact.interpreter.outcome import death_in_words
from codeact.interpreter.settings import environment

__all__ = ["ZmqWire"]

LOOK_SECONDS = 0.2
"""Between two looks whether the kernel's process lives."""
SILENT_SECONDS = 10.0
"""A kernel that is not ours is taken for dead when its heartbeat stops for this long."""
CHANNELS = ("shell", "iopub", "stdin", "control")


class ZmqWire:
    """A kernel and its sockets.

    Args:
        name: Of an installed kernel ("python3"), to be started.
        file: The connection file of a kernel that runs; instead of `name`.
        folder: Where a kernel that is started works.

    Raises:
        MissingExtra: jupyter_client is not installed.
        ConfigError: There is no such kernel, or the file cannot be read.
        InterpreterGone: The kernel does not start.
    """

    def __init__(self, *, name: str = "", file: str = "", folder: Path | None = None):
        try:
            import zmq
            from jupyter_client.blocking.client import BlockingKernelClient
            from jupyter_client.manager import KernelManager
        except ModuleNotFoundError as error:
            raise MissingExtra(str(error.name), "jupyter", "backend='jupyter:...'") from None
        self.owned, self.folder = not file, folder
        self._manager: Any = None
        self._zmq: Any = zmq
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        try:
            context = zmq.Context()
            context.setsockopt(zmq.MAXMSGSIZE, MAX_MESSAGE_BYTES)
            context.setsockopt(zmq.LINGER, 0)
            self._context = context
            if file:
                self._client = BlockingKernelClient(context=context)
                _load(self._client, file)
            else:
                self._manager = KernelManager(kernel_name=name, context=context)
                self._start(name)
                self._client = self._manager.client()
            self._client.start_channels(shell=True, iopub=True, stdin=True, control=True, hb=not self.owned)
        except BaseException:
            self.close()
            raise
        self._client.session.session = uuid.uuid4().hex
        self._poller = zmq.Poller()
        self._sockets = {name: getattr(self._client, f"{name}_channel").socket for name in CHANNELS}
        for sock in (*self._sockets.values(), self._wake):
            self._poller.register(sock, zmq.POLLIN)
        self._silent = 0.0

    def _start(self, name: str) -> None:
        import subprocess

        from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

        kept = {key: value for key, value in environment("python").items()
                if not key.startswith("MPL") and key not in ("TERM", "NO_COLOR", "PATH")}   # figures inline, as its own
        for key, value in os.environ.items():
            if key == "PATH" or key.startswith("JUPYTER_") or key == "VIRTUAL_ENV":
                kept[key] = value
        try:
            self._manager.start_kernel(cwd=str(self.folder), env=kept, stdin=subprocess.DEVNULL,
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        except NoSuchKernel:
            known = ", ".join(sorted(KernelSpecManager().find_kernel_specs())) or \
                "none (install one: pip install ipykernel)"
            raise ConfigError(f"no Jupyter kernel is named {name!r}; installed: {known}") from None
        except OSError as error:
            raise InterpreterGone(f"the Jupyter kernel {name!r} does not start: {error}") from None

    # The contract -----------------------------------------------------------------------------------------------------

    def send(self, channel: str, kind: str, content: dict[str, Any]) -> str:
        session = self._client.session
        message = session.msg(kind, content)
        session.send(self._sockets[channel], message)
        return str(message["header"]["msg_id"])

    def wait(self, seconds: float) -> list[Message]:
        ready = dict(self._poller.poll(int(min(seconds, LOOK_SECONDS) * 1000 + 0.5)))
        if self._wake in ready:
            os.eventfd_read(self._wake)
        found: list[Message] = []
        for name, sock in self._sockets.items():
            if sock in ready:
                found += self._take(name)
        if not ready:
            self._check()
        else:
            self._silent = 0.0
        return found

    def _take(self, name: str) -> list[Message]:
        """What lies ready on one channel; not without end, as a flood would have it."""
        channel = getattr(self._client, f"{name}_channel")
        found = []
        for _ in range(100):
            try:
                raw = channel.get_msg(timeout=0)
            except queue.Empty:
                break
            except (ValueError, TypeError, KeyError):
                continue   # not signed with the key, or no message at all
            message = message_of(raw, name, self._client.session.session)
            if message is not None:
                found.append(message)
        return found

    def _check(self) -> None:
        if self.owned:
            if not self._manager.is_alive():
                raise KernelLost(f"the process {self._ending()}")
            return
        self._silent = 0.0 if self._client.hb_channel.is_beating() else self._silent + LOOK_SECONDS
        if self._silent > SILENT_SECONDS:
            raise KernelLost(f"the kernel has not answered for {SILENT_SECONDS:g} s")

    def _ending(self) -> str:
        code = getattr(getattr(self._manager.provisioner, "process", None), "returncode", None)
        return death_in_words(None if not isinstance(code, int) else -code if code < 0 else code << 8)

    def wake(self) -> None:
        os.eventfd_write(self._wake, 1)

    def interrupt(self) -> None:
        if self.owned:
            try:
                self._manager.interrupt_kernel()
            except (RuntimeError, OSError):
                pass   # it is gone, which the next look finds
        else:
            self.send("control", "interrupt_request", {})

    def restart(self) -> None:
        if not self.owned:
            raise KernelLost("the kernel is not ours to start again")
        try:
            self._manager.restart_kernel(now=True)
        except Exception as error:   # whatever a provisioner raises
            raise KernelLost(f"the kernel does not start again: {error}") from None
        self._silent = 0.0

    def close(self) -> None:
        client, manager = getattr(self, "_client", None), self._manager
        if client is not None:
            client.stop_channels()
        if manager is not None and manager.has_kernel:
            manager.shutdown_kernel(now=True)
            manager.cleanup_resources()
        if hasattr(self, "_context"):
            self._context.destroy(linger=0)
        if self._wake >= 0:
            os.close(self._wake)
            self._wake = -1


def _load(client: Any, file: str) -> None:
    path = Path(file).expanduser()
    try:
        client.load_connection_file(str(path.resolve(strict=True)))
    except Exception as error:   # what a file of any shape makes the library raise
        raise ConfigError(f"{file!r} is no connection file of a Jupyter kernel ({error}); in a notebook, "
                          "`%connect_info` tells its name") from None
