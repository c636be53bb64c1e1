"""What a server lets its users have, and what it tells when it fails: models, numbers at once, keys, the engine."""

import io
import json
from pathlib import Path
from urllib.parse import quote

import pytest
from serving import TOKEN

from codeact.chats.values import Options
from codeact.cli import serve as verb
from codeact.errors import ChatRefused, LimitReached
from codeact.server.sessions import Sessions
from codeact.web.gate import Policy
from codeact.web.login import add_user


def test_users_choose_among_the_models_that_are_offered(serve):
    served = serve(models_offered=("other",), any_model=False)
    with served.client() as client:
        made = client.post("/api/v1/conversations", json={"options": {"model": "other"}})
        assert made.status_code == 201
        for name in ("os.path:x", "scripted:/etc/passwd", "third"):
            answer = client.post("/api/v1/conversations", json={"options": {"model": name}})
            assert (answer.status_code, answer.json()["error"]) == (422, "refused")
            path = f"/api/v1/conversations/{made.json()['id']}"
            assert client.patch(path, json={"options": {"model": name}}).status_code == 422
            asked = {"model": f"codeact/{name}", "messages": [{"role": "user", "content": "x"}]}
            assert client.post("/v1/chat/completions", json=asked).status_code == 400
        assert [one["id"] for one in client.get("/v1/models").json()["data"]] == ["codeact/test", "codeact/other"]


def test_a_format_is_one_of_the_programs_own(served):
    with pytest.raises(ChatRefused, match=r"there is no format 'os\.path'"):
        served.chats.create("local", Options(model="test", format="os.path"))


def test_only_so_many_conversations_of_a_user_work_at_once(serve):
    chats = serve(max_running=1).chats
    one, two, theirs = (chats.create(owner).id for owner in ("me", "me", "they"))
    chats.send(one, "me", "wait")
    with pytest.raises(LimitReached, match="as many as may be"):
        chats.send(two, "me", "hello")
    chats.send(theirs, "they", "hello")
    chats.stop(one, "me")
    chats.send(two, "me", "hello")
    assert chats.wait(two, "me", 30)


def test_the_code_engine_is_a_part_of_the_server_and_ends_with_it(serve):
    engine = Sessions({"sandbox": "none"})
    served = serve(engine=engine)
    with served.client() as client:
        said = client.post("/engine/execute", json={"convid": "a", "code": "print(6 * 7)"})
        assert said.json()["result"].strip() == "42"
        put = client.put("/engine/sessions/a/files/x.bin", content=b"12", headers={"Content-Type": "application/octet-stream"})
        assert put.status_code == 201, put.text
        assert client.get("/engine/sessions/a/files/x.bin").content == b"12"
        assert len(client.get("/engine/openapi.json").json()["paths"]) > 10
    with served.client("") as client:
        assert client.get("/engine/sessions").status_code == 401
    served.end()
    assert engine.all() == []


def test_an_account_may_have_a_key_for_programs(serve, tmp_path, capsys):
    served = serve(policy=Policy(accounts=True), home=tmp_path / "h")
    add_user(served.chats.store, "alice", "correct horse battery")
    assert verb.main(["user", "token", "alice", "--data", str(tmp_path / "h")]) == 0
    key = capsys.readouterr().out.strip()
    with served.client(key) as client:
        client.post("/api/v1/conversations", json={})
        assert client.get("/api/v1/conversations").json()[0]["owner"] == "alice"
        add_user(served.chats.store, "alice", "another good password")   # all keys of the old one are gone
        assert client.get("/api/v1/conversations").status_code == 401
    assert verb.main(["user", "token", "bob", "--data", str(tmp_path / "h")]) == 2
    assert "no account 'bob'" in capsys.readouterr().err


def test_who_guesses_elsewhere_does_not_keep_the_owner_out():
    from codeact.web.login import _Brake

    brake = _Brake()
    for _ in range(5):
        assert not brake.holds("alice", "10.0.0.1")
        brake.wrong("alice", "10.0.0.1")
    assert brake.holds("alice", "10.0.0.1")
    assert not brake.holds("alice", "10.0.0.2")
    brake.wrong("alice", "10.0.0.2")
    brake.forget("alice", "10.0.0.2")
    assert not brake.holds("bob", "10.0.0.1")
    for n in range(30):
        brake.wrong(f"name {n}", "10.0.0.1")
    assert brake.holds("bob", "10.0.0.1")


