"""`codeact serve` as a user starts it: a process of its own, with its address, its end, and its next beginning."""

import json
import re
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager

import httpx
import pytest

FOREVER = "<execute>\nprint('begun', flush=True)\nimport time\ntime.sleep(600)\n</execute>"


class Process:
    def __init__(self, process):
        self.process = process
        self.address = process.stdout.readline().strip()
        found = re.fullmatch(r"http://127\.0\.0\.1:(\d+)/(?:\?token=(\S+))?", self.address)
        assert found, (self.address, process.communicate(timeout=60))
        self.url, self.token = f"http://127.0.0.1:{found[1]}", found[2]

    def client(self):
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=60, transport=httpx.HTTPTransport(retries=5))

    def end(self, number=signal.SIGINT):
        self.process.send_signal(number)
        return self.process.returncode if self.process.communicate(timeout=60) is None else self.process.wait(60)


@contextmanager
def started(home, *words):
    command = [sys.executable, "-m", "codeact", "serve", "--port", "0", "--data", str(home), "--sandbox", "none", *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield Process(process)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def replies(tmp_path):
    path = tmp_path / "replies.jsonl"
    path.write_text(json.dumps(FOREVER) + "\n")
    return f"scripted:{path}"


def begun(client):
    """A conversation whose cell has begun and does not end."""
    key = client.post("/api/v1/conversations", json={}).json()["id"]
    client.post(f"/api/v1/conversations/{key}/messages", json={"text": "go"})
    with client.stream("GET", f"/api/v1/conversations/{key}/events") as stream:
        next(line for line in stream.iter_lines() if "begun" in line and '"kind": "output"' in line)
    return key


@pytest.mark.parametrize(("number", "state", "last"), [(signal.SIGINT, "idle", "stopped"), (signal.SIGTERM, "idle", "stopped"),
                                                       (signal.SIGKILL, "interrupted", "interrupted")])
def test_what_runs_at_the_end_is_stopped_or_marked_and_is_there_the_next_time(tmp_path, replies, number, state, last):
    with started(tmp_path / "h", "--model", replies) as served, served.client() as client:
        key = begun(client)
        code = served.end(number)
    assert code in {signal.SIGINT: (0, 130), signal.SIGTERM: (143,), signal.SIGKILL: (-9,)}[number]
    with started(tmp_path / "h", "--model", replies) as again, again.client() as client:
        assert again.token != served.token
        assert client.get(f"/api/v1/conversations/{key}").json()["state"] == state
        kinds = [one["kind"] for one in client.get(f"/api/v1/conversations/{key}/events", params={"stream": False}).json()]
        assert last in kinds
        assert again.end() in (0, 130)


def test_the_printed_address_opens_the_page_and_the_token_leaves_it(tmp_path, replies):
    with started(tmp_path / "h", "--model", replies) as served, httpx.Client(follow_redirects=True, timeout=60) as browser:
        page = browser.get(served.address, headers={"Accept": "text/html"})
        assert page.status_code == 200
        assert "token" not in str(page.url)
        assert "default-src 'self'" in page.headers["content-security-policy"]
        [name] = browser.cookies.keys()
        assert name == f"codeact_login_{page.url.port}"
        assert browser.get(f"{served.url}/engine/health").status_code == 401   # a program's, with the token


def test_without_a_token_for_loopback_alone(tmp_path, replies, capfd):
    with started(tmp_path / "h", "--model", replies, "--no-token") as served, served.client() as client:
        assert served.token is None
        assert client.get("/api/v1/conversations").json() == []
        assert client.post("/engine/execute", json={"convid": "a", "code": "6 * 7"}).json()["result"].strip() == "42"
    from codeact.cli import serve as verb

    assert verb.main(["--port", "0", "--no-token", "--host", "0.0.0.0", "--data", str(tmp_path / "x")]) == 2
    assert "this machine alone" in capfd.readouterr().err


def test_a_port_that_is_taken_is_named(tmp_path, capfd):
    from codeact.cli import serve as verb

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert verb.main(["--port", str(port), "--data", str(tmp_path)]) == 2
    said = capfd.readouterr().err
    assert str(port) in said
    assert "Address already in use" in said
    assert "--serve" not in said


def test_the_help_teaches(capsys):
    from codeact.cli import serve as verb

    assert verb.main(["--help"]) == 0
    text = capsys.readouterr().out
    for word in ("--auth", "--database", "serve user add", "/v1", "/engine", "CODEACT_DATABASE", "--offer"):
        assert word in text
