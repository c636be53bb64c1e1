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
    (["set"], "config set KEY VALUE"), (["frobnicate"], "config get KEY"), (["--model", "openai:x", "word"], "unexpected: word"),
])  # fmt: skip
def test_wrong_usage_says_what_is_right(capsys, words, said):
    assert main(["config", *words]) == 2
    assert said in capsys.readouterr().err


def test_a_broken_file_is_told_by_every_command(capsys):
    config_path().parent.mkdir(parents=True)
    config_path().write_text("model = openai:x\n")
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
