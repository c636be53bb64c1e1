"""Traces by the conventions for generative AI, read back from an exporter in memory."""

import json
import sys
import threading

import pytest

pytest.importorskip("opentelemetry.sdk")
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from codeact import Agent, Budget, MissingExtra, ModelError
from codeact.events import ToolCalled
from codeact.integrations import otel
from codeact.messages import Call, Completion, Image, Message, Usage
from codeact.models.scripted import ScriptedModel

SECRET = "the secret word"


class Model:
    """Says these, and what they cost; an exception among them is raised."""

    def __init__(self, *replies):
        self._replies = iter(replies)

    def complete(self, messages, **given):
        reply = next(self._replies)
        if isinstance(reply, BaseException):
            raise reply
        return Completion(reply, usage=Usage(100, 7))


def execute(code):
    return f"{SECRET}\n<execute>\n{code}\n</execute>"


ANSWER = f"<solution>\n{SECRET}\n</solution>"


@pytest.fixture
def traced():
    provider, exporter = TracerProvider(), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield provider, exporter
    provider.shutdown()


def run(traced, *replies, content=None, budget=None, about="openai:gpt-5-mini", **more):
    provider, exporter = traced
    with Agent(Model(*replies), budget=budget) as agent:
        agent.about["model"] = about
        with otel.tracing(provider=provider, content=content, **more) as observe:
            agent.run(SECRET, observe=observe)
    return exporter.get_finished_spans()


def named(spans):
    by_id = {span.context.span_id: span for span in spans}
    return [(span.name, by_id[span.parent.span_id].name if span.parent else None) for span in spans]


def test_a_rollout_is_a_tree_of_spans_with_what_the_conventions_want(traced):
    spans = run(traced, execute("1 + 1"), ANSWER, name="helper")
    assert named(spans) == [
        ("chat gpt-5-mini", "invoke_agent helper"), ("execute_tool python", "invoke_agent helper"),
        ("chat gpt-5-mini", "invoke_agent helper"), ("invoke_agent helper", None)]  # fmt: skip
    chat, cell, last, agent = spans
    assert dict(chat.attributes) == {
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-5-mini",
        "gen_ai.response.finish_reasons": ("stop",), "gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 7}  # fmt: skip
    assert dict(cell.attributes) == {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "python", "gen_ai.tool.type": "function"}
    assert agent.attributes["gen_ai.operation.name"] == "invoke_agent"
    assert agent.attributes["gen_ai.agent.name"] == "helper"
    assert (agent.attributes["gen_ai.usage.input_tokens"], agent.attributes["gen_ai.usage.output_tokens"]) == (200, 14)
    assert agent.attributes["codeact.stop"] == "answer"
    assert (chat.kind, cell.kind, agent.kind) == (SpanKind.CLIENT, SpanKind.INTERNAL, SpanKind.INTERNAL)
    assert agent.start_time <= chat.start_time <= chat.end_time <= cell.start_time <= cell.end_time <= last.start_time
    assert last.end_time <= agent.end_time
    assert all(span.status.status_code is StatusCode.UNSET for span in spans)


def test_nothing_that_was_said_is_in_a_span_unless_asked_for(traced, monkeypatch):
    monkeypatch.delenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", raising=False)
    spans = run(traced, execute(f"print({SECRET!r})"), execute(f"raise ValueError({SECRET!r})"), ANSWER)
    assert len(spans) == 6
    assert not [span.name for span in spans if SECRET in span.to_json()]


@pytest.mark.parametrize("asked", ["argument", "environment"])
def test_what_was_said_is_there_where_it_is_asked_for(traced, monkeypatch, asked):
    if asked == "environment":
        monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "true")
    chat, cell, last, _ = run(traced, execute("print('printed')"), ANSWER, content=True if asked == "argument" else None)
    assert json.loads(chat.attributes["gen_ai.input.messages"]) == [{"role": "user", "parts": [{"type": "text", "content": SECRET}]}]
    assert "Python" in json.loads(chat.attributes["gen_ai.system_instructions"])[0]["content"]
    (reply,) = json.loads(chat.attributes["gen_ai.output.messages"])
    assert (reply["role"], reply["finish_reason"]) == ("assistant", "stop")
    assert json.loads(cell.attributes["gen_ai.tool.call.arguments"]) == {"code": "print('printed')"}
    assert json.loads(cell.attributes["gen_ai.tool.call.result"]) == "printed"
    assert [message["role"] for message in json.loads(last.attributes["gen_ai.input.messages"])] == ["user", "assistant", "user"]


