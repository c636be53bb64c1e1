"""Every kind of model, made to say a given reply: over a fake server, a stand-in, a recording, a keyboard."""

import io
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "models"))

from fake_llama import library
from fake_openai import FakeServer, chunk, streamed, used

from codeact.actions import Say
from codeact.messages import Completion, Message
from codeact.models import anthropic, gguf, human, openai, recorded, scripted
from codeact.protocols import Model
from codeact.trajectory import Observation, Trajectory, Turn

PROMPT = (Message("system", "be brief"), Message("user", "hello"))
KEY = "sk-a-key-of-the-tests-0123456789"


def pieces_of(reply: str) -> list[str]:
    """Cut so that marks lie across pieces."""
    return [reply[at : at + 5] for at in range(0, len(reply), 5)]


@contextmanager
def openai_model(reply: str, tmp: Path, monkeypatch: Any) -> Iterator[Model]:
    answer = streamed(*map(chunk, pieces_of(reply)), chunk(finish="stop"), used(7, 2))
    with FakeServer(answer) as server:
        yield openai.create("m", base_url=server.url, api_key=KEY, max_retries=0)


@contextmanager
def anthropic_model(reply: str, tmp: Path, monkeypatch: Any) -> Iterator[Model]:
    usage = {"input_tokens": 7, "output_tokens": 1, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0}
    begun = {"id": "m", "type": "message", "role": "assistant", "content": [], "model": "m", "stop_reason": None,
             "stop_sequence": None, "usage": usage}  # fmt: skip
    events = [
        {"type": "message_start", "message": begun},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        *({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": one}} for one in pieces_of(reply)),
        {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": {"output_tokens": 2}},
        {"type": "message_stop"},
    ]
    answer = streamed(*map(json.dumps, events), done=False, named=[event["type"] for event in events])
    with FakeServer(answer) as server:
        yield anthropic.create("m", base_url=server.url.removesuffix("/v1"), api_key=KEY, max_retries=0)


@contextmanager
def gguf_model(reply: str, tmp: Path, monkeypatch: Any) -> Iterator[Model]:
    (tmp / "m.gguf").write_bytes(b"GGUF")
    monkeypatch.setitem(sys.modules, "llama_cpp", library(*pieces_of(reply)))
    yield gguf.create(str(tmp / "m.gguf"))


@contextmanager
def scripted_model(reply: str, tmp: Path, monkeypatch: Any) -> Iterator[Model]:
    yield scripted.ScriptedModel([reply] * 9)


@contextmanager
def recorded_model(reply: str, tmp: Path, monkeypatch: Any) -> Iterator[Model]:
    turns = tuple(Turn(Completion(reply), Say(reply), Observation("")) for _ in range(9))
    Trajectory(PROMPT, turns).save(tmp / "run.jsonl")
    yield recorded.create(str(tmp / "run.jsonl"))


@contextmanager
def human_model(reply: str, tmp: Path, monkeypatch: Any) -> Iterator[Model]:
    yield human.HumanModel(source=io.StringIO(f"{reply}\n.\n" * 9), screen=io.StringIO())


MODELS = {
    "openai": openai_model,
    "anthropic": anthropic_model,
    "gguf": gguf_model,
    "scripted": scripted_model,
    "recorded": recorded_model,
    "human": human_model,
}
ENDS_AT_STOP = {"openai", "anthropic", "gguf"}
"""Those behind which something writes on; the others say what they were given."""
