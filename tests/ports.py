"""Ports for what a test starts and cannot ask which one it got."""

import random
import socket


def free_port() -> int:
    """A port of loopback that nobody has, from below those that a system hands out by itself: it is still free when it
    is used, whatever other tests and programs do meanwhile."""
    while True:
        port = random.SystemRandom().randrange(15_000, 30_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
