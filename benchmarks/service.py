"""Prints what one action `1+1` costs over HTTP: our service beside jupyter_kernel_gateway, in the same run.

    python benchmarks/service.py [--rounds N] [--json FILE]

Both are processes of their own on loopback, both keep their connection, and each round measures them in turn, so that
what else the machine does meets them all alike: a request to `codeact exec --serve`, and what the original CodeAct's
engine does behind the same request, an execution over the gateway's websocket. A third row opens a new session for
each action. Figures are medians, with the minimum in parentheses; `12x` is how many times ours it is.

Exits 0, or 130 when interrupted. What is not installed is left out, and said.
"""

from __future__ import annotations

import argparse
import http.client
import json
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import engines

WARM_UP = 5


class Service:
    """`codeact exec --serve`, and one connection to it."""

    title = "codeact"

    def __init__(self) -> None:
        self._process = subprocess.Popen([sys.executable, "-m", "codeact", "exec", "--serve", "0", "--no-token"],
                                         stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        words = self._process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:(\d+) \((.*)\)", words)
        if found is None:
            self.close()
            raise engines.Missing("the service did not start")
        self.walls = found[2]
        self._connection = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=engines.ANSWER_SECONDS)

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """One request; the parsed answer."""
        sent = None if body is None else json.dumps(body)
        self._connection.request(method, path, sent, {"Content-Type": "application/json"} if sent else {})
        answer = self._connection.getresponse()
        content = answer.read()
        if answer.status >= 400:
            raise RuntimeError(f"the service answers {answer.status} to {method} {path}: {content!r}")
        return json.loads(content) if content else None

    def close(self) -> None:
        self._process.terminate()
        self._process.communicate()


def timed(function: Callable[[], str]) -> float:
    """Milliseconds that a call takes which ends in 2."""
    began = time.perf_counter()
    text = function()
    seconds = time.perf_counter() - began
    if text.split()[-1] != "2":
        raise RuntimeError(f"1+1 is {text!r}")
    return seconds * 1000


def measure(service: Service, gateway: engines.Gateway | None, rounds: int) -> dict[str, dict[str, list[float]]]:
    """Samples in milliseconds: row -> engine -> samples."""
    session = service.ask("POST", "/sessions", {})["id"]
    kernel = gateway.open() if gateway is not None else None
    ours: dict[str, Callable[[], str]] = {
        "POST /execute": lambda: str(service.ask("POST", "/execute", {"convid": "bench", "code": "1+1"})["result"]),
        "POST /sessions/{id}/run": lambda: str(service.ask("POST", f"/sessions/{session}/run", {
            "code": "1+1"})["text"]),
        "new session, one action": lambda: _once(service)}

    def once_more() -> str:
        assert gateway is not None
        opened = gateway.open()
        try:
            return opened.run("1+1")
        finally:
            opened.close()

    theirs: dict[str, Callable[[], str]] = {}
    if kernel is not None:
        theirs = {"POST /execute": lambda: kernel.run("1+1"), "new session, one action": once_more}
    found: dict[str, dict[str, list[float]]] = {row: {"codeact": [], "gateway": []} for row in ours}
    for row in ours:
        slow = row.startswith("new")
        for number in range(max(3, rounds // 40) if slow else rounds + WARM_UP):
            for engine, calls in (("codeact", ours), ("gateway", theirs)):
                if row in calls:
                    sample = timed(calls[row])
                    if slow or number >= WARM_UP:
                        found[row][engine].append(sample)
    if kernel is not None:
        kernel.close()
    return found


def _once(service: Service) -> str:
    session = service.ask("POST", "/sessions", {})["id"]
    try:
        return str(service.ask("POST", f"/sessions/{session}/run", {"code": "1+1"})["text"])
    finally:
        service.ask("DELETE", f"/sessions/{session}")


def table(found: dict[str, dict[str, list[float]]], titles: dict[str, str]) -> list[str]:
    """The lines of the table."""
    lines = [f"{'':<26}{titles['codeact']:>24}{titles['gateway']:>32}"]
    for row, samples in found.items():
        mine = statistics.median(samples["codeact"])
        cells = [f"{row:<26}", f"{mine:.2f} ms ({min(samples['codeact']):.2f})".rjust(24)]
        if theirs := samples["gateway"]:
            median = statistics.median(theirs)
            cells.append(f"{median:.2f} ms ({min(theirs):.2f})  {median / mine:.1f}x".rjust(32))
        else:
            cells.append("-".rjust(32))
        lines.append("".join(cells))
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=200, metavar="N", help="of one action (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the samples here too")
    options = parser.parse_args()
    gateway = None
    service = Service()
    try:
        try:
            gateway = engines.Gateway()
        except engines.Missing as reason:
            print(f"left out: the kernel gateway: {reason}", file=sys.stderr)
        found = measure(service, gateway, options.rounds)
    except KeyboardInterrupt:
        return 130
    finally:
        service.close()
        if gateway is not None:
            gateway.close()
    print("\n".join(table(found, {"codeact": f"codeact, {service.walls.removeprefix('walls of ')}",
                                  "gateway": gateway.title if gateway is not None else "kernel gateway"})))
    if options.json:
        options.json.write_text(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
