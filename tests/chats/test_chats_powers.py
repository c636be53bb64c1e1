"""What a user may choose for a conversation, and what is behind the walls that its cells run in."""

import json
import os
from dataclasses import fields

import pytest
from talk import say

from codeact.chats.chats import Chats
from codeact.chats.powers import Powers
from codeact.chats.values import Options
from codeact.errors import ChatRefused, ConfigError, NotFound

OF_ALL = {"model": "test", "timeout": 30.0}


def test_a_conversation_has_no_option_for_walls_back_ends_packages_or_folders():
    known = {one.name for one in fields(Options)}
    assert known == {"model", "format", "tools", "instructions", "max_turns", "max_seconds", "max_tokens", "max_cost", "timeout",
                     "network"}
    for name, value in {"sandbox": "none", "backend": "inprocess", "packages": "allow", "read": ["/etc"], "workspace": "/",
                        "preload": ["os"], "python": "/bin/sh", "limits": {}}.items():
        with pytest.raises(ChatRefused, match="unknown options"):
            Options.from_json({**OF_ALL, name: value})


@pytest.mark.parametrize(("allowed", "asked", "may"), [
    ((), "example.org", False),
    (("example.org",), "example.org", True),
    (("example.org",), "EXAMPLE.org.", True),
    (("example.org",), "example.org:443", True),
    (("example.org",), "example.org:8080", False),
    (("example.org:8080",), "example.org:8080", True),
    (("example.org:8080",), "example.org", False),
    (("example.org:80", "example.org:443"), "example.org", True),
    (("example.org",), "www.example.org", False),
    (("example.org",), "*.example.org", False),
    (("*.example.org",), "a.b.example.org", True),
    (("*.example.org",), "*.example.org", True),
    (("*.example.org",), "*.a.example.org", True),
    (("*.example.org",), "example.org", False),
    (("*.example.org",), "badexample.org", False),
    (("*.a.example.org",), "*.example.org", False),
    (None, "anything.example", True),
])
def test_hosts_are_those_that_the_server_allows(allowed, asked, may):
    powers = Powers(hosts=allowed)
    if may:
        powers.judge(Options(network=(asked,)))
    else:
        with pytest.raises(ChatRefused, match="--allow-network"):
            powers.judge(Options(network=(asked,)))


@pytest.mark.parametrize("entry", ["*", "localhost", "127.0.0.1", "169.254.169.254", "10.0.0.1", "http://example.org", "[::1]:80", "", "a/b",
                                   "metadata", "*.org"])
def test_what_is_no_public_host_is_refused_also_where_all_are_allowed(entry):
    for hosts in (None, ("example.org",)):
        with pytest.raises(ChatRefused, match="host") as told:
            Powers(hosts=hosts).judge(Options(network=(entry,)))
        assert "network=" not in str(told.value)


def test_a_host_that_is_none_cannot_be_allowed(make):
    with pytest.raises(ConfigError, match="public"):
        make(hosts_allowed=["127.0.0.1"])


def test_what_is_not_allowed_any_more_is_refused_when_the_conversation_goes_on(make):
    chats = make(hosts_allowed=["example.org"])
    key = chats.create("me", Options(model="test", network=("example.org",))).id
    chats.close()
    again = make(hosts_allowed=[])
    with pytest.raises(ChatRefused, match="no host"):
        again.send(key, "me", "hello")
    with pytest.raises(ChatRefused, match=r"example\.com"):
        again.update(key, "me", options=Options(model="test", network=("example.com",)))
    again.update(key, "me", options=Options(model="test"))
    say(again, key, "hello")


