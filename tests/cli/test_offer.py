"""What a task without a model is told and offered."""

import json
import sys
from pathlib import Path

import pytest

from codeact import ConfigError
from codeact.cli import main
from codeact.cli._offer import kept, offer
from codeact.models._local import Place, Server
from codeact.settings import Settings

sys.path.insert(0, str(Path(__file__).parents[1] / "models"))
from test_local import OPENAI, listening, says

OLLAMA = Server("Ollama", "http://127.0.0.1:11434/v1", ("qwen3:8b", "it's"))


@pytest.fixture
def found(monkeypatch):
    servers = [OLLAMA, Server("vLLM", "http://127.0.0.1:8000/v1", ("big",))]
    monkeypatch.setattr("codeact.models._local.find", lambda: servers)
    return servers


def test_what_is_chosen_is_used_without_a_key(found):
    asked = []
    settings = offer(Settings(keys={"openai": "secret"}), "no model", ask=lambda words: asked.append(words) or " 3\n")
    assert (settings.model, settings.base_url) == ("openai:big", "http://127.0.0.1:8000/v1")
    assert settings.key("openai") == "not-needed"
    assert "1  qwen3:8b (Ollama, http://127.0.0.1:11434/v1)" in asked[0]
    assert kept(settings) == ["codeact config set model openai:big", "codeact config set base_url http://127.0.0.1:8000/v1"]


@pytest.mark.parametrize("said", ["", "0", "4", "-1", "one", "9" * 5000, "²", "1.0"])
def test_whatever_else_is_said_chooses_none(found, said):
    with pytest.raises(ConfigError, match="Name a model"):
        offer(Settings(), "no model", ask=lambda words: said)


def test_where_nobody_can_be_asked_the_error_has_the_commands(found):
    with pytest.raises(ConfigError) as raised:
        offer(Settings(), "no model")
    assert "codeact --model openai:qwen3:8b --base-url http://127.0.0.1:11434/v1 ..." in str(raised.value)
    assert """--model 'openai:it'"'"'s'""" in str(raised.value)


def test_a_server_without_a_model_is_told(monkeypatch):
    monkeypatch.setattr("codeact.models._local.find", lambda: [Server("Ollama", "http://127.0.0.1:11434/v1", ())])
    with pytest.raises(ConfigError, match=r"Ollama listens .* but has no model yet"):
        offer(Settings(), "no model")


def test_a_task_without_a_model_tells_of_a_server_on_this_machine(monkeypatch, capsys):
    monkeypatch.delenv("CODEACT_MODEL", raising=False)
    with listening(says(OPENAI)) as (port, asked):
        monkeypatch.setattr("codeact.models._local.USUAL", (Place("LM Studio", port),))
        assert main(["a secret task"]) == 2
    assert f"--base-url http://127.0.0.1:{port}/v1" in capsys.readouterr().err
    assert all(b"secret" not in request for request in asked), json.dumps(repr(asked))
