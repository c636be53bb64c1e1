"""The OpenAI-compatible model, over real HTTP: what is streamed, what goes wrong, and what a person is told then."""

import socket
import threading

import pytest
from fake_openai import FakeServer, chunk, failed, fixed, streamed, used

from codeact import plugins
from codeact.errors import Cancelled, ConfigError, ContextOverflow, MissingExtra, ModelError
from codeact.events import Text, ignore
from codeact.formats.code import CodeFormat
from codeact.loop import NEVER, Cancel
from codeact.messages import Completion, Message, Usage
from codeact.models.openai import OpenAIModel, create

KEY = "sk-very-secret-1234567890"
ASKED = [Message("system", "be brief"), Message("user", "hello")]
HELLO = streamed(chunk("Hel"), chunk("lo"), chunk(finish="stop"), used(7, 2))


@pytest.fixture(autouse=True)
def no_settings_of_the_user(monkeypatch):
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.delenv(name, raising=False)
    # The pauses between retries are the client's own; here they would only cost time.
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.001)


def model(server: FakeServer, **options) -> OpenAIModel:
    return create("m", base_url=server.url, **{"max_retries": 1, "timeout_seconds": 5.0, **options})


def complete(model: OpenAIModel, *, stop=CodeFormat().stop, observe=ignore, cancel=NEVER) -> Completion:
    return model.complete(ASKED, stop=stop, observe=observe, cancel=cancel)


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
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
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
