"""A causal language model of Hugging Face, run in this process through transformers, with its own chat template.

    codeact --model hf:Qwen/Qwen3-0.6B "task"       a name on the Hub, or a folder

Weights load with the first request. Nothing of the repository is executed: models that bring code of their own are
refused unless `trust_remote_code` says otherwise. A template that knows no system role gets its text with the user's
first message.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from typing import Any

from codeact.errors import ConfigError, MissingExtra, ModelError
from codeact.events import Observer
from codeact.messages import Completion, Message, Usage
from codeact.models._inprocess import alone, chats, check_room, listen, refuse_tools, told_of_images
from codeact.protocols import NativeTool, Stopper

__all__ = ["HFModel", "create"]

_MAX_NEW_TOKENS = 2048
_UNBOUNDED = 1 << 30
"""Tokenizers that know no limit tell a huge number."""


class HFModel:
    """One model, with its tokenizer.

    Args:
        name: On the Hub, or a folder.
        device: As torch names it: cpu, cuda, cuda:1; else a GPU if there is one.
        dtype: As torch names it: float32, bfloat16; else as the weights are stored.
        max_new_tokens: The longest reply.
        temperature: 0 takes the likeliest token each time.
        top_p: Sample from the likeliest tokens that have this much together.
        seed: For the same replies each time; each reply of a conversation has the next one.
        context_tokens: Else what the model's configuration tells.
        trust_remote_code: Run code that the model's repository brings.

    Raises:
        ConfigError: No name.
        MissingExtra: transformers or torch is not installed.
    """

    knows_cost = True
    """It runs here, for nothing."""

    def __init__(
        self,
        name: str,
        *,
        device: str | None = None,
        dtype: str | None = None,
        max_new_tokens: int = _MAX_NEW_TOKENS,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int | None = None,
        context_tokens: int | None = None,
        trust_remote_code: bool = False,
    ) -> None:
        if not name:
            raise ConfigError("which model? write its name or its folder after the colon, as in hf:Qwen/Qwen3-0.6B")
        try:
            torch, transformers = import_module("torch"), import_module("transformers")
        except ImportError:
            raise MissingExtra("transformers", "hf", f"the model hf:{name}") from None
        self._torch: Any = torch
        self._transformers: Any = transformers
        self.name = name
        self._device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self._dtype, self._trust = dtype or "auto", trust_remote_code
        self._max_new_tokens = max_new_tokens
        self._temperature, self._top_p, self._seed = temperature, top_p, seed
        self._context_tokens = context_tokens
        self._writing = threading.Lock()
        self._loaded: tuple[Any, Any] | None = None
        self._n_given = 0

    @property
    def context_tokens(self) -> int | None:
        """How many tokens it can read; None before it is loaded, or where it does not tell."""
        if self._context_tokens is not None or self._loaded is None:
            return self._context_tokens
        model, tokenizer = self._loaded
        told = (getattr(model.config, "max_position_embeddings", None), tokenizer.model_max_length)
        return min((n for n in told if isinstance(n, int) and 0 < n < _UNBOUNDED), default=None)

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
        refuse_tools(tools, f"hf:{self.name}")
        # One at a time: the seed is torch's own and the number of a reply this model's, so both belong to one reply.
        with alone(self._writing, cancel):
            return self._write(messages, stop, observe, cancel)

    def _write(
        self, messages: Sequence[Message], stop: Sequence[str], observe: Observer, cancel: Stopper
    ) -> Completion:
        model, tokenizer = self._load()
        ids = self._prompt(tokenizer, told_of_images(messages, observe, f"hf:{self.name}"))
        n_prompt = int(ids.shape[-1])
        check_room(n_prompt, self.context_tokens, self.name)
        room = self._max_new_tokens
        if self.context_tokens is not None:
            room = min(room, self.context_tokens - n_prompt)
        if self._seed is not None:
            self._torch.manual_seed(self._seed + self._n_given)
        self._n_given += 1
        writing = _Writing(self._transformers, model, tokenizer, ids, {"max_new_tokens": room, **self._sampling()})
        try:
            with cancel.calling(writing.halt):
                text, stopped, dropped = listen(writing.pieces(), lambda piece: piece, stop, observe, cancel)
        finally:
            writing.close()
        cut_short = not stopped and writing.n_written >= room and not writing.ended
        usage = Usage(n_prompt, writing.n_written)
        return Completion(text, usage=usage, finish="length" if cut_short else "stop", dropped=dropped)

    def _sampling(self) -> dict[str, Any]:
        if not self._temperature:
            return {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
        return {"do_sample": True, "temperature": self._temperature, "top_p": self._top_p}

    def _load(self) -> tuple[Any, Any]:
        if self._loaded is None:
            kind = self._transformers
            try:
                tokenizer = kind.AutoTokenizer.from_pretrained(self.name, trust_remote_code=self._trust)
                model = kind.AutoModelForCausalLM.from_pretrained(
                    self.name, dtype=self._dtype, trust_remote_code=self._trust
                )
                model.to(self._device).eval()
            except Exception as error:  # of the Hub, of files, of torch: all mean that there is no such model here
                raise ConfigError(
                    f"cannot load hf:{self.name}: {str(error)[:500]}\nis it a name on the Hub, or a folder with a "
                    "model and its tokenizer?"
                ) from None
            if not tokenizer.chat_template:
                raise ConfigError(
                    f"hf:{self.name} has no chat template; take a model made for chat (often -Instruct)"
                )
            self._loaded = model, tokenizer
        return self._loaded

    def _prompt(self, tokenizer: Any, messages: Sequence[Message]) -> Any:
        said = ""
        for chat in chats(messages):
            try:
                text = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
            except Exception as error:  # a template raises what it likes for roles that it does not take
                said = str(error)
                continue
            return tokenizer(text, return_tensors="pt", add_special_tokens=False)["input_ids"].to(self._device)
        raise ModelError(f"the chat template of hf:{self.name} takes no such conversation: {said[:300]}")


class _Writing:
    """One reply being written in another thread, token by token."""

    def __init__(self, transformers: Any, model: Any, tokenizer: Any, ids: Any, options: dict[str, Any]) -> None:
        self.n_written = 0
        self.ended = False
        """Whether the model itself ended it."""
        self._halted = threading.Event()
        self._error: BaseException | None = None
        self._streamer = transformers.TextIteratorStreamer(tokenizer, skip_prompt=True, skip_special_tokens=True)
        halted, n_prompt, ends = self._halted, int(ids.shape[-1]), _ends(model, tokenizer)

        class Halt(transformers.StoppingCriteria):  # type: ignore[misc]
            def __call__(inner, seen: Any, scores: Any, **_: Any) -> Any:
                self.n_written = int(seen.shape[-1]) - n_prompt
                self.ended = int(seen[0, -1]) in ends
                return seen.new_full((seen.shape[0],), halted.is_set()).bool()

        criteria = transformers.StoppingCriteriaList([Halt()])
        if tokenizer.pad_token_id is None and ends:
            options["pad_token_id"] = min(ends)

        def write() -> None:
            try:
                model.generate(
                    input_ids=ids,
                    attention_mask=ids.new_ones(ids.shape),
                    streamer=self._streamer,
                    stopping_criteria=criteria,
                    **options,
                )
            except BaseException as error:
                self._error = error
                self._streamer.end()

        self._thread = threading.Thread(target=write, name="codeact-hf", daemon=True)
        self._thread.start()

    @property
    def halt(self) -> Callable[[], None]:
        """Ends it after the token that is being written."""
        return self._halted.set

    def pieces(self) -> Iterator[str]:
        """The reply as it is written; whole words, as the tokenizer allows."""
        yield from self._streamer
        if self._error is not None:
            raise ModelError(f"the model failed: {str(self._error)[:500]}") from None

    def close(self) -> None:
        """Leave nothing running."""
        self._halted.set()
        self._thread.join()


def _ends(model: Any, tokenizer: Any) -> set[int]:
    told = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    found = {tokenizer.eos_token_id, *(told if isinstance(told, list) else [told])}
    return {one for one in found if one is not None}


def create(name: str = "", **options: Any) -> HFModel:
    """The model `hf:name`; options as `HFModel` takes them."""
    return HFModel(name, **options)
