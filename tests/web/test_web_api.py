"""The chat's HTTP side: who may come in, what is answered, what hostile requests get."""

import json
import time

import httpx
import pytest
from serving import TOKEN

from codeact.web.gate import Policy
from codeact.web.login import add_user


def talk(client, key, text):
    at = client.post(f"/api/v1/conversations/{key}/messages", json={"text": text}).json()["seq"]
    until = time.monotonic() + 30
    while time.monotonic() < until:
        found = client.get(f"/api/v1/conversations/{key}/events", params={"after": at, "stream": False}).json()
        if any(one["kind"] == "ended" for one in found):
            return found
    raise AssertionError("it did not end")


def test_a_conversation_over_http(served):
    with served.client() as client:
        made = client.post("/api/v1/conversations", json={"title": "First"})
        assert made.status_code == 201
        key = made.json()["id"]
        talk(client, key, "`x = 6; print(x * 7)`")
        turns = client.get(f"/api/v1/conversations/{key}/turns").json()
        assert [turn["answer"] for turn in turns] == [None, "42"]
        assert client.get(f"/api/v1/conversations/{key}/variables").json()[0]["name"] == "x"
        assert client.patch(f"/api/v1/conversations/{key}", json={"title": "New", "pinned": True, "options": {"max_turns": 5}}).json()["options"]["max_turns"] == 5
        assert client.get("/api/v1/conversations", params={"search": "new"}).json()[0]["pinned"]
        assert client.put(f"/api/v1/conversations/{key}/files/..%2F..%2Fx.txt", content=b"hello").json()["name"] == "x.txt"
        got = client.get(f"/api/v1/conversations/{key}/files/x.txt")
        assert (got.content, got.headers["content-type"]) == (b"hello", "application/octet-stream")
        assert got.headers["content-disposition"].startswith("attachment")
        assert client.get(f"/api/v1/conversations/{key}/files.zip").content[:2] == b"PK"
        assert b"x * 7" in client.get(f"/api/v1/conversations/{key}/export/ipynb").content
        assert client.post(f"/api/v1/conversations/{key}/undo", json={}).json()["n_turns"] == 0
        assert len(client.get(f"/api/v1/conversations/{key}/branches").json()) == 2
        assert client.delete(f"/api/v1/conversations/{key}").status_code == 204
        assert client.get(f"/api/v1/conversations/{key}").json()["error"] == "not_found"


def test_events_are_streamed_and_taken_up_again_without_loss_or_doubling(served):
    with served.client() as client:
        key = client.post("/api/v1/conversations", json={}).json()["id"]
        client.post(f"/api/v1/conversations/{key}/messages", json={"text": "`print('one')`"})
        ids: list[int] = []

        def read(n, after):
            with client.stream("GET", f"/api/v1/conversations/{key}/events", headers={"Last-Event-ID": str(after)}) as stream:
                kinds = []
                for line in stream.iter_lines():
                    if line.startswith("id: "):
                        ids.append(int(line[4:]))
                    if line.startswith("event: "):
                        kinds.append(line[7:])
                        if len(kinds) == n or kinds[-1] == "ended":
                            return kinds
            return []

        first = read(2, 0)
        rest = read(100, ids[-1])
        assert rest[-1] == "ended"
        assert [*first, *rest].count("turn") >= 1
        assert ids == sorted(set(ids))


@pytest.mark.parametrize(("method", "path"), [("GET", "/api/v1/conversations"), ("POST", "/v1/chat/completions"), ("GET", "/metrics"), ("GET", "/")])
@pytest.mark.parametrize("token", ["", "wrong", TOKEN + "x", TOKEN[:-1]])
def test_without_the_token_nobody_gets_in(served, method, path, token):
    with served.client(token) as client:
        assert client.request(method, path).status_code == 401


def test_the_token_in_an_address_becomes_a_cookie_and_leaves_the_address(served):
    with served.client("") as client:
        came = client.get("/healthz")
        assert came.text == "ok\n"
        came = client.get("/api/v1/conversations", params={"token": TOKEN, "limit": 3})
        assert (came.status_code, came.headers["location"]) == (303, "/api/v1/conversations?limit=3")
        cookie = came.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert TOKEN not in cookie
        assert client.get("/api/v1/conversations").status_code == 200
        assert client.get(f"{served.url}//evil.example/x?token={TOKEN}").headers["location"] == "/evil.example/x"


