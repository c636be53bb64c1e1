"""Any model behind the Chat Completions API of OpenAI: OpenAI itself, vLLM, llama.cpp, Ollama, LM Studio, ...

    codeact --model openai:gpt-5-mini "task"                                       OPENAI_API_KEY is set
    codeact --model openai:qwen3:8b --base-url http://localhost:11434/v1 "task"    a local server

The official client does the talking and the retries (429, 5xx, refused connections; it honours Retry-After). This file
translates: streams into events, its errors into ours, and it drops a parameter that a server says it does not support.
The key stays in the client; it is taken out of every error message and is in no value that leaves this file.
"""

import os
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

from codeact.errors import Cancelled, ConfigError, ContextOverflow, MissingExtra, ModelError
from codeact.events import Observer, Text
from codeact.messages import Completion, Finish, Message, Usage
from codeact.models._stopping import cut, restore
from codeact.protocols import NativeTool, Stopper

__all__ = ["OpenAIModel", "create"]

_HOME = "https://api.openai.com/v1"
_NO_KEY = "no-key-needed"
_CONNECT_SECONDS = 10.0
_OVERFLOW = (
    "context_length_exceeded",
    "exceed_context_size",
    "maximum context length",
    "context window",
    "context length",
    "context size",
    "prompt is too long",
    "too many tokens",
)
_REFUSALS = ("unsupported", "not supported", "unrecognized", "unknown", "extra", "not permitted")
_FINISHES: dict[str, Finish] = {"length": "length", "content_filter": "filter"}


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
        **parameters: Any,
    ) -> None:
        """Prepare the client; nothing is sent yet.

        Args:
            name: The model, as the server calls it.
            base_url: Where the server is; else OPENAI_BASE_URL, else OpenAI.
            api_key: Else OPENAI_API_KEY; a server of your own may need none.
            timeout_seconds: Longest silence of the server, not the length of a reply; long, for those that think.
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
            max_retries=max_retries,
            timeout=openai.Timeout(timeout_seconds, connect=_CONNECT_SECONDS),
        )
        self._parameters = {"stream_options": {"include_usage": True}, **parameters}
        self._refused: set[str] = set()

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
        stream = self._open([{"role": message.role, "content": message.content} for message in messages], stop)
        try:
            return self._listen(stream, stop, observe, cancel)
        except self._errors.OpenAIError as error:
            raise self._translated(error) from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelError(
                f"{self.where} sent something that is not a Chat Completions stream ({self._clean(str(error))}); "
                "is this the address of an OpenAI-compatible server?"
            ) from None
        except Exception as error:
            # Older clients let the errors of their HTTP library through when a stream breaks.
            if not type(error).__module__.startswith("http"):
                raise
            raise self._unreachable(error) from None
        finally:
            stream.close()

    def _open(self, messages: list[dict[str, Any]], stop: Sequence[str]) -> Any:
        """Send the request, without what the server has refused before."""
        while True:
            wanted = {**self._parameters, "stop": list(stop) or None}
            given = {key: value for key, value in wanted.items() if value is not None and key not in self._refused}
            try:
                return self._client.chat.completions.create(
                    model=self.name,
                    messages=messages,  # type: ignore[arg-type]
                    stream=True,
                    **given,
                )
            except self._errors.OpenAIError as error:
                refused = _refused_parameter(error, given)
                if refused is None:
                    raise self._translated(error) from None
                self._refused.add(refused)
            except (ValueError, TypeError) as error:
                raise ModelError(f"cannot ask {self.where}: {self._clean(str(error))}") from None

    def _listen(self, stream: Any, stop: Sequence[str], observe: Observer, cancel: Stopper) -> Completion:
        """Read a stream to its end, or to a stop string the server did not heed."""
        text = reasoning = ""
        usage, finish, n_chunks = Usage(), "", 0
        for chunk in _chunks(stream):
            if cancel.stop:
                raise Cancelled
            n_chunks += 1
            usage = _usage(chunk) or usage
            if not chunk.choices:
                continue
            choice = chunk.choices[0]
            finish = choice.finish_reason or finish
            thought = getattr(choice.delta, "reasoning_content", None) or getattr(choice.delta, "reasoning", None)
            if isinstance(thought, str):
                reasoning += thought
                observe(Text(thought, "reasoning"))
            if not choice.delta.content:
                continue
            last = cut(text, choice.delta.content, stop)
            new = choice.delta.content if last is None else last
            text += new
            observe(Text(new))
            if last is not None:
                return Completion(text, reasoning, usage)
        if finish in _FINISHES:
            return Completion(text, reasoning, usage, _FINISHES[finish])
        closed = restore(text, stop)
        if not finish and (closed != text or not text):
            raise ModelError(
                f"the connection to {self.where} was cut after {n_chunks} pieces of a reply; "
                "run it again, and if it stays so look at the server's log"
            )
        if closed != text:
            observe(Text(closed[len(text) :]))
        return Completion(closed, reasoning, usage)

    def _translated(self, error: Exception) -> ModelError:
        """Our error for one of the client's, saying what to do next."""
        status, said = getattr(error, "status_code", None), self._clean(str(getattr(error, "message", error)))
        names = f"{getattr(error, 'code', '')} {getattr(error, 'type', '')} {said}".lower()
        if status in (400, 413, 422, 500, None) and any(sign in names for sign in _OVERFLOW):
            return ContextOverflow(f"the conversation is longer than {self.name} can read: {said}")
        if isinstance(error, self._errors.APITimeoutError):
            return ModelError(f"{self.where} did not answer in time; is it loading {self.name}, or overloaded?")
        if isinstance(error, self._errors.APIConnectionError):
            return self._unreachable(error.__cause__ or error)
        match status:
            case 401 | 403:
                advice = "check OPENAI_API_KEY" if self._key else "it wants a key: set OPENAI_API_KEY"
            case 404:
                there = self._models_there()
                advice = f"is {self.name!r} a model there ({there}), and does the URL end as it should (often /v1)?"
            case 429:
                advice = "too many requests, or the account's quota is used up; wait, or look at the account"
            case int() if status >= 500:
                advice = "the server failed, also when asked again; look at its log or try later"
            case _:
                advice = "look at the server's log"
        told = f"answered {status}" if status else "sent an error"
        return ModelError(f"{self.where} {told}: {said}\n{advice}")

    def _unreachable(self, error: BaseException) -> ModelError:
        return ModelError(
            f"cannot talk to {self.where}, or it broke off: {self._clean(str(error))}\n"
            "is the server running, and is --base-url right?"
        )

    def _models_there(self) -> str:
        """What the server says it has, for an error message."""
        try:
            names = [model.id for model in self._client.with_options(max_retries=0, timeout=5.0).models.list().data]
        except Exception:  # whatever is wrong there, the first error is the one to tell
            return "it does not list its models"
        shown = ", ".join(sorted(names)[:12]) or "none"
        return f"it has: {shown}{', ...' if len(names) > 12 else ''}"

    def _clean(self, text: str) -> str:
        return text.replace(self._key, "<key>") if self._key else text


def _chunks(stream: Any) -> Iterator[Any]:
    for chunk in stream:
        # A server that does not stream may answer with an error, or nothing of the kind, and status 200.
        if not hasattr(chunk, "choices"):
            raise ValueError(f"expected a chunk of a reply, found {str(chunk)[:200]}")
        yield chunk


def _usage(chunk: Any) -> Usage | None:
    told = getattr(chunk, "usage", None)
    if told is None:
        return None
    # OpenRouter and others add what it cost.
    cost = getattr(told, "cost", None)
    return Usage(told.prompt_tokens or 0, told.completion_tokens or 0, float(cost or 0.0))


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
