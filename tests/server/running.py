"""A service as a user starts it: a process of its own."""

import http.client
import json
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

COMMAND = [sys.executable, "-m", "codeact", "exec", "--serve", "0"]


class Service:
    """A service's process, and how to speak to it."""

    def __init__(self, process: subprocess.Popen, words: str):
        self.process, self.words = process, words
        self.port = int(re.search(r"http://\S+:(\d+) ", words)[1])
        found = re.search(r"^token: (\S+)$", words, re.M)
        self.headers = {"Authorization": f"Bearer {found[1]}"} if found else {}

    def ask(self, method, path, body=None, headers=()):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            sent = {**self.headers, **({"Content-Type": "application/json"} if body is not None else {}), **dict(headers)}
            connection.request(method, path, json.dumps(body) if body is not None else None, sent)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read() or b"null")
        finally:
            connection.close()

    def execute(self, code, convid="a"):
        return self.ask("POST", "/execute", {"convid": convid, "code": code})[1]["result"]

    def end(self, number=signal.SIGINT):
        """Tell it to end; its exit code, and what it said since it began."""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out + err

    def below(self) -> list[int]:
        """The processes it has started, and those they have."""
        parents = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                except OSError:
                    continue
        found = {self.process.pid}
        while more := {pid for pid, parent in parents.items() if parent in found and pid not in found}:
            found |= more
        return sorted(found - {self.process.pid})


@contextmanager
def started(*words: str, **options):
    process = subprocess.Popen([*COMMAND, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)
    try:
        said = process.stdout.readline() + process.stdout.readline()
        assert said.count("\n") == 2, (said, process.communicate(timeout=60))
        yield Service(process, said)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()
