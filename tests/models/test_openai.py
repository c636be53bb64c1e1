"""The OpenAI-compatible model, over real HTTP: what is streamed, what goes wrong, and what a person is told then."""

import threading
from dataclasses import replace

import pytest
from fake_openai import FakeServer, chunk, failed, fixed, streamed, used

from codeact import plugins
from codeact.errors import Cancelled, ConfigError, ContextOverflow, MissingExtra, ModelError
from codeact.events import Note, Text, ignore
from codeact.formats.code import CodeFormat
from codeact.loop import NEVER, Cancel
from codeact.messages import MAX_DROPPED_CHARS, Call, Completion, Image, Message, Usage
from codeact.models.openai import OpenAIModel, create
from codeact.protocols import NativeTool
from ports import free_port

KEY = "sk-very-secret-1234567890"
ASKED = [Message("system", "be brief"), Message("user", "hello")]
HELLO = streamed(chunk("Hel"), chunk("lo"), chunk(finish="stop"), used(7, 2))


@pytest.fixture(autouse=True)
def no_settings_of_the_user(monkeypatch):
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.delenv(name, raising=False)
    # Pauses between tries would only cost time here.
    monkeypatch.setattr("codeact.models._trying.FIRST_SECONDS", 0.001)


def model(server: FakeServer, **options) -> OpenAIModel:
    return create("m", base_url=server.url, **{"max_retries": 1, "timeout_seconds": 5.0, **options})


def complete(model: OpenAIModel, asked=ASKED, *, stop=CodeFormat().stop, tools=(), observe=ignore, cancel=NEVER) -> Completion:
    return model.complete(asked, stop=stop, tools=tools, observe=observe, cancel=cancel)


def test_a_reply_is_streamed_and_its_usage_kept():
    events = []
    with FakeServer(HELLO) as server:
        completion = complete(model(server), observe=events.append)
    assert completion == Completion("Hello", usage=Usage(7, 2))
    assert events == [Text("Hel"), Text("lo")]
    assert server.requests[0]["messages"] == [message.to_json() for message in ASKED]
    assert server.requests[0]["stop"] == ["</execute>", "</solution>"]


def test_the_address_and_the_key_come_from_the_environment(monkeypatch):
    with FakeServer(HELLO) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        assert complete(plugins.create("models", "openai:m")).text == "Hello"
    assert server.keys == [f"Bearer {KEY}"]


def test_a_server_of_ones_own_needs_no_key():
    with FakeServer(HELLO) as server:
        assert complete(model(server)).text == "Hello"


def test_openai_itself_needs_a_key():
    with pytest.raises(ConfigError, match=r"OPENAI_API_KEY.*--base-url"):
        create("m")


@pytest.mark.parametrize(("name", "url", "message"), [("", None, "after the colon"), ("m", "localhost:1", "must look")])
def test_a_wrong_setting_is_told_before_anything_is_sent(name, url, message):
    with pytest.raises(ConfigError, match=message):
        create(name, base_url=url)


def test_a_missing_client_is_told_with_how_to_get_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "openai", None)
    with pytest.raises(MissingExtra, match=r"pip install 'codeact\[openai\]'"):
        create("m", base_url="http://localhost:1/v1")


def test_reasoning_is_kept_apart():
    events = []
    with FakeServer(streamed(chunk(reasoning_content="hm"), chunk("2"), chunk(finish="stop"))) as server:
        completion = complete(model(server), observe=events.append)
    assert (completion.reasoning, completion.text) == ("hm", "2")
    assert events == [Text("hm", "reasoning"), Text("2")]


def test_what_a_reply_cost_is_kept_where_the_server_tells():
    with FakeServer(streamed(chunk("2", finish="stop"), used(1, 1, cost=0.5))) as server:
        assert complete(model(server)).usage == Usage(1, 1, 0.5)


def test_a_stop_string_that_the_server_removes_is_put_back():
    events = []
    with FakeServer(streamed(chunk("I look.\n<execute>\n"), chunk("1 + 1\n"), chunk(finish="stop"))) as server:
        completion = complete(model(server), observe=events.append)
    assert completion.text == "I look.\n<execute>\n1 + 1\n</execute>"
    assert "".join(event.text for event in events) == completion.text


