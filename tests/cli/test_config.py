"""`codeact config` as a user runs it."""

import io
import json
import os
import subprocess
import sys

import pytest

from codeact.cli import main
from codeact.settings import config_path
from codeact.settings.file import load

KEY = "sk-very-secret-1234567890abcd"


@pytest.fixture(autouse=True)
def environment(monkeypatch, tmp_path):
    for name in ("CODEACT_MODEL", "OPENAI_API_KEY", "OPENAI_BASE_URL", "ANTHROPIC_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def shown(capsys):
    return {line.split("  ")[0]: line for line in capsys.readouterr().out.splitlines()[2:]}


def test_every_setting_is_shown_with_where_it_is_from(capsys, monkeypatch):
    assert main(["config", "set", "max_turns", "40"]) == 0
    assert main(["config", "set", "model", "openai:a"]) == 0
    monkeypatch.setenv("CODEACT_MODEL", "openai:b")
    capsys.readouterr()
    assert main(["config", "--timeout", "5"]) == 0
    lines = shown(capsys)
    assert lines["model"].split() == ["model", "openai:b", "CODEACT_MODEL"]
    assert lines["max_turns"].split()[1:] == ["40", f"{config_path()},", "line", "1"]
    assert lines["timeout"].split() == ["timeout", "5", "--timeout"]
    assert lines["sandbox"].split() == ["sandbox", "auto", "default"]


def test_a_key_is_asked_for_kept_and_never_shown(capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO(KEY + "\n"))
    assert main(["config", "set", "keys.openai"]) == 0
    assert load(config_path()).data["keys"] == {"openai": KEY}
    monkeypatch.setenv("ANTHROPIC_API_KEY", "short")
    assert main(["config"]) == 0
    assert main(["config", "get", "keys.openai"]) == 0
    out, err = capsys.readouterr()
    assert "very-secret" not in out + err
    assert "keys.openai     set (ends in ...abcd)" in out
    assert "ANTHROPIC_API_KEY" in out
    assert "short" not in out


def test_a_key_on_the_command_line_is_taken_with_a_warning(capsys):
    assert main(["config", "set", "keys.openai", KEY]) == 0
    err = capsys.readouterr().err
    assert "history" in err
    assert KEY not in err


@pytest.mark.parametrize(("words", "said"), [
    (["get", "modell"], "did you mean 'model'"), (["set", "max_turns", "many"], "a whole number"), (["set", "max_turns"], "what value"),
    (["set"], "config set KEY VALUE"), (["set", "prices.", "1"], "codeact config set prices.openai:gpt-5-mini 0.25,2"),
    (["set", "prices.x", "free"], "two numbers, input and output"), (["set", "keys.", "x"], "keys.NAME"), (["set", "keys.openai"], "no key came"),
    (["set", "format", "jsn"], '"json"'), (["set", "sandbox", "paper"], "codeact doctor"), (["set", "network", "http://x"], "a list of hosts"),
    (["frobnicate"], "config get KEY"), (["max_turn"], "did you mean `codeact config get max_turns`?"),
    (["max_turns", "3"], "did you mean `codeact config set max_turns 3`?"), (["set", "key.openai", "x"], "did you mean 'keys.openai'?"),
    (["set", "modell", "x"], "did you mean 'model'?"), (["set", "modles.a.model", "x"], "did you mean 'models.a.model'?"),
    (["--model", "openai:x", "word"], "unexpected: word"),
])  # fmt: skip
def test_wrong_usage_says_what_is_right(capsys, monkeypatch, words, said):
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert main(["config", *words]) == 2
    assert said in capsys.readouterr().err


def written(text, mode=0o600):
    config_path().parent.mkdir(parents=True, exist_ok=True)
    config_path().write_text(text)
    config_path().chmod(mode)


def test_a_line_that_is_wrong_is_told_and_the_rest_holds(capsys):
    written("model = openai:x\nmax_turns = 7\nformat = 'jsn'\nmodell = 'x'\nsandbox = 'paper'\nnetwork = ['https://a.example/']\n")
    assert main(["config"]) == 0
    out, err = capsys.readouterr()
    assert "max_turns    7 " in out
    for line in range(1, 7):
        assert (f"line {line}" in err) == (line != 2), err
    assert main(["config", "get", "max_turns"]) == 0
    assert main(["a task"]) == 2
    err = capsys.readouterr().err
    assert "passed over; the rest of the settings holds" in err
    assert "no model is configured" in err


def test_a_limit_or_an_address_that_is_wrong_is_not_passed_over_by_a_task(capsys):
    for line in ("max_cost = 'much'", "base_url = 'localhost:1'", "base_url = http://localhost"):
        written(f"{line}\nmodel = 'openai:x'\n")
        assert main(["a task"]) == 2
        assert "It cannot be passed over: mend it, or say --" in capsys.readouterr().err
        assert main(["config"]) == 0


def test_keys_that_others_can_read_are_not_used_and_the_rest_holds(capsys):
    written(f"max_turns = 7\n[keys]\nopenai = '{KEY}'\n", 0o644)
    assert main(["config"]) == 0
    out, err = capsys.readouterr()
    assert "chmod 600" in err
    assert "keys.openai" not in out
    assert "max_turns    7 " in out
    assert main(["config", "set", "max_turns", "8"]) == 0   # which closes it
    assert config_path().stat().st_mode & 0o777 == 0o600
    assert load(config_path()).data["keys"] == {"openai": KEY}


def test_a_value_can_be_taken_out_also_one_that_is_wrong(capsys):
    written("# mine\nmodel = 'fast'\nmax_turns = 'many'\nformt = 'x'\n[models.fast]\nmodel = 'openai:x'\ntemperature = 1.0\n"
            "[prices.'openai:x.5']\ninput = 1\noutput = 2\n")  # fmt: skip
    for name in ("max_turns", "formt", "models.fast.temperature", "prices.openai:x.5"):
        assert main(["config", "unset", name]) == 0, name
    assert load(config_path()).data == {"model": "fast", "models": {"fast": {"model": "openai:x"}}}
    assert main(["config", "unset", "models.fast"]) == 0
    assert load(config_path()).data == {"model": "fast"}
    assert "# mine" in config_path().read_text()
    capsys.readouterr()
    assert main(["config", "unset", "max_turns"]) == 2
    assert "max_turns is not set in" in capsys.readouterr().err


def test_a_key_that_nothing_asks_for_is_told(capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO(KEY + "\n"))
    assert main(["config", "set", "keys.opnai"]) == 0
    assert "nothing asks for a key of this name; is it keys.openai?" in capsys.readouterr().err
    assert main(["config"]) == 0
    assert "is it 'openai'?" in capsys.readouterr().out
    assert main(["config", "set", "models.mine.model", "openai:x"]) == 0
    assert main(["config", "set", "models.mine.key", "opnai"]) == 0
    capsys.readouterr()
    assert main(["config", "--model", "mine"]) == 0
    out = capsys.readouterr().out
    assert "nothing asks" not in out
    main(["config", "set", "models.mine.temperature", "0.5"])
    capsys.readouterr()
    assert main(["config", "--model", "mine"]) == 0
    assert ", of the profile mine" in shown(capsys)["temperature"]


def test_a_broken_file_is_told_by_every_command(capsys):
    written("[models\nfast.model = 'openai:x'\n")
    for words in (["config"], ["config", "get", "model"], ["config", "set", "max_turns", "5"], ["a task"]):
        assert main(words) == 2
        out, err = capsys.readouterr()
        assert "config.toml is not TOML" in err
        assert "line 1" in err
        assert out == ""
    assert main(["config", "path"]) == 0
    assert capsys.readouterr().out == f"{config_path()}\n"


def test_a_task_takes_its_model_and_its_limits_from_the_file(capsys, tmp_path):
    (tmp_path / "script.jsonl").write_text("".join(json.dumps(f"<execute>\nprint({n})\n</execute>") + "\n" for n in range(5)))
    main(["config", "set", "models.mine.model", "scripted:script.jsonl"])
    main(["config", "set", "model", "mine"])
    main(["config", "set", "max_turns", "2"])
    assert main(["count"]) == 1
    assert "used all of its 2 turns" in capsys.readouterr().err
    assert main(["count", "--max-turns", "3"]) == 1
    assert "used all of its 3 turns" in capsys.readouterr().err


def test_showing_settings_imports_no_model_and_no_interpreter():
    code = ("import sys; from codeact.cli import main; main(['config']); heavy = ['openai', 'tomlkit', 'rich', 'pydantic', "
            "'asyncio', 'codeact.interpreter.interpreter']; print([name for name in heavy if name in sys.modules])")  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_reader_that_goes_is_no_fault_of_ours():
    reading, writing = os.pipe()
    os.close(reading)
    run = subprocess.run([sys.executable, "-m", "codeact", "config"], stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    assert (run.returncode, run.stderr) == (0, b"")
