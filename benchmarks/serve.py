"""Prints what `codeact serve` bears: many conversations at once with a model that answers in no time, and a long one.

    python benchmarks/serve.py [--conversations 50] [--messages 4] [--turns 2000] [--sandbox WALLS] [--json FILE]

The server is a process of its own on loopback, as a user starts it, with its real interpreter; its model has its
replies in a file. Each conversation has a client's thread, which follows the events and sends a message when the one
before is answered; a message is two turns: a cell, and the answer. The clients run on the processors of the server.

- *first event*: from sending a message to the first event of the model's (not the message's own, which comes first).
  The first message also starts the conversation's interpreter; its figures stand apart.
- *memory*: proportional set size of the server's processes beyond those of a server at rest, for each conversation.
- *a long conversation*: from asking to having its summary, its last 30 turns, and its page (HTML).

Exits 0; 1 where the long conversation takes a second or longer to open.
"""

from __future__ import annotations

import argparse
import http.client
import json
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import engines
import figures
from codeact.actions import CodeAction
from codeact.chats.chats import open_store
from codeact.chats.values import Options
from codeact.messages import Completion, Usage
from codeact.trajectory import Observation, Turn

REPLIES = ["I add.\n<execute>\nx = 20 + 22\nprint(x)\n</execute>", "<solution>It is 42.</solution>"]
GOAL_SECONDS = 1.0
WAIT_SECONDS = 300.0


class Server:
    """`codeact serve` over a folder, and requests to it."""

    def __init__(self, home: Path, sandbox: str, most: int) -> None:
        replies = home / "replies.jsonl"
        replies.write_text("".join(json.dumps(one) + "\n" for one in REPLIES * most))
        words = ["--port", "0", "--no-token", "--data", str(home), "--model", f"scripted:{replies}",
                 "--sandbox", sandbox, "--max-live", "1000", "--idle", "36000"]
        self.process = subprocess.Popen([sys.executable, "-m", "codeact", "serve", *words], stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL, text=True)
        assert self.process.stdout is not None
        found = re.search(r"http://127\.0\.0\.1:(\d+)/", self.process.stdout.readline())
        if found is None:
            self.close()
            raise SystemExit("the server did not start")
        self.port = int(found[1])
        while True:   # its socket listens before it answers
            try:
                self.ask("GET", "/healthz")
                break
            except OSError:
                time.sleep(0.05)

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT_SECONDS)

    def ask(self, method: str, path: str, body: Any = None, accept: str = "application/json") -> bytes:
        """One request; the answer's body."""
        connection = self.connect()
        try:
            headers = {"Accept": accept, **({"Content-Type": "application/json"} if body is not None else {})}
            connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            answer = connection.getresponse()
            content = answer.read()
            if answer.status >= 400:
                raise SystemExit(f"the server answers {answer.status} to {method} {path}: {content[:500]!r}")
            return content
        finally:
            connection.close()

    def memory_mb(self) -> float:
        """All its processes together."""
        return figures.pss_mb(engines.descendants(self.process.pid))

    def close(self) -> None:
        self.process.terminate()
        self.process.communicate()


