"""A key of the user's goes to the client that needs it, and nowhere else: not to cells, files, events or messages."""

import sys
import zipfile
from pathlib import Path

import pytest

from codeact.cli import main

sys.path.insert(0, str(Path(__file__).parents[1] / "models"))
from fake_openai import FakeServer, chunk, failed, streamed

KEY = "sk-very-secret-0123456789"
LOOK = """<execute>
import os, pathlib
print(dict(os.environ))
for path in (HOME / ".config/codeact/config.toml", pathlib.Path("/proc/1/environ"), pathlib.Path("/proc/self/environ")):
    try:
        print(path.read_bytes())
    except OSError as error:
        print(type(error).__name__)
</execute>"""


@pytest.fixture(params=["file", "environment"])
def home(request, tmp_path, monkeypatch):
    """A home with a key in its settings, or in the environment."""
    folder = tmp_path / "home" / ".config" / "codeact"
    folder.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home" / ".config"))
    monkeypatch.setattr("codeact.models._trying.FIRST_SECONDS", 0.001)
    if request.param == "file":
        (folder / "config.toml").write_text(f'[keys]\nopenai = "{KEY}"\n')
        (folder / "config.toml").chmod(0o600)
    else:
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


def replies(home: Path) -> list:
    code = LOOK.replace("HOME", f"pathlib.Path({str(home)!r})")
    return [streamed(chunk(code), chunk(finish="stop")), streamed(chunk("<solution>done</solution>"), chunk(finish="stop"))]


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_a_key_is_in_no_cell_no_output_and_no_file(home, flags, tmp_path, capfd):
    with FakeServer(*replies(home)) as server:
        assert main(["--model", "openai:m", "--base-url", server.url, "--save", "run.jsonl", *flags, "look"]) == 0
        assert server.keys == [f"Bearer {KEY}"] * 2
    shown = capfd.readouterr()
    assert KEY not in shown.out + shown.err
    trajectory = (tmp_path / "run.jsonl").read_text()
    assert "HOME" in trajectory  # the environment was looked at
    assert KEY not in trajectory
    (state,) = tmp_path.glob("run.jsonl.state-*")
    with zipfile.ZipFile(state) as file:
        assert all(KEY.encode() not in file.read(name) for name in file.namelist())


@pytest.mark.parametrize("status", [400, 401, 429, 500])
def test_a_key_is_in_no_message(home, status, capfd):
    with FakeServer(failed(status, f"the key {KEY} is bad")) as server:
        assert main(["--model", "openai:m", "--base-url", server.url, "look"]) == 3
    shown = capfd.readouterr()
    assert str(status) in shown.err
    assert KEY not in shown.out + shown.err


def test_a_key_is_not_shown_by_the_settings(home, capfd):
    assert main(["config"]) == 0
    assert KEY not in capfd.readouterr().out