def test_a_stop_string_that_the_server_ignores_ends_the_reply():
    events = []
    pieces = ["<execute>\n1", "\n</exe", "cute>\nObserv", "ation: 2"]
    with FakeServer(streamed(*map(chunk, pieces), chunk(finish="stop"))) as server:
        completion = complete(model(server), observe=events.append)
    assert completion.text == "<execute>\n1\n</execute>"
    assert "".join(event.text for event in events) == completion.text
    assert completion.dropped == "Observation: 2"


def test_of_what_is_dropped_after_a_stop_string_only_the_beginning_is_kept():
    pieces = ["<execute>\n1\n</execute>", "\n", *(["word "] * 1_000)]
    with FakeServer(streamed(*map(chunk, pieces), chunk(finish="stop"))) as server:
        assert complete(model(server)).dropped == ("word " * 1_000)[:MAX_DROPPED_CHARS].strip()


@pytest.mark.parametrize("kept", ["", "</execute>", "</execute>\n"])
def test_nothing_was_dropped_where_the_server_stops_by_itself(kept):
    with FakeServer(streamed(chunk(f"<execute>\n1\n{kept}"), chunk(finish="stop"))) as server:
        assert complete(model(server)).dropped == ""


@pytest.mark.parametrize("more", [[], [chunk("Observation: "), chunk("2")]])
def test_a_reply_that_a_stop_string_ends_here_has_its_usage_all_the_same(more):
    whole = chunk("<execute>\n1\n</execute>")
    with FakeServer(streamed(whole, *more, chunk(finish="length"), used(7, 2))) as server:
        completion = complete(model(server, prices=(1_000_000, 1_000_000)))
    said = Completion("<execute>\n1\n</execute>", "", Usage(7, 2, 9.0))
    assert replace(completion, dropped="") == said


def test_what_breaks_after_the_stop_string_does_not_cost_the_reply():
    with FakeServer(streamed(chunk("<execute>\n1\n</execute>"), chunk("Obs"), cut=True)) as server:
        assert complete(model(server)).text == "<execute>\n1\n</execute>"
    assert len(server.requests) == 1


def test_the_end_of_a_reply_that_goes_on_is_not_waited_for_without_end(monkeypatch):
    monkeypatch.setattr("codeact.models._chat_reply.PATIENCE_SECONDS", 0.01)
    returned, in_time = threading.Event(), []
    whole = chunk("<execute>\n1\n</execute>")
    with FakeServer(streamed(whole, chunk("Obs"), each=lambda: in_time.append(returned.wait(60)))) as server:
        assert complete(model(server, timeout_seconds=60.0)).text == "<execute>\n1\n</execute>"
        returned.set()
    assert False not in in_time


def test_a_reply_over_its_length_is_marked_and_nothing_is_put_back():
    with FakeServer(streamed(chunk("<execute>\n1 +"), chunk(finish="length"))) as server:
        completion = complete(model(server))
    assert (completion.text, completion.truncated) == ("<execute>\n1 +", True)


def test_a_parameter_that_the_server_refuses_is_left_out_from_then_on():
    refusal = failed(400, "Unsupported parameter: 'stop' is not supported with this model.", param="stop")
    with FakeServer(refusal, HELLO) as server:
        ours = model(server)
        assert complete(ours).text == "Hello"
        assert complete(ours).text == "Hello"
    assert ["stop" in request for request in server.requests] == [True, False, False]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (failed(401, "Incorrect API key"), r"answered 401: .*Incorrect API key.*\n.*OPENAI_API_KEY"),
        (failed(404, "The model does not exist", code="model_not_found"), r"(?s)404.*is 'm' a model.*it has: llama, qwen.*/v1"),
        (failed(429, "quota exceeded"), r"(?s)429.*quota"),
        (failed(500, "oops"), r"(?s)500.*look at its log"),
        (failed(400, "messages must not be empty"), "400.*must not be empty"),
        (fixed(200, b"<html>hello</html>"), "(?s)(OpenAI-compatible|cut after 0)"),
        (fixed(200, {"error": {"message": "no such user"}}), "(?s)(OpenAI-compatible|cut after 0)"),
        (streamed(chunk("Hel"), '{"error": {"message": "out of memory"}}'), "out of memory"),
        (streamed(chunk("Hel"), '{"choices": [{'), "OpenAI-compatible server"),
        (streamed("[1]"), "OpenAI-compatible server"),
        (streamed(chunk("Hel"), cut=True), "broke off"),
        (streamed(chunk("<execute>\nHel"), done=False), "was cut after 1 pieces"),
        (streamed(), "was cut after 0 pieces"),
    ],
)
def test_a_failure_is_told_with_what_to_do(answer, message):
    with FakeServer(answer, models=["qwen", "llama"]) as server, pytest.raises(ModelError, match=message) as raised:
        complete(model(server))
    assert not isinstance(raised.value, ContextOverflow)


