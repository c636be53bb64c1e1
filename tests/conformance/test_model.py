"""One set of questions for every model: whatever it is, `rollout` can rely on this. `hf` has a test file of its own."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from codeact.agent import Agent
from codeact.errors import Cancelled, ConfigError
from codeact.events import Text, ignore
from codeact.formats.code import CodeFormat
from codeact.loop import NEVER, Cancel
from codeact.messages import Completion, Usage
from codeact.protocols import NativeTool
from models import ENDS_AT_STOP, KEY, MODELS, PROMPT

STOP = CodeFormat().stop
CODE = "I add.\n<execute>\n6 * 7\n</execute>"
WORDS = "It is 42, naïve ☃."
TOOL = NativeTool("python", "Run Python.", {"type": "object", "properties": {"code": {"type": "string"}}})


@pytest.fixture(autouse=True)
def _skip_what_cannot_be() -> None:
    """Stands in for the interpreters' fixture of this name: no back-end plays a part here."""


@pytest.fixture(autouse=True)
def no_settings_of_the_user(monkeypatch):
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", "ANTHROPIC_AUTH_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(params=MODELS)
def kind(request):
    return request.param


@pytest.fixture
def saying(kind, tmp_path, monkeypatch):
    """Makes the model that says a reply."""
    return lambda reply: MODELS[kind](reply, tmp_path, monkeypatch)


def complete(model, *, stop=STOP, tools=(), observe=ignore, cancel=NEVER) -> Completion:
    return model.complete(PROMPT, stop=stop, tools=tools, observe=observe, cancel=cancel)


@pytest.mark.parametrize("reply", [CODE, WORDS, "", "x" * 100_000, "a\r\nb\n\n  c"], ids=["code", "words", "empty", "huge", "blanks"])
def test_what_is_streamed_is_the_reply(saying, kind, reply):
    if kind == "human" and "\r" in reply:
        pytest.skip("a keyboard types no carriage return")
    events = []
    with saying(reply) as model:
        done = complete(model, observe=events.append)
    assert done.text == reply
    assert "".join(event.text for event in events if isinstance(event, Text) and event.channel == "reply") == reply
    assert done.finish == "stop"


def test_the_reply_ends_with_its_first_stop_string(saying, kind):
    if kind not in ENDS_AT_STOP:
        pytest.skip("it says what it was given, whole")
    if kind == "anthropic":
        pytest.skip("its API ends the reply, and names the stop string: see tests/models/test_anthropic.py")
    with saying(f"{CODE}\nObservation: 42") as model:
        done = complete(model)
    assert done.text == CODE
    assert "Observation: 42".startswith(done.dropped)


def test_where_nothing_follows_the_stop_string_nothing_was_dropped(saying):
    with saying(CODE) as model:
        assert complete(model).dropped == ""


def test_usage_is_never_negative_and_never_made_up(saying, kind):
    with saying(WORDS) as model:
        usage = complete(model).usage
    assert usage.cost == 0.0
    assert usage == Usage(7, 2) if kind in ("openai", "anthropic") else min(usage.prompt_tokens, usage.completion_tokens) >= 0


def test_a_set_switch_is_heeded_before_anything_is_said(saying):
    cancel, events = Cancel(), []
    cancel.set()
    with saying(WORDS) as model, pytest.raises(Cancelled):
        complete(model, observe=events.append, cancel=cancel)
    assert events == []


def test_a_switch_set_while_it_speaks_ends_the_reply(saying, kind):
    if kind in ("recorded", "human"):
        pytest.skip("it says a reply in one piece")
    cancel = Cancel()
    with saying("word " * 1_000) as model, pytest.raises(Cancelled):
        complete(model, observe=lambda event: cancel.set(), cancel=cancel)


def test_what_it_is_asked_stays_as_it_was(saying):
    asked = list(PROMPT)
    with saying(WORDS) as model:
        model.complete(asked, stop=STOP, tools=(), observe=ignore, cancel=NEVER)
    assert asked == list(PROMPT)


def test_two_threads_at_once_get_a_whole_reply_each(saying, kind):
    if kind == "human":
        pytest.skip("one keyboard has one person at it")

    def ask(_):
        events = []
        done = complete(model, observe=events.append)
        return done.text, "".join(event.text for event in events if isinstance(event, Text))

    with saying(CODE) as model, ThreadPoolExecutor(2) as pool:
        assert list(pool.map(ask, range(4))) == [(CODE, CODE)] * 4


def test_a_model_without_tools_of_its_own_says_what_to_do(saying, kind):
    if kind not in ("gguf", "human"):
        pytest.skip("it takes native tools, or says what it was given")
    with saying(WORDS) as model, pytest.raises(ConfigError, match="--format code"):
        complete(model, tools=[TOOL])


def test_no_key_is_in_what_leaves_a_model(saying):
    events = []
    with saying(WORDS) as model:
        done = complete(model, observe=events.append)
        shown = repr((model, getattr(model, "name", ""), done, events))
    assert KEY not in shown


def test_an_agent_works_with_it(saying):
    with saying(WORDS) as model, Agent(model) as agent:
        assert agent.run("hello").answer == WORDS
