"""Runs in a cell behind the walls, beside the original's files: finds its tasks, tools and tables by what they do.

Nothing is known of the original but names of attributes: what has `instruction` and `expected_output` is a task, its
`tools` have `name` and `description`. Tables are had by asking the tools. What is found goes to `deliver(name, text)`,
a function of the host's, which believes none of it unseen. `extracting.py` fills in `ROOT`.
"""

import contextlib
import datetime
import gc
import importlib
import io
import itertools
import json
import pathlib
import re
import string
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

ROOT = "@ROOT@"
_MAX_ITEMS = 10_000
_FIRST, _LAST = datetime.date(2023, 1, 1), datetime.date(2024, 12, 31)

deliver: Callable[[str, str], None] = globals()["deliver"]


class Stub(types.ModuleType):
    """Stands for a package that is not installed; tasks do without."""

    __path__: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Stub(name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self


def modules() -> Iterator[types.ModuleType]:
    """All modules of the original that can be imported."""
    root = pathlib.Path(ROOT)
    sys.path.insert(0, ROOT)
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        if len(parts) == 1 and not (root / "__init__.py").exists() and parts[0] in ("main", "setup"):
            continue
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        for _ in range(20):
            try:
                yield importlib.import_module(name)
                break
            except ModuleNotFoundError as error:
                if not error.name or (root / error.name.replace(".", "/")).exists():
                    break
                sys.modules[error.name] = Stub(error.name)
            except (Exception, SystemExit):
                break


def is_task(thing: Any) -> bool:
    """Whether it has what a task has."""
    if isinstance(thing, (type, Stub)):
        return False
    try:
        return isinstance(thing.instruction, str) and hasattr(thing, "expected_output")
    except Exception:
        return False


def tasks(found: list[types.ModuleType]) -> list[Any]:
    """All tasks: what exists already, and what functions and classes of the modules give."""
    known = [thing for thing in gc.get_objects() if is_task(thing)]
    for module in found:
        for name, value in list(vars(module).items()):
            if getattr(value, "__module__", None) == module.__name__ and callable(value):
                if isinstance(value, type) or "task" in name.lower():
                    known += itertools.chain.from_iterable(given(value))
            elif hasattr(value, "__iter__") and not isinstance(value, (str, bytes)):
                with contextlib.suppress(Exception):
                    known += [thing for thing in itertools.islice(value, _MAX_ITEMS) if is_task(thing)]
    return known


def given(maker: Callable[..., Any]) -> Iterator[list[Any]]:
    """The tasks that a call without arguments gives, itself or one after the other."""
    with contextlib.suppress(Exception):
        made = maker()
        if is_task(made):
            yield [made]
        elif hasattr(made, "__iter__") and not isinstance(made, (str, bytes)):
            yield [thing for thing in itertools.islice(made, _MAX_ITEMS) if is_task(thing)]


def family_and_name(task: Any) -> tuple[str, str]:
    """As the original calls them: `family/name`, or a name in a module."""
    name = str(getattr(task, "name", "") or getattr(task, "id", "") or type(task).__name__)
    family, slash, rest = name.partition("/")
    return (family, rest) if slash else (type(task).__module__.rpartition(".")[2], name)


def tools_of(task: Any) -> list[Any]:
    """A task's tools, which may stand in a list or by name."""
    tools = task.tools
    return list(tools.values()) if isinstance(tools, dict) else list(tools)


def told(tool: Any) -> dict[str, str]:
    """Name, signature and description; the signature is the text that begins like one."""
    texts = {name: getattr(tool, name) for name in dir(tool) if not name.startswith("__")
             and isinstance(getattr(tool, name, None), str)}
    signature = next((text for text in texts.values() if text.startswith(f"{tool.name}(")), f"{tool.name}(*args)")
    return {"name": tool.name, "signature": signature, "description": texts["description"]}


def function_of(tool: Any) -> Callable[..., Any]:
    """What is called."""
    function: Callable[..., Any] = getattr(tool, "function", None) or getattr(tool, "func", None) or tool
    return function


def attempt(function: Callable[..., Any], *args: Any) -> Any:
    """What a call gives; None if it fails."""
    try:
        return function(*args)
    except Exception:
        return None


def travel(functions: dict[str, Callable[..., Any]], instructions: str) -> dict[str, Any]:
    """The tables, by asking for every place and every day."""
    flights, hotels = functions["find_flights"], functions["book_hotel"]
    named = [*string.ascii_uppercase, *sorted(set(re.findall(r"\b[A-Z][a-z]+\b", instructions)))]
    places: dict[str, list[Any]] = {}
    for name in itertools.chain.from_iterable((f'"{name}"', name) for name in named):
        offers = attempt(hotels, name)
        if offers is not None and f'"{name}"' not in places:
            places[offers[0]["location"] if offers else name] = offers
    days = [(_FIRST + datetime.timedelta(n)).isoformat() for n in range((_LAST - _FIRST).days + 1)]
    flown = [row for start, end in itertools.product(places, repeat=2) for day in days
             for row in attempt(flights, start, end, day) or []]
    return {"locations": list(places), "flights": flown, "hotels": [row for rows in places.values() for row in rows]}


def pages(functions: dict[str, Callable[..., Any]]) -> list[dict[str, str]]:
    """The web site: its file if there is one, else what can be reached by links."""
    for path in sorted(pathlib.Path(ROOT).rglob("web_pages.jsonl")):
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
        if rows and all({"name", "content"} <= row.keys() for row in rows):
            return [{"name": row["name"], "content": row["content"]} for row in rows]
    found: dict[str, str] = {}
    waiting = ["/"]
    while waiting and len(found) < _MAX_ITEMS:
        name = waiting.pop()
        shown = functions["click_url"](name)
        if name in found or not shown.startswith("[Opened page"):
            continue
        texts = [lines_of(shown)]
        while (shown := functions["scroll_down"]()).startswith("-"):
            texts.append(lines_of(shown))
        found[name] = "\n".join(texts)
        waiting += re.findall(r"\[Clickable '([^']*)'\]", found[name])
    return [{"name": name, "content": content} for name, content in found.items()]


def lines_of(shown: str) -> str:
    """What a view shows of the page."""
    return shown.partition("]\n\n")[2].removesuffix("\n----------")


def probe() -> None:
    """Find everything, and hand it over."""
    by_id: dict[tuple[str, str], Any] = {}
    for task in tasks(list(modules())):
        by_id.setdefault(family_and_name(task), task)
    rows: list[dict[str, Any]] = []
    families: dict[str, list[Any]] = {}
    for (family, name), task in sorted(by_id.items(), key=lambda item: item[0]):
        expected = task.expected_output
        rows.append({"id": f"{family}/{name}", "family": family, "instruction": task.instruction,
                     "expected_output": expected, "expected_type": type(expected).__name__,
                     "is_single_tool_task": bool(getattr(task, "is_single_tool_task", False))})
        families.setdefault(family, tools_of(task))
    functions = {family: {tool.name: function_of(tool) for tool in tools} for family, tools in families.items()}
    everything = {name: function for family in functions.values() for name, function in family.items()}
    deliver("tasks.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    deliver("tools.json", json.dumps({family: [told(tool) for tool in tools] for family, tools in families.items()}))
    said = " ".join(row["instruction"] for row in rows)
    deliver("travel.json", json.dumps(travel(everything, said)))
    deliver("web_pages.jsonl", "".join(json.dumps(page) + "\n" for page in pages(everything)))


with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
    probe()
