"""Attacks on sessions that may reach a list of hosts: getting past the list, to addresses that are never allowed, or out
by another way. The one host on the list belongs to the attacker, whose names lead where the attacker likes."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from typing import Any

from .arena import Arena, Outcome, attack

PROXY = ("127.0.0.1", 3128)


@contextlib.contextmanager
def listed(arena: Arena, entries: list[str], address: str = "127.0.0.1", *, loopback: bool = False) -> Iterator[Any]:
    """A session that may reach these hosts, which all lead to one address; `loopback` lets them, as if it were public."""
    from codeact.interpreter import proxy

    checks = {"check": lambda found: "" if str(found) == "127.0.0.1" else "no"} if loopback else {}
    serving = proxy.Proxy(resolver=lambda host, port: [address], **checks)
    shared, proxy.shared = proxy.shared, lambda: serving
    try:
        with arena.fresh(network=entries) as session:
            yield session
    finally:
        proxy.shared = shared
        serving.close()


class Target:
    """A server of the host's that counts who comes, and answers."""

    def __init__(self) -> None:
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        self.reached = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.server.accept()
                self.reached += 1
                with client, contextlib.suppress(OSError):
                    client.settimeout(5)
                    client.recv(65536)
                    client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nREACHED")

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()


@contextlib.contextmanager
def target() -> Iterator[Target]:
    one = Target()
    try:
        yield one
    finally:
        one.close()


ASK = """
import socket
def say(text):
    with socket.create_connection(proxy, 5) as sock:
        sock.settimeout(5)
        sock.sendall(text.encode('latin-1'))
        seen = b''
        try:
            while len(seen) < 100000 and (data := sock.recv(65536)):
                seen += data
        except OSError:
            pass
        return seen
"""


@attack(levels=(3,))
def spellings_of_the_hosts_loopback(arena: Arena) -> Outcome:
    """Ask the proxy for a server on the host by every spelling of its address, and by confusing it about the target."""
    with target() as victim, listed(arena, [f"good.test:{victim.port}", "good.test"]) as session:
        seen = arena.ask(session, ASK + """
hosts = ['127.0.0.1', 'localhost', '[::1]', '[::ffff:127.0.0.1]', '[::ffff:7f00:1]', '[64:ff9b::7f00:1]', '2130706433', '0x7f000001', '0177.0.0.1', '127.1', '0', '0.0.0.0',
         'good.test@127.0.0.1', '127.0.0.1#good.test', '127.0.0.1%00.good.test', 'good.test%00', '127.0.0.1\\\\.good.test', 'good.test:80@127.0.0.1', '127.0.0.1 good.test',
         '\\uff11\\uff12\\uff17.0.0.1'.encode().decode('latin-1'), 'good.test\\r\\nX: 127.0.0.1', 'LOCALHOST.', '127.0.0.1.', '']
answers = []
for host in hosts:
    answers.append(say('CONNECT %s:%d HTTP/1.1\\r\\n\\r\\nGET / HTTP/1.1\\r\\n\\r\\n' % (host, port)))
    answers.append(say('GET http://%s:%d/ HTTP/1.1\\r\\nHost: good.test\\r\\n\\r\\n' % (host, port)))
    answers.append(say('GET http://good.test/ HTTP/1.1\\r\\nHost: %s:%d\\r\\n\\r\\n' % (host, port)))
    answers.append(say('GET / HTTP/1.1\\r\\nHost: %s:%d\\r\\n\\r\\n' % (host, port)))
    answers.append(say('GET http://good.test/ HTTP/1.1\\r\\n\\r\\nGET http://%s:%d/ HTTP/1.1\\r\\n\\r\\n' % (host, port)))
tell(asked=len(answers), reached=sum(b'REACHED' in answer for answer in answers), tunnels=sum(b' 200 ' in answer for answer in answers))
""", timeout=50, port=victim.port, proxy=PROXY)
        return victim.reached == 0 and seen.get("asked", 0) > 100 and not seen["reached"] and not seen["tunnels"], f"{victim.reached} {seen}"