def test_too_many_requests_are_tried_again():
    busy = failed(429, "slow down", headers={"Retry-After-Ms": "1"})
    with FakeServer(busy, HELLO) as server:
        assert complete(model(server)).text == "Hello"
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    "answer",
    [
        failed(400, "This model's maximum context length is 4096 tokens", code="context_length_exceeded"),
        failed(400, "the request exceeds the available context size", type="exceed_context_size_error"),
        streamed('{"error": {"message": "prompt is too long"}}'),
    ],
)
def test_a_conversation_that_is_too_long_has_its_own_type(answer):
    with FakeServer(answer) as server, pytest.raises(ContextOverflow, match="longer than m can read"):
        complete(model(server))


def test_a_server_that_is_not_there_is_told():
    url = f"http://127.0.0.1:{free_port()}/v1"
    with pytest.raises(ModelError, match=r"(?s)cannot talk to http://127.*is the server running"):
        complete(create("m", base_url=url, max_retries=0))


def test_a_silent_server_is_not_waited_for_without_end():
    release = threading.Event()
    with FakeServer(lambda handler: release.wait(30)) as server:
        try:
            with pytest.raises(ModelError, match="did not answer in time"):
                complete(model(server, timeout_seconds=0.1, max_retries=0))
        finally:
            release.set()


def test_a_set_switch_ends_the_stream():
    cancel = Cancel()

    def stop_at_first(event) -> None:
        cancel.set()

    with FakeServer(streamed(*map(chunk, "abc"), chunk(finish="stop"))) as server, pytest.raises(Cancelled):
        complete(model(server), observe=stop_at_first, cancel=cancel)


@pytest.mark.parametrize("status", [400, 401, 500])
def test_the_key_is_in_no_message(status):
    with FakeServer(failed(status, f"bad key {KEY}")) as server, pytest.raises(ModelError) as raised:
        complete(model(server, api_key=KEY))
    assert KEY not in str(raised.value)
    assert "<key>" in str(raised.value)
    assert raised.value.__cause__ is None


def test_a_password_in_the_address_is_in_no_message():
    with FakeServer(failed(400, "no")) as server, pytest.raises(ModelError) as raised:
        complete(create("m", base_url=server.url.replace("127", "user:pass@127"), max_retries=0))
    assert "pass" not in str(raised.value)


# Trying again


@pytest.mark.parametrize("status", [408, 409, 429, 500, 503, 529])
def test_a_fault_that_may_pass_is_tried_again_and_told(status):
    events = []
    with FakeServer(failed(status, "busy"), HELLO) as server:
        assert complete(model(server), observe=events.append).text == "Hello"
    assert next(event for event in events if isinstance(event, Note)).text.startswith(f"{server.url} answered {status}; trying")


def test_a_server_says_how_long_to_wait(monkeypatch):
    pauses = []
    monkeypatch.setattr("codeact.models._trying._pause", lambda seconds, cancel: pauses.append(seconds))
    busy = [failed(429, "busy", headers={"Retry-After": "7"}), failed(503, "busy", headers={"retry-after-ms": "2500"})]
    with FakeServer(*busy, HELLO) as server:
        complete(model(server, max_retries=2))
    assert pauses == [7.0, 2.5]


def test_a_server_that_asks_for_hours_is_not_waited_for():
    with FakeServer(failed(429, "tomorrow", headers={"Retry-After": "86400"})) as server:
        with pytest.raises(ModelError, match="answered 429"):
            complete(model(server))
        assert len(server.requests) == 1