def test_a_shared_link_is_read_without_a_token_and_shows_no_more(served):
    with served.client() as client, served.client("") as anybody:
        key = client.post("/api/v1/conversations", json={"title": "Shown"}).json()["id"]
        token = client.post(f"/api/v1/conversations/{key}/share").json()["token"]
        assert set(anybody.get(f"/api/v1/shared/{token}").json()) == {"title", "updated", "n_turns"}
        assert anybody.get(f"/api/v1/shared/{token}/turns").json() == []
        assert anybody.get(f"/api/v1/conversations/{key}").status_code == 401
        client.delete(f"/api/v1/conversations/{key}/share")
        assert anybody.get(f"/api/v1/shared/{token}").status_code == 404


def test_characters_and_numbers_that_json_has_not_are_answered_all_the_same(served):
    with served.client() as client:
        key = client.post("/api/v1/conversations", json={}).json()["id"]
        odd = "'\\\\ud800' + str(float('nan'))"
        at = client.post(f"/api/v1/conversations/{key}/cells", json={"code": f"print({odd})"}).json()["seq"]
        served.chats.wait(key, "local", 30)
        served.chats.store.add(key, [("display", {"bundle": {"application/json": float("nan")}}, None)])
        found = client.get(f"/api/v1/conversations/{key}/events", params={"after": at, "stream": False})
        assert found.status_code == 200
        assert found.json()[-1]["data"]["bundle"]["application/json"] is None
        with client.stream("GET", f"/api/v1/conversations/{key}/events", params={"after": found.json()[-2]["seq"]}) as stream:
            line = next(line for line in stream.iter_lines() if line.startswith("data: "))
        assert json.loads(line[6:], parse_constant=pytest.fail)["data"]["bundle"]["application/json"] is None
        kept = client.get(f"/api/v1/conversations/{key}/files/{quote('é' * 300)}")
        assert kept.status_code == 404


def test_variables_have_sizes(served):
    with served.client() as client:
        key = client.post("/api/v1/conversations", json={}).json()["id"]
        client.post(f"/api/v1/conversations/{key}/cells", json={"code": "x = b'12345'"})
        served.chats.wait(key, "local", 30)
        [variable] = client.get(f"/api/v1/conversations/{key}/variables").json()
        assert (variable["length"], variable["n_bytes"] > 5) == (5, True)


@pytest.mark.parametrize("path", ["/v1/nothing", "/v1/chat/completions", "/v1/models"])
def test_clients_of_openais_api_are_answered_in_its_words(served, path):
    with served.client("wrong") as client:
        answer = client.get(path)
    assert answer.status_code == 401
    assert answer.json()["error"]["type"] == "authentication_error"


def test_a_fault_of_the_program_is_told_as_json_without_its_words(serve, monkeypatch):
    served = serve()
    monkeypatch.setattr(served.chats, "find", lambda *_, **__: 1 / 0)
    with served.client() as client:
        answer = client.get("/api/v1/conversations")
    assert answer.status_code == 500
    assert answer.json()["error"] == "failed"
    assert "division" not in answer.text


def test_the_login_page_runs_no_script_and_is_framed_by_nobody(serve):
    with serve(policy=Policy(accounts=True)).client("") as client:
        rules = client.get("/login").headers["content-security-policy"]
    assert "default-src 'none'" in rules
    assert "script" not in rules
    assert "frame-ancestors 'none'" in rules


