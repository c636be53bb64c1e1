"""Traces of rollouts by the OpenTelemetry conventions for generative AI: what any tracing back-end can show.

    from codeact.integrations import otel

    agent.run(task, observe=otel.tracing())
    with otel.tracing() as observe:          # so that a failure of the model's ends its span too
        agent.run(task, observe=observe)

    invoke_agent                             a rollout, under whatever span is current
    ├── chat gpt-5-mini                      a reply of the model's, with its tokens
    ├── execute_tool python                  a cell
    │   └── execute_tool search              a tool that the cell called
    └── chat gpt-5-mini

It watches and nothing more: spans are made of events, and whoever set up an SDK and an exporter gets them. What was
said is not in a span unless `content=True`, or the environment asks as the conventions say; neither are the messages of
errors, only their types. With it, the trace holds what users and cells wrote; keys of models are in no event.

Differs from tracing in the middle of things: spans of an HTTP client stand beside ours and not below, as an observer
does not change what is current.

Source: opentelemetry.io, semantic conventions for generative AI: agent and client spans (status: development).
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any

from codeact import __version__
from codeact.errors import MissingExtra
from codeact.events import Code, Ended, Event, Started, ToolCalled
from codeact.messages import Message
from codeact.trajectory import Stop, Trajectory, Turn

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer, TracerProvider

__all__ = ["Tracing", "tracing"]

_CAPTURE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
_PYTHON = "python"
"""What a cell is called among tools."""


def tracing(*, content: bool | None = None, name: str = "", provider: TracerProvider | None = None) -> Tracing:
    """An observer that makes spans.

    Args:
        content: Put what was said, run and answered into the spans. None: as the variable
            OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT says, and no without it.
        name: What the agent is called in traces.
        provider: Whose tracer is used; else the program's.

    Raises:
        MissingExtra: OpenTelemetry's API is not installed.
    """
    try:
        from opentelemetry import trace
    except ImportError:
        raise MissingExtra("opentelemetry-api", "otel", "tracing") from None
    if content is None:
        content = os.environ.get(_CAPTURE, "").strip().lower() in ("true", "1", "span_only", "span_and_event")
    return Tracing(trace.get_tracer("codeact", __version__, tracer_provider=provider), content=content, name=name)


class Tracing:
    """An observer; several threads may share one, each with rollouts of its own.

    Used in `with`, it ends what a failure left open, and says so in the span.
    """

    def __init__(self, tracer: Tracer, *, content: bool, name: str) -> None:
        self._tracer, self._content, self._name = tracer, content, name
        self._here = threading.local()

    def __call__(self, event: Event) -> None:
        """Take one event."""
        run: _Run | None = getattr(self._here, "run", None)
        if isinstance(event, Started):
            self.close()
            self._here.run = _Run(self._tracer, event.trajectory, self._content, self._name)
        elif run is not None:
            run.see(event)
            if isinstance(event, Ended):
                self._here.run = None

    def close(self, error: BaseException | None = None) -> None:
        """End the rollout of this thread that has not ended by itself."""
        run: _Run | None = getattr(self._here, "run", None)
        self._here.run = None
        if run is not None:
            run.fail(type(error).__qualname__ if error is not None else "_OTHER")

    def __enter__(self) -> Tracing:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close(error)


class _Run:
    """One rollout's spans."""

    def __init__(self, tracer: Tracer, trajectory: Trajectory, content: bool, name: str) -> None:
        from opentelemetry import trace

        self._trace, self._tracer, self._content = trace, tracer, content
        self._trajectory = trajectory
        spec = str(trajectory.about.get("model") or "")
        provider, colon, model = spec.partition(":")
        self._about: dict[str, Any] = {"gen_ai.provider.name": provider if colon else "_OTHER"}
        if spec:
            self._about["gen_ai.request.model"] = model if colon else spec
        self._model = str(self._about.get("gen_ai.request.model", ""))
        named: dict[str, Any] = {"gen_ai.agent.name": name} if name else {}
        self._read = self._written = 0
        self._agent = self._start(f"invoke_agent {name}".strip(), "invoke_agent", None, **self._about, **named)
        self._asked_at = time.time_ns()
        """When the model was asked for the reply that is awaited."""
        self._cell: _Cell | None = None

    def _start(self, span: str, operation: str, parent: Span | None, *, kind: str = "INTERNAL", at: int | None = None,
               **attributes: Any) -> Span:
        context = self._trace.set_span_in_context(parent) if parent is not None else None
        return self._tracer.start_span(span, context, kind=self._trace.SpanKind[kind], start_time=at,
                                       attributes={"gen_ai.operation.name": operation, **attributes})

    def see(self, event: Event) -> None:
        """Take an event."""
        match event:
            case Code(code):
                now = time.time_ns()
                self._cell = _Cell(self._tool(_PYTHON, {"code": code}, self._agent, now), now)
            case ToolCalled():
                self._tool_called(event)
            case Turn():
                self._turn(event)
            case Ended(stop):
                self._end(stop)

    def _tool_called(self, event: ToolCalled) -> None:
        end = time.time_ns()
        parent = self._cell.span if self._cell else self._agent
        span = self._tool(event.tool, event.arguments, parent, end - int(max(0.0, event.seconds) * 1e9))
        if event.error is not None:
            kind, _, message = event.error.partition(":")
            self._failed(span, kind.strip() or "_OTHER", message.strip())
        span.end(end)

    def _tool(self, name: str, arguments: Mapping[str, str], parent: Span, at: int) -> Span:
        span = self._start(f"execute_tool {name}", "execute_tool", parent, at=at,
                           **{"gen_ai.tool.name": name, "gen_ai.tool.type": "function"})
        if self._content:
            span.set_attribute("gen_ai.tool.call.arguments", json.dumps(dict(arguments)))
        return span

    def _turn(self, turn: Turn) -> None:
        now = time.time_ns()
        done, usage = turn.completion, turn.completion.usage
        span = self._start(f"chat {self._model}".strip(), "chat", self._agent, kind="CLIENT", at=self._asked_at,
                           **self._about)
        span.set_attribute("gen_ai.response.finish_reasons", [_FINISHES.get(done.finish, done.finish)])
        if usage.tokens:
            span.set_attribute("gen_ai.usage.input_tokens", usage.prompt_tokens)
            span.set_attribute("gen_ai.usage.output_tokens", usage.completion_tokens)
            self._read, self._written = self._read + usage.prompt_tokens, self._written + usage.completion_tokens
        if self._content:
            self._say(span, self._trajectory.messages, turn)
            self._trajectory = self._trajectory.add(turn)
        span.end(self._cell.began if self._cell else now)
        if self._cell is not None:
            cell, self._cell = self._cell.span, None
            if self._content:
                cell.set_attribute("gen_ai.tool.call.result", json.dumps(turn.observation.text))
            if turn.observation.status not in ("ok", "none"):
                self._failed(cell, turn.observation.status, "")
            cell.end(now)
        self._asked_at = now

    def _say(self, span: Span, messages: Sequence[Message], turn: Turn) -> None:
        rules = [_part(message.content) for message in messages if message.role == "system"]
        told = [_message(message) for message in messages if message.role != "system"]
        reply = {**_message(turn.messages[0]), "finish_reason": _FINISHES.get(turn.completion.finish, "stop")}
        span.set_attribute("gen_ai.system_instructions", json.dumps(rules))
        span.set_attribute("gen_ai.input.messages", json.dumps(told))
        span.set_attribute("gen_ai.output.messages", json.dumps([reply]))

    def _end(self, stop: Stop) -> None:
        self._agent.set_attribute("codeact.stop", stop.value)
        if stop is Stop.CONTEXT_LIMIT:
            self._failed(self._agent, stop.value, "")
        self._end_agent()

    def fail(self, kind: str) -> None:
        """It was ended by an exception."""
        if self._cell is not None:
            self._failed(self._cell.span, kind, "")
            self._cell.span.end()
        else:
            span = self._start(f"chat {self._model}".strip(), "chat", self._agent, kind="CLIENT", at=self._asked_at,
                               **self._about)
            self._failed(span, kind, "")
            span.end()
        self._failed(self._agent, kind, "")
        self._end_agent()

    def _end_agent(self) -> None:
        if self._read or self._written:
            self._agent.set_attribute("gen_ai.usage.input_tokens", self._read)
            self._agent.set_attribute("gen_ai.usage.output_tokens", self._written)
        self._agent.end()

    def _failed(self, span: Span, kind: str, message: str) -> None:
        span.set_attribute("error.type", kind)
        said = message if self._content and message else None
        span.set_status(self._trace.Status(self._trace.StatusCode.ERROR, said))


@dataclass(frozen=True)
class _Cell:
    """The cell that is running."""

    span: Span
    began: int


_FINISHES = {"stop": "stop", "length": "length", "filter": "content_filter"}


def _part(text: str) -> dict[str, Any]:
    return {"type": "text", "content": text}


def _message(message: Message) -> dict[str, Any]:
    """A message in the form of the conventions; pictures are named and not spelled."""
    parts = [{"type": "reasoning", "content": message.reasoning}] if message.reasoning else []
    if message.call_id:
        parts.append({"type": "tool_call_response", "id": message.call_id, "response": message.content})
    elif message.content or not message.calls:
        parts.append(_part(message.content))
    parts += [_part(f"[{image.mime}, {len(image.data):,} bytes]") for image in message.images]
    parts += [{"type": "tool_call", "id": call.id, "name": call.name, "arguments": call.arguments}
              for call in message.calls]
    return {"role": "tool" if message.call_id else message.role, "parts": parts}
