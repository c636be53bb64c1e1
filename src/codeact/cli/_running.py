"""Tell the view which tools run now: events say what was called when it is over, and a person wonders before."""

import functools
import threading
from collections.abc import Callable, Iterable
from typing import Any

__all__ = ["tell_what_runs"]


def tell_what_runs(tools: Iterable[Any], tell: Callable[[str], None]) -> None:
    """From now on `tell` is told in words what goes on whenever a call of a tool begins or ends, in its thread."""
    running: list[str] = []
    lock = threading.Lock()

    def change(name: str, by: int) -> None:
        with lock:
            if by > 0:
                running.append(name)
            elif name in running:
                running.remove(name)
            one = f"the tool {running[0]} runs" if running else "the code runs"
            tell(one if len(running) < 2 else f"{len(running)} tools run")

    def watched(name: str, function: Callable[..., Any], is_async: bool) -> Callable[..., Any]:
        if is_async:

            @functools.wraps(function)
            async def waiting(*args: Any, **kwargs: Any) -> Any:
                change(name, 1)
                try:
                    return await function(*args, **kwargs)
                finally:
                    change(name, -1)

            return waiting

        @functools.wraps(function)
        def calling(*args: Any, **kwargs: Any) -> Any:
            change(name, 1)
            try:
                return function(*args, **kwargs)
            finally:
                change(name, -1)

        return calling

    for tool in tools:
        # A tool may have been seen to by an earlier conversation: what it wraps is taken, not the wrapping
        function = getattr(tool.function, "_told_of", tool.function)
        tool.function = watched(tool.name, function, tool.is_async)
        tool.function._told_of = function