@pytest.mark.parametrize(("headers", "code"), [
    ({"Host": "evil.example"}, "wrong_host"), ({"Host": ""}, None), ({"Origin": "http://evil.example"}, "wrong_origin"), ({"Origin": "null"}, "wrong_origin"),
    ({"Sec-Fetch-Site": "cross-site"}, "wrong_origin")])
def test_pages_of_other_sites_get_nothing_done(served, headers, code):
    with served.client() as client:
        answer = client.post("/api/v1/conversations", json={}, headers=headers)
        assert answer.status_code in (400, 403)
        if code:
            assert answer.json()["error"] == code


def test_everybody_on_this_machine_where_no_token_is_wanted(serve):
    with serve(policy=Policy()).client("") as client:
        assert client.get("/api/v1/conversations").status_code == 200


def test_accounts_keep_people_apart_and_guessing_is_slowed(serve):
    from codeact.web.login import add_user

    served = serve(policy=Policy(accounts=True))
    add_user(served.chats.store, "alice", "correct horse battery")
    add_user(served.chats.store, "bob", "another good password")
    with served.client("") as alice, served.client("") as bob, served.client("") as eve:
        assert alice.get("/", headers={"Accept": "text/html"}).headers["location"] == "/login?to=/"
        assert "<form" in alice.get("/login?to=//evil").text
        for client, name, password in ((alice, "alice", "correct horse battery"), (bob, "bob", "another good password")):
            came = client.post("/login", data={"name": name, "password": password, "to": "//evil.example"})
            assert (came.status_code, came.headers["location"]) == (303, "/")
        key = alice.post("/api/v1/conversations", json={"title": "hers"}).json()["id"]
        assert bob.get("/api/v1/conversations").json() == []
        assert bob.get(f"/api/v1/conversations/{key}").status_code == 404
        assert bob.delete(f"/api/v1/conversations/{key}").status_code == 404
        tries = [eve.post("/login", data={"name": "alice", "password": f"guess number {n}"}).status_code for n in range(7)]
        assert 403 in tries
        assert tries[-1] == 429
        assert alice.post("/logout").status_code == 303
        assert alice.get("/api/v1/conversations").status_code == 401


def test_a_header_is_believed_from_the_proxy_alone(serve):
    trusted = serve(policy=Policy(header="X-User", proxies=("127.0.0.1",)))
    with trusted.client("", headers={"X-User": "carol"}) as client:
        client.post("/api/v1/conversations", json={})
        assert client.get("/api/v1/conversations").json()[0]["owner"] == "carol"
        assert client.get("/api/v1/conversations", headers={"X-User": ""}).status_code == 401
    with serve(policy=Policy(header="X-User", proxies=("10.9.9.9",))).client("", headers={"X-User": "carol"}) as client:
        assert client.get("/api/v1/conversations").status_code == 401


@pytest.mark.parametrize(("path", "body"), [
    ("", "{"), ("", "[]"), ("", '{"x": 1}'), ("", '{"options": {"model": 3}}'), ("", '{"options": {"tools": ["files:/"]}}'),
    ("", '{"title": "' + "x" * 300 + '"}'), ("/KEY/messages", '{"text": ""}'), ("/KEY/messages", '{"text": "x", "images": [{"base64": "!"}]}'),
    ("/KEY/messages", '{"text": "x", "images": [{"base64": "aGVsbG8="}]}'), ("/KEY/edit", '{"turn": 0}'), ("/KEY/edit", '{"turn": 99, "code": "x"}'),
    ("/KEY/edit", '{"turn": -1, "code": "x"}'), ("/KEY/branches", '{"turn": 5}'), ("/KEY/undo", '{"n": 0}'), ("/KEY/cells", '{"code": " "}'),
    ("/KEY/switch", '{"branch": "none"}'), ("/none/messages", '{"text": "x"}'), ("/KEY/approvals/none", '{"granted": true}')])
