"""How a worker begins: forked from a zygote or a keeper, it goes behind the inner walls and runs cells.

At level 3 the zygote forks it into the keeper's pid namespace while the keeper still raises the outer walls; the
worker gets ready meanwhile, and enters them when the host says so. No user code has run in it before that.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import gc
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
from typing import Any, Dict, List, Optional

from .freezing import reseed
from .walls import landlock, namespaces, rlimits, seccomp
from .walls.libc import MACHINE, PR_SET_PDEATHSIG, prctl
from .wire import Connection
from .worker import Worker

__all__ = ["become_worker", "make_worker", "system_call_filter"]


# Plain numbers and _signal: the enumerations cost more than the system calls they are for
SIGCHLD, SIGKILL, SIG_DFL = int(signal.SIGCHLD), int(signal.SIGKILL), int(signal.SIG_DFL)


AHEAD_SECONDS = 0.005
"""Without a word of a session: there is none yet."""


def make_worker(rehearsals: int = 1) -> Worker:
    """In a zygote: a worker for its children to be forks of, with all done that is the same for each.

    Args:
        rehearsals: After some dozens Python has specialised its own code, which no child has to do again.
    """
    worker = Worker()
    for _ in range(rehearsals):
        worker.rehearse()
    return worker


def become_worker(worker: Optional[Worker], control: int, output: int, config: Dict[str, Any],
                  keeper: int = -1) -> None:
    """In a process just forked: become the worker of a session. Never returns.

    Args:
        worker: What the zygote made ready; None where it did not.
        control: A socket to the host.
        output: The pipe that descriptors 1 and 2 write to.
        config: The start frame's and the session's fields together; at level 3 the latter come with the host's word.
        keeper: A pidfd of the keeper, whose walls are entered at the host's word; -1 where they stand already.
    """
    connection = Connection(socket.socket(fileno=control))
    try:
        if keeper < 0:
            prctl(PR_SET_PDEATHSIG, SIGKILL)   # elsewhere the end of the pid namespace does it
        _signal.signal(SIGCHLD, SIG_DFL)
        os.setsid()
        threading.main_thread()._set_native_id()   # type: ignore[attr-defined]
        reseed()
        worker = worker or make_worker()
        worker.take_up(connection, output)
        if keeper >= 0:
            config = {**config, **_wait_for_session(worker, connection)}
            namespaces.enter_session(keeper, network=config["network"])
            os.close(keeper)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
        worker.begin(config)
        _settle(config)
        _raise_inner_walls(config)
        if config["limits"].get("memory_mb") is not None:
            worker.reserve.begin()
        gc.enable()
        connection.send({"t": "ready", "pid": os.getpid()})
    except BaseException as error:
        connection.send({"t": "failed", "reason": str(error) or type(error).__name__})
        os._exit(1)
    worker.serve()


def _wait_for_session(worker: Worker, connection: Connection) -> Dict[str, Any]:
    """The config of the session, when its walls stand. Forked ahead of one, the worker rehearses meanwhile."""
    if not connection.wait(AHEAD_SECONDS):
        worker.stand_by()
    frame = connection.receive()   # "enter"
    if frame is None:
        os._exit(0)
    config: Dict[str, Any] = frame[0]["config"]
    return config


def _settle(config: Dict[str, Any]) -> None:
    """The working folder, and the environment a program expects."""
    os.chdir(config["workspace"])
    os.environ.update(HOME=config["home"], PWD=config["workspace"], TMPDIR=config["tmp"], USER="user", LOGNAME="user",
                      **config["environment"])
    _own_font_cache(config["tmp"])
    tempfile.tempdir = None
    sys.argv[:] = [""]
    sys.path.insert(0, "")
    os.environ["XDG_CACHE_HOME"] = os.path.join(config["tmp"], ".cache")   # not among the user's files


def _own_font_cache(tmp: str) -> None:
    """matplotlib wants a folder it may write to, and takes seconds to list fonts anew where it finds no list."""
    shared = os.environ.get("MPLCONFIGDIR")
    if "matplotlib" in sys.modules or not shared:
        return
    own = os.environ["MPLCONFIGDIR"] = os.path.join(tmp, ".matplotlib")
    os.makedirs(own, exist_ok=True)
    for name in os.listdir(shared) if os.path.isdir(shared) else ():
        if name.endswith(".json") and not os.path.lexists(os.path.join(own, name)):
            shutil.copyfile(os.path.join(shared, name), os.path.join(own, name))


def system_call_filter(config: Dict[str, Any], pid: int) -> bytes:
    """The filter of a worker with this pid."""
    abi = min(landlock.abi(), config["abi_cap"])
    policy = seccomp.Policy.of(level=config["level"], abi=abi, network=config["network"], own_pid=pid)
    return seccomp.build(MACHINE, policy)


def _raise_inner_walls(config: Dict[str, Any]) -> None:
    level: int = config["level"]
    own_namespace = level == 3
    rlimits.apply(config["limits"], own_namespace=own_namespace)
    if level == 0:
        return
    rlimits.drop_capabilities()
    abi_cap = config["abi_cap"]
    abi = min(landlock.abi(), abi_cap)
    if not own_namespace and abi < config["abi_least"]:
        raise OSError("Landlock of ABI %d or later is needed, and this kernel offers %d" % (config["abi_least"], abi))
    if abi:
        # A tree of its own holds nothing it may not see; in a network namespace of its own it may talk to itself
        read: List[str] = ["/"] if own_namespace else config["read"]
        landlock.restrict(read, config["write"], abi_cap=abi_cap, tcp=config["network"] or own_namespace)
    seccomp.install(system_call_filter(config, os.getpid()))
