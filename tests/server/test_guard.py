"""Who may speak to the service, and how much they may say: before any of it reaches the application."""

import asyncio
import json

import pytest

pytest.importorskip("fastapi")

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.testclient import TestClient, WebSocketDisconnect

from codeact.server import guard
from codeact.server.guard import Guard, is_loopback

TOKEN = "a-token-of-some-length"
GOOD = {"Host": "127.0.0.1:8000", "Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}


async def echo(scope, receive, send):
    """An application that tells how much it was sent."""
    body = await Request(scope, receive).body()
    kinds = [value.decode() for name, value in scope["headers"] if name == b"content-type"]
    await JSONResponse({"bytes": len(body), "content-type": kinds})(scope, receive, send)


def client(**options):
    given = {"token": TOKEN, "host": "127.0.0.1", "max_json": 100, "max_upload": 1000, **options}
    return TestClient(Guard(echo, **given), base_url="http://127.0.0.1:8000")


def ask(headers=(), *, method="POST", path="/x", content=b"{}", **options):
    sent = {name: value for name, value in {**GOOD, **dict(headers)}.items() if value is not None}
    return client(**options).request(method, path, headers=sent, content=content)


def refused(answer, status: int, code: str) -> str:
    """That a request was refused so, with a body that says what to do."""
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert set(body) == {"error", "message"}
    assert body["error"] == code
    assert answer.headers["x-content-type-options"] == "nosniff"
    return body["message"]


def test_whoever_has_the_token_may_pass():
    answer = ask()
    assert answer.json() == {"bytes": 2, "content-type": ["application/json"]}
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("given", [None, "", "Bearer", "Bearer ", "Bearer wrong", f"Bearer {TOKEN}x", f"Basic {TOKEN}",
                                   TOKEN, f"Bearer {TOKEN[:-1]}", "Bearer \xff\xfe"])  # fmt: skip
def test_a_token_that_is_missing_or_wrong_is_refused(given):
    given = given.encode("latin-1") if given else given
    answer = ask({"Authorization": given})
    assert "Authorization: Bearer TOKEN" in refused(answer, 401, "unauthorized")
    assert answer.headers["www-authenticate"] == "Bearer"


def test_two_tokens_are_none():
    answer = client().post("/x", headers=[*GOOD.items(), ("Authorization", "Bearer wrong")])
    refused(answer, 401, "unauthorized")


def test_without_a_token_everybody_on_this_machine_may_pass():
    assert ask({"Authorization": None}, token=None).status_code == 200


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8000", "localhost:8000", "LOCALHOST", "[::1]:8000", "127.9.9.9"])
def test_every_name_of_this_machine_is_the_services(host):
    assert ask({"Host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "localhost.evil.example",
                                  "192.168.1.7", "127.0.0.1@evil.example", "127.0.0.1:8000:9", "", "[::1", "0x7f000001",
                                  "localhost, evil.example"])  # fmt: skip
def test_a_name_that_others_could_have_is_refused(host):
    refused(ask({"Host": host}, token=None), 403, "wrong_host")


def test_two_hosts_are_none():
    answer = client(token=None).get("/x", headers=[("Host", "127.0.0.1"), ("Host", "evil.example")])
    refused(answer, 403, "wrong_host")


@pytest.mark.parametrize(("served", "host", "status"), [
    ("192.168.1.7", "192.168.1.7:8000", 200), ("192.168.1.7", "192.168.1.8", 403), ("box.lan", "box.lan", 200),
    ("0.0.0.0", "192.168.1.7", 200), ("0.0.0.0", "box.lan", 403), ("::", "[fe80::1]:80", 200),
])  # fmt: skip
def test_on_a_network_the_address_served_is_its_name(served, host, status):
    assert ask({"Host": host}, host=served).status_code == status


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:3000", "http://127.0.0.1:8000.evil",
                                    "", "chrome-extension://x"])  # fmt: skip
def test_a_web_page_of_another_origin_is_refused(origin):
    refused(ask({"Origin": origin}, token=None), 403, "wrong_origin")


def test_an_origin_of_its_own_does_not_excuse_another_beside_it():
    answer = client(token=None).get("/x", headers=[*GOOD.items(), ("Origin", "http://127.0.0.1:8000"), ("Origin", "http://evil.example")])
    refused(answer, 403, "wrong_origin")


