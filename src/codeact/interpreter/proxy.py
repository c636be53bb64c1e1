"""A small HTTP proxy on the host: the one way out for sessions that may reach some hosts and no others.

A session's listening socket is made in its own network namespace and handed to the host, which accepts on it; inside
there is no other process and no route. `Gateway` (gateway.py) asks for listeners to be served. One thread with an
event loop serves all sessions of the process; names are looked up in short-lived threads, as that blocks.

Each connection carries one request (exchange.py): `CONNECT host:port`, or a plain one (`GET http://host/...`), and is
closed after it, so that nothing is passed on unchecked.

Not protected against: what is said inside a tunnel, and how much. Bandwidth is not limited.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import socket
import threading
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from codeact.addresses import Check, Resolver, ask_system, resolve, why_refused
from codeact.interpreter.access import NetworkAccess
from codeact.interpreter.exchange import Connection, serve

__all__ = ["Proxy", "shared"]

log = logging.getLogger("codeact.network")
T = TypeVar("T")

MAX_CONNECTIONS = 32
"""Of one session; further ones wait in the listener's queue."""
MAX_ALL_CONNECTIONS = 256
"""Of all sessions, at two descriptors each."""
EVICT_SECONDS = 10.0
"""Of a session that has no room left, the connection that was silent the longest is closed, if for this long. States
hold copies of what a cell left open, so it may be one that nobody can use any more."""
FULL_SECONDS = 0.05
"""Until it is seen whether there is room again."""
MAX_LOOKUPS, MAX_ALL_LOOKUPS = 4, 32
"""Names looked up at once, for one session and for all: each takes a thread."""


@dataclass(eq=False)
class _Served:
    """A session's listener, and what came of it."""

    access: NetworkAccess
    listener: socket.socket
    pause: asyncio.TimerHandle | None = None
    """While there is no room, what will look again."""
    connections: set[Connection] = field(default_factory=set)
    lookups: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_LOOKUPS))


