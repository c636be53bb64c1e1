"""What an `Agent` is given, judged before anything is started: each error names the slip, and what was meant."""

import inspect
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from codeact import plugins
from codeact.errors import ConfigError
from codeact.loop import Budget
from codeact.messages import Image

__all__ = ["judge", "pictures", "provided"]


def judge(agent: type, budget: Any, tools: Any, options: Mapping[str, Any]) -> None:
    """Look at what goes to an agent and on to its interpreter.

    Raises:
        ConfigError: Something is none of what it should be.
    """
    if not isinstance(budget, Budget | None):
        raise ConfigError(f"budget={budget!r}: it is a Budget, as Budget(max_turns=10, max_cost=0.50)")
    if isinstance(tools, str) or callable(tools):
        raise ConfigError(f"tools is a list: tools=[{tools!r}]" if isinstance(tools, str) else
                          "tools is a list: tools=[...]")
    if not options:
        return   # and the interpreter need not be looked at
    from codeact.interpreter.interpreter import Interpreter

    theirs = [name for name in inspect.signature(Interpreter).parameters if not name.startswith("_")]
    limits = list(Budget.__dataclass_fields__)
    for name in options:
        if name in theirs:
            continue
        if name in ("observe", "cancel", "images"):
            advice = f"it goes with one task: agent.run(task, {name}=...)"
        elif name in limits:
            advice = f"limits are a budget: budget=Budget({name}=...)"
        else:
            known = [name for name in inspect.signature(agent).parameters if not name.startswith("_")]
            close = get_close_matches(name, [*known, *theirs, *limits], n=2)
            advice = f"did you mean {' or '.join(close)}?" if close else "see help(Agent) and help(Interpreter)"
        raise ConfigError(f"Agent has no option {name!r}; {advice}")


def pictures(given: Sequence[Any]) -> tuple[Image, ...]:
    """Pictures for a task.

    Raises:
        ConfigError: One cannot be had (`messages.Image.of`), or they are no list.
    """
    if isinstance(given, str | bytes | Path | Image):
        raise ConfigError("images is a list: images=[...]")
    return tuple(map(Image.of, given))


def provided(model: str) -> str:
    """The model as it is named.

    Raises:
        ConfigError: It does not say whose it is.
    """
    if ":" not in model and "." not in model and model not in (known := plugins.available("models")):
        raise ConfigError(f"the model {model!r} does not say whose it is: write PROVIDER:NAME, as \"openai:{model}\"; "
                          f"providers: {', '.join(known)}")
    return model