class Talk:
    """One conversation: sends messages and follows the events, each to its end."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.path = f"/api/v1/conversations/{json.loads(server.ask('POST', '/api/v1/conversations', {}))['id']}"
        self._seq = 0
        self.first_seconds: list[float] = []
        self.failed = ""

    def say(self, n_messages: int) -> None:
        """So many messages, one after the other."""
        self.first_seconds = []
        try:
            for _ in range(n_messages):
                self._message()
        except (OSError, RuntimeError, SystemExit) as error:
            self.failed = str(error)

    def _message(self) -> None:
        connection = self._server.connect()
        connection.request("GET", f"{self.path}/events?after={self._seq}")
        stream = connection.getresponse()
        began, first = time.perf_counter(), None
        self._server.ask("POST", f"{self.path}/messages", {"text": "What is 20 + 22?"})
        for entry in _events(stream):
            if entry["kind"] in ("text", "code", "turn") and first is None:
                first = time.perf_counter() - began
                self.first_seconds.append(first)
            self._seq = entry["seq"]
            if entry["kind"] == "error":
                raise RuntimeError(entry["data"]["message"])
            if entry["kind"] == "ended":
                break
        connection.close()


def _events(stream: http.client.HTTPResponse) -> Iterator[dict[str, Any]]:
    for line in stream:
        if line.startswith(b"data: "):
            yield json.loads(line[6:])


def at_once(talks: Sequence[Talk], n_messages: int, server: Server) -> tuple[list[float], float, float]:
    """Have all of them talk: times to first events, seconds for all of it, the most memory seen meanwhile in MB."""
    threads = [threading.Thread(target=talk.say, args=(n_messages,)) for talk in talks]
    began, most = time.perf_counter(), 0.0
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        most = max(most, server.memory_mb())
        time.sleep(0.5)
    seconds = time.perf_counter() - began
    if failed := [talk.failed for talk in talks if talk.failed]:
        raise SystemExit(f"{len(failed)} conversations failed; the first: {failed[0]}")
    return [one for talk in talks for one in talk.first_seconds], seconds, most


def long_conversation(home: Path, n_turns: int) -> str:
    """One with so many turns, put into the database of a server that does not run yet."""
    store = open_store("", home)
    summary = store.create("local", "A long one", Options(model="scripted:none"))
    code = "total = sum(n ** 2 for n in range(100))\nprint(total)"
    turn = Turn(Completion(f"I add up.\n<execute>\n{code}\n</execute>", usage=Usage(800, 40)),
                CodeAction(code, "I add up."), Observation("328350\n" * 20), seconds=0.5).to_json()
    for number in range(n_turns):
        said = {"text": f"Add up, for the time number {number}.", "images": [], "files": []}
        store.add(summary.id, [("user", said, number), ("turn", turn, number)])
    store.close()
    return summary.id


def percentile(values: Sequence[float], share: float) -> float:
    """The value that so large a share of the values does not exceed."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--conversations", type=int, default=50)
    parser.add_argument("--messages", type=int, default=4, help="in each, besides the first")
    parser.add_argument("--turns", type=int, default=2000, help="of the long conversation")
    parser.add_argument("--sandbox", default="auto")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        key = long_conversation(home, args.turns)
        server = Server(home, args.sandbox, args.messages + 1)
        try:
            found = measure(server, key, args.conversations, args.messages)
        finally:
            server.close()
    print(f"{args.conversations} conversations at once, {args.messages} messages in each after the first; "
          f"a conversation of {args.turns:,} turns\n")
    for name, value in found.items():
        print(f"{name:<58} {value:>10.1f}")
    if args.json:
        args.json.write_text(json.dumps({"machine": figures.machine(), "figures": found}, indent=1))
    return 0 if max(found[name] for name in found if name.startswith("opening")) < GOAL_SECONDS * 1000 else 1


def measure(server: Server, key: str, n_conversations: int, n_messages: int) -> dict[str, float]:
    """All figures, by what they are of."""
    opening = {}
    for name, path, accept in (("summary", f"/api/v1/conversations/{key}", "application/json"),
                               ("its last 30 turns", f"/api/v1/conversations/{key}/turns", "application/json"),
                               ("its page", f"/c/{key}", "text/html")):
        taken = []
        for _ in range(7):
            began = time.perf_counter()
            server.ask("GET", path, accept=accept)
            taken.append(time.perf_counter() - began)
        opening[f"opening the long one: {name}, ms (median of 7)"] = statistics.median(taken) * 1000
    at_rest = server.memory_mb()
    talks = [Talk(server) for _ in range(n_conversations)]
    cold, cold_seconds, _ = at_once(talks, 1, server)
    warm, seconds, most = at_once(talks, n_messages, server)
    idle = server.memory_mb()
    return {
        "first event, the first message of each: p50, ms": percentile(cold, 0.5) * 1000,
        "first event, the first message of each: p95, ms": percentile(cold, 0.95) * 1000,
        "all first messages answered after, s": cold_seconds,
        "first event, later messages: p50, ms": percentile(warm, 0.5) * 1000,
        "first event, later messages: p95, ms": percentile(warm, 0.95) * 1000,
        "turns a second, later messages": 2 * n_conversations * n_messages / seconds,
        "memory of the server at rest, MB": at_rest,
        "memory of an active conversation, MB": (most - at_rest) / n_conversations,
        "memory of an idle one that is awake, MB": (idle - at_rest) / n_conversations,
        **opening,
    }


if __name__ == "__main__":
    sys.exit(main())
