"""A model in a GGUF file, run in this process through llama-cpp-python, with the chat template in the file.

    codeact --model gguf:qwen3-0.6b-q8_0.gguf "task"

The file loads with the first request. A template that refuses a system role gets its text with the user's first
message.
"""

import threading
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from codeact.errors import Cancelled, ConfigError, ContextOverflow, MissingExtra, ModelError
from codeact.events import Observer
from codeact.messages import Completion, Message, Usage
from codeact.models._inprocess import alone, chats, listen, refuse_tools, told_of_images
from codeact.models._stopping import restore
from codeact.protocols import NativeTool, Stopper

__all__ = ["GGUFModel", "create"]

_MAX_TOKENS = 2048
_TOO_LONG = ("context window", "exceed context", "context size")


class GGUFModel:
    """One file.

    Args:
        path: The file; of one in several parts, the first.
        context_tokens: How much it shall read; 0 takes what it was trained for.
        n_gpu_layers: How many layers lie on a GPU; -1 is all.
        max_tokens: The longest reply.
        parameters: Sent along with each request: temperature, top_p, seed, ...

    Raises:
        ConfigError: There is no such file.
        MissingExtra: llama-cpp-python is not installed.
    """

    knows_cost = True
    """It runs here, for nothing."""

    def __init__(
        self,
        path: str,
        *,
        context_tokens: int = 0,
        n_gpu_layers: int = 0,
        max_tokens: int = _MAX_TOKENS,
        **parameters: Any,
    ) -> None:
        if not path or not Path(path).is_file():
            raise ConfigError(f"there is no file {path!r}; write its path after the colon, as in gguf:model.gguf")
        try:
            llama_cpp = import_module("llama_cpp")
        except ImportError:
            raise MissingExtra("llama-cpp-python", "gguf", f"the model gguf:{path}") from None
        self._llama_cpp: Any = llama_cpp
        self.name = Path(path).name
        self._path = path
        self._options = {"n_ctx": context_tokens, "n_gpu_layers": n_gpu_layers, "verbose": False}
        self._parameters = {"max_tokens": max_tokens, **parameters}
        self._writing = threading.Lock()
        self._llama: Any = None

    @property
    def context_tokens(self) -> int | None:
        """How many tokens it can read; None before it is loaded, unless it was said."""
        return int(self._llama.n_ctx()) if self._llama is not None else self._options["n_ctx"] or None

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
        refuse_tools(tools, f"gguf:{self.name}")
        # One at a time: a context of llama.cpp holds one conversation, and is not made for two threads.
        with alone(self._writing, cancel):
            return self._write(messages, stop, observe, cancel)

    def _write(
        self, messages: Sequence[Message], stop: Sequence[str], observe: Observer, cancel: Stopper
    ) -> Completion:
        llama = self._load()
        if cancel.stop:
            raise Cancelled
        reply = self._open(llama, told_of_images(messages, observe, f"gguf:{self.name}"))
        finish = ""

        def text_of(chunk: Any) -> str:
            nonlocal finish
            choice = chunk["choices"][0]
            finish = choice.get("finish_reason") or finish
            return choice["delta"].get("content") or ""

        try:
            text, stopped, dropped = listen(reply, text_of, stop, observe, cancel)
        except (ValueError, RuntimeError) as error:
            raise self._translated(error) from None
        finally:
            reply.close()
        n_read, n_written = self._counted(llama, text)
        cut_short = finish == "length" and not stopped
        return Completion(
            text if cut_short else restore(text, stop),
            usage=Usage(n_read, n_written),
            finish="length" if cut_short else "stop",
            dropped=dropped,
        )

    def _load(self) -> Any:
        if self._llama is None:
            try:
                self._llama = self._llama_cpp.Llama(self._path, **self._options)
            except (ValueError, RuntimeError, OSError) as error:
                raise ConfigError(f"cannot load gguf:{self._path}: {error}; is it a whole GGUF file?") from None
        return self._llama

    def _open(self, llama: Any, messages: Sequence[Message]) -> Any:
        """The stream of a reply, begun: a generator that the library made."""
        refusal: Exception | None = None
        for chat in chats(messages):
            try:
                return llama.create_chat_completion(messages=chat, stream=True, **self._parameters)
            except Exception as error:  # a template raises what it likes for roles that it does not take
                if _is_too_long(error):
                    raise self._translated(error) from None
                refusal = error
        raise ModelError(f"gguf:{self.name} takes no such conversation: {str(refusal)[:300]}")

    def _counted(self, llama: Any, text: str) -> tuple[int, int]:
        """Tokens read and written; the library does not tell them of a stream, but it holds both together.

        To a token or two: what it wrote is read into tokens again.
        """
        written = len(llama.tokenize(text.encode(), add_bos=False, special=True))
        return max(0, int(llama.n_tokens) - written), written

    def _translated(self, error: Exception) -> ModelError:
        if _is_too_long(error):
            return ContextOverflow(f"the conversation is longer than {self.name} can read: {error}")
        return ModelError(f"gguf:{self.name} failed: {error}")


def _is_too_long(error: Exception) -> bool:
    return any(sign in str(error).lower() for sign in _TOO_LONG)


def create(path: str = "", **options: Any) -> GGUFModel:
    """The model `gguf:path`; options as `GGUFModel` takes them."""
    return GGUFModel(path, **options)
