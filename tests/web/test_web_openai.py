"""OpenAI's API: what a reply says while it grows, and which conversation a request goes on with."""

import json
import threading

import httpx
import pytest
from serving import TOKEN

from codeact.chats.store import Store
from codeact.chats.values import Entry
from codeact.messages import Completion, Usage
from codeact.web.openai_text import Text


def told(*entries, live=True):
    """The pieces that entries (kind, data) add."""
    text = Text(live=live)
    pieces = [text.take(Entry(n, kind, data, 0.0, "b")) for n, (kind, data) in enumerate(entries)]
    assert text.whole == "".join(pieces)
    return pieces


def words(*pieces):
    return [("text", {"text": piece, "channel": "reply"}) for piece in pieces]


def turn(action, text="", outputs=()):
    return "turn", {"completion": {"text": ""}, "action": action, "observation": {"text": text, "outputs": list(outputs)}}


RAN = {"type": "code", "code": "print(42)", "thought": "I run it."}
CELL = "```python\nprint(42)\n```"
OUTPUT = "```text\n42\n```"


def test_of_a_reply_that_was_cut_what_was_not_seen_yet_is_told():
    whole = [{"type": "text", "text": "hm", "channel": "reasoning"}, {"type": "text", "text": "Half way there", "channel": "reply"}]
    cut = "cut", {"pieces": whole, "why": "it was stopped"}
    assert "".join(told(*words("Half "), cut)) == "Half way there"
    assert told(cut) == ["Half way there"]
    assert told(cut, live=False) == [""]


def test_words_come_as_they_are_written_and_the_cell_before_its_output():
    pieces = told(*words("I run", " it.\n<exe", "cute>\nprint(42)\n"), ("code", {"code": "print(42)"}),
                  *words("</execute>\nIt printed 41."), turn(RAN, "42"))
    assert pieces[:2] == ["I run", " it.\n"]
    assert "".join(pieces[:4]).endswith(CELL + "\n\n")
    assert "41" not in "".join(pieces)   # invented, and never shown
    assert OUTPUT in pieces[-1]
    assert "".join(pieces).count("print(42)") == 1


def test_pieces_that_were_missed_are_told_with_their_turn():
    assert told(turn(RAN, "42"))[0].startswith(f"I run it.\n\n{CELL}\n\n{OUTPUT}")
    assert told(*words("{\"code\""), turn(RAN, "42"), live=False)[1].startswith(f"I run it.\n\n{CELL}")


@pytest.mark.parametrize(("pieces", "answer"), [
    ([], "It is 42."), (["<solution>It", " is 42.</solu", "tion>"], "It is 42."), (["It is ", "42."], "It is 42."),
    (["So it is.\n<solution>It is 42.</solution>"], "It is 42."), (["Hmm, this is"], "something else"),
    (["Here:\n```python\nx = 1\n```\nas said"], "Here:\n```python\nx = 1\n```\nas said")])
def test_an_answer_is_told_once_and_whole(pieces, answer):
    whole = "".join(told(*words(*pieces), turn({"type": "answer", "text": answer})))
    assert whole.endswith(answer)
    assert whole.count(answer) == 1


def test_figures_are_pictures_unless_they_are_huge():
    small, huge = ({"image/png": {"base64": "A" * size}} for size in (40, 3_000_000))
    text = told(turn(RAN, "", [small, huge, {"image/svg+xml": "<svg onload=alert(1)>"}]))[0]
    assert f"![figure](data:image/png;base64,{'A' * 40})" in text
    assert "large figure" in text
    assert len(text) < 1000
    assert "onload" not in text


def test_output_cannot_end_its_own_block():
    assert "````text\n```\n# evil\n````" in told(turn(RAN, "```\n# evil"))[0]


def ask(served, messages, **more):
    headers = more.pop("headers", {})
    with served.client(more.pop("token", TOKEN), headers=headers) as client:
        return client.post("/v1/chat/completions", json={"model": "codeact/model", "messages": messages, **more})


def user(text):
    return {"role": "user", "content": text}


def reply_to(answer):
    return answer.json()["choices"][0]["message"]


def test_a_conversation_is_known_again_after_the_server_was_started_anew(serve, tmp_path):
    served = serve(home=tmp_path / "h")
    history = [user("`x = 20`")]
    first = ask(served, history)
    served.end()
    again = serve(home=tmp_path / "h")
    history += [reply_to(first), user("`print(x + 1)`")]
    assert "21" in reply_to(ask(again, history))["content"]
    assert len(again.chats.find("local")) == 1


def test_two_chats_that_begin_alike_each_go_on_with_their_own_variables(served):
    one = [user("`x = 1`")]
    one.append(reply_to(ask(served, one)))
    two = [user("`x = 1`")]
    two.append(reply_to(ask(served, two)))
    one += [user("`x = 5`")]
    one.append(reply_to(ask(served, one)))
    two += [user("`print(x + 1)`")]
    assert "```text\n2\n" in reply_to(ask(served, two))["content"]
    one += [user("`print(x + 1)`")]
    assert "```text\n6\n" in reply_to(ask(served, one))["content"]


