"""Limits of users as programs, pages and the command line meet them."""

import openai
import pytest

from codeact.chats.quota import Quota, Rate
from codeact.cli import serve as verb
from codeact.errors import ConfigError


def test_what_is_used_up_is_429_with_words_for_both_apis(serve):
    served = serve(quota=Quota(disk=1, tokens=Rate(10)))
    with served.client() as client:
        key = client.post("/api/v1/conversations", json={}).json()["id"]
        path = f"/api/v1/conversations/{key}"
        assert client.post(f"{path}/messages", json={"text": "hello"}).status_code == 202
        assert served.chats.wait(key, "local", 30)
        answer = client.post(f"{path}/messages", json={"text": "hello"})
        assert (answer.status_code, answer.json()["error"]) == (429, "limit_reached")
        assert "go on from" in answer.json()["message"]
        answer = client.put(f"{path}/files/big", content=bytes(2 << 20))
        assert (answer.status_code, answer.json()["error"]) == (429, "limit_reached")
        assert client.get(f"{path}/files").json() == []
        assert client.put(f"{path}/files/small", content=b"1").status_code == 201
        assert client.delete(f"{path}/files/small").status_code == 204
        assert client.delete(f"{path}/files/small").status_code == 404
        told = client.get("/api/v1/me").json()
    assert (told["owner"], told["tokens"]) == ("local", {"limit": 10, "used": 15, "per": "day"})
    with openai.OpenAI(base_url=f"{served.url}/v1", api_key="a-token-for-tests-0123456789", max_retries=0) as client, \
            pytest.raises(openai.RateLimitError, match="tokens are used up"):
        client.chat.completions.create(model="codeact/model", messages=[{"role": "user", "content": "hello"}])


def test_limits_of_one_user_are_set_and_shown_on_the_command_line(tmp_path, capsys):
    def run(*words):
        code = verb.main(["user", *words, "--data", str(tmp_path)])
        said = capsys.readouterr()
        return code, said.out + said.err

    assert run("limits", "alice")[1].count("as the server has it; used: 0") == 3
    code, said = run("limits", "alice", "--max-disk", "2000", "--max-cost", "20/month", "--max-tokens", "none")
    assert code == 0
    assert [line.split("; used")[0].split(None, 1)[1] for line in said.splitlines()[:3]] == ["2000 MB", "20 dollars/month", "no limit"]
    assert "as the server has it" in run("limits", "alice", "--max-disk", "default")[1]
    assert "20 dollars/month" in run("limits", "alice")[1]
    code, said = run("limits", "alice", "--max-cost", "lots")
    assert (code, "right are 5, 5/day" in said) == (2, True)
    assert run("limits")[0] == 2
    code, said = run("add", "alice", "--max-cost", "5")
    assert (code, "codeact serve user limits alice" in said) == (2, True)


def test_limits_that_are_none_are_told_before_anything_is_begun(tmp_path, capsys):
    assert verb.main(["--port", "0", "--data", str(tmp_path / "data"), "--max-cost", "5/week"]) == 2
    assert "right are 5, 5/day" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()
    with pytest.raises(ConfigError):
        Quota.read({"disk": "5/day"})


def test_the_page_says_what_was_used_of_what_may_be():
    from codeact.web.page.options import words_of_use

    told = {"disk": {"limit": 500, "used": 34.1234, "per": None}, "cost": {"limit": None, "used": 3, "per": "day"},
            "tokens": {"limit": 1e6, "used": 12_300, "per": "month"}}
    assert words_of_use(told) == "34.12 of 500 MB, 12,300 of 1,000,000 tokens this month"
    assert words_of_use({name: {"limit": None, "used": 1, "per": None} for name in told}) == ""


def test_what_the_button_to_try_a_model_uses_is_counted(serve):
    from codeact.web.page.trying import tried

    served = serve(quota=Quota(tokens=Rate(10)))
    assert "It answers" in tried(lambda: served.chats.model_for("me")("test"))
    assert served.chats.used("me")["tokens"]["used"] == 15
    assert "used up" in tried(lambda: served.chats.model_for("me")("test"))


def test_another_server_on_the_same_database_answers_409_with_what_to_do(serve, tmp_path):
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    here, there = serve(url=url), serve(url=url)
    key = here.chats.create("local").id
    here.chats.send(key, "local", "wait")
    with there.client() as client:
        answer = client.post(f"/api/v1/conversations/{key}/messages", json={"text": "hello"})
        assert (answer.status_code, answer.json()["error"]) == (409, "elsewhere")
        assert "wait until it is done, or stop it" in answer.json()["message"]
        asked = {"model": "codeact/model", "messages": [{"role": "user", "content": "hello"}], "metadata": {"conversation": key}}
        assert client.post("/v1/chat/completions", json=asked).json()["error"]["code"] == "elsewhere"
        assert client.get(f"/api/v1/conversations/{key}").json()["state"] == "running"
        assert client.post(f"/api/v1/conversations/{key}/stop").json() == {"stopped": True}
        assert client.post(f"/api/v1/conversations/{key}/messages", json={"text": "hello"}).status_code == 202
        assert there.chats.wait(key, "local", 30)
