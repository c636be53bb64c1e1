"""Do our tools, checkers and parsers agree with what the published evaluations recorded?

    python benchmarks/agreement.py --data DIR [--min 0.998] [--show 5]

DIR is laid out as the development data is; any of its files may be missing:

    m3tooleval/tool_examples.jsonl     a tool's arguments -> its result, or the class of its error
    m3tooleval/browser_walks.jsonl     steps of the stateful browser -> what each showed
    m3tooleval/answer_verdicts.jsonl   a task and an answer -> the original checker's verdict
    mint/trajectories/*.jsonl.gz       a run's replies -> how many the recorder counted of each kind

Prints a line `FILE: agreeing/total` for each. The tables that these need (tasks.jsonl, tools.json, travel.json,
web_pages.jsonl) are taken from DIR, else from CODEACT_DATA, ../shared/data, or what `codeact data get` has fetched.
Exits 0 when all agree, or in each file the share that `--min` names; 1 when they do not, 2 when nothing can be
compared.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from codeact.actions import Action, Answer, CodeAction
from codeact.data import places
from codeact.errors import CodeActError, ConfigError
from codeact.formats.code import create as code_format
from codeact.suites.m3tooleval import M3ToolEval
from codeact.suites.m3tooleval.material import read
from codeact.tasks import Task

Case = tuple[Any, Any, Any]
"""What was asked, what was recorded, what is ours."""

ROOT = Path(__file__).resolve().parents[1]


# M3ToolEval ---------------------------------------------------------------------------------------------------------

def suite_of(data: Path) -> M3ToolEval:
    """The suite on the tables of a folder, of those it lacks on this machine's own."""
    named = os.environ.get(places.VARIABLE)
    homes = [data, *([Path(named)] if named else []), ROOT.parent / "shared" / "data", places.cache()]
    return M3ToolEval.of(read(*(home / "m3tooleval" for home in homes)))


def tools_of(suite: M3ToolEval, family: str) -> dict[str, Callable[..., Any]]:
    """A family's tools by name, made anew."""
    return {tool.__name__: tool for tool in suite.tools(Task("", family, "", None))}


def tool_examples(path: Path, suite: M3ToolEval) -> Iterator[Case]:
    """Every example, each on tools of its own."""
    for example in lines(path, "family", "tool", "args"):
        recorded = {key: example[key] for key in ("result", "error") if key in example}
        yield example, recorded, called(tools_of(suite, example["family"]), example["tool"], example["args"])


def browser_walks(path: Path, suite: M3ToolEval) -> Iterator[Case]:
    """Every step of every walk, a browser a walk."""
    for walk in lines(path, "walk"):
        tools = tools_of(suite, walk.get("family", "web_browsing"))
        for step in walk["walk"]:
            recorded = {key: step[key] for key in ("result", "error") if key in step}
            yield step, recorded, called(tools, step["tool"], step["args"])


def answer_verdicts(path: Path, suite: M3ToolEval) -> Iterator[Case]:
    """Every verdict, beside that of the checker `paper`."""
    tasks = {task.id: task for task in suite.tasks()}
    for verdict in lines(path, "id", "answer", "verdict"):
        if verdict["id"] not in tasks:
            raise ConfigError(f"{path}: there is no task {verdict['id']!r} in tasks.jsonl")
        yield verdict, verdict["verdict"], suite.check(tasks[verdict["id"]], verdict["answer"])["paper"]


def called(tools: dict[str, Callable[..., Any]], name: str, args: list[Any]) -> dict[str, Any]:
    """What a tool does, as JSON has it."""
    try:
        return {"result": json.loads(json.dumps(tools[name](*args)))}
    except Exception as error:
        return {"error": type(error).__name__}


# MINT ---------------------------------------------------------------------------------------------------------------

