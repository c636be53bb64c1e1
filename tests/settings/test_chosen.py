"""A model chosen in a running program: what is asked, with which key, and what is kept of it."""

import stat

import pytest

from codeact.errors import ConfigError
from codeact.settings import config_path, create_model, settle
from codeact.settings.chosen import Choice, create, keep


@pytest.fixture
def environ(tmp_path):
    return {"XDG_CONFIG_HOME": str(tmp_path)}


def text(environ):
    return config_path(environ).read_text()


def test_a_server_of_ones_own_is_asked_with_no_key_of_anybody_elses(environ, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-openai")
    choice = Choice("openai", "qwen3:8b", "http://127.0.0.1:1/v1")
    assert create(choice, environ)._key == "not-needed"
    name = keep(choice, environ)
    model = create_model(settle(environ=environ, model=name))
    assert (name, model.name, model.where, model._key) == ("qwen3-8b", "qwen3:8b", "http://127.0.0.1:1/v1", "not-needed")
    assert settle(environ=environ).model == "openai:qwen3:8b"
    assert settle(environ=environ).base_url == "http://127.0.0.1:1/v1"
    assert stat.S_IMODE(config_path(environ).stat().st_mode) == 0o600


def test_what_is_kept_twice_is_there_once_and_another_of_that_name_beside_it(environ):
    here, there = Choice("openai", "Qwen 3", "http://127.0.0.1:1/v1", "a"), Choice("openai", "Qwen 3", "http://127.0.0.1:2/v1", "b")
    assert [keep(one, environ) for one in (here, there, here)] == ["qwen-3", "qwen-3-2", "qwen-3"]
    assert create_model(settle(environ=environ, model="qwen-3-2"))._key == "b"
    assert keep(Choice("openai", "openai", "http://127.0.0.1:1/v1"), environ) == "openai-2"   # a provider's name is no profile's
    assert keep(Choice("openai", "???", "http://127.0.0.1:1/v1"), environ) == "model"


def test_a_providers_model_is_kept_with_the_key_that_was_given(environ, monkeypatch):
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    choice = Choice("openai", "gpt-5-mini", api_key="sk-given")
    assert create(choice, environ)._key == "sk-given"
    assert keep(choice, environ) == "openai:gpt-5-mini"
    assert create_model(settle(environ=environ))._key == "sk-given"
    assert create(Choice("openai", "gpt-5"), environ)._key == "sk-given"   # which is set now


def test_the_rest_of_the_file_stays(environ):
    config_path(environ).parent.mkdir()
    config_path(environ).write_text("# mine\nmax_turns = 7\n")
    keep(Choice("anthropic", "claude", api_key="sk-ant"), environ)
    assert text(environ).startswith("# mine\nmax_turns = 7\n")


@pytest.mark.parametrize(("choice", "said"), [
    (Choice("openai", ""), "name the model"),
    (Choice("openai", "gpt-5"), "give a key; none is set"),
    (Choice("openai", "x", "localhost:8000"), "must look like http"),
])
def test_what_is_missing_is_named(environ, choice, said):
    with pytest.raises(ConfigError, match=said):
        create(choice, environ)


def test_a_key_is_shown_nowhere():
    assert "sk-secret" not in repr(Choice("openai", "x", api_key="sk-secret"))
