"""The file of settings: what is wrong in it is said with its line; what is changed in it leaves the rest as it was."""

import os
import stat

import pytest

from codeact import ConfigError
from codeact.settings import edit
from codeact.settings.file import line_of, load, parse

WRONG = [
    ("modell = 'x'", "line 1", "did you mean 'model'"),
    ("\n\nmax_turns = 'many'", "line 3", "a whole number above 0"),
    ("max_turns = true", "line 1", "a whole number above 0"),
    ("max_turns = 2.5", "line 1", "a whole number above 0"),
    ("timeout = inf", "line 1", "a number above 0"),
    ("timeout = 0", "line 1", "a number above 0"),
    ("temperature = -1", "line 1", "a number from 0"),
    ("model = ''", "line 1", "PROVIDER:NAME"),
    ("model = 5", "line 1", "PROVIDER:NAME"),
    ("base_url = 'localhost:11434'", "line 1", "an address"),
    ("network = ['none', 'a.example']", "line 1", "a list of hosts"),
    ("network = [1]", "line 1", "a list of hosts"),
    ("tools = {a = 1}", "line 1", "a list"),
    ("mode = 'COPY'", "line 1", '"copy" or "live"'),
    ("sandbox = 7", "line 1", "a level"),
    ("models = 1", "line 1", "[models]"),
    ("[models]\nfast = 'openai:x'", "line 2", "[models.fast]"),
    ("[models.fast]\nbase_url = 'http://x'", "line 1", "needs model"),
    ("[models.fast]\nmodel = 'openai:x'\ntemprature = 1", "line 3", "did you mean 'temperature'"),
    ("[models.'my model']\nmodel = 1", "line 2", "PROVIDER:NAME"),
    ("[prices.'openai:x']\ninput = 1", "line 1", "needs output"),
    ("[keys]\nopenai = 5", "line 2", "must be text"),
    ("[keys]\nopenai = \"secret\\nsecret\"", "line 2", "must be text"),
    ("[keys.openai]\nkey = 'secret'", "line 1", "must be text"),
    ("model = openai:gpt", "line 1", "between quotes"),
    ("a = " + "[" * 100_000, "config.toml", "not TOML"),
    ("timeout = " + "9" * 4000, "line 1", "a number above 0"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "where", "said"), WRONG)
def test_what_is_wrong_is_told_with_its_line_and_what_would_be_right(tmp_path, text, where, said):
    with pytest.raises(ConfigError) as raised:
        parse(tmp_path / "config.toml", text)
    message = str(raised.value)
    assert "config.toml" in message
    assert where in message
    assert said in message
    assert "secret" not in message
    assert len(message) < 500


def test_a_file_that_is_not_there_is_empty(tmp_path):
    assert load(tmp_path / "none" / "config.toml").data == {}


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o620, 0o604])
def test_keys_in_a_file_that_others_can_read_or_change_are_refused(tmp_path, mode):
    path = tmp_path / "config.toml"
    path.write_text("[keys]\nopenai = 'secret'\n")
    path.chmod(mode)
    with pytest.raises(ConfigError, match=f"mode {mode:o}.*chmod 600") as raised:
        load(path)
    assert "secret" not in str(raised.value)
    path.write_text("model = 'openai:x'\n")
    assert load(path).data == {"model": "openai:x"}, "without keys anyone may read it"


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"model = 'a'\n\xff", b"\x00", b"x" * ((1 << 20) + 1)])
def test_what_is_no_text_is_told(tmp_path, content):
    (tmp_path / "config.toml").write_bytes(content)
    with pytest.raises(ConfigError, match=r"config\.toml"):
        load(tmp_path / "config.toml")


def test_a_folder_or_a_pipe_in_its_place_is_told_and_not_waited_for(tmp_path):
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name in ("folder", "pipe"):
        with pytest.raises(ConfigError, match=name):
            load(tmp_path / name)


def test_a_line_is_found_under_its_table_and_not_inside_a_text():
    text = 'note = """\nmodel = 1\n"""\n[a]\nmodel = 2\n[b."c.d"]\nmodel = 3\n'
    assert (line_of(text, ("a", "model")), line_of(text, ("b", "c.d", "model"))) == (5, 7)
    assert line_of("x.y = 1\n", ("x", "y")) == 1
    assert line_of("", ("x",)) == 0


# Changing it ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path):
    return tmp_path / "codeact" / "config.toml"


def test_set_makes_the_file_for_its_owner_only(path):
    edit.put(path, "max_turns", "40")
    assert load(path).data == {"max_turns": 40}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(path.parent) == ["config.toml"]


def test_set_leaves_comments_and_order_as_they_are(path):
    path.parent.mkdir()
    path.write_text("# mine\nmodel = 'openai:a'   # for now\n\n[models.fast]   # quick\nmodel = 'openai:b'\n")
    edit.put(path, "model", "openai:c")
    edit.put(path, "models.fast.temperature", "0.5")
    edit.put(path, "max_cost", "0.25")
    text = path.read_text()
    assert "# mine" in text
    assert "# for now" in text
    assert "# quick" in text
    assert load(path).data == {"model": "openai:c", "max_cost": 0.25, "models": {"fast": {"model": "openai:b", "temperature": 0.5}}}


def test_each_kind_of_setting_can_be_set(path):
    for name, text in [("models.my-fast.model", "openai:x"), ("prices.openai:gpt-5.1", "0.25, 2"), ("keys.openai", "secret"),
                       ("network", "a.example,b.example"), ("packages", "allow"), ("tools", "web_fetch"), ("mode", "live")]:  # fmt: skip
        edit.put(path, name, text)
    assert load(path).data == {
        "models": {"my-fast": {"model": "openai:x"}}, "prices": {"openai:gpt-5.1": {"input": 0.25, "output": 2.0}},
        "keys": {"openai": "secret"}, "network": ("a.example", "b.example"), "packages": ("*",), "tools": ("web_fetch",), "mode": "live",
    }  # fmt: skip


@pytest.mark.parametrize(("name", "text"), [
    ("max_turns", "many"), ("modle", "x"), ("models.fast", "x"), ("models.fast.base_url", "http://x/v1"), ("models..model", "x"),
    ("prices.x", "1"), ("prices.x", "1,free"), ("prices.x", "1,-2"), ("keys.", "x"), ("keys.openai", " "), ("", "x"), ("timeout", "nan"),
])  # fmt: skip
def test_what_would_spoil_the_file_is_not_written(path, name, text):
    edit.put(path, "model", "openai:x")
    before = path.read_bytes()
    with pytest.raises(ConfigError):
        edit.put(path, name, text)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == ["config.toml"]


def test_a_link_to_the_file_stays_one(path, tmp_path):
    (tmp_path / "dotfiles.toml").write_text("max_turns = 5\n")
    path.parent.mkdir()
    path.symlink_to(tmp_path / "dotfiles.toml")
    edit.put(path, "max_turns", "6")
    assert path.is_symlink()
    assert (tmp_path / "dotfiles.toml").read_text() == "max_turns = 6\n"
