"""Claude, through the Messages API of Anthropic.

    codeact --model anthropic:claude-sonnet-4-5 "task"          ANTHROPIC_API_KEY is set

The official client does the talking; this file translates. Stop strings are the API's own: it names the one that
ended a reply, which is put back, so that the model later reads its words as it wrote them. The end of the prompt and of
the conversation are marked as cacheable: from turn to turn messages only grow. Reasoning ("thinking") is shown and
kept, and not sent back; with native tools the API would demand it, so those two do not go together here.
"""

import base64
import json
import os
from collections.abc import Iterator, Sequence
from typing import Any

from codeact.errors import ConfigError, ContextOverflow, MissingExtra, ModelError
from codeact.events import Observer, Text
from codeact.messages import Call, Completion, Finish, Image, Message, Usage
from codeact.models._faults import GIVEN_KEY, Faults
from codeact.models._partial import PartialCode
from codeact.models._trying import Passing, pieces, trying
from codeact.protocols import NativeTool, Stopper

__all__ = ["AnthropicModel", "create"]

_CONNECT_SECONDS = 10.0
_MAX_TOKENS = 8192
_EMPTY = "(empty)"
"""The API refuses texts without a word."""
_CACHED = {"type": "ephemeral"}
_FINISHES: dict[str, Finish] = {"max_tokens": "length", "refusal": "filter"}


class AnthropicModel:
    """One of Anthropic's models, or one behind a server that speaks its API.

    Args:
        name: As the API calls it.
        base_url: Another server; else ANTHROPIC_BASE_URL, else Anthropic.
        api_key: Else ANTHROPIC_API_KEY.
        timeout_seconds: Longest silence of the server, not the length of a reply.
        max_retries: Further tries after faults that may pass.
        max_tokens: The longest reply; the API wants to be told.
        context_tokens: How much it can read, where conversations are to be shortened before the API refuses them.
        prices: US dollars for a million tokens read, and for a million written.
        parameters: Sent along with each request: temperature, thinking, ...

    Raises:
        ConfigError: No key, or unusable prices.
        MissingExtra: The client is not installed.
    """

    def __init__(
        self,
        name: str,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        timeout_seconds: float = 600.0,
        max_retries: int = 4,
        max_tokens: int = _MAX_TOKENS,
        context_tokens: int | None = None,
        prices: Sequence[float] | None = None,
        **parameters: Any,
    ) -> None:
        if not name:
            raise ConfigError("which model? write its name after the colon, as in anthropic:claude-sonnet-4-5")
        try:
            import anthropic
        except ImportError:
            raise MissingExtra("anthropic", "anthropic", f"the model anthropic:{name}") from None
        key = api_key or os.environ.get("ANTHROPIC_API_KEY") or ""
        if not key:
            raise ConfigError(f"anthropic:{name} needs a key: set ANTHROPIC_API_KEY")
        if prices is not None and len(prices) != 2:
            raise ConfigError("prices are two numbers: dollars for a million tokens read, and for a million written")
        self.name, self.context_tokens = name, context_tokens
        self.knows_cost = prices is not None
        """Whether `Usage.cost` can be trusted."""
        self._prices = prices
        self._errors = anthropic
        self._client = anthropic.Anthropic(
            api_key=key,
            base_url=base_url,
            max_retries=0,
            timeout=anthropic.Timeout(timeout_seconds, connect=_CONNECT_SECONDS),
        )
        self._max_retries = max_retries
        self._parameters = {"max_tokens": max_tokens, **parameters}
        self._faults = Faults(
            anthropic, model=name, where=str(self._client.base_url), key=key,
            key_name=GIVEN_KEY if api_key else "ANTHROPIC_API_KEY",
        )

    def complete(
        self,
        messages: Sequence[Message],
        *,
        stop: Sequence[str],
        tools: Sequence[NativeTool] = (),
        observe: Observer,
        cancel: Stopper,
    ) -> Completion:
        """Write the next reply; see `protocols.Model`."""
        if tools and self._parameters.get("thinking"):
            raise ConfigError("thinking and native tools do not go together here: use --format code")
        system = "\n\n".join(message.content for message in messages if message.role == "system")
        request: dict[str, Any] = {**self._parameters, "model": self.name, "messages": _spelled(messages)}
        if system:
            request["system"] = [{"type": "text", "text": system, "cache_control": _CACHED}]
        if stop:
            request["stop_sequences"] = list(stop)
        if tools:
            request["tools"] = [
                {"name": tool.name, "description": tool.description, "input_schema": dict(tool.parameters)}
                for tool in tools
            ]
        return trying(lambda: self._attempt(request, observe, cancel), self._max_retries, observe, cancel)

    def _attempt(self, request: dict[str, Any], observe: Observer, cancel: Stopper) -> Completion:
        reply = _Reply(observe)
        try:
            for event in pieces(lambda: self._client.messages.create(stream=True, **request), cancel):
                reply.take(event)
        except self._errors.AnthropicError as error:
            raise self._faults.judged(error, shown=reply.shown) from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            said = self._faults.clean(str(error))
            raise ModelError(f"{self._client.base_url} sent something that is no stream of messages ({said})") from None
        except Exception as error:
            # Some clients let the errors of their HTTP library through when a stream breaks.
            if not type(error).__module__.startswith("http"):
                raise
            told = self._faults.unreachable(error)
            raise (told if reply.shown else Passing("the connection broke", told)) from None
        if not reply.reason:
            broken = ModelError(f"the connection to {self._client.base_url} was cut; run it again")
            raise broken if reply.shown else Passing("the connection was cut", broken)
        if reply.reason == "model_context_window_exceeded":
            raise ContextOverflow(f"the conversation is longer than {self.name} can read")
        return reply.completion(self._prices)


