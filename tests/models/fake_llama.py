"""As much of llama-cpp-python as the model needs: what it is asked is kept, and it says what it was told to say."""

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any


def library(*pieces: str, finish: str = "stop", n_ctx: int = 64, refuses_system: bool = False,
            error: Exception | None = None, late: bool = False) -> ModuleType:  # fmt: skip
    module: Any = ModuleType("llama_cpp")
    module.requests, module.closed = [], 0

    class Llama:
        n_tokens = 0

        def __init__(self, path: str, *, n_ctx: int, n_gpu_layers: int, verbose: bool) -> None:
            if Path(path).read_bytes()[:4] != b"GGUF":
                raise ValueError("Failed to load model from file")

        def n_ctx(self) -> int:
            return n_ctx

        def tokenize(self, text: bytes, *, add_bos: bool, special: bool) -> list[int]:
            return list(range(len(text.split())))

        def create_chat_completion(self, *, messages: Any, stream: bool, **options: Any) -> Iterator[dict[str, Any]]:
            module.requests.append((messages, options))
            if refuses_system and any(message["role"] == "system" for message in messages):
                raise ValueError("System role not supported")  # as the library's raise_exception does
            if error and not late:
                raise error
            return self._stream(messages)

        def _stream(self, messages: Any) -> Iterator[dict[str, Any]]:
            try:
                self.n_tokens = sum(len(message["content"].split()) for message in messages)
                yield {"choices": [{"delta": {"role": "assistant"}, "finish_reason": None}]}
                for piece in pieces:
                    self.n_tokens += len(piece.split())
                    yield {"choices": [{"delta": {"content": piece}, "finish_reason": None}]}
                if error:
                    raise error
                yield {"choices": [{"delta": {}, "finish_reason": finish}]}
            finally:
                module.closed += 1

    module.Llama = Llama
    return module
