"""Makes a task from its name: the same name gives the same world, question and tools, wherever it is made."""

import functools
import inspect
import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from codeact import plugins
from codeact.errors import ConfigError
from codeact.suites.toolforge.dials import Dials
from codeact.suites.toolforge.draws import Draws
from codeact.suites.toolforge.families._distractors import GENERAL
from codeact.suites.toolforge.families._shared import PAGES
from codeact.suites.toolforge.forged import Ambiguous, Forged

__all__ = ["families", "forge", "world_of"]

_HOME = "suites.toolforge.families"
_MAX_DRAWS = 300
"""Worlds that may be thrown away before one has a single answer; far more than ever needed."""


def families() -> list[str]:
    """The names of all families, sorted."""
    return plugins.available(_HOME)


def forge(id: str, dials: Dials) -> Forged:
    """Make the task of this name.

    Changed dials play no part in what is drawn: a dial that leaves the world alone leaves it the same.

    Raises:
        ConfigError: With these dials no world of its family has a single answer.
    """
    name = world_of(id)
    make = plugins.load(_HOME, id.partition("/")[0]).make
    for number in range(_MAX_DRAWS):
        draws = Draws(f"{name}#{number}")
        try:
            forged: Forged = make(draws, dials)
        except Ambiguous:
            continue
        return _hardened(forged, draws, dials)
    raise ConfigError(f"toolforge cannot make {id}: with {dials} its question has no single answer; give more items")


def world_of(id: str) -> str:
    """What a task's world is drawn from: its id without the dials that were changed."""
    return re.sub(r"\+[^-]*", "", id)


def _hardened(forged: Forged, draws: Draws, dials: Dials) -> Forged:
    """With tools that do not help, and some that fail at first."""
    own = forged.tools()
    names = [tool.__name__ for tool in own]
    useless = draws.picks(forged.distractors, dials.distractors)
    useless += draws.picks([tool for tool in GENERAL if tool.__name__ not in names], dials.distractors - len(useless))
    failing = draws.picks(names, dials.failing)
    order = draws.shuffled(range(len(own) + len(useless)))

    def tools() -> Sequence[Callable[..., Any]]:
        made = [*forged.tools(), *useless]
        for tool in made[: len(own)]:
            if "page_token" in inspect.signature(tool).parameters:
                tool.__doc__ = f"{tool.__doc__}\n\n{PAGES}"
        made = [_failing(tool, dials.fails) if tool.__name__ in failing else tool for tool in made]
        return [made[place] for place in order]

    return replace(forged, tools=tools, distractors=useless)


def _failing(tool: Callable[..., Any], n_fails: int) -> Callable[..., Any]:
    """The tool, which fails the first times it is called."""
    count = itertools.count()  # one step of it is atomic: cells may call from several threads

    @functools.wraps(tool)
    def fails_at_first(*args: Any, **kwargs: Any) -> Any:
        if next(count) < n_fails:
            raise ConnectionError(f"{tool.__name__} is busy; try again")
        return tool(*args, **kwargs)

    return fails_at_first