def test_a_cell_that_fails_has_its_kind_of_failure(traced):
    spans = run(traced, execute("1/0"), ANSWER)
    assert spans[1].attributes["error.type"] == "error"
    assert spans[1].status.status_code is StatusCode.ERROR
    assert spans[-1].status.status_code is StatusCode.UNSET, "the agent went on and answered"


def test_a_model_that_fails_ends_its_span_and_the_agents_with_the_type(traced):
    with pytest.raises(ModelError):
        run(traced, execute("1"), ModelError(SECRET))
    spans = traced[1].get_finished_spans()
    assert named(spans)[-2:] == [("chat gpt-5-mini", "invoke_agent"), ("invoke_agent", None)]
    assert [span.attributes.get("error.type") for span in spans] == [None, None, "ModelError", "ModelError"]
    assert all(SECRET not in span.to_json() for span in spans)


def test_what_a_failure_left_open_is_ended_when_the_next_rollout_begins(traced):
    observe = otel.tracing(provider=traced[0])
    with Agent(Model(ModelError("x"), ANSWER)) as agent:
        with pytest.raises(ModelError):
            agent.run("a", observe=observe)
        agent.run("b", observe=observe)
    assert [span.attributes.get("error.type") for span in traced[1].get_finished_spans() if span.name == "invoke_agent"] == ["_OTHER", None]


def test_a_limit_is_told_and_is_no_error(traced):
    *_, agent = run(traced, execute("1"), ANSWER, budget=Budget(max_turns=1))
    assert agent.attributes["codeact.stop"] == "turn_limit"
    assert agent.status.status_code is StatusCode.UNSET


def test_a_tool_that_a_cell_calls_stands_below_the_cell(traced):
    from codeact.actions import CodeAction
    from codeact.events import Code, Ended, Started
    from codeact.trajectory import Observation, Stop, Trajectory, Turn

    observe = otel.tracing(provider=traced[0])
    events = [Started(Trajectory((Message("user", "x"),))), Code("search(1)"), ToolCalled("search", {"q": SECRET}, None, 0.5),
              ToolCalled("book", {}, f"ValueError: {SECRET}", 0.0), Turn(Completion("x"), CodeAction("x"), Observation("x")), Ended(Stop.ANSWER)]  # fmt: skip
    for event in events:
        observe(event)
    spans = traced[1].get_finished_spans()
    assert named(spans)[:2] == [("execute_tool search", "execute_tool python"), ("execute_tool book", "execute_tool python")]
    assert spans[0].end_time - spans[0].start_time == 500_000_000
    assert spans[1].attributes["error.type"] == "ValueError"
    assert all(SECRET not in span.to_json() for span in spans)
    assert spans[2].attributes["gen_ai.provider.name"] == "_OTHER", "no model was named"


def test_threads_share_an_observer_without_mixing_their_spans(traced):
    observe = otel.tracing(provider=traced[0])
    met = threading.Barrier(2, timeout=60)

    class Meeting(Model):
        def complete(self, messages, **given):
            met.wait()
            return super().complete(messages, **given)

    def work():
        with Agent(Meeting(execute("1"), ANSWER)) as agent:
            agent.run("x", observe=observe)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    spans = traced[1].get_finished_spans()
    roots = [span.context.span_id for span in spans if span.parent is None]
    assert len(roots) == 2
    assert sorted(sum(span.parent is not None and span.parent.span_id == root for span in spans) for root in roots) == [3, 3]


def test_it_stands_below_the_span_that_is_current(traced):
    tracer = traced[0].get_tracer("mine")
    with tracer.start_as_current_span("request"):
        run(traced, ANSWER)
    assert ("invoke_agent", "request") in named(traced[1].get_finished_spans())


def test_native_calls_and_pictures_have_their_parts():
    said = otel._message(Message("assistant", "", calls=(Call("c1", "python", "{}"),), reasoning="hm"))
    assert [part["type"] for part in said["parts"]] == ["reasoning", "tool_call"]
    answer = otel._message(Message("user", "4", (Image("image/png", b"12345"),), call_id="c1"))
    assert (answer["role"], answer["parts"][0]) == ("tool", {"type": "tool_call_response", "id": "c1", "response": "4"})
    assert answer["parts"][1]["content"] == "[image/png, 5 bytes]"


def test_without_an_sdk_a_run_goes_as_ever():
    with Agent(ScriptedModel([execute("1"), ANSWER])) as agent:
        assert agent.run("x", observe=otel.tracing()).answer == SECRET


def test_without_the_package_the_error_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(MissingExtra, match=r"codeact\[otel\]"):
        otel.tracing()