def test_a_websocket_of_another_site_is_refused(served):
    import socket

    with socket.create_connection(("127.0.0.1", served.port), timeout=60) as raw:
        raw.sendall((f"GET /_nicegui_ws/socket.io/ HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\nOrigin: http://evil.example\r\n"
                     "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                     "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n").encode())
        assert raw.recv(100).startswith(b"HTTP/1.1 403")


def test_malformed_json_of_all_kinds_is_no_fault_of_the_server(served):
    with served.client() as client:
        for body in (b"\xff\xfe", b"[" * 100_000, b'{"title": "\\ud800"}', b'{"title": "\\u0000"}', json.dumps({"title": 1e400}).encode()):
            answer = client.post("/api/v1/conversations", content=body, headers={"Content-Type": "application/json"})
            assert answer.status_code in (201, 400, 422), answer.text
    assert TOKEN not in answer.text


def test_a_package_that_is_missing_is_named_before_anything_is_begun(monkeypatch, capsys):
    monkeypatch.setattr(verb, "find_spec", lambda name: None if name == "argon2" else name)
    for words in ([], ["user", "list"]):
        assert verb.main(words) == 2
        assert "pip install 'codeact[web]'" in capsys.readouterr().err


def test_accounts_are_made_while_a_server_works_and_harm_nothing(serve, tmp_path, monkeypatch, capsys):
    served = serve(home=tmp_path / "h")
    key = served.chats.create("local").id
    served.chats.send(key, "local", "wait")
    monkeypatch.setenv("CODEACT_DATABASE", f"sqlite:///{tmp_path / 'h' / 'chats.db'}")
    monkeypatch.setattr("sys.stdin", io.StringIO("a long enough password\n"))
    assert verb.main(["user", "add", "alice"]) == 0
    assert verb.main(["user", "list"]) == 0
    assert capsys.readouterr().out.endswith("alice\n")
    assert served.chats.summary(key, "local").state == "running"
    served.chats.stop(key, "local")


def test_the_document_names_every_request(served):
    text = (Path(__file__).parents[2] / "docs" / "chat_api.md").read_text(encoding="utf-8")
    with served.client() as client:
        paths = client.get("/api/openapi.json").json()["paths"]
    missing = [path for path in paths if path.rsplit("/conversations/{key}")[-1].split("{")[0].rstrip("/").rsplit("/")[-1] not in text]
    assert missing == []


@pytest.mark.parametrize("name", ["%00", "alice%00", "%ED%A0%80", "alice%0A", "x" * 5000])
def test_a_login_by_a_name_that_is_none_is_refused_like_any_other(serve, name):
    served = serve(policy=Policy(accounts=True))
    add_user(served.chats.store, "alice", "correct horse battery")
    with served.client("") as client:
        body = f"name={name}&password=correct+horse+battery"
        answer = client.post("/login", content=body, headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


def test_only_so_many_requests_of_a_user_are_answered_at_once(serve, monkeypatch):
    monkeypatch.setattr("codeact.web.rates._AT_ONCE", 2)
    served = serve()
    key = served.chats.create("local").id
    path = f"/api/v1/conversations/{key}/events"
    with served.client() as client:
        with client.stream("GET", path) as one, client.stream("GET", path) as two:
            assert (one.status_code, two.status_code) == (200, 200)
            refused = client.get("/api/v1/conversations")
            assert (refused.status_code, refused.json()["error"], refused.headers["retry-after"]) == (429, "too_many_requests", "1")
        served.chats.update(key, "local", title="wakes who follows")
        for _ in range(100):   # the server sees that they have gone when it next writes
            if (answer := client.get("/api/v1/conversations")).status_code == 200:
                break
            served.chats.update(key, "local", title="again")
        assert answer.status_code == 200


def test_an_upload_is_counted_as_it_comes_whatever_it_says_of_its_length(serve, monkeypatch):
    monkeypatch.setattr("codeact.web.gate._MAX_UPLOAD", 1000)
    served = serve()
    key = served.chats.create("local").id
    with served.client() as client:
        answer = client.put(f"/api/v1/conversations/{key}/files/x", content=(b"x" * 100 for _ in range(20)))
        assert (answer.status_code, answer.json()["error"]) == (413, "too_large")
        assert client.get(f"/api/v1/conversations/{key}/files").json() == []
        assert client.put(f"/api/v1/conversations/{key}/files/x", content=b"x" * 1000).status_code == 201


def test_where_somebody_comes_from_is_believed_from_proxies_alone(serve):
    def last_of(served, address):
        with served.client("", headers={"X-Forwarded-For": f"1.2.3.4, {address}"}) as client:
            return [client.post("/login", data={"name": "alice", "password": f"guess {n}"}).status_code for n in range(6)][-1]

    behind = serve(policy=Policy(accounts=True, proxies=("127.0.0.0/8",)))
    assert last_of(behind, "10.0.0.1") == 429
    with behind.client("", headers={"X-Forwarded-For": "10.0.0.2"}) as client:
        assert client.post("/login", data={"name": "alice", "password": "once"}).status_code == 403
    alone = serve(policy=Policy(accounts=True))
    assert last_of(alone, "10.0.0.1") == 429
    with alone.client("", headers={"X-Forwarded-For": "10.0.0.2"}) as client:
        assert client.post("/login", data={"name": "alice", "password": "once"}).status_code == 429


def test_a_proxy_that_is_no_address_is_told(capsys, tmp_path):
    assert verb.main(["--auth", "--proxy", "ingress", "--port", "0", "--data", str(tmp_path)]) == 2
    assert "a proxy is an address" in capsys.readouterr().err
    assert verb.main(["--auth-header", "X-User", "--port", "0", "--data", str(tmp_path)]) == 2
    assert "--proxy" in capsys.readouterr().err


def test_who_leaves_while_they_send_something_leaves_no_fault_in_the_log(served, caplog):
    import socket

    key = served.chats.create("local").id
    with socket.create_connection(("127.0.0.1", served.port)) as leaving:
        leaving.sendall(f"PUT /api/v1/conversations/{key}/files/a HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\n"
                        "Content-Type: application/octet-stream\r\nContent-Length: 100000\r\n\r\nbegun".encode())
    served.end()   # all requests are at their end
    assert [one.getMessage() for one in caplog.records if one.levelname == "ERROR"] == []
