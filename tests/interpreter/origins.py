"""An origin server on loopback that keeps what it was sent, and a proxy that may connect to it, for the tests of the network list."""

import contextlib
import ipaddress
import socket
import threading
from collections.abc import Callable, Iterator

from codeact.interpreter.gateway import Gateway
from codeact.interpreter.network import AllowList
from codeact.interpreter.proxy import Proxy

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def only_loopback(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """A check for tests: the one address that is refused everywhere else."""
    return "" if str(address) == "127.0.0.1" else "not the test's own"


class Origin:
    """Answers each connection once, with what `answer` makes of the first request's bytes, and reads on to the end."""

    def __init__(self, answer: Callable[[bytes], bytes] = lambda request: OK):
        self.answer = answer
        self.connections: list[bytes] = []
        """All that came on each connection that has ended."""
        self.ended = threading.Semaphore(0)
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._one, args=(client,), daemon=True).start()

    def _one(self, client: socket.socket) -> None:
        seen = b""
        with client, contextlib.suppress(OSError):
            while not is_whole(seen) and (data := client.recv(65536)):
                seen += data
            if is_whole(seen):
                client.sendall(self.answer(seen))
                client.shutdown(socket.SHUT_WR)
            while data := client.recv(65536):
                seen += data
        self.connections.append(seen)
        self.ended.release()

    def wait(self) -> bytes:
        """What came on the connection that ends next, or has ended."""
        assert self.ended.acquire(timeout=60)
        return self.connections[-1]

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()


def is_whole(request: bytes) -> bool:
    head, end, body = request.partition(b"\r\n\r\n")
    if not end:
        return False
    lines = [line.partition(b": ") for line in head.lower().split(b"\r\n")[1:]]
    fields = {name: value for name, _, value in lines}
    if b"transfer-encoding" in fields:
        return body.endswith(b"0\r\n\r\n")
    return len(body) >= int(fields.get(b"content-length", 0))


class Door:
    """A listener served for a list, and a client's way to it."""

    def __init__(self, entries: list[str], proxy: Proxy):
        self.gateway = Gateway(AllowList(entries), proxy)
        self.access = self.gateway.access
        listener = socket.create_server(("127.0.0.1", 0))
        self.address = listener.getsockname()
        self.gateway.serve(listener)

    def connect(self) -> socket.socket:
        client = socket.create_connection(self.address, 60)
        client.settimeout(60)
        return client

    def talk(self, request: bytes) -> bytes:
        """Send something, and read to the end what comes back."""
        with self.connect() as client:
            client.sendall(request)
            return read(client)


def read(client: socket.socket) -> bytes:
    """All that comes until the other side ends."""
    seen = b""
    with contextlib.suppress(ConnectionResetError):
        while data := client.recv(65536):
            seen += data
    return seen


@contextlib.contextmanager
def proxying(**options: object) -> Iterator[Proxy]:
    """A proxy that takes every name to 127.0.0.1 and may go there, unless told otherwise."""
    proxy = Proxy(**{"resolver": lambda host, port: ["127.0.0.1"], "check": only_loopback, **options})  # type: ignore[arg-type]
    try:
        yield proxy
    finally:
        proxy.close()