def test_the_services_own_origin_may_pass_and_no_answer_opens_the_service_to_others():
    answer = ask({"Origin": "http://127.0.0.1:8000"})
    assert answer.status_code == 200
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize("kind", [None, "", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data",
                                  "application/octet-stream", "application/jsonx"])  # fmt: skip
def test_a_body_that_is_not_said_to_be_json_is_refused(kind):
    assert "Content-Type: application/json" in refused(ask({"Content-Type": kind}), 415, "unsupported_media_type")


def test_json_may_be_said_with_its_characters():
    assert ask({"Content-Type": "Application/JSON; charset=utf-8"}).status_code == 200


def test_a_client_of_the_original_sends_no_type_and_is_understood():
    answer = ask({"Content-Type": None}, path="/execute", content=json.dumps({"convid": "a", "code": "1"}))
    assert answer.json()["content-type"] == ["application/json"]
    refused(ask({"Content-Type": "text/plain"}, path="/execute"), 415, "unsupported_media_type")


def test_an_upload_is_bytes_and_may_be_longer():
    upload = {"method": "PUT", "path": "/sessions/a/files/b/c.txt", "content": b"x" * 1000}
    assert ask({"Content-Type": "application/octet-stream"}, **upload).json()["bytes"] == 1000
    refused(ask(**upload), 415, "unsupported_media_type")


@pytest.mark.parametrize(("method", "path", "kind", "most"), [
    ("POST", "/x", "application/json", 100), ("PUT", "/sessions/a/files/b", "application/octet-stream", 1000)])  # fmt: skip
def test_a_body_is_no_longer_than_allowed_whether_it_says_so_or_not(method, path, kind, most):
    def pieces():
        for _ in range(most + 1):
            yield b"x"

    for content in (b"x" * (most + 1), pieces()):
        answer = ask({"Content-Type": kind}, method=method, path=path, content=content)
        assert f"{most:,} bytes" in refused(answer, 413, "too_large")


@pytest.mark.parametrize("length", ["-1", "1e3", "9" * 40, "x"])
def test_a_length_that_is_no_number_is_refused(length):
    refused(ask({"Content-Length": length}), 400, "bad_request")


def test_there_are_no_websockets():
    with pytest.raises(WebSocketDisconnect), client().websocket_connect("/x", headers=GOOD):
        pass


@pytest.mark.parametrize(("name", "answer"), [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False),
                                              ("127.0.0.1.example", False), ("10.0.0.1", False), ("", False)])  # fmt: skip
def test_loopback_is_told_from_the_rest(name, answer):
    assert is_loopback(name) is answer


def test_a_body_that_never_ends_is_given_up(monkeypatch):
    monkeypatch.setattr(guard, "BODY_SECONDS", 0.01)
    first, sent = [{"type": "http.request", "body": b"{", "more_body": True}], []

    async def receive():
        return first.pop() if first else await asyncio.Event().wait()

    async def send(message):
        sent.append(message)

    headers = [(name.lower().encode(), value.encode()) for name, value in {**GOOD, "Content-Length": "2"}.items()]
    scope = {"type": "http", "method": "POST", "path": "/x", "headers": headers}
    given = {"token": TOKEN, "host": "127.0.0.1", "max_json": 100, "max_upload": 1000}
    asyncio.run(Guard(echo, **given)(scope, receive, send))
    assert sent[0]["status"] == 408
    assert json.loads(sent[1]["body"])["error"] == "too_slow"


def test_a_client_that_waits_for_its_answer_is_not_hurried(monkeypatch):
    monkeypatch.setattr(guard, "BODY_SECONDS", -1.0)

    async def waits() -> str:
        gone = asyncio.Event()
        messages = [{"type": "http.request", "body": b"{}", "more_body": False}]

        async def receive():
            if messages:
                return messages.pop()
            await gone.wait()
            return {"type": "http.disconnect"}

        counted = guard._Counted(receive, 100)
        await counted()
        asyncio.get_running_loop().call_later(0.01, gone.set)
        return (await counted())["type"]

    assert asyncio.run(waits()) == "http.disconnect"