class _Reply:
    """A reply as it comes in."""

    def __init__(self, observe: Observer) -> None:
        self._observe = observe
        self.text = self.reasoning = self.reason = ""
        self._read = self._written = 0
        self._calls: dict[int, list[str]] = {}
        self._code: dict[int, PartialCode] = {}

    @property
    def shown(self) -> bool:
        """Whether anything of it was shown."""
        return bool(self.text or self.reasoning or self._calls)

    def take(self, event: Any) -> None:
        """Take a piece of it."""
        match event.type:
            case "message_start":
                used = event.message.usage
                cached = (used.cache_creation_input_tokens or 0) + (used.cache_read_input_tokens or 0)
                self._read = used.input_tokens + cached
            case "content_block_start" if event.content_block.type == "tool_use":
                self._calls[event.index] = [event.content_block.id, event.content_block.name, ""]
                self._code[event.index] = PartialCode()
            case "content_block_delta":
                self._take_delta(event.index, event.delta)
            case "message_delta":
                self.reason = event.delta.stop_reason or ""
                self._written = event.usage.output_tokens or 0
                if event.delta.stop_sequence:
                    self._add(event.delta.stop_sequence)

    def _take_delta(self, at: int, delta: Any) -> None:
        match delta.type:
            case "text_delta":
                self._add(delta.text)
            case "thinking_delta":
                self.reasoning += delta.thinking
                self._observe(Text(delta.thinking, "reasoning"))
            case "input_json_delta" if at in self._calls:
                self._calls[at][2] += delta.partial_json
                if code := self._code[at].feed(delta.partial_json):
                    self._observe(Text(code, "call"))

    def _add(self, text: str) -> None:
        self.text += text
        self._observe(Text(text))

    def completion(self, prices: Sequence[float] | None) -> Completion:
        """What it is now that it is over."""
        cost = (self._read * prices[0] + self._written * prices[1]) / 1_000_000 if prices else 0.0
        calls = tuple(Call(*parts) for _, parts in sorted(self._calls.items()))
        usage = Usage(self._read, self._written, cost)
        return Completion(self.text, self.reasoning, usage, _FINISHES.get(self.reason, "stop"), calls)


def _spelled(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """The conversation as the API wants it: roles in turn, answers to calls of one reply in one message."""
    spelled: list[dict[str, Any]] = []
    for message in messages:
        if message.role == "system":
            continue
        blocks = list(_blocks(message))
        if spelled and spelled[-1]["role"] == message.role:
            spelled[-1]["content"] += blocks
        else:
            spelled.append({"role": message.role, "content": blocks})
    if spelled:
        spelled[-1]["content"][-1]["cache_control"] = _CACHED
    return spelled


def _blocks(message: Message) -> Iterator[dict[str, Any]]:
    text = {"type": "text", "text": message.content if message.content.strip() else _EMPTY}
    if message.call_id:
        content = [text, *map(_picture, message.images)]
        yield {"type": "tool_result", "tool_use_id": message.call_id, "content": content}
        return
    if message.content.strip() or not message.calls:
        yield text
    yield from map(_picture, message.images)
    for call in message.calls:
        yield {"type": "tool_use", "id": call.id, "name": call.name, "input": _arguments(call.arguments)}


def _picture(image: Image) -> dict[str, Any]:
    data = base64.b64encode(image.data).decode("ascii")
    return {"type": "image", "source": {"type": "base64", "media_type": image.mime, "data": data}}


def _arguments(text: str) -> dict[str, Any]:
    """The API takes an object and nothing else, whatever the model had written."""
    try:
        read = json.loads(text)
    except ValueError:
        read = None
    return read if isinstance(read, dict) else {"code": text}


def create(name: str = "", **options: Any) -> AnthropicModel:
    """The model `anthropic:name`; options as `AnthropicModel` takes them."""
    return AnthropicModel(name, **options)
