"""Faults of a model behind a network, in words that say what to do next; with a judgement of which of them may pass.

For the official clients of OpenAI and Anthropic, whose errors have the same shape. A key is taken out of every message.
"""

from collections.abc import Callable
from typing import Any

from codeact.errors import ContextOverflow, ModelError
from codeact.models._trying import Passing, retry_after

__all__ = ["GIVEN_KEY", "Faults"]

GIVEN_KEY = "the key that it was given (`codeact config` shows where one is from)"
"""In place of a variable's name, where the key is from none."""

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


class Faults:
    """What the errors of one client mean.

    Args:
        errors: The client's module.
        model: As the server calls it.
        where: The server's address.
        key, key_name: The secret, and the variable that it comes from, or `GIVEN_KEY`.
        models_there: What the server says it has, asked when a model is not found.
    """

    def __init__(
        self,
        errors: Any,
        *,
        model: str,
        where: str,
        key: str,
        key_name: str,
        models_there: Callable[[], str] = lambda: "it does not list its models",
    ) -> None:
        self._errors, self._model, self._where = errors, model, where
        self._key, self._key_name, self._models_there = key, key_name, models_there

    def judged(self, error: Any, *, shown: bool) -> Exception:
        """Our error for one of the client's; as `Passing` where another try makes sense.

        Args:
            shown: Something of the reply was shown already, so it cannot be asked for again.
        """
        told = self.translated(error)
        status = getattr(error, "status_code", None)
        used_up = "insufficient_quota" in f"{getattr(error, 'code', '')} {error}"
        if isinstance(told, ContextOverflow) or shown or used_up:
            return told
        if status in (408, 409, 429) or (status is not None and status >= 500):
            return Passing(f"{self._where} answered {status}", told, retry_after(error.response.headers))
        if isinstance(error, self._errors.APIConnectionError):
            return Passing(f"{self._where} did not answer", told)
        return told

    def translated(self, error: Exception) -> ModelError:
        """Our error for one of the client's, saying what to do next."""
        status, said = getattr(error, "status_code", None), self.clean(str(getattr(error, "message", error)))
        names = f"{getattr(error, 'code', '')} {getattr(error, 'type', '')} {said}".lower()
        if status in (400, 413, 422, 500, None) and any(sign in names for sign in _OVERFLOW):
            return ContextOverflow(f"the conversation is longer than {self._model} can read: {said}")
        if isinstance(error, self._errors.APITimeoutError):
            return ModelError(f"{self._where} did not answer in time; is it loading {self._model}, or overloaded?")
        if isinstance(error, self._errors.APIConnectionError):
            return self.unreachable(error.__cause__ or error)
        match status:
            case 401 | 403:
                advice = f"check {self._key_name}" if self._key else f"it wants a key: set {self._key_name}"
            case 404:
                there = self._models_there()
                advice = f"is {self._model!r} a model there ({there}), and does the URL end as it should (often /v1)?"
            case 429:
                advice = "too many requests, or the account's quota is used up; wait, or look at the account"
            case int() if status >= 500:
                advice = "the server failed, also when asked again; look at its log or try later"
            case _:
                advice = "look at the server's log"
        told = f"answered {status}" if status else "sent an error"
        return ModelError(f"{self._where} {told}: {said}\n{advice}")

    def unreachable(self, error: BaseException) -> ModelError:
        """For one that came from below the client."""
        return ModelError(
            f"cannot talk to {self._where}, or it broke off: {self.clean(str(error))}\n"
            "is the server running, and is --base-url right?"
        )

    def clean(self, text: str) -> str:
        """Without the key."""
        return text.replace(self._key, "<key>") if self._key else text
