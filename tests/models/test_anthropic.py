"""The Anthropic model, over real HTTP against a server of the tests' own."""

import json

import pytest
from fake_openai import FakeServer, failed, streamed

from codeact import plugins
from codeact.errors import Cancelled, ConfigError, ContextOverflow, ModelError
from codeact.events import Note, Text, ignore
from codeact.formats.code import CodeFormat
from codeact.loop import NEVER, Cancel
from codeact.messages import Call, Completion, Image, Message, Usage
from codeact.models.anthropic import AnthropicModel, create
from codeact.protocols import NativeTool

KEY = "sk-ant-very-secret-1234567890"
ASKED = [Message("system", "be brief"), Message("user", "hello")]
TOOL = NativeTool("python", "Run Python.", {"type": "object", "properties": {"code": {"type": "string"}}})


@pytest.fixture(autouse=True)
def no_settings_of_the_user(monkeypatch):
    for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", "ANTHROPIC_AUTH_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("codeact.models._trying.FIRST_SECONDS", 0.001)


def start(n_read: int = 7, cached: int = 0):
    usage = {"input_tokens": n_read, "output_tokens": 1, "cache_read_input_tokens": cached, "cache_creation_input_tokens": 0}
    return {"type": "message_start", "message": {"id": "m", "type": "message", "role": "assistant", "content": [],
                                                 "model": "m", "stop_reason": None, "stop_sequence": None, "usage": usage}}


def block(at: int = 0, **content):
    return {"type": "content_block_start", "index": at, "content_block": content or {"type": "text", "text": ""}}


def delta(at: int = 0, **what):
    return {"type": "content_block_delta", "index": at, "delta": what}


def words(text: str, at: int = 0):
    return delta(at, type="text_delta", text=text)


def end(reason: str = "end_turn", sequence: str | None = None, n_written: int = 2):
    return {"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": sequence}, "usage": {"output_tokens": n_written}}


def replying(*events, cut: bool = False):
    """Events as the API streams them, each with its name."""
    whole = [*events, *([] if cut else [{"type": "message_stop"}])]
    return streamed(*[json.dumps(event) for event in whole], done=False, cut=cut, named=[event["type"] for event in whole])


HELLO = replying(start(), block(), words("Hel"), words("lo"), end())


def model(server: FakeServer, **options) -> AnthropicModel:
    url = server.url.removesuffix("/v1")
    return create("m", base_url=url, **{"api_key": KEY, "max_retries": 1, "timeout_seconds": 5.0, **options})


def complete(model: AnthropicModel, asked=ASKED, *, stop=CodeFormat().stop, tools=(), observe=ignore, cancel=NEVER) -> Completion:
    return model.complete(asked, stop=stop, tools=tools, observe=observe, cancel=cancel)


def test_a_reply_is_streamed_and_its_usage_kept():
    events = []
    with FakeServer(HELLO) as server:
        done = complete(model(server, prices=(1.0, 10.0)), observe=events.append)
    assert done == Completion("Hello", usage=Usage(7, 2, 27e-6))
    assert events == [Text("Hel"), Text("lo")]
    sent = server.requests[0]
    assert sent["stop_sequences"] == ["</execute>", "</solution>"]
    assert sent["system"][0]["text"] == "be brief"
    assert sent["messages"][-1]["content"][-1]["cache_control"] == {"type": "ephemeral"}