class Proxy:
    """Serves listeners. Its methods are called from any thread but its own.

    Args:
        resolver: Says where a name leads.
        check: Says which addresses may not be connected to.
    """

    def __init__(self, *, resolver: Resolver = ask_system, check: Check = why_refused):
        self._resolver, self._check = resolver, check
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._served: dict[NetworkAccess, _Served] = {}
        self._lookups = asyncio.Semaphore(MAX_ALL_LOOKUPS)
        self._stopping: asyncio.Task[None] | None = None

    def serve(self, listener: socket.socket, access: NetworkAccess) -> None:
        """Serve a listening socket, which is owned from now on, instead of the one served for `access` before."""
        listener.setblocking(False)
        self._call(self._begin(listener, access))

    def cut(self, access: NetworkAccess) -> None:
        """Close every connection of `access`; returns when it is done."""
        if access in self._served:
            self._call(self._cut(access))

    def reopen(self, access: NetworkAccess) -> None:
        """Take requests again, but none of a connection that was made before this."""
        if access in self._served:
            self._call(self._reopen(access))
        else:
            access.is_suspended = False

    def stop(self, access: NetworkAccess) -> None:
        """Close the listener and all connections; returns when it is done."""
        if access not in self._served:
            return
        if threading.current_thread() is self._thread and self._loop is not None:
            self._stopping = self._loop.create_task(self._stop(access))   # the collector ran here: do not wait
        else:
            self._call(self._stop(access))

    def close(self) -> None:
        """Stop everything, and the thread."""
        with self._lock:
            loop, thread, self._loop, self._thread = self._loop, self._thread, None, None
        if loop is None or thread is None:
            return
        for access in list(self._served):
            asyncio.run_coroutine_threadsafe(self._stop(access), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="codeact-proxy", daemon=True)
                self._thread.start()
            loop = self._loop
        return asyncio.run_coroutine_threadsafe(work, loop).result(30)

    def forget(self) -> None:
        """In a forked child of the program: let go of the parent's sockets; the loop did not come along."""
        for served in self._served.values():
            served.listener.close()
            for connection in served.connections:
                connection.client.close()
                if connection.upstream is not None:
                    connection.upstream.close()

    # In the loop ------------------------------------------------------------------------------------------------------

    async def _begin(self, listener: socket.socket, access: NetworkAccess) -> None:
        await self._stop(access)
        served = self._served[access] = _Served(access, listener)
        self._watch(served)

    async def _cut(self, access: NetworkAccess) -> None:
        if served := self._served.get(access):
            await _cancel(connection.task for connection in served.connections)

    async def _reopen(self, access: NetworkAccess) -> None:
        if served := self._served.get(access):
            while True:
                try:
                    self._start(served, served.listener.accept()[0])
                except OSError:
                    break   # none is left
        access.is_suspended = False

    async def _stop(self, access: NetworkAccess) -> None:
        served = self._served.pop(access, None)
        if served is not None:
            if served.pause is not None:
                served.pause.cancel()
            asyncio.get_running_loop().remove_reader(served.listener)
            served.listener.close()
            await _cancel(connection.task for connection in served.connections)
            await asyncio.sleep(0)   # transports close their sockets in the loop's next turn

    # Not loop.sock_accept: cancelled at the wrong moment it loses a connection that it has accepted

    def _watch(self, served: _Served) -> None:
        served.pause = None
        asyncio.get_running_loop().add_reader(served.listener, self._accept, served)

    def _pause(self, served: _Served, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(served.listener)
        served.pause = loop.call_later(seconds, self._watch, served)

    def _accept(self, served: _Served) -> None:
        if not self._has_room(served):
            self._pause(served, FULL_SECONDS)
            return
        try:
            client, _ = served.listener.accept()
        except BlockingIOError:
            return
        except OSError as error:
            log.warning("cannot accept a session's connection: %s", error)
            self._pause(served, 1.0)
            return
        self._start(served, client)

    def _has_room(self, served: _Served) -> bool:
        if sum(len(other.connections) for other in self._served.values()) >= MAX_ALL_CONNECTIONS:
            return False
        if len(served.connections) < MAX_CONNECTIONS:
            return True
        silent = min(served.connections, key=lambda connection: connection.latest)
        if silent.task is not None and asyncio.get_running_loop().time() - silent.latest > EVICT_SECONDS:
            silent.task.cancel()
        return False

    def _start(self, served: _Served, client: socket.socket) -> None:
        client.setblocking(False)
        connection = Connection(client, served.access, replayed=served.access.is_suspended,
                                latest=asyncio.get_running_loop().time())
        served.connections.add(connection)
        connection.task = asyncio.create_task(serve(connection, partial(self._look_up, served)))

        def ended(_: object) -> None:
            served.connections.discard(connection)
            client.close()   # also where the task was cancelled before its first step

        connection.task.add_done_callback(ended)

    async def _look_up(self, served: _Served, host: str, port: int) -> list[str]:
        """`addresses.resolve` in a thread; its place is free again when the thread has ended, however late."""
        loop = asyncio.get_running_loop()
        found: asyncio.Future[list[str]] = loop.create_future()
        await served.lookups.acquire()
        try:
            await self._lookups.acquire()
        except BaseException:
            served.lookups.release()
            raise

        def settle(outcome: list[str] | BaseException) -> None:
            served.lookups.release()
            self._lookups.release()
            if found.done():
                return   # nobody waits any more
            if isinstance(outcome, BaseException):
                found.set_exception(outcome)
            else:
                found.set_result(outcome)

        def work() -> None:
            outcome: list[str] | BaseException
            try:
                outcome = resolve(host, port, resolver=self._resolver, check=self._check)
            except BaseException as error:
                outcome = error
            try:
                loop.call_soon_threadsafe(settle, outcome)
            except RuntimeError:
                pass   # the program ends

        threading.Thread(target=work, name="codeact-lookup", daemon=True).start()
        return await found


async def _cancel(tasks: Iterable[asyncio.Task[None] | None]) -> None:
    pending = [task for task in tasks if task is not None]
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)


# One for the process --------------------------------------------------------------------------------------------------

_shared: Proxy | None = None
_shared_lock = threading.Lock()


def shared() -> Proxy:
    """The proxy of this process, started when first used."""
    global _shared
    with _shared_lock:
        if _shared is None:
            _shared = Proxy()
            atexit.register(_shared.close)
        return _shared


def _after_fork() -> None:
    global _shared, _shared_lock
    if _shared is not None:
        _shared.forget()
        _inherited.append(_shared)
    _shared, _shared_lock = None, threading.Lock()


_inherited: list[Proxy] = []
"""Of the parent, kept in a forked child so that nothing of the loop's is torn down there."""

os.register_at_fork(after_in_child=_after_fork)