def test_what_makes_no_sense_is_told_as_json(served, path, body):
    with served.client() as client:
        key = client.post("/api/v1/conversations", json={}).json()["id"]
        answer = client.post("/api/v1/conversations" + path.replace("KEY", key), content=body, headers={"Content-Type": "application/json"})
        assert 400 <= answer.status_code < 500
        assert set(answer.json()) == {"error", "message"}


def test_a_huge_message_is_refused_and_two_stops_are_one(served):
    with served.client() as client:
        key = client.post("/api/v1/conversations", json={}).json()["id"]
        assert client.post(f"/api/v1/conversations/{key}/messages", json={"text": "x" * 20_000_000}).status_code in (413, 422)
        client.post(f"/api/v1/conversations/{key}/messages", json={"text": "wait"})
        assert client.post(f"/api/v1/conversations/{key}/messages", json={"text": "more"}).json()["error"] == "busy"
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(2) as pool:
            stops = list(pool.map(lambda _: client.post(f"/api/v1/conversations/{key}/stop").json(), range(2)))
        assert {"stopped": True} in stops
        assert client.get(f"/api/v1/conversations/{key}").json()["state"] == "idle"


def test_what_people_and_cells_write_comes_back_as_data_alone(served):
    evil = "<script>alert(1)</script>"
    with served.client() as client:
        key = client.post("/api/v1/conversations", json={"title": evil}).json()["id"]
        name = client.put(f"/api/v1/conversations/{key}/files/{evil}.html".replace("/script", "script"), content=evil.encode()).json()["name"]
        for path in ("", "/turns", "/files", f"/files/{name}"):
            answer = client.get(f"/api/v1/conversations/{key}{path}")
            assert not answer.headers["content-type"].startswith("text/html")
            assert "sandbox" in answer.headers["content-security-policy"]
            assert answer.headers["x-content-type-options"] == "nosniff"


def test_numbers_for_who_watches(served):
    with served.client() as client:
        key = client.post("/api/v1/conversations", json={}).json()["id"]
        talk(client, key, "`1`")
        text = client.get("/metrics").text
    assert "codeact_conversations 1.0" in text
    assert "codeact_turns 2.0" in text


def test_of_several_users_those_who_are_named_read_the_numbers_of_all(serve):
    served = serve(policy=Policy(accounts=True, watchers=("alice",)))
    for name, status in (("alice", 200), ("bob", 403)):
        add_user(served.chats.store, name, "correct horse battery")
        with httpx.Client(base_url=served.url, timeout=30) as client:
            client.post("/login", data={"name": name, "password": "correct horse battery"})
            answer = client.get("/metrics")
        assert answer.status_code == status
    assert "--metrics NAME" in answer.json()["message"]
    assert "codeact_turns" not in answer.text


def test_too_many_requests_are_slowed(served, monkeypatch):
    monkeypatch.setattr("codeact.web.rates._PER_SECOND", 0.0)   # a slow machine must not be slow enough
    with served.client() as client:
        codes = [client.get("/api/v1/conversations").status_code for _ in range(700)]
    assert codes[0] == 200
    assert 429 in codes


def completions(served, messages, **more):
    with served.client() as client:
        return client.post("/v1/chat/completions", json={"model": "codeact/test", "messages": messages, **more})


def test_the_official_client_is_a_front_end(served):
    openai = pytest.importorskip("openai")
    with openai.OpenAI(base_url=f"{served.url}/v1", api_key=TOKEN, http_client=httpx.Client()) as client:
        assert [one.id for one in client.models.list()] == ["codeact/test"]
        history = [{"role": "user", "content": "`x = 20`"}]
        first = client.chat.completions.create(model="codeact/test", messages=history)
        assert "```python\nx = 20\n```" in first.choices[0].message.content
        assert first.usage.total_tokens == 30
        history += [{"role": "assistant", "content": first.choices[0].message.content}, {"role": "user", "content": "`print(x + 1)`"}]
        streamed = client.chat.completions.create(model="codeact/test", messages=history, stream=True, stream_options={"include_usage": True})
        chunks = list(streamed)
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        assert "21" in text
        assert chunks[-1].usage.total_tokens == 30
        # The same history once more, as from another window: the variables of that moment, on a branch of its own.
        again = client.chat.completions.create(model="codeact/test", messages=history)
        assert "21" in again.choices[0].message.content
        assert len(served.chats.find("local")) == 1
        with pytest.raises(openai.BadRequestError, match="last message"):
            client.chat.completions.create(model="codeact/test", messages=[{"role": "system", "content": "x"}])


