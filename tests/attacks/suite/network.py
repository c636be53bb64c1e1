"""Attacks by network: reaching listeners on the host's loopback, its unix sockets by path and by abstract name."""

from __future__ import annotations

import secrets
import socket
from typing import Any

from .arena import Arena, Outcome, attack


def reached(sock: socket.socket, kind: int) -> bool:
    """Whether anything has arrived at the probe's socket."""
    try:
        if kind == socket.SOCK_STREAM:
            sock.accept()[0].close()
        else:
            sock.recv(100)
    except (TimeoutError, BlockingIOError):
        return False
    return True


def connect_out(arena: Arena, family: int, kind: int, address: Any, also: str = "") -> Outcome:
    with arena.listener(family, kind, address) as (sock, bound):
        seen = arena.ask(arena.session, """
import socket
def stream():
    sock = socket.socket(family, kind)
    sock.settimeout(1)
    sock.connect(address)
    sock.sendall(b'x')
def unconnected():
    sock = socket.socket(family, kind)
    sock.settimeout(1)
    sock.sendto(b'x', address)
def shell():
    import subprocess
    subprocess.run(['bash', '-c', 'echo x > /dev/tcp/%s/%d' % address[:2]], capture_output=True, timeout=3).check_returncode()
errors = [attempt(stream), attempt(unconnected)]
""" + also + "\ntell(errors=errors)", family=int(family), kind=int(kind), address=bound[:2] if isinstance(bound, tuple) else bound)
        arrived = reached(sock, kind)
    return not arrived and "errors" in seen, ("arrived; " if arrived else "") + str(seen)


@attack()
def tcp_to_loopback(arena: Arena) -> Outcome:
    """Connect to a server on the host."""
    return connect_out(arena, socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0), "errors.append(attempt(shell))")


@attack()
def tcp6_to_loopback(arena: Arena) -> Outcome:
    """The same by IPv6."""
    try:
        return connect_out(arena, socket.AF_INET6, socket.SOCK_STREAM, ("::1", 0))
    except OSError as error:
        return True, f"the host has no IPv6: {error}"


@attack()
def tcp_fast_open_and_multipath(arena: Arena) -> Outcome:
    """Connect by the spellings of TCP that some checks have missed."""
    return connect_out(arena, socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0), """
def fast_open():
    sock = socket.socket(family, kind); sock.settimeout(1)
    sock.sendto(b'x', 0x20000000, address)
def multipath():
    sock = socket.socket(family, kind, 262); sock.settimeout(1)
    sock.connect(address)
errors += [attempt(fast_open), attempt(multipath)]
""")


@attack()
def udp_to_loopback(arena: Arena) -> Outcome:
    """Send a datagram: enough to ask a name server for names that carry data out."""
    return connect_out(arena, socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0))


@attack()
def unix_socket_by_path(arena: Arena) -> Outcome:
    """Connect to a daemon such as Docker's."""
    return connect_out(arena, socket.AF_UNIX, socket.SOCK_STREAM, str(arena.top / f"s{secrets.token_hex(3)}"))


@attack()
def unix_datagram_by_path(arena: Arena) -> Outcome:
    """Send to a datagram socket, also from one end of a pair, which needs no socket() call."""
    return connect_out(arena, socket.AF_UNIX, socket.SOCK_DGRAM, str(arena.top / f"s{secrets.token_hex(3)}"), """
for kind in (socket.SOCK_DGRAM, socket.SOCK_RAW):
    def pair():
        a, b = socket.socketpair(socket.AF_UNIX, kind)
        a.sendto(b'x', address)
    def reconnected():
        a, b = socket.socketpair(socket.AF_UNIX, kind)
        a.connect(address); a.send(b'x')
    errors += [attempt(pair), attempt(reconnected)]
""")


@attack()
def abstract_unix_socket(arena: Arena) -> Outcome:
    """Connect to a socket without a path, such as the session bus."""
    return connect_out(arena, socket.AF_UNIX, socket.SOCK_STREAM, f"\0codeact-probe-{secrets.token_hex(6)}")


@attack()
def abstract_unix_datagram(arena: Arena) -> Outcome:
    """Send to one, also from one end of a pair."""
    return connect_out(arena, socket.AF_UNIX, socket.SOCK_DGRAM, f"\0codeact-probe-{secrets.token_hex(6)}", """
def pair():
    a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    a.sendto(b'x', address)
errors.append(attempt(pair))
""")


@attack()
def other_families(arena: Arena) -> Outcome:
    """Sockets that network namespaces do not hold (VSOCK reaches a virtual machine's host), or that are large parts of
    the kernel: none of them."""
    seen = arena.ask(arena.session, """
import socket
made = []
for family in range(46):
    for kind in (1, 2, 3, 5):
        for protocol in (0, 1, 15):
            try:
                socket.socket(family, kind, protocol).close()
                made.append(family)
            except OSError:
                pass
tell(made=sorted(set(made)))
""")
    beyond = set(seen.get("made", [])) - {1, 2, 10}
    return "made" in seen and not beyond, str(seen)


@attack()
def listen_on_the_host(arena: Arena) -> Outcome:
    """Offer a server on the host's loopback, for a browser there to meet."""
    with arena.fresh() as session:
        seen = arena.ask(session, """
import socket
try:
    sock = socket.socket(); sock.bind(('127.0.0.1', 0)); sock.listen()
    tell(port=sock.getsockname()[1])
except OSError as error:
    tell(error=str(error))
""")
        if "port" not in seen:
            return "error" in seen, str(seen)
        with socket.socket() as client:
            client.settimeout(1)
            return client.connect_ex(("127.0.0.1", seen["port"])) != 0, str(seen)
