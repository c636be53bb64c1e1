"""A model whose replies are priced here, for back-ends that tell tokens but not dollars. `settings` wraps one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from codeact.events import Observer
from codeact.messages import Completion, Message, Usage
from codeact.protocols import Model, NativeTool, Stopper

__all__ = ["Price", "Priced"]


@dataclass(frozen=True)
class Price:
    """What a model costs, in US dollars for a million tokens."""

    input: float
    """Tokens read."""
    output: float
    """Tokens written."""

    def of(self, usage: Usage) -> float:
        """What this usage costs."""
        return (usage.prompt_tokens * self.input + usage.completion_tokens * self.output) / 1e6


class Priced:
    """Another model, all of it, with the cost of a reply filled in where its back-end tells none."""

    def __init__(self, model: Model, price: Price) -> None:
        self.model, self.price = model, price

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
        done = self.model.complete(messages, stop=stop, tools=tools, observe=observe, cancel=cancel)
        cost = done.usage.cost or self.price.of(done.usage)
        return replace(done, usage=replace(done.usage, cost=cost))

    def __getattr__(self, name: str) -> Any:
        if name in ("model", "price"):   # of one that is being copied
            raise AttributeError(name)
        return getattr(self.model, name)