def test_a_stream_that_breaks_before_the_first_word_is_tried_again():
    with FakeServer(streamed(cut=True), HELLO) as server:
        assert complete(model(server)).text == "Hello"
    assert len(server.requests) == 2


def test_a_stream_that_breaks_after_words_were_shown_is_not_asked_for_again():
    with FakeServer(streamed(chunk("Hel"), cut=True), HELLO) as server:
        with pytest.raises(ModelError, match=r"broke off|was cut"):
            complete(model(server))
        assert len(server.requests) == 1


def test_a_quota_that_is_used_up_is_not_tried_again():
    with FakeServer(failed(429, "quota", code="insufficient_quota")) as server:
        with pytest.raises(ModelError, match="quota"):
            complete(model(server))
        assert len(server.requests) == 1


def test_an_interruption_is_answered_while_nothing_has_come_yet():
    asked, go_on, cancel = threading.Event(), threading.Event(), Cancel()

    def silent(handler):
        asked.set()
        go_on.wait(30)

    def interrupt():
        asked.wait(30)
        cancel.set()

    with FakeServer(silent) as server:
        threading.Thread(target=interrupt).start()
        with pytest.raises(Cancelled):
            complete(model(server), cancel=cancel)
        go_on.set()


def test_an_interruption_ends_a_pause():
    cancel = Cancel()
    with FakeServer(failed(429, "busy", headers={"Retry-After": "100"})) as server, pytest.raises(Cancelled):
        complete(model(server), observe=lambda event: cancel.set(), cancel=cancel)


# Pictures, roles, native tools


PICTURE = Image("image/png", b"\x89PNG")
TOOL = NativeTool("python", "Run Python.", {"type": "object", "properties": {"code": {"type": "string"}}})


