"""Any model behind the Chat Completions API of OpenAI: OpenAI itself, vLLM, llama.cpp, Ollama, LM Studio, ...

    codeact --model openai:gpt-5-mini "task"                                       OPENAI_API_KEY is set
    codeact --model openai:qwen3:8b --base-url http://localhost:11434/v1 "task"    a local server

The official client does the talking. This file translates: streams into events, its errors into ours. It learns from
what a server refuses, and asks again without it: a parameter, pictures, the system's role. Tries after faults that may
pass are in `_trying.py`; text that was shown is never asked for again. The key stays in the client; it is taken out of
every error message and is in no value that leaves this file.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any, cast
from urllib.parse import urlsplit

from codeact.errors import ConfigError, MissingExtra, ModelError
from codeact.events import Note, Observer
from codeact.messages import Completion, Message, Usage
from codeact.models._chat_reply import Chunks, Reply, estimated
from codeact.models._chat_request import described, spelled
from codeact.models._faults import GIVEN_KEY, Faults
from codeact.models._messages import joined, without_images, without_system
from codeact.models._server import context_of
from codeact.models._trying import Passing, pieces, trying
from codeact.protocols import NativeTool, Stopper

__all__ = ["OpenAIModel", "create"]

_HOME = "https://api.openai.com/v1"
_NO_KEY = "no-key-needed"
_CONNECT_SECONDS = 10.0
_NO_SYSTEM = ("system role", "roles must alternate", "'system'", '"system"', "system message")
_NO_IMAGES = ("image", "vision", "multimodal", "mmproj", "content type", "content must be a string")
_REFUSALS = ("unsupported", "not supported", "unrecognized", "unknown", "extra", "not permitted")


class OpenAIModel:
    """One model at one server."""

    def __init__(
        self,
        name: str,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        timeout_seconds: float = 600.0,
        max_retries: int = 4,
        sees: bool = True,
        context_tokens: int | None = None,
        prices: Sequence[float] | None = None,
        **parameters: Any,
    ) -> None:
        """Prepare the client; nothing is sent yet.

        Args:
            name: The model, as the server calls it.
            base_url: Where the server is; else OPENAI_BASE_URL, else OpenAI.
            api_key: Else OPENAI_API_KEY; a server of your own may need none.
            timeout_seconds: Longest silence of the server, not the length of a reply; long, for those that think.
            max_retries: Further tries after faults that may pass: 408, 409, 429, 5xx, refused and broken connections.
            sees: Whether it is sent pictures; where it refuses them it is sent none from then on.
            context_tokens: How much it can read; else what the server tells, if it does.
            prices: US dollars for a million tokens read, and for a million written; where servers do not tell the cost.
            parameters: Sent along with each request: temperature, max_completion_tokens, ...

        Raises:
            ConfigError: No key for OpenAI, or an unusable URL.
            MissingExtra: The client is not installed.
        """
        if not name:
            raise ConfigError("which model? write its name after the colon, as in openai:gpt-5-mini")
        try:
            import openai
        except ImportError:
            raise MissingExtra("openai", "openai", f"the model openai:{name}") from None
        self._errors = openai
        self.name = name
        url = (base_url or os.environ.get("OPENAI_BASE_URL") or _HOME).rstrip("/")
        address = urlsplit(url)
        if address.scheme not in ("http", "https") or not address.hostname:
            raise ConfigError(f"the base URL {url!r} must look like http://localhost:11434/v1")
        self.where = address._replace(netloc=address.netloc.rpartition("@")[2]).geturl()
        self._key = api_key or os.environ.get("OPENAI_API_KEY") or ""
        if not self._key and address.hostname == urlsplit(_HOME).hostname:
            raise ConfigError(
                f"openai:{name} needs a key: set OPENAI_API_KEY, "
                "or name a server of your own with --base-url (as http://localhost:11434/v1)"
            )
        self._client = openai.OpenAI(
            api_key=self._key or _NO_KEY,
            base_url=url,
            max_retries=0,
            timeout=openai.Timeout(timeout_seconds, connect=_CONNECT_SECONDS),
        )
        self._faults = Faults(
            openai,
            model=name,
            where=self.where,
            key=self._key,
            key_name=GIVEN_KEY if api_key else "OPENAI_API_KEY",
            models_there=self._models_there,
        )
        self._parameters = {"stream_options": {"include_usage": True}, **parameters}
        self._refused: set[str] = set()
        self._takes_system, self._sees = True, sees
        self._max_retries = max_retries
        if prices is not None and len(prices) != 2:
            raise ConfigError("prices are two numbers: dollars for a million tokens read, and for a million written")
        self._prices = tuple(prices) if prices is not None else None
        self.knows_cost = prices is not None
        """Whether `Usage.cost` can be trusted; a server that tells it makes it true."""
        self._context_tokens, self._asks_context = context_tokens, context_tokens is None
        self._n_done = 0
        self.counts_tokens = True
        """Whether the server tells what was used; where it does not, `Usage` is an estimate."""

    @property
    def context_tokens(self) -> int | None:
        """How much it can read, in tokens; None where nobody tells. A server is asked once, after its first reply."""
        if self._asks_context and self._n_done:
            self._asks_context = False
            if urlsplit(self.where).hostname != urlsplit(_HOME).hostname:
                self._context_tokens = context_of(self._client, self.name, self.where)
        return self._context_tokens

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
        done = trying(lambda: self._attempt(messages, stop, tools, observe, cancel), self._max_retries, observe, cancel)
        self._n_done += 1
        return done

    def _attempt(
        self,
        messages: Sequence[Message],
        stop: Sequence[str],
        tools: Sequence[NativeTool],
        observe: Observer,
        cancel: Stopper,
    ) -> Completion:
        """One try.

        Raises:
            Passing: It failed before anything was shown, and may not the next time.
        """
        reply = Reply(stop, observe)
        try:
            opened = partial(self._opened, messages, stop, tools, observe)
            for chunk in _wanted(pieces(opened, cancel, lambda: reply.patience), reply):
                if reply.take(chunk):
                    break
        except self._errors.OpenAIError as error:
            raise self._faults.judged(error, shown=reply.shown) from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            said = self._faults.clean(str(error))
            raise ModelError(
                f"{self.where} sent something that is not a Chat Completions stream ({said}); "
                "is this the address of an OpenAI-compatible server?"
            ) from None
        except Exception as error:
            # Some clients let the errors of their HTTP library through when a stream breaks.
            if not type(error).__module__.startswith("http"):
                raise
            told = self._faults.unreachable(error)
            raise (told if reply.shown else Passing("the connection broke", told)) from None
        return self._finished(reply, messages)

    def _opened(
        self, messages: Sequence[Message], stop: Sequence[str], tools: Sequence[NativeTool], observe: Observer
    ) -> Iterable[Any]:
        """Send the request, without what the server has refused before."""
        while True:
            wanted = {**self._parameters, "stop": list(stop) or None, "tools": [*map(described, tools)] or None}
            given = {key: value for key, value in wanted.items() if value is not None and key not in self._refused}
            sent = messages if self._sees else without_images(messages)
            sent = joined(sent) if self._takes_system else without_system(sent)
            try:
                stream = self._client.chat.completions.create(
                    model=self.name,
                    messages=[one for message in sent for one in spelled(message)],  # type: ignore[misc]
                    stream=True,
                    **given,
                )
            except self._errors.BadRequestError as error:
                if not self._learns(error, given, sent, observe):
                    raise
            except self._errors.UnprocessableEntityError as error:
                if not self._learns(error, given, sent, observe):
                    raise
            except (ValueError, TypeError) as error:
                raise ModelError(f"cannot ask {self.where}: {self._faults.clean(str(error))}") from None
            else:
                answered = cast(Any, stream)
                if answered.response.headers.get("content-type", "").startswith("text/html"):
                    answered.close()
                    raise ModelError(f"{self.where} answered with a web page: it is not the address of an "
                                     "OpenAI-compatible API; check --base-url (often it ends in /v1)")
                return Chunks(stream)

    def _learns(self, error: Exception, given: dict[str, Any], sent: Sequence[Message], observe: Observer) -> bool:
        """Whether the server refused something that can be left out; it will be, from now on."""
        said = str(error).lower()
        refused = _refused_parameter(error, given)
        if refused == "tools":
            raise ConfigError(f"{self.name} at {self.where} takes no native tools: use --format code") from None
        if refused is not None:
            if refused == "max_tokens" and "max_completion_tokens" in said:
                self._parameters["max_completion_tokens"] = given["max_tokens"]
            self._refused.add(refused)
            return True
        if self._sees and any(one.images for one in sent) and any(sign in said for sign in _NO_IMAGES):
            self._sees = False
            observe(Note(f"{self.name} does not take pictures: it is sent the text alone"))
            return True
        if self._takes_system and sent[0].role == "system" and any(sign in said for sign in _NO_SYSTEM):
            self._takes_system = False
            return True
        return False

    def _finished(self, reply: "Reply", messages: Sequence[Message]) -> Completion:
        """The reply, if it is whole."""
        if not reply.usage.tokens and reply.shown:
            reply.usage = estimated(messages, reply.text, reply.reasoning)
            self.counts_tokens = False
        if reply.told_cost:
            self.knows_cost = True
        elif self._prices:
            reply.usage = _priced(reply.usage, self._prices)
        if reply.is_cut:
            broken = ModelError(
                f"the connection to {self.where} was cut after {reply.n_chunks} pieces of a reply; "
                "run it again, and if it stays so look at the server's log"
            )
            raise broken if reply.shown else Passing(f"{self.where} sent nothing", broken)
        return reply.completion()

    def _models_there(self) -> str:
        """What the server says it has, for an error message."""
        try:
            names = [model.id for model in self._client.with_options(max_retries=0, timeout=5.0).models.list().data]
        except Exception:  # whatever is wrong there, the first error is the one to tell
            return "it does not list its models"
        shown = ", ".join(sorted(names)[:12]) or "none"
        return f"it has: {shown}{', ...' if len(names) > 12 else ''}"


def _wanted(chunks: Iterable[Any], reply: Reply) -> Iterator[Any]:
    """The chunks; what breaks after a stop string has ended the reply costs the usage, and not the reply."""
    try:
        yield from chunks
    except Exception:
        if not reply.ended_by_us:
            raise


def _priced(usage: Usage, prices: Sequence[float]) -> Usage:
    cost = (usage.prompt_tokens * prices[0] + usage.completion_tokens * prices[1]) / 1_000_000
    return Usage(usage.prompt_tokens, usage.completion_tokens, cost)


def _refused_parameter(error: Exception, given: dict[str, Any]) -> str | None:
    """The optional parameter that a server says it does not take (reasoning models take no `stop`)."""
    if getattr(error, "status_code", None) not in (400, 422):
        return None
    said = str(error).lower()
    if not any(sign in said for sign in _REFUSALS):
        return None
    named = str(getattr(error, "param", None) or "")
    return next((key for key in given if named.startswith(key) or f"'{key}'" in said or f'"{key}"' in said), None)


def create(name: str = "", **options: Any) -> OpenAIModel:
    """The model `openai:name`; options as `OpenAIModel` takes them."""
    return OpenAIModel(name, **options)