@pytest.mark.parametrize("way", ["header", "metadata"])
def test_a_client_may_name_its_conversation_and_send_the_last_message_alone(served, way):
    more = {"headers": {"X-Conversation-Id": "mine"}} if way == "header" else {"metadata": {"conversation": "mine"}}
    first = ask(served, [user("`x = 20`")], **dict(more))
    second = ask(served, [user("`print(x + 1)`")], **dict(more))
    assert "21" in reply_to(second)["content"]
    assert first.headers["x-conversation-id"] == second.headers["x-conversation-id"]
    known = {"metadata": {"conversation": first.json()["metadata"]["conversation"]}}
    assert "22" in reply_to(ask(served, [user("`print(x + 2)`")], **known))["content"]


def test_a_name_leads_nobody_to_anothers_conversation(serve):
    from codeact.web.gate import Policy

    served = serve(policy=Policy(header="X-User", proxies=("127.0.0.1",)))
    hers = ask(served, [user("`x = 20`")], headers={"X-User": "alice", "X-Conversation-Id": "shared name"})
    for name in ("shared name", hers.headers["x-conversation-id"]):
        his = ask(served, [user("`print('x' in globals())`")], headers={"X-User": "bob", "X-Conversation-Id": name})
        assert "False" in reply_to(his)["content"]
        assert his.headers["x-conversation-id"] != hers.headers["x-conversation-id"]


def test_a_client_that_goes_away_stops_what_runs(served):
    body = {"model": "codeact/model", "messages": [user("wait")], "stream": True}
    with served.client() as client, client.stream("POST", "/v1/chat/completions", json=body) as stream:
        key = stream.headers["x-conversation-id"]
        next(stream.iter_lines())
        assert served.chats.summary(key, "local").state == "running"
    assert served.chats.wait(key, "local", 30)
    assert [entry.kind for entry in served.chats.entries(key, "local")][-1] == "stopped"


def test_a_run_whose_end_cannot_be_stored_ends_the_request_too(served, monkeypatch):
    real = Store.add

    def add(self, key, items, **more):
        if any(kind in ("stopped", "cut", "ended", "error") for kind, *_ in items):
            raise OSError("the disk is full")
        return real(self, key, items, **more)

    monkeypatch.setattr(Store, "add", add)
    monkeypatch.setattr("codeact.web.openai_api._BEAT_SECONDS", 0.1)
    body = {"model": "codeact/model", "messages": [user("wait")], "stream": True}
    with served.client() as client, client.stream("POST", "/v1/chat/completions", json=body) as stream:
        lines = stream.iter_lines()
        next(lines)
        served.chats._lives[stream.headers["x-conversation-id"]].cancel()
        said = "".join(lines)
    assert "could not be stored" in said
    assert said.endswith("data: [DONE]")


def test_the_words_of_a_reply_are_streamed_before_it_is_whole(serve):
    from codeact.events import Text as Words

    go_on = threading.Event()

    class Slow:
        def complete(self, messages, *, observe, **options):
            observe(Words("Once upon a time"))
            assert go_on.wait(30)
            observe(Words(" it ended."))
            return Completion("Once upon a time it ended.", usage=Usage(1, 1))

    served = serve(model=Slow())
    body = {"model": "codeact/model", "messages": [user("a story")], "stream": True}
    pieces = []
    with served.client() as client, client.stream("POST", "/v1/chat/completions", json=body) as stream:
        for line in stream.iter_lines():
            if line.startswith("data: {"):
                pieces += [choice["delta"].get("content", "") for choice in json.loads(line[6:])["choices"]]
            if "".join(pieces):
                go_on.set()
    assert "".join(pieces) == "Once upon a time it ended."


def test_a_model_that_fails_is_an_error_of_the_api(serve):
    from codeact.errors import ModelError

    class Broken:
        def complete(self, messages, **options):
            raise ModelError("the model's server is not there")

    served = serve(model=Broken())
    answer = ask(served, [user("hello")])
    assert (answer.status_code, answer.json()["error"]["type"]) == (502, "api_error")
    openai = pytest.importorskip("openai")
    with openai.OpenAI(base_url=f"{served.url}/v1", api_key=TOKEN, max_retries=0, http_client=httpx.Client()) as client:
        with pytest.raises(openai.APIError, match="not there"):
            list(client.chat.completions.create(model="codeact/model", messages=[user("hello")], stream=True))
        with pytest.raises(openai.NotFoundError):
            client.models.retrieve("gpt-none")
        assert client.models.retrieve("codeact/test").id == "codeact/test"
