"""Zygotes: one of each kind in a process, shared by all interpreters of equal settings, ended with the process."""

from __future__ import annotations

import atexit
import logging
import os
import threading
from typing import Any

from codeact.errors import InterpreterGone, SandboxUnavailable
from codeact.interpreter.folders import Base, remove_home
from codeact.interpreter.levels import Level, candidates
from codeact.interpreter.pool import Pool
from codeact.interpreter.session import Session
from codeact.interpreter.settings import DEFAULT_IMPORTS, SPACE, Settings, fault_of_python
from codeact.interpreter.zygote import Zygote

__all__ = ["DEFAULT_IMPORTS", "SPACE", "Settings", "Zygote", "open_session", "pool_of", "shutdown", "zygote_of"]

log = logging.getLogger("codeact.interpreter")

_pools: dict[tuple[Any, ...], Pool] = {}
_starting: dict[tuple[Any, ...], threading.Lock] = {}


def open_session(settings: Settings, base: Base | None = None, space: str = SPACE) -> Session:
    """A session, from the process's zygote of this kind; started, if need be, at the strongest level that works.

    Args:
        base, space: As for `opening.open_on`.

    Raises:
        SandboxUnavailable: None works; the message says why each failed and what to do.
        InterpreterGone: The Python of the settings does not start.
        ValueError: The walls that are asked for cannot hold what is asked for.
    """
    levels = candidates(settings.sandbox)
    if settings.proxied:
        levels = [level for level in levels if level.number == 3]
        if not levels:
            raise ValueError(f"sandbox={settings.sandbox!r} cannot hold the network to a list of hosts: that takes a "
                             "network namespace, so sandbox='namespaces' or 'auto'; or say network='none' or 'all'")
    try:
        return _open(settings, levels, base, space)
    except (InterpreterGone, SandboxUnavailable):
        zygote = zygote_of(settings)
        if zygote is None or not zygote.has_ended():
            raise
        return _open(settings, levels, base, space)   # it was killed a moment ago


def _open(settings: Settings, levels: list[Level], base: Base | None, space: str) -> Session:
    key = settings.zygote_key()
    with _starting.setdefault(key, threading.Lock()):
        pool = _pools.get(key)
        if pool is None or pool.zygote.is_closed() or pool.zygote.process.poll() is not None:
            if pool is not None:
                _pools.pop(key).close()   # what is left of one that was killed: standby sessions, threads, sockets
            return _start(settings, levels, key, base, space)
    if settings.proxied and pool.zygote.level.number != 3:
        raise SandboxUnavailable(f"network=[...] needs walls of level 3 (namespaces), and here those of level "
                                 f"{pool.zygote.level.number} are the strongest; `codeact doctor` says how to get them")
    return pool.session(settings, base, space)


def _start(settings: Settings, levels: list[Level], key: tuple[Any, ...], base: Base | None, space: str) -> Session:
    reasons: list[str] = []
    for level in levels:
        pool = None
        try:
            pool = Pool(Zygote(settings, level))
            session = pool.session(settings, base, space)   # the proof that this level works
        except SandboxUnavailable as error:
            if pool is not None:
                pool.close()
            if not reasons and (fault := fault_of_python(settings.python)) is not None:
                raise InterpreterGone(fault) from None
            reasons.append(str(error))
            continue
        except BaseException:
            if pool is not None:
                pool.close()
            raise
        if reasons:
            log.warning("walls of level %d (%s) only; stronger ones do not work here: %s", level.number, level.name,
                        "; ".join(reasons))
        else:
            log.info("walls of level %d (%s)", level.number, level.name)
        _pools[key] = pool
        pool.begin()
        return session
    if settings.proxied:
        raise SandboxUnavailable("network=[...] needs walls of level 3 (namespaces): " + "; ".join(reasons) +
                                 ". `codeact doctor` says how to get them; network='none' works without")
    raise SandboxUnavailable("; ".join(reasons) + ". `codeact doctor` says what this machine offers and how to get the "
                             "rest; sandbox='none' runs code with no walls at all")


def zygote_of(settings: Settings) -> Zygote | None:
    """The zygote of these settings, if one runs."""
    pool = pool_of(settings)
    return pool.zygote if pool is not None else None


def pool_of(settings: Settings) -> Pool | None:
    """The sessions of that zygote."""
    return _pools.get(settings.zygote_key())


def shutdown() -> None:
    """End every zygote and every session of this process. Runs at exit by itself."""
    pools = list(_pools.values())
    _pools.clear()
    for pool in pools:
        pool.close()
    remove_home()


def _forget() -> None:
    """A forked child of this process starts its own zygotes; the sockets of ours it must not hold open."""
    for pool in _pools.values():
        for connection in (pool.zygote.connection, pool.zygote.preloaded):
            if connection is not None:
                connection.close()
    _pools.clear()
    _starting.clear()


atexit.register(shutdown)
os.register_at_fork(after_in_child=_forget)
