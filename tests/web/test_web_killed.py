"""`codeact serve` killed in the midst of a reply, of a cell, of a question: what is there the next time, and is told."""

import json
import signal

import pytest
from talk import GUARDED
from test_web_process import started

MODEL = '''
import json, threading
from pathlib import Path
from codeact.errors import Cancelled
from codeact.events import Text
from codeact.messages import Completion

class Model:
    def complete(self, messages, *, observe, cancel, **options):
        asked = messages[-1].content.rpartition("\\n\\n")[2]
        with open(Path(__file__).parent.with_name("sent.jsonl"), "a") as file:
            file.write(json.dumps(messages[-1].content) + "\\n")
        codes = {"run": "x = 2\\nprint('begun', flush=True)\\nimport time\\ntime.sleep(600)", "ask": "print(erase('it'))",
                 "set": "x = 1", "get": "print(x)"}
        if asked == "talk":
            for word in ("Well, ", "I begin"):
                observe(Text(word))
            stopped = threading.Event()
            with cancel.calling(stopped.set):
                stopped.wait(600)
            raise Cancelled
        text = f"I run it.\\n<execute>\\n{codes[asked]}\\n</execute>" if asked in codes else f"<solution>{asked}</solution>"
        observe(Text(text))
        return Completion(text)

def create(argument, **options):
    return Model()
'''


@pytest.fixture
def words(tmp_path, monkeypatch):
    """How the server is started."""
    (tmp_path / "models_of_ours").mkdir()
    (tmp_path / "models_of_ours" / "doing.py").write_text(MODEL)
    (tmp_path / "guarded.py").write_text(GUARDED)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return ("--model", "models_of_ours.doing:create", "--tool", f"{tmp_path}/guarded.py")


def follow(client, key, after, until):
    """Events after a number, as a client has them that was cut off there, up to one that is waited for."""
    found = []
    with client.stream("GET", f"/api/v1/conversations/{key}/events", headers={"Last-Event-ID": str(after)}) as stream:
        for line in stream.iter_lines():
            if line.startswith("data: "):
                found.append(json.loads(line[6:]))
                if until(found[-1]):
                    return found
    raise AssertionError("the stream ended")


def say(client, key, text):
    answer = client.post(f"/api/v1/conversations/{key}/messages", json={"text": text})
    assert answer.status_code == 202, answer.text
    return answer.json()["seq"]


MOMENTS = {
    "talk": (lambda one: one["kind"] == "text" and "begin" in one["data"]["text"],
             ["cut", "interrupted"], ["text"], ["It had begun:]\nWell, I begin"]),
    "run": (lambda one: one["kind"] == "output", ["cut", "interrupted"], ["text", "code", "output"],
            ["x = 2\nprint('begun'", "The code had printed:]\nbegun", "may have done part of its work"]),
    "ask": (lambda one: one["kind"] == "approval", ["answered", "cut", "interrupted"], ["text", "code", "approval"],
            ["print(erase('it'))"]),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_in_the_midst_nothing_is_lost_or_doubled_and_all_of_it_is_told(tmp_path, words, moment):
    reached, settled, pieces, told = MOMENTS[moment]
    options = {"tools": [f"{tmp_path}/guarded.py"]}
    with started(tmp_path / "h", *words) as served, served.client() as client:
        key = client.post("/api/v1/conversations", json={"options": options}).json()["id"]
        first = say(client, key, "set")
        before = follow(client, key, first - 1, lambda one: one["kind"] == "ended")
        said = say(client, key, moment)
        seen = follow(client, key, said - 1, reached)
        served.end(signal.SIGKILL)
    with started(tmp_path / "h", *words) as served, served.client() as client:
        assert client.get(f"/api/v1/conversations/{key}").json()["state"] == "interrupted"
        for last in (seen[-1]["seq"], said):   # of who had seen all of it, and of who had not
            after = follow(client, key, last, lambda one: one["kind"] == "interrupted")
            assert [one["kind"] for one in after if one["kind"] not in ("approval", "told")] == settled
            assert all(one["seq"] > seen[-1]["seq"] for one in after if one["kind"] in settled)
        [cut] = [one["data"] for one in after if one["kind"] == "cut"]
        assert [piece["type"] for piece in cut["pieces"]] == pieces
        assert cut["why"] == "the server ended"
        if moment == "ask":
            call = seen[-1]["data"]["call"]
            assert [one["data"] for one in after if one["kind"] == "answered"] == [{"call": call, "granted": False, "why": "the server ended"}]
            assert client.post(f"/api/v1/conversations/{key}/approvals/{call}", json={"granted": True}).status_code == 404
        ended = after[-1]["seq"]
        now = say(client, key, "get")
        assert now > ended
        follow(client, key, now, lambda one: one["kind"] == "ended")
        entries = client.get(f"/api/v1/conversations/{key}/events", params={"stream": False}).json()
        numbers = [one["seq"] for one in entries]
        assert numbers == sorted(set(numbers))
        whole = [one for one in entries if one["kind"] not in ("restored", "told", "started", "approval", "answered", "note")]
        assert [one["kind"] for one in whole] == ["user", "turn", "turn", "ended", "user", "cut", "interrupted", "user", "turn", "turn", "ended"]
        kept = [one for one in before if one["kind"] in ("user", "turn", "ended")]
        assert [one for one in whole if one["seq"] <= kept[-1]["seq"]] == kept
        assert client.get(f"/api/v1/conversations/{key}/turns").json()[-1]["answer"] == "1"
    sent = [json.loads(line) for line in (tmp_path / "sent.jsonl").read_text().splitlines()]
    [again] = [one for one in sent if one.endswith("\n\nget")]
    assert again.startswith(f"{moment}\n\n") or f"\n\n{moment}\n\n[Your reply to this came to no end: the server ended.]" in again
    assert all(again.count(part) == 1 for part in told), again
