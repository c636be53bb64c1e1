"""A listening socket in the session's own network namespace, for the host to accept on: a way out to a list of hosts.

The keeper makes it and hands it over. A socket belongs to the namespace it was made in, so that the cell connects to
its own loopback, and the host, which has no process in there, answers.
"""

from __future__ import annotations

import socket

__all__ = ["listen"]

QUEUE = 64


def listen(port: int) -> socket.socket:
    """Listen on 127.0.0.1; raises OSError."""
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        made.bind(("127.0.0.1", port))
        made.listen(QUEUE)
    except OSError:
        made.close()
        raise
    return made