@pytest.mark.parametrize("body", ["", "{}", "[]", '{"model": "x", "messages": []}', '{"model": "x", "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://127.0.0.1/x.png"}}]}]}',
                                  '{"model": "x", "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]}]}'])
def test_what_is_no_request_gets_an_error_of_openais_shape(served, body):
    with served.client() as client:
        answer = client.post("/v1/chat/completions", content=body)
    assert 400 <= answer.status_code < 500
    assert "message" in answer.json()["error"]


def test_a_history_that_is_not_known_here_is_told_to_the_model(served):
    answer = completions(served, [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "I am Ann."}, {"role": "assistant", "content": "Hello Ann."},
                                  {"role": "user", "content": "Who am I?"}]).json()
    key = answer["metadata"]["conversation"]
    assert "I am Ann." in served.chats.turns(key, "local")[0].user["text"]
    assert served.chats.summary(key, "local").options.instructions == "Be brief."


def test_the_schema_of_the_api_is_whole(served):
    with served.client() as client:
        schema = client.get("/api/openapi.json").json()
    assert len(schema["paths"]) >= 18
    assert json.dumps(schema).count('"summary"') >= 18


def test_the_schema_says_what_turn_numbers_and_branches_are(served):
    with served.client() as client:
        found = client.get("/api/openapi.json").json()["components"]["schemas"]
    said = {f"{name}.{field}": one.get("description", "") for name, model in found.items() for field, one in model.get("properties", {}).items()}
    assert "from 0" in said["Edit.turn"]
    assert "0 for none" in said["At.turn"]
    assert "From 0" in said["TurnAnswer.number"]
    assert "shares with its parent" in said["BranchAnswer.at_turn"]
    assert "goes on" in said["ConversationAnswer.branch"]
    assert "US dollars" in said["OptionsAnswer.max_cost"]


def test_an_upload_gets_a_plain_name_in_the_workspace_whatever_its_address_says(served):
    with served.client(headers={"Content-Type": "application/octet-stream"}) as client:
        key = served.chats.create("local").id
        path = f"/api/v1/conversations/{key}/files"
        for name, plain in (("..%2f..%2fetc%2fpasswd", "passwd"), ("a%2fb.txt", "b.txt"), ("..%5c..%5cx", "x"), ("%2fabs", "abs")):
            answer = client.put(f"{path}/{name}", content=b"1")
            assert (answer.status_code, answer.json()["name"]) == (201, plain)
        for name in ("..", "..%2f..", "a%00b", "%2f"):
            assert client.put(f"{path}/{name}", content=b"1").status_code in (404, 405, 422)
        assert {one["name"] for one in client.get(path).json()} == {"passwd", "b.txt", "x", "abs"}
        assert client.get(f"{path}/..%2f..%2fetc%2fpasswd").status_code == 404


@pytest.mark.parametrize("page", [False, True])
def test_what_nothing_is_at_is_told_as_each_api_tells_it(request, page):
    # A process has one page, and it is the site's
    served = request.getfixturevalue("site") if page else request.getfixturevalue("serve")()
    with served.client() as client:
        found = client.get("/api/v1/nope")
        assert (found.status_code, found.json()["error"]) == (404, "unknown_path")
        found = client.put("/api/v1/conversations", json={})
        assert (found.status_code, found.json()["error"]) == (405, "wrong_method")
        found = client.post("/v1/completions", json={})
        assert (found.status_code, found.json()["error"]["type"]) == (404, "not_found_error")
        assert client.get("/engine/nope").status_code == 404
