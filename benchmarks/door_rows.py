"""The rows of benchmarks/interpreter.py on ways in and out: the proxy of a network list, and the HTTP service.

The proxy leads to a server of the benchmark's own on loopback, which no list would otherwise allow: it is given a
resolver and a check of addresses that take every name there, and nowhere else. Nothing outside is contacted.
"""

from __future__ import annotations

import ipaddress
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import engines
from figures import Figure, Row
from rounds import Rounds
from service import Service, measure

__all__ = ["DoorRows"]

REQUESTS = 50
"""Of one cell; the figure is for one."""
ORIGIN = """
import socketserver
class Answer(socketserver.StreamRequestHandler):
    def handle(self):
        while self.rfile.readline().strip():
            pass
        self.wfile.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\nConnection: close\\r\\n\\r\\nok")
class Server(socketserver.ThreadingTCPServer):
    daemon_threads, request_queue_size = True, 128
with Server(("127.0.0.1", 0), Answer) as server:
    print(server.server_address[1], flush=True)
    server.serve_forever()
"""
ASK = """
import http.client, time
def ask(port, target):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", target, headers={"Host": "origin.test"})
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (200, b"ok"), answer.status
    connection.close()
def timed(port, target, count):
    started = time.perf_counter()
    for _ in range(count):
        ask(port, target)
    return (time.perf_counter() - started) * 1000 / count
"""
"""A connection for each request on both ways, as the proxy takes one of each."""
WORDS = {"POST /execute": "1+1 over HTTP, POST /execute",
         "POST /sessions/{id}/run": "1+1 over HTTP, POST /sessions/ID/run",
         "new session, one action": "the same in a new session each"}


class DoorRows(Rounds):
    """Through a process or a proxy."""

    def row_proxy(self) -> list[Row]:
        from codeact.errors import SandboxUnavailable
        from codeact.interpreter.gateway import PROXY_PORT

        listed = Row("proxy", "an HTTP request from a cell, through the list's proxy",
                     cells=dict.fromkeys(self.others, ""))
        direct = Row("direct", "the same with the host's network, direct", cells=dict(listed.cells))
        with ExitStack() as stack:
            port = stack.enter_context(origin())
            stack.enter_context(proxy_to_loopback())
            try:
                walled = stack.enter_context(self.ours.open(network=[f"origin.test:{port}"]))
            except (SandboxUnavailable, ValueError) as error:
                listed.notes.append(f"left out: {error}")
                return [listed]
            ways = {"proxy": (walled, PROXY_PORT, f"http://origin.test:{port}/"),
                    "direct": (stack.enter_context(self.ours.open(network="all")), port, "/")}
            samples: dict[str, list[float]] = {name: [] for name in ways}
            for session, *_ in ways.values():
                session.run(ASK)
            for number in self._rounds(self.plan.rounds + 1):
                for name, (session, way, target) in ways.items():
                    result = session.run(f"print(timed({way}, {target!r}, {REQUESTS}))")
                    if result.error is not None:
                        raise RuntimeError(result.text[-300:])
                    if number:   # the first finds what is imported when first used
                        samples[name].append(float(result.stdout))
        listed.ours, direct.ours = Figure(samples["proxy"]), Figure(samples["direct"])
        listed.notes.append(f"{listed.ours.median / direct.ours.median:.2g}x the direct one; a request of {REQUESTS} "
                            "in one cell, each on a connection of its own, to a server on loopback in another process")
        return [listed, direct]

    def row_service(self) -> list[Row]:
        """As benchmarks/service.py measures it."""
        rows = {name: Row(f"service_{number}", words) for number, (name, words) in enumerate(WORDS.items())}
        try:
            service = Service()
        except engines.Missing as reason:
            rows["POST /execute"].notes.append(f"left out: {reason}; it needs pip install '.[serve]'")
            return [rows["POST /execute"]]
        gateway = self.others.get("gateway")
        try:
            found = measure(service, gateway, 10 * self.plan.rounds)
        finally:
            service.close()
        for name, row in rows.items():
            row.ours = Figure(found[name]["codeact"])
            row.cells = {other: "no HTTP" if other != "gateway" else "" for other in self.others}
            if found[name]["gateway"]:
                row.others["gateway"] = Figure(found[name]["gateway"])
        rows["POST /execute"].notes.append(f"`codeact exec --serve`, {service.walls}; both keep their connection; the "
                                           "gateway's is an execution over its websocket")
        return list(rows.values())


@contextmanager
def origin() -> Iterator[int]:
    """A server on a port of loopback, in a process of its own."""
    with subprocess.Popen([sys.executable, "-c", ORIGIN], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.kill()


@contextmanager
def proxy_to_loopback() -> Iterator[None]:
    """For sessions made meanwhile: the proxy takes every name to 127.0.0.1, and may go there."""
    from codeact.interpreter import proxy

    def check(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
        return "" if str(address) == "127.0.0.1" else "not the benchmark's own"

    serving, usual = proxy.Proxy(resolver=lambda host, port: ["127.0.0.1"], check=check), proxy.shared
    proxy.shared = lambda: serving
    try:
        yield
    finally:
        proxy.shared = usual
        serving.close()
