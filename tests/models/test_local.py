"""Looking for model servers on this machine: what is found, and what a stranger who listens there can do, which is nothing."""

import json
import socket
import threading
import time
from contextlib import ExitStack, contextmanager

import pytest

from codeact.models import _local
from codeact.models._local import Place, find
from ports import free_port

OPENAI = json.dumps({"object": "list", "data": [{"id": "qwen3:8b", "object": "model"}, {"id": "llama3"}]}).encode()


@contextmanager
def listening(answer):
    """Somebody at a port of their own: `answer(connection, request)` for each that comes."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        asked: list[bytes] = []
        server.settimeout(60)

        def serve():
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    try:
                        asked.append(connection.recv(65536))
                        answer(connection)
                    except OSError:
                        pass

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield server.getsockname()[1], asked
        finally:
            server.shutdown(socket.SHUT_RDWR)
            server.close()
            thread.join(10)


def says(body, status="200 OK", head=""):
    content = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
    return lambda connection: connection.sendall(content)


def chunked(connection):
    half = len(OPENAI) // 2
    parts = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (OPENAI[:half], OPENAI[half:]))
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + parts + b"0\r\n\r\n")


def test_servers_are_found_with_their_models_in_the_usual_order():
    with listening(says(OPENAI)) as (one, asked), listening(chunked) as (two, _):
        found = find([Place("LM Studio", two), Place("Ollama", one)], seconds=30)
    assert [(server.server, server.base_url) for server in found] == [("LM Studio", f"http://127.0.0.1:{two}/v1"), ("Ollama", f"http://127.0.0.1:{one}/v1")]
    assert {server.models for server in found} == {("qwen3:8b", "llama3")}
    assert asked[0].startswith(b"GET /v1/models HTTP/1.1\r\n")
    assert b"authorization" not in asked[0].lower()


def test_a_server_that_keeps_the_connection_open_is_found_all_the_same():
    gone = threading.Event()

    def answer(connection):
        says(OPENAI)(connection)
        gone.wait(60)

    with listening(answer) as (port, _):
        try:
            assert find([Place("vLLM", port)], seconds=30)[0].models == ("qwen3:8b", "llama3")
        finally:
            gone.set()


def test_a_server_without_models_is_found_without_any():
    with listening(says(b'{"object": "list", "data": null}')) as (port, _):
        assert find([Place("Ollama", port)], seconds=30)[0].models == ()


@pytest.mark.parametrize("answer", [
    says(OPENAI, "404 Not Found"), says(OPENAI, "401 Unauthorized"), says(b"<html>hello</html>"), says(b"[" * 500_000), says(b"{}"),
    says(b"[1, 2]"), says(b'{"data": "none"}'), says(b""), says(b"\xff\xfe"), lambda connection: None, says(OPENAI, "301 Moved", "Location: http://evil.example/\r\n"),
    lambda connection: connection.sendall(b"SSH-2.0-OpenSSH_9.9\r\n"), lambda connection: connection.sendall(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200_000 + b"\r\n\r\n{}"),
    lambda connection: connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n{}"),
])  # fmt: skip
def test_somebody_else_at_the_port_is_no_server(answer):
    with listening(answer) as (port, _):
        assert find([Place("Ollama", port)], seconds=30) == []


def test_nobody_at_the_port_is_no_server():
    assert find([Place("Ollama", free_port())], seconds=30) == []


def test_a_flood_is_not_read_to_its_end():
    sent = 0

    def flood(connection):
        nonlocal sent
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            sent += connection.send(b" " * 65536)

    with listening(flood) as (port, _):
        assert find([Place("Ollama", port)], seconds=30) == []
    assert sent < 64 << 20


def test_a_server_that_says_nothing_or_drips_holds_nobody_up():
    over = threading.Event()

    def drip(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while not over.wait(0.02):
            connection.sendall(b" ")

    with ExitStack() as stack:
        slow, _ = stack.enter_context(listening(drip))
        silent, _ = stack.enter_context(listening(lambda connection: over.wait(60)))
        quick, _ = stack.enter_context(listening(says(OPENAI)))
        stack.callback(over.set)
        # Long enough for the good one to be found on a busy machine too; without a limit it would be for ever
        found = find([Place("a", slow), Place("b", silent), Place("c", quick)], seconds=5.0)
        assert [server.server for server in found] == ["c"]


def test_names_that_would_talk_to_a_terminal_are_left_out():
    names = ["good", "\x1b[2J", "two\nlines", "", " ", "x" * 300, 5, None, "good", {"a": 1}]
    body = json.dumps({"data": [*({"id": name} for name in names), "no object"]}).encode()
    with listening(says(body)) as (port, _):
        assert find([Place("Ollama", port)], seconds=30)[0].models == ("good",)


def test_a_thousand_models_are_cut_off():
    body = json.dumps({"data": [{"id": f"m{number}"} for number in range(1000)]}).encode()
    with listening(says(body)) as (port, _):
        assert len(find([Place("Ollama", port)], seconds=30)[0].models) == 200


def test_only_this_machine_is_asked(monkeypatch):
    asked = []

    def refuse(address, timeout):
        asked.append((address, timeout))
        raise ConnectionRefusedError

    monkeypatch.setattr(_local.socket, "create_connection", refuse)
    monkeypatch.setenv("http_proxy", "http://proxy.example:3128")
    assert find() == []
    assert sorted(address for address, _ in asked) == [("127.0.0.1", port) for port in (1234, 8000, 8080, 11434)]
    assert all(0 < timeout <= 0.5 for _, timeout in asked)


def test_no_time_is_no_search():
    began = time.monotonic() - 1
    with pytest.raises(TimeoutError):
        _local._left(began)
