"""Ask a local server how long a conversation its model can read; each kind tells it in another place."""

from typing import Any

__all__ = ["context_of"]

_SECONDS = 2.0
_NAMES = ("max_model_len", "context_length", "loaded_context_length", "max_context_length")
"""Of vLLM, of OpenRouter, and of LM Studio, in the list of models."""


def context_of(client: Any, model: str, where: str) -> int | None:
    """The tokens a model can read, or None where the server does not tell; never raises.

    Args:
        client: An `openai.OpenAI`.
        where: Its base URL.
    """
    asking = client.with_options(max_retries=0, timeout=_SECONDS)
    root = where.removesuffix("/").removesuffix("/v1")
    return _listed(asking, model) or _of_llama_cpp(asking, root) or _of_ollama(asking, model, root)


def _listed(asking: Any, model: str) -> int | None:
    try:
        entry: Any = next(one for one in asking.models.list().data if one.id == model)
        return next((found for name in _NAMES if (found := _tokens(getattr(entry, name, None)))), None)
    except Exception:  # whatever a server does not know is no reason to fail
        return None


def _of_llama_cpp(asking: Any, root: str) -> int | None:
    try:
        return _tokens(asking.get(f"{root}/props", cast_to=object)["default_generation_settings"]["n_ctx"])
    except Exception:
        return None


def _of_ollama(asking: Any, model: str, root: str) -> int | None:
    """Of a model that is loaded, which after a reply it is: what it was loaded with, not what it could have."""
    try:
        loaded = asking.get(f"{root}/api/ps", cast_to=object)["models"]
        ours = next(one for one in loaded if model in (one["name"], one["model"]))
        return _tokens(ours.get("context_length"))
    except Exception:
        return None


def _tokens(found: Any) -> int | None:
    return found if type(found) is int and 0 < found < 1 << 40 else None
