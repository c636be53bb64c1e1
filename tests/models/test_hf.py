"""A local Hugging Face model: a tiny one with random weights, through the real library."""

import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from codeact.errors import Cancelled, ConfigError, ContextOverflow, MissingExtra
from codeact.events import Note, Text, ignore
from codeact.loop import NEVER, Cancel
from codeact.messages import Image, Message
from codeact.models.hf import HFModel, create
from codeact.protocols import NativeTool

ASKED = [Message("system", "one two"), Message("user", "hello world")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    pytest.importorskip("torch", reason="torch is not installed")
    pytest.importorskip("transformers", reason="transformers is not installed")
    from tiny_hf import made

    return made(tmp_path_factory.mktemp("tiny"))


def model(folder, **options) -> HFModel:
    return create(str(folder), **{"device": "cpu", "max_new_tokens": 8, **options})


def complete(model, asked=ASKED, *, stop=(), tools=(), observe=ignore, cancel=NEVER):
    return model.complete(asked, stop=stop, tools=tools, observe=observe, cancel=cancel)


def test_what_is_streamed_is_the_reply_and_its_tokens_are_counted(folder):
    events = []
    done = complete(model(folder), observe=events.append)
    assert done.text
    assert "".join(event.text for event in events if isinstance(event, Text)) == done.text
    assert done.usage.prompt_tokens == 8  # two roles, two ends, four words
    assert 1 <= done.usage.completion_tokens <= 8


def test_a_reply_at_its_longest_is_marked(folder):
    assert complete(model(folder, max_new_tokens=1)).finish == "length"


def test_a_reply_that_the_model_ends_is_not_marked_though_it_is_the_longest(tmp_path):
    pytest.importorskip("transformers", reason="transformers is not installed")
    from tiny_hf import made

    done = complete(model(made(tmp_path, ends=True), max_new_tokens=1))
    assert (done.text, done.finish) == ("", "stop")


def test_the_same_seed_gives_the_same_reply(folder):
    said = {complete(model(folder, temperature=1.0, seed=7)).text for _ in range(3)}
    assert len(said) == 1


def test_threads_at_once_get_the_replies_that_they_would_get_in_turn(folder):
    options = {"temperature": 1.0, "seed": 7, "max_new_tokens": 30}
    in_turn, at_once = model(folder, **options), model(folder, **options)
    with ThreadPoolExecutor(4) as pool:
        said = list(pool.map(lambda _: complete(at_once).text, range(8)))
    assert sorted(said) == sorted(complete(in_turn).text for _ in range(8))


def test_a_stop_string_ends_the_reply_and_stays_in_it(folder):
    whole = complete(model(folder)).text
    first = whole.split()[0]
    done = complete(model(folder), stop=[first])
    assert done.text.endswith(first)
    assert done.text.count(first) == 1
    assert done.finish == "stop"


def test_a_template_without_a_system_role_gets_its_text_with_the_users(tmp_path):
    pytest.importorskip("transformers", reason="transformers is not installed")
    from tiny_hf import NO_SYSTEM, made

    done = complete(model(made(tmp_path, template=NO_SYSTEM)))
    assert done.usage.prompt_tokens == 6  # one role, one end, four words


def test_a_conversation_that_is_too_long_has_its_own_type(folder):
    ours = model(folder)
    with pytest.raises(ContextOverflow, match="64"):
        complete(ours, [Message("user", "one " * 100)])
    assert ours.context_tokens == 64


def test_a_set_switch_ends_the_reply_and_the_thread_that_writes_it(folder):
    import threading

    cancel = Cancel()
    with pytest.raises(Cancelled):
        complete(model(folder), observe=lambda event: cancel.set(), cancel=cancel)
    assert not [thread for thread in threading.enumerate() if thread.name == "codeact-hf"]


def test_pictures_are_left_out_with_a_note(folder):
    events = []
    complete(model(folder), [Message("user", "hello", (Image("image/png", b"x"),))], observe=events.append)
    assert any(isinstance(event, Note) and "does not see" in event.text for event in events)


def test_native_tools_are_refused_with_what_to_do(folder):
    with pytest.raises(ConfigError, match="--format code"):
        complete(model(folder), tools=[NativeTool("python", "", {})])


def test_a_folder_without_a_model_is_told(folder, tmp_path):
    with pytest.raises(ConfigError, match="cannot load hf:"):
        complete(model(tmp_path))


def test_a_missing_library_is_told_with_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtra, match=r"pip install 'codeact\[hf\]'"):
        create("m")


def test_a_name_is_needed():
    with pytest.raises(ConfigError, match="after the colon"):
        create("")