@attack(levels=(3,))
def an_allowed_name_that_leads_home(arena: Arena) -> Outcome:
    """Point the attacker's own, allowed name at the host, at its metadata service, and at other forms of these."""
    outcomes = []
    for address in ("127.0.0.1", "::1", "0.0.0.0", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "169.254.169.254", "fd00:ec2::254", "10.0.0.1"):
        with target() as victim, listed(arena, [f"good.test:{victim.port}"], address) as session:
            seen = arena.ask(session, ASK + """
answers = [say('CONNECT good.test:%d HTTP/1.1\\r\\n\\r\\nGET / HTTP/1.1\\r\\n\\r\\n' % port), say('GET http://good.test:%d/ HTTP/1.1\\r\\n\\r\\n' % port)]
tell(refused=[b' 403 ' in answer and b'only public' in answer for answer in answers])
""", port=victim.port, proxy=PROXY)
            outcomes.append((address, victim.reached == 0 and seen.get("refused") == [True, True], seen))
    return all(stopped for _, stopped, _ in outcomes), str([outcome for outcome in outcomes if not outcome[1]])


@attack(levels=(3,))
def around_the_proxy(arena: Arena) -> Outcome:
    """Reach the host or the world directly from a session with a list, and the listener of another one."""
    with target() as victim, listed(arena, [f"good.test:{victim.port}"], loopback=True) as session, \
            arena.listener(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0)) as (datagrams, bound), arena.fresh() as other:
        seen = arena.ask(session, """
import socket
def connect(family, kind, address):
    with socket.socket(family, kind) as sock:
        sock.settimeout(1)
        sock.connect(address)
        sock.send(b'x')
errors = [attempt(connect, socket.AF_INET, socket.SOCK_STREAM, (host, port)) for host in ('127.0.0.1', '127.0.0.2', '10.0.0.1', '1.1.1.1', '169.254.169.254')]
errors += [attempt(connect, socket.AF_INET6, socket.SOCK_STREAM, (host, port)) for host in ('::1', '2606:4700::1111')]
attempt(connect, socket.AF_INET, socket.SOCK_DGRAM, ('127.0.0.1', datagrams))   # to its own loopback, where nobody listens
errors += [attempt(connect, socket.AF_INET, socket.SOCK_DGRAM, ('1.1.1.1', 53)), attempt(socket.getaddrinfo, 'good.test', 80)]
tell(errors=errors)
""", port=victim.port, datagrams=bound[1])
        through = arena.ask(other, "import socket\ntell(error=attempt(socket.create_connection, proxy, 2))", proxy=PROXY)
        datagrams.settimeout(0.3)
        with contextlib.suppress(TimeoutError):
            datagrams.recv(10)
            return False, "a datagram arrived"
        good = arena.ask(session, ASK + "tell(reached=b'REACHED' in say('GET http://good.test:%d/ HTTP/1.1\\r\\n\\r\\n' % port))", port=victim.port, proxy=PROXY)
        stopped = None not in seen.get("errors", [None]) and through.get("error") == "ECONNREFUSED" and good.get("reached") is True and victim.reached == 1
        return stopped, f"{victim.reached} {seen} {through} {good}"


@attack(levels=(3,))
def every_connection_of_the_proxy(arena: Arena) -> Outcome:
    """Hold more connections than anyone needs, half a request on each, to use up the supervisor's descriptors."""
    with target() as victim, listed(arena, [f"good.test:{victim.port}"], loopback=True) as session:
        before = len(os.listdir("/proc/self/fd"))
        seen = arena.ask(session, """
import socket
held = []
for _ in range(300):
    sock = socket.socket(); sock.setblocking(False)
    try:
        sock.connect(proxy)
    except BlockingIOError:
        pass
    try:
        sock.send(b'GET http://good.test/ HTTP/1.1\\r\\nX: ')
    except OSError:
        pass
    held.append(sock)
tell(held=len(held))
""", proxy=PROXY)
        more = len(os.listdir("/proc/self/fd")) - before
        with arena.fresh(network=[f"good.test:{victim.port}"]) as other:
            good = arena.ask(other, ASK + "tell(reached=b'REACHED' in say('GET http://good.test:%d/ HTTP/1.1\\r\\n\\r\\n' % port))", port=victim.port, proxy=PROXY)
        return seen.get("held") == 300 and more <= 64 and good.get("reached") is True, f"{more} more descriptors, {seen} {good}"
