"""A model in a GGUF file, over a stand-in for llama-cpp-python."""

import sys
import threading

import pytest
from fake_llama import library

from codeact.errors import Cancelled, ConfigError, ContextOverflow, MissingExtra, ModelError
from codeact.events import Note, Text, ignore
from codeact.formats.code import CodeFormat
from codeact.loop import NEVER, Cancel
from codeact.messages import Completion, Image, Message, Usage
from codeact.models.gguf import create
from codeact.protocols import NativeTool

ASKED = [Message("system", "be brief"), Message("user", "hello")]


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "tiny.gguf"
    path.write_bytes(b"GGUF")
    return path


@pytest.fixture
def using(monkeypatch, file):
    """A model, with a library that says these pieces."""

    def make(*pieces, options=None, **behaviour):
        module = library(*pieces, **behaviour)
        monkeypatch.setitem(sys.modules, "llama_cpp", module)
        return create(str(file), **(options or {})), module

    return make


def complete(model, asked=ASKED, *, stop=CodeFormat().stop, tools=(), observe=ignore, cancel=NEVER):
    return model.complete(asked, stop=stop, tools=tools, observe=observe, cancel=cancel)


def test_a_reply_is_streamed_and_its_tokens_counted(using):
    events = []
    model, _ = using("Hello ", "world")
    assert complete(model, observe=events.append) == Completion("Hello world", usage=Usage(3, 2))
    assert events == [Text("Hello "), Text("world")]
    assert model.name == "tiny.gguf"


def test_options_are_sent_along(using):
    model, module = using("x", options={"temperature": 0.5, "seed": 3})
    complete(model)
    assert module.requests[0][1] == {"max_tokens": 2048, "temperature": 0.5, "seed": 3}


def test_the_context_is_told_by_the_file_once_it_is_loaded(using):
    model, _ = using("x", n_ctx=64)
    assert model.context_tokens is None
    complete(model)
    assert model.context_tokens == 64


def test_a_stop_string_ends_the_reply_and_stays_in_it(using):
    model, module = using("<execute>\n1\n</exe", "cute>\nmore", " and more")
    assert complete(model).text == "<execute>\n1\n</execute>"
    assert module.closed == 1


def test_a_reply_at_its_longest_is_marked(using):
    model, _ = using("<execute>\n1 +", finish="length")
    done = complete(model)
    assert (done.text, done.truncated) == ("<execute>\n1 +", True)


def test_a_template_without_a_system_role_gets_its_text_with_the_users(using):
    model, module = using("x", refuses_system=True)
    complete(model)
    assert module.requests[-1][0] == [{"role": "user", "content": "be brief\n\nhello"}]


@pytest.mark.parametrize("late", [False, True])
def test_a_conversation_that_is_too_long_has_its_own_type(using, late):
    model, _ = using(error=ValueError("Requested tokens (99) exceed context window of 64"), late=late)
    with pytest.raises(ContextOverflow, match=r"longer than tiny\.gguf can read"):
        complete(model)


def test_another_fault_of_the_library_is_told(using):
    model, _ = using(error=RuntimeError("llama_decode returned 1"), late=True)
    with pytest.raises(ModelError, match="llama_decode returned 1"):
        complete(model)


def test_a_set_switch_ends_the_reply(using):
    cancel = Cancel()
    model, module = using("a", "b", "c")
    with pytest.raises(Cancelled):
        complete(model, observe=lambda event: cancel.set(), cancel=cancel)
    assert module.closed == 1


def test_one_reply_is_written_at_a_time(using):
    model, module = using("a", "b")
    begun, go_on, asked = threading.Event(), threading.Event(), threading.Event()

    def first(event):
        begun.set()
        assert go_on.wait(60)

    class Asked(Cancel):
        """Tells that the second thread looks whether it may go on, for the second time."""

        n = 0

        @property
        def stop(self):
            self.n += 1
            if self.n > 1:
                asked.set()
            return super().stop

    one = threading.Thread(target=complete, args=(model,), kwargs={"observe": first})
    two = threading.Thread(target=complete, args=(model,), kwargs={"cancel": Asked()})
    one.start()
    assert begun.wait(60)
    two.start()
    assert asked.wait(60)
    n_begun = len(module.requests)
    go_on.set()
    one.join(60)
    two.join(60)
    assert (n_begun, len(module.requests)) == (1, 2)


def test_who_waits_for_the_reply_of_another_can_be_stopped(using):
    model, _ = using("a")
    cancel, ended = Cancel(), []

    def second():
        try:
            complete(model, cancel=cancel)
        except Cancelled:
            ended.append("cancelled")

    def first(event):
        waiting = threading.Thread(target=second)
        waiting.start()
        cancel.set()
        waiting.join(60)
        ended.append("first")

    complete(model, observe=first)
    assert ended == ["cancelled", "first"]


def test_pictures_are_left_out_with_a_note(using):
    events = []
    model, _ = using("x")
    complete(model, [Message("user", "look", (Image("image/png", b"x"),))], observe=events.append)
    assert isinstance(events[0], Note)
    assert "does not see" in events[0].text


def test_native_tools_are_refused_with_what_to_do(using):
    with pytest.raises(ConfigError, match="--format code"):
        complete(using("x")[0], tools=[NativeTool("python", "", {})])


def test_what_is_no_gguf_file_is_told(using, file):
    file.write_bytes(b"zip!")
    with pytest.raises(ConfigError, match="whole GGUF file"):
        complete(using("x")[0])


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(ConfigError, match="there is no file"):
        create(str(tmp_path / "no.gguf"))


def test_a_missing_library_is_told_with_how_to_get_it(monkeypatch, file):
    monkeypatch.setitem(sys.modules, "llama_cpp", None)
    with pytest.raises(MissingExtra, match=r"pip install 'codeact\[gguf\]'"):
        create(str(file))