def mint_runs(path: Path) -> Iterator[Case]:
    """Every run: how many of its replies were code, answers and neither."""
    parse = code_format(envelope="mint").parse
    for n, record in enumerate(lines(path, "state"), start=1):
        state = record["state"]
        first, *later = state["history"]
        replies = [message["content"] for message in later if message["role"] == "assistant"]
        if "```python" in first["content"].split("\n---\n")[0]:  # some models were told to write fences
            replies = [re.sub(r"```python(.*?)```", r"<execute>\1</execute>", reply, flags=re.S) for reply in replies]
        counts = Counter(kind_of(parse(reply)) for reply in replies)
        counts["invalid_action"] += unstored(state)
        recorded = state["agent_action_count"]
        yield f"run {n}", recorded, {kind: counts[kind] for kind in recorded}


def kind_of(action: Action) -> str:
    """What the recorder called it."""
    if isinstance(action, CodeAction):
        return "use_tool"
    return "propose_solution" if isinstance(action, Answer) else "invalid_action"


def unstored(state: dict[str, Any]) -> int:
    """Replies that were empty: the recorder counted them as invalid and kept no message of them."""
    roles = [message["role"] for message in state["history"]]
    at_end = roles[-1] == "user" and state["terminate_reason"] != "error"
    return sum(pair == ("user", "user") for pair in pairwise(roles)) + at_end


# All files ----------------------------------------------------------------------------------------------------------

def lines(path: Path, *keys: str) -> Iterator[dict[str, Any]]:
    """The objects of a file of JSON lines, compressed or not.

    Raises:
        ConfigError: A line is none, or lacks a key.
    """
    opened = gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8")
    try:
        with opened as file:
            for number, line in enumerate(file, start=1):
                if not line.strip():
                    continue
                try:
                    value = json.loads(line)
                except ValueError as error:
                    raise ConfigError(f"{path}, line {number}, is no JSON: {error}") from None
                if not isinstance(value, dict) or not all(key in value for key in keys):
                    raise ConfigError(f"{path}, line {number}: wanted an object with {', '.join(keys)}")
                yield value
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from None


CONFORMANCE: dict[str, Callable[[Path, M3ToolEval], Iterator[Case]]] = {
    "tool_examples.jsonl": tool_examples,
    "browser_walks.jsonl": browser_walks,
    "answer_verdicts.jsonl": answer_verdicts,
}


def comparisons(data: Path) -> Iterator[tuple[str, Iterator[Case]]]:
    """Each conformance file that the folder has, by its path in it, with its cases."""
    found = [name for name in CONFORMANCE if (data / "m3tooleval" / name).is_file()]
    suite = suite_of(data) if found else None
    for name in found:
        assert suite is not None
        yield f"m3tooleval/{name}", CONFORMANCE[name](data / "m3tooleval" / name, suite)
    for path in sorted((data / "mint" / "trajectories").glob("*.jsonl.gz")):
        yield str(path.relative_to(data)), mint_runs(path)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR")
    parser.add_argument("--min", type=float, default=1.0, metavar="SHARE", help="of each file that must agree (1)")
    parser.add_argument("--show", type=int, default=0, metavar="N", help="disagreements of each file to print")
    options = parser.parse_args(argv)
    if not options.data.is_dir():
        print(f"{options.data} is no folder; --data names one that holds m3tooleval/ or mint/", file=sys.stderr)
        return 2
    n_files, enough, name = 0, True, ""
    try:
        for name, cases in comparisons(options.data):
            agreeing = total = 0
            different: list[Case] = []
            for case in cases:
                total += 1
                agreeing += case[1] == case[2]
                if case[1] != case[2] and len(different) < options.show:
                    different.append(case)
            print(f"{name}: {agreeing}/{total}", flush=True)
            for asked, recorded, ours in different:
                print(f"  {json.dumps(asked)[:300]}\n    recorded: {recorded!r:.300}\n    ours:     {ours!r:.300}")
            n_files += 1
            enough = enough and agreeing >= options.min * total
    except CodeActError as error:
        print(error, file=sys.stderr)
        return 2
    except (AttributeError, KeyError, TypeError) as error:
        print(f"{name}: a line is not laid out as it should be: {error!r}", file=sys.stderr)
        return 2
    if not n_files:
        print(f"{options.data} holds none of the conformance files: m3tooleval/{', '.join(CONFORMANCE)}, "
              f"mint/trajectories/*.jsonl.gz", file=sys.stderr)
        return 2
    return 0 if enough else 1


if __name__ == "__main__":
    sys.exit(main())