def test_the_key_comes_from_the_environment(monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    assert plugins.create("models", "anthropic:m").name == "m"
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    with pytest.raises(ConfigError, match="set ANTHROPIC_API_KEY"):
        plugins.create("models", "anthropic:m")
    with pytest.raises(ConfigError, match="after the colon"):
        plugins.create("models", "anthropic:")


def test_the_stop_string_that_ended_it_is_put_back():
    reply = replying(start(), block(), words("<execute>\n1\n"), end("stop_sequence", "</execute>"))
    with FakeServer(reply) as server:
        assert complete(model(server)).text == "<execute>\n1\n</execute>"


@pytest.mark.parametrize(("reason", "finish"), [("max_tokens", "length"), ("refusal", "filter"), ("end_turn", "stop")])
def test_why_it_ended_is_kept(reason, finish):
    with FakeServer(replying(start(), block(), words("a"), end(reason))) as server:
        assert complete(model(server)).finish == finish


def test_thinking_is_shown_and_kept_apart_and_cached_tokens_are_read_ones():
    events = []
    reply = replying(start(1, 90), block(type="thinking", thinking="", signature=""), delta(type="thinking_delta", thinking="hm"),
                     block(1), words("a", 1), end())
    with FakeServer(reply) as server:
        done = complete(model(server, thinking={"type": "adaptive"}), observe=events.append)
    assert (done.text, done.reasoning, done.usage.prompt_tokens) == ("a", "hm", 91)
    assert events[0] == Text("hm", "reasoning")


def test_a_native_call_is_pieced_together():
    events = []
    reply = replying(start(), block(type="tool_use", id="c1", name="python", input={}),
                     delta(type="input_json_delta", partial_json='{"code": "1 +'), delta(type="input_json_delta", partial_json=' 1"}'),
                     end("tool_use"))
    with FakeServer(reply) as server:
        done = complete(model(server), tools=[TOOL], observe=events.append)
    assert done.calls == (Call("c1", "python", '{"code": "1 + 1"}'),)
    assert "".join(event.text for event in events) == "1 + 1"
    assert server.requests[0]["tools"][0]["input_schema"]["type"] == "object"


def test_calls_answers_and_pictures_are_sent_as_the_api_wants_them():
    picture = Image("image/png", b"1")
    asked = [Message("user", "go", (picture,)), Message("assistant", "", calls=(Call("c1", "python", '{"code": "1"}'), Call("c2", "python", "junk"))),
             Message("user", "", (picture,), call_id="c1"), Message("user", "two", call_id="c2")]
    with FakeServer(HELLO) as server:
        complete(model(server), asked, tools=[TOOL])
    first, called, answered = server.requests[0]["messages"]
    assert [part["type"] for part in first["content"]] == ["text", "image"]
    assert [part["input"] for part in called["content"]] == [{"code": "1"}, {"code": "junk"}]
    assert [part["tool_use_id"] for part in answered["content"]] == ["c1", "c2"]
    assert [part["type"] for part in answered["content"][0]["content"]] == ["text", "image"]
    assert answered["content"][0]["content"][0]["text"]  # an empty text is refused


def test_thinking_and_native_tools_do_not_go_together():
    with pytest.raises(ConfigError, match="--format code"):
        complete(create("m", api_key=KEY, thinking={"type": "adaptive"}), tools=[TOOL])


@pytest.mark.parametrize("status", [429, 500, 529])
def test_a_fault_that_may_pass_is_tried_again_and_told(status):
    events = []
    with FakeServer(failed(status, "busy", type="overloaded_error"), HELLO) as server:
        assert complete(model(server), observe=events.append).text == "Hello"
    assert isinstance(events[0], Note)


def test_a_stream_that_breaks_is_asked_for_again_only_if_nothing_was_shown():
    with FakeServer(replying(start(), cut=True), HELLO) as server:
        assert complete(model(server)).text == "Hello"
    with FakeServer(replying(start(), block(), words("a"), cut=True), HELLO) as server:
        with pytest.raises(ModelError):
            complete(model(server))
        assert len(server.requests) == 1


@pytest.mark.parametrize("answer", [
    failed(400, "prompt is too long: 300000 tokens > 200000 maximum", type="invalid_request_error"),
    replying(start(), end("model_context_window_exceeded")),
])
def test_a_conversation_that_is_too_long_has_its_own_type(answer):
    with FakeServer(answer) as server, pytest.raises(ContextOverflow):
        complete(model(server))


@pytest.mark.parametrize("status", [400, 401, 404, 500])
def test_the_key_is_in_no_message(status):
    with FakeServer(failed(status, f"the key {KEY} is bad")) as server, pytest.raises(ModelError) as caught:
        complete(model(server, max_retries=0))
    assert KEY not in str(caught.value)
    assert str(status) in str(caught.value)


def test_what_is_no_stream_of_messages_is_an_error():
    with FakeServer(streamed("not json", named=["message_start"])) as server, pytest.raises(ModelError):
        complete(model(server, max_retries=0))


def test_a_set_switch_ends_the_stream():
    cancel = Cancel()
    with FakeServer(HELLO) as server, pytest.raises(Cancelled):
        complete(model(server), observe=lambda event: cancel.set(), cancel=cancel)
