"""What is settled: who goes before whom, what belongs together, and where a key may get to."""

import argparse
import os

import pytest

from codeact import ConfigError
from codeact.cli._flags import parser
from codeact.settings import config_path, create_model, local, settle

KEY = "sk-very-secret-1234567890"
FILE = f"""\
# mine
model = "openai:gpt-5-mini"
max_turns = 40
network = ["api.example.com"]

[models.fast]
model = "openai:qwen3:8b"
base_url = "http://localhost:11434/v1"
temperature = 0.2

[models.routed]
model = "openai:some/model"
base_url = "https://router.example/v1"
key = "router"

[models.claude]
model = "anthropic:opus"

[prices."openai:some/model"]
input = 1.0
output = 10

[keys]
openai = "{KEY}"
router = "rk-another-secret-0987654321"
"""


@pytest.fixture
def environ(tmp_path):
    return {"XDG_CONFIG_HOME": str(tmp_path)}


def write(environ, text, mode=0o600):
    path = config_path(environ)
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def flags(*words):
    return parser().parse_args(words)


def test_without_anything_defaults_are_settled_and_say_so(environ):
    settings = settle(flags(), environ)
    assert (settings.model, settings.timeout, settings.max_turns, settings.sandbox) == ("", 60.0, 30, "auto")
    assert set(settings.origins.values()) == {"default"}


def test_a_flag_goes_before_the_environment_and_that_before_the_file(environ):
    path = write(environ, FILE)
    assert settle(flags(), environ).max_turns == 40
    assert settle(flags(), environ).origins["max_turns"] == f"{path}, line 3"
    environ["CODEACT_MAX_TURNS"] = "50"
    assert settle(flags(), environ).max_turns == 50
    assert settle(flags(), environ).origins["max_turns"] == "CODEACT_MAX_TURNS"
    settings = settle(flags("--max-turns", "60"), environ)
    assert (settings.max_turns, settings.origins["max_turns"]) == (60, "--max-turns")


@pytest.mark.parametrize(("variable", "text", "wants"), [
    ("CODEACT_MAX_TURNS", "many", "a whole number"), ("CODEACT_TIMEOUT", "-1", "above 0"), ("CODEACT_TIMEOUT", "nan", "above 0"),
    ("CODEACT_MAX_TURNS", "9" * 5000, "a whole number"), ("CODEACT_MODE", "loud", '"copy" or "live"'), ("OPENAI_BASE_URL", "here", "an address"),
])  # fmt: skip
def test_a_variable_that_cannot_be_used_is_named_with_what_it_takes(environ, variable, text, wants):
    environ[variable] = text
    with pytest.raises(ConfigError, match=f"{variable} in the environment") as raised:
        settle(flags("--model", "openai:x"), environ)
    assert wants in str(raised.value)
    assert len(str(raised.value)) < 300


def test_lists_in_the_environment_are_words_with_commas(environ):
    environ |= {"CODEACT_NETWORK": "a.example, b.example", "CODEACT_PACKAGES": "allow"}
    settings = settle(flags(), environ)
    assert (settings.network, settings.packages) == (("a.example", "b.example"), ("*",))


def test_what_is_settled_reads_as_if_flags_had_said_it(environ):
    write(environ, 'mode = "live"\npackages = ["einops", "*"]\nmemory_mb = 512\nsandbox = 2\nnetwork = "all"\n')
    args = settle(flags("--workspace", "."), environ).filled(flags("--workspace", "."))
    assert (args.live, args.package, args.allow_packages, args.memory_mb) == (True, ["einops"], True, 512)
    assert (args.sandbox, args.network, args.timeout, args.max_turns) == ("2", ["all"], 60.0, 30)
    fresh = settle(flags(), environ).filled(flags())
    assert not fresh.live, "a fresh workspace is not the user's own, whatever the file says"


def test_a_profile_brings_its_address_and_temperature(environ):
    write(environ, FILE)
    settings = settle(flags("--model", "fast"), environ)
    assert (settings.model, settings.base_url, settings.temperature) == ("openai:qwen3:8b", "http://localhost:11434/v1", 0.2)
    assert settings.origins["model"].startswith("--model, which is ")
    environ["OPENAI_BASE_URL"] = "https://elsewhere.example/v1"
    assert settle(flags("--model", "fast"), environ).base_url == "http://localhost:11434/v1"
    assert settle(flags("--model", "fast", "--base-url", "http://mine/v1"), environ).base_url == "http://mine/v1"
    assert settle(flags(), environ, model="fast").profile == "fast"


