"""What helps where a cell failed at a wall, told to people who have a page, and no Python."""

import pytest

from codeact.chats.advice import advice, in_chat
from codeact.chats.values import Options
from codeact.interpreter import hints
from codeact.interpreter.limits import Limits
from codeact.interpreter.network import AllowList
from codeact.interpreter.outcome import Outcome
from codeact.interpreter.result import ErrorInfo
from codeact.interpreter.style import Style
from codeact.kernel.packages import NOT_ALLOWED

PYTHON = ("network=", "Limits(", "Interpreter(", "packages=", "sandbox=", "--allow-packages")


def in_words_of_a_server(words):
    assert not [one for one in PYTHON if one in words], words
    return words


@pytest.mark.parametrize("error", ["gaierror: Name or service not known", "MemoryError", "[Errno 27] File too large",
                                   "[Errno 28] No space left on device"])
@pytest.mark.parametrize("hosts", [None, (), ("example.org",)])
def test_no_hint_speaks_of_arguments(error, hosts):
    outcome = Outcome("error", error=ErrorInfo("OSError", error, error))
    hint = hints.hint(outcome, Limits(), walled_off=True)
    assert hint
    in_words_of_a_server(Style("default", advice=advice(hosts)).advised(hint))


def test_who_can_open_the_network_is_told_by_what_the_server_allows():
    said = [Style("default", advice=advice(hosts)).advised('network=["HOST"] or network="all" opens it')
            for hosts in (None, ("a.example",), ())]
    assert ["conversation's settings" in one for one in said] == [True, True, False]
    assert "a.example" in said[1]
    assert "codeact serve --allow-network HOST" in said[2]


def test_packages_are_asked_for_from_who_runs_the_server():
    assert "whoever runs the server" in in_words_of_a_server(Style("default", advice=advice(None)).advised(NOT_ALLOWED))


@pytest.mark.parametrize("fault", [
    "network=[...] needs walls of level 3 (namespaces): x. `codeact doctor` says how to get them; network='none' works without",
    "sandbox='none' cannot hold the network to a list of hosts: that takes a network namespace, so sandbox='namespaces' or "
    "'auto'; or say network='none' or 'all'", "x; sandbox='none' runs code with no walls at all"])
def test_faults_of_walls_speak_of_settings_and_flags(fault):
    in_words_of_a_server(in_chat(fault))


def test_hosts_that_are_none_are_named_without_the_argument():
    for entry in ("*", "a/b", "it's", 'say "x"'):
        with pytest.raises(ValueError, match="network") as told:
            AllowList([entry])
        in_words_of_a_server(in_chat(str(told.value)))
    with pytest.raises(ValueError, match="at most") as told:
        AllowList([f"h{n}.example.org" for n in range(2000)])
    in_words_of_a_server(in_chat(str(told.value)))


def test_the_model_and_the_page_hear_the_same_of_a_wall(make):
    chats = make(hosts_allowed=[])
    key = chats.create("me", Options(model="test")).id
    chats.run_cell(key, "me", "%pip install einops")
    assert chats.wait(key, "me", 30)
    done = next(one for one in chats.entries(key, "me") if one.kind == "cell_done")
    assert "whoever runs the server" in in_words_of_a_server(done.data["text"])


def test_a_conversation_has_the_memory_that_the_server_gives_it(make):
    chats = make(memory_mb=300)
    key = chats.create("me").id
    chats.run_cell(key, "me", "1")
    assert chats.wait(key, "me", 30)
    assert chats._lives[key].agent.interpreter.limits.memory_mb == 300
