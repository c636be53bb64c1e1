"""What users of a server may not have, asked for by every way in."""

import pytest

from codeact.chats.values import Options
from codeact.cli import serve as verb
from codeact.web.gate import Policy
from codeact.web.login import add_user


@pytest.fixture
def alice(serve):
    """A server with accounts, as `codeact serve --auth --allow-network example.org` starts it, and a user of it."""
    served = serve(policy=Policy(accounts=True), any_model=False, hosts_allowed=["example.org"])
    add_user(served.chats.store, "alice", "correct horse battery")
    with served.client("") as client:
        client.post("/login", data={"name": "alice", "password": "correct horse battery"})
        client.served = served
        yield client


@pytest.mark.parametrize("options", [{"network": ["evil.example"]}, {"network": ["*.example.org"]}, {"network": ["127.0.0.1"]},
                                     {"tools": ["files:/"]}, {"tools": ["mcp:sh"]}, {"tools": ["os.path:join"]},
                                     {"model": "os:system"}, {"model": "scripted:/etc/passwd"}, {"format": "os.path"},
                                     {"sandbox": "none"}, {"backend": "inprocess"}, {"packages": "allow"}, {"read": ["/"]}])
def test_what_the_server_does_not_allow_is_refused_at_every_door(alice, options):
    made = alice.post("/api/v1/conversations", json={"options": {"network": ["example.org"]}})
    assert made.status_code == 201
    path = f"/api/v1/conversations/{made.json()['id']}"
    for answer in (alice.post("/api/v1/conversations", json={"options": options}), alice.patch(path, json={"options": options})):
        assert (answer.status_code, answer.json()["error"]) == (422, "refused")
        assert len(answer.json()["message"]) > 20
    assert alice.get(path).json()["options"] == made.json()["options"]


def test_openais_clients_can_ask_for_no_more(alice):
    said = [{"role": "user", "content": "hello"}]
    for more in ({"network": ["evil.example"]}, {"tools": [{"type": "function", "function": {"name": "files"}}]},
                 {"metadata": {"network": "evil.example", "options": "x"}}):
        answer = alice.post("/v1/chat/completions", json={"model": "codeact/model", "messages": said, **more})
        assert answer.status_code == 200
        options = alice.get(f"/api/v1/conversations/{answer.headers['x-conversation-id']}").json()["options"]
        assert (options["network"], options["tools"]) == ([], [])
    assert alice.post("/v1/chat/completions", json={"model": "codeact/os:system", "messages": said}).status_code == 400


def test_the_pages_button_to_try_a_model_loads_no_other_than_those_offered(alice):
    from codeact.web.page.trying import tried

    asked = []
    chats = alice.served.chats
    chats._model = lambda name: asked.append(name)
    assert "not offered" in tried(lambda: chats.model_for("alice")("os:system"))
    assert asked == []


def test_who_has_the_token_may_have_any_public_host(served):
    served.chats.create("local", Options(model="test", network=("anything.example",)))


@pytest.mark.parametrize(("words", "single", "allowed"), [([], False, []), ([], True, None), (["a.example"], True, ["a.example"]),
                                                          (["a.example"], False, ["a.example"]), (["all"], False, None)])
def test_without_a_word_accounts_have_no_network_and_the_token_has_all(words, single, allowed):
    args = verb._parser().parse_args([one for word in words for one in ("--allow-network", word)])
    assert verb._hosts_of(args.allow_network, single) == allowed


def test_a_host_that_cannot_be_allowed_is_told_before_anything_is_begun(tmp_path, capsys):
    assert verb.main(["--auth", "--port", "0", "--data", str(tmp_path), "--allow-network", "10.0.0.1"]) == 2
    assert "public" in capsys.readouterr().err