def test_pictures_are_sent_beside_the_text():
    with FakeServer(HELLO) as server:
        complete(model(server), [Message("user", "look", (PICTURE,))])
    parts = server.requests[0]["messages"][0]["content"]
    assert parts == [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw=="}}]


def test_a_model_that_refuses_pictures_is_sent_the_text_from_then_on():
    events, asked = [], [Message("user", "look", (PICTURE,))]
    with FakeServer(failed(400, "this model does not support image input"), HELLO) as server:
        ours = model(server)
        complete(ours, asked, observe=events.append)
        complete(ours, asked)
    assert [request["messages"][0]["content"] for request in server.requests[1:]] == ["look", "look"]
    assert any(isinstance(event, Note) and "pictures" in event.text for event in events)


@pytest.mark.parametrize("said", ["System role not supported", "Conversation roles must alternate user/assistant/user/assistant/..."])
def test_a_template_without_a_system_role_gets_it_as_the_users_first_words(said):
    with FakeServer(failed(400, said), HELLO) as server:
        ours = model(server)
        complete(ours)
        complete(ours)
    assert [request["messages"] for request in server.requests[1:]] == [[{"role": "user", "content": "be brief\n\nhello"}]] * 2


def test_neighbours_of_one_role_are_joined():
    with FakeServer(HELLO) as server:
        complete(model(server), [Message("user", "a"), Message("user", "b", (PICTURE,)), Message("assistant", "c")])
    assert [message["role"] for message in server.requests[0]["messages"]] == ["user", "assistant"]


def call_chunk(at: int, arguments: str, *, call_id: str | None = None, name: str | None = None):
    return chunk(tool_calls=[{"index": at, "id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}])


def test_a_native_call_is_pieced_together_and_its_code_shown_as_it_is_written():
    events = []
    pieces = [call_chunk(0, "", call_id="c1", name="python"), call_chunk(0, '{"code": "print('), call_chunk(0, '\\"caf\\u00'),
              call_chunk(0, 'e9\\")\\n1'), call_chunk(0, '"}'), chunk(finish="tool_calls")]
    with FakeServer(streamed(*pieces)) as server:
        done = complete(model(server), tools=[TOOL], observe=events.append)
    assert done.calls == (Call("c1", "python", '{"code": "print(\\"caf\\u00e9\\")\\n1"}'),)
    assert "".join(event.text for event in events if event.channel == "call") == 'print("café")\n1'
    assert server.requests[0]["tools"][0]["function"]["name"] == "python"


def test_calls_and_their_answers_are_sent_as_the_api_wants_them():
    asked = [Message("user", "go"), Message("assistant", "", calls=(Call("c1", "python", "{}"),)),
             Message("user", "Out[1]: 1", (PICTURE,), call_id="c1")]
    with FakeServer(HELLO) as server:
        complete(model(server), asked, tools=[TOOL])
    _, called, answered, picture = server.requests[0]["messages"]
    assert called["content"] is None
    assert called["tool_calls"][0]["id"] == "c1"
    assert answered == {"role": "tool", "tool_call_id": "c1", "content": "Out[1]: 1"}
    assert picture["content"][0]["type"] == "image_url"


def test_a_server_without_native_tools_is_a_matter_of_settings():
    with FakeServer(failed(400, "'tools' is not supported by this model", param="tools")) as server, pytest.raises(ConfigError, match="--format code"):
        complete(model(server), tools=[TOOL])


def test_a_longest_reply_goes_by_two_names():
    with FakeServer(failed(400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.", param="max_tokens"), HELLO) as server:
        complete(model(server, max_tokens=512))
    assert server.requests[1]["max_completion_tokens"] == 512
    assert "max_tokens" not in server.requests[1]


# What it costs and how much it reads


def test_prices_make_a_cost_where_the_server_tells_none():
    with FakeServer(HELLO) as server:
        ours = model(server, prices=(2.0, 10.0))
        assert complete(ours).usage == Usage(7, 2, 34e-6)
        assert ours.knows_cost
        assert not model(server).knows_cost
    with pytest.raises(ConfigError, match="two numbers"):
        create("m", base_url="http://127.0.0.1:1", prices=(1.0,))


@pytest.mark.parametrize(
    ("answers", "tokens"),
    [
        ({"/v1/models": {"data": [{"id": "m", "max_model_len": 8192}]}}, 8192),
        ({"/props": {"default_generation_settings": {"n_ctx": 4096}}}, 4096),
        ({"/api/ps": {"models": [{"name": "m", "model": "m", "context_length": 2048}]}}, 2048),
        ({"/v1/models": {"data": [{"id": "m", "max_model_len": "many"}]}, "/props": [], "/api/ps": {"models": None}}, None),
        ({}, None),
    ],
)
def test_a_local_server_is_asked_how_much_its_model_reads(answers, tokens):
    with FakeServer(HELLO, gets=answers) as server:
        ours = model(server)
        assert ours.context_tokens is None  # it is not asked before there is a conversation
        complete(ours)
        assert ours.context_tokens == tokens
        assert model(server, context_tokens=5).context_tokens == 5


def test_a_huge_reply_and_a_slow_one_come_whole():
    with FakeServer(streamed(*[chunk("x" * 100_000)] * 30, chunk(finish="stop"))) as server:
        assert len(complete(model(server)).text) == 3_000_000
    with FakeServer(streamed(*[chunk(letter) for letter in "drip"], chunk(finish="stop"), each=lambda: threading.Event().wait(0.01))) as server:
        assert complete(model(server)).text == "drip"


def test_what_a_server_does_not_count_is_estimated_so_that_limits_hold():
    with FakeServer(streamed(chunk("Hello, you"))) as server:
        ours = model(server, prices=(1_000_000, 1_000_000))
        done = complete(ours, [Message("user", "x" * 400)])
    assert (done.usage.prompt_tokens, done.usage.completion_tokens, done.usage.cost) == (100, 3, 103)
    assert not ours.counts_tokens


def test_a_web_page_is_no_model_and_is_not_asked_again():
    page = fixed(200, b"<html>hello</html>", headers={"Content-Type": "text/html; charset=utf-8"})
    with FakeServer(page) as server, pytest.raises(ModelError, match=r"web page.*--base-url.*/v1"):
        complete(model(server))
    assert len(server.requests) == 1


def test_a_key_that_was_given_is_not_looked_for_in_a_variable():
    with FakeServer(failed(401, "Incorrect API key")) as server, pytest.raises(ModelError, match="the key that it was given") as raised:
        complete(model(server, api_key="sk-given"))
    assert "OPENAI_API_KEY" not in str(raised.value)