PROBE = '''
import os, socket, json
def tried(what):
    try:
        return what()
    except BaseException as error:
        return f"{type(error).__name__}"
def reached(port):
    with socket.create_connection(("127.0.0.1", port), timeout=2):
        return "REACHED"
found = {
    "database": tried(lambda: open(HOME + "/chats.db", "rb").read(20)),
    "theirs": tried(lambda: open(THEIRS).read()),
    "list": tried(lambda: os.listdir(HOME + "/conversations")),
    "server": tried(lambda: open(f"/proc/{SERVER}/environ").read()),
    "link": tried(lambda: (os.symlink(THEIRS, "link"), open("link").read())[1]),
    "beside": tried(lambda: open("../planted", "w").write("x")),
    "network": tried(lambda: reached(PORT)),
    "key": os.environ.get("OPENAI_API_KEY", "none"),
}
print(json.dumps(found, default=str))
'''


def test_cells_of_a_user_reach_nothing_of_the_servers_or_of_other_users(make, tmp_path, monkeypatch):
    import socket

    monkeypatch.setenv("OPENAI_API_KEY", "SECRET")
    chats = make(sandbox="auto")
    theirs = chats.create("they").id
    chats.upload(theirs, "they", "diary.txt", b"SECRET")
    home = tmp_path / "home"
    key = chats.create("me").id
    with socket.create_server(("127.0.0.1", 0)) as server:
        names = {"HOME": str(home), "THEIRS": str(home / "conversations" / theirs / "workspace" / "diary.txt"), "SERVER": os.getpid(),
                 "PORT": server.getsockname()[1]}
        chats.run_cell(key, "me", "\n".join(f"{name} = {value!r}" for name, value in names.items()) + PROBE)
        assert chats.wait(key, "me", 60)
    level = chats._lives[key].agent.interpreter.level
    if not level:
        pytest.skip("no walls can be raised here")
    told = json.loads(next(entry for entry in chats.entries(key, "me") if entry.kind == "cell_done").data["text"])
    assert "SECRET" not in str(told)
    assert "REACHED" not in told["network"] or level < 3
    assert told.pop("list") in ([key], "PermissionError")
    for name in ("database", "theirs", "server", "link"):
        assert told[name] in ("PermissionError", "FileNotFoundError", "ProcessLookupError", "OSError"), (name, told[name])
    assert list(home.rglob("planted")) == []   # at most it was written into a file tree of the session's own
    with pytest.raises(NotFound):
        chats.read_file(key, "me", "link")
    assert "link" not in [one.name for one in chats.files(key, "me")]


@pytest.mark.parametrize(("name", "value", "right"), [
    ("max_turns", 10**30, "a whole number from 1 to 10,000$"), ("max_turns", 0, "a whole number from 1"),
    ("max_turns", None, "a whole number"), ("max_turns", True, "a whole number"), ("max_tokens", 1.5, "a whole number .*, or nothing"),
    ("max_cost", -1, "a number from 0.0001 to 1,000,000, or nothing"), ("timeout", float("nan"), "a number from 0.1"),
    ("timeout", 1e300, ".* to 100,000$"), ("tools", "web_fetch", "a list of names"), ("model", 7, "a text"),
])  # fmt: skip
def test_a_value_that_an_option_does_not_take_is_told_with_those_it_does(name, value, right):
    with pytest.raises(ChatRefused, match=f"the option {name} cannot be .*; it is {right}"):
        Options.from_json({**OF_ALL, name: value})


def test_a_model_that_cannot_be_had_is_told_where_it_is_chosen_and_not_with_the_first_message(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "no-settings"))
    script = tmp_path / "script.jsonl"
    script.write_text('"Hello."\n')
    chats = Chats(home=tmp_path / "home", defaults=Options(model=f"scripted:{script}"), sandbox="none")
    try:
        for model, said in (("nope", "^this conversation names the model 'nope', and no profile is called so"),
                            ("nope:x", "unknown model 'nope'; available: ")):
            with pytest.raises(ConfigError, match=said):
                chats.create("me", Options(model=model))
            key = chats.create("me").id
            with pytest.raises(ConfigError, match=said):
                chats.update(key, "me", options=Options(model=model))
            assert chats.summary(key, "me").options == chats.defaults
    finally:
        chats.close()