def test_a_profile_that_is_not_there_is_told_with_those_that_are(environ):
    write(environ, FILE)
    with pytest.raises(ConfigError, match="did you mean 'fast'") as raised:
        settle(flags("--model", "fsat"), environ)
    assert "claude, fast, routed" in str(raised.value)


@pytest.mark.parametrize("where", ["file", "environment"])
def test_an_address_is_used_for_models_of_its_provider_only(environ, where):
    if where == "file":
        write(environ, 'base_url = "https://mine.example/v1"\n')
    else:
        environ["OPENAI_BASE_URL"] = "https://mine.example/v1"
    assert settle(flags("--model", "openai:x"), environ).base_url == "https://mine.example/v1"
    assert settle(flags("--model", "anthropic:x"), environ).base_url is None


def test_the_address_at_the_top_is_not_for_profiles(environ):
    write(environ, 'base_url = "https://mine.example/v1"\n[models.other]\nmodel = "openai:x"\n')
    assert settle(flags("--model", "other"), environ).base_url is None


def test_a_key_goes_to_its_provider_and_a_profile_may_name_another(environ):
    write(environ, FILE)
    pytest.importorskip("openai")
    assert create_model(settle(flags(), environ))._client.api_key == KEY
    assert create_model(settle(flags("--model", "routed"), environ))._client.api_key.startswith("rk-")
    assert settle(flags("--model", "claude"), environ).key("anthropic") is None
    assert settle(flags(), {**environ, "OPENAI_API_KEY": "another"}).key("openai") is None, "the environment goes first"


def test_a_profile_whose_key_is_missing_says_which(environ):
    write(environ, '[models.routed]\nmodel = "openai:x"\nkey = "router"\n')
    with pytest.raises(ConfigError, match=r"config set keys\.router"):
        create_model(settle(flags("--model", "routed"), environ))


def test_a_key_is_in_no_repr_and_not_in_the_environment(environ):
    write(environ, FILE)
    settings = settle(flags(), environ)
    assert "secret" not in repr(settings)
    assert "secret" not in repr(settings.filled(flags()))
    pytest.importorskip("openai")
    create_model(settings)
    assert not [name for name, value in os.environ.items() if "very-secret" in value]


def test_a_server_that_was_found_gets_no_key(environ, monkeypatch):
    pytest.importorskip("openai")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    write(environ, FILE)
    found = local(settle(flags(), environ | {"OPENAI_API_KEY": KEY}), "qwen3:8b", "http://127.0.0.1:11434/v1", "Ollama")
    model = create_model(found)
    assert model._client.api_key == "not-needed"
    assert str(model._client.base_url) == "http://127.0.0.1:11434/v1/"
    assert found.origins["model"] == "Ollama, found on this machine"


def test_a_model_is_made_with_its_price_its_temperature_and_what_it_can_read(environ):
    pytest.importorskip("openai")
    write(environ, '[models.mine]\nmodel = "openai:m"\nbase_url = "http://mine/v1"\ntemperature = 0.5\ncontext_tokens = 9000\n'
                   '[prices."openai:m"]\ninput = 1\noutput = 10.0\n')  # fmt: skip
    model = create_model(settle(flags("--model", "mine"), environ))
    assert model.knows_cost
    assert model._prices == (1.0, 10.0)
    assert model.context_tokens == 9000
    assert model._parameters["temperature"] == 0.5


def test_the_key_of_a_search_provider_is_in_its_tool_and_nowhere_else(environ):
    write(environ, 'tools = ["web_search", "web_fetch", "web_search:tavily"]\n[keys]\nserper = "s-very-secret"\ntavily = "t-very-secret"\n')
    settings = settle(flags(), environ)
    search, fetch, tavily = settings.filled(flags()).tool
    assert (search.name, fetch, tavily.name) == ("web_search", "web_fetch", "web_search")
    assert "secret" not in repr([search, tavily])
    assert settle(flags(), {**environ, "BRAVE_API_KEY": "x"}).filled(flags()).tool[0] == "web_search", "the environment goes first"
    write(environ, 'tools = ["web_search:tavily"]\n')
    assert settle(flags(), environ).filled(flags()).tool == ["web_search:tavily"]


def test_without_flags_the_rest_is_settled_all_the_same(environ):
    write(environ, FILE)
    assert settle(None, environ).model == settle(argparse.Namespace(), environ).model == "openai:gpt-5-mini"


def test_a_relative_folder_of_settings_is_passed_over(tmp_path):
    assert config_path({"XDG_CONFIG_HOME": "here", "HOME": str(tmp_path)}) == tmp_path / ".config/codeact/config.toml"
