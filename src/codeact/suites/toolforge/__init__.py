"""Tasks made from a seed: they cannot be memorised, and there are as many as wanted.

    codeact eval toolforge --seed 7 --n 500 --difficulty 3

A task's id says all that it was made from: `trade/7-3-12` is the twelfth trade of seed 7 at difficulty 3. The world
behind its tools, the question and the answer follow from that id; the answer is computed twice, from the world and by a
program over the tools (`oracle.py`), and a task where these differ is not handed out. See docs/toolforge.md.

Source: in the spirit of M3ToolEval's five families (paper section 2.3), with seven more; worlds, words and code are
ours.
"""

import argparse
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from codeact.errors import ConfigError
from codeact.messages import Message
from codeact.prompts import render
from codeact.suites._checking import agrees
from codeact.suites.toolforge.dials import LEVELS, MAX_TURNS, Dials, dials_for
from codeact.suites.toolforge.forged import Forged
from codeact.suites.toolforge.forging import families, forge
from codeact.suites.toolforge.oracle import walk
from codeact.tasks import Settings, Task

__all__ = ["Toolforge", "add_flags", "create"]

MAX_TASKS = 20_000
"""Of one suite; they are held in memory."""


class Toolforge:
    """So many tasks of a seed, each family in turn; see `create`."""

    name = "toolforge"
    version = "1"
    checkers = ("strict",)

    def __init__(self, seed: int, n: int, difficulty: int, dials: Dials, label: str, chosen: Sequence[str]) -> None:
        self.seed, self.n, self.difficulty, self.dials, self.families = seed, n, difficulty, dials, tuple(chosen)
        self.settings = Settings(max_turns=MAX_TURNS[difficulty], max_reply_tokens=1536)
        self._label = label
        self._tasks: tuple[Task, ...] = ()
        self._lock = threading.Lock()

    def tasks(self) -> Sequence[Task]:
        """All tasks: the first of each family, then the second of each, and so on.

        Raises:
            ConfigError: With these dials a family has no question with a single answer.
        """
        with self._lock:
            if not self._tasks:
                self._tasks = tuple(self._task(number) for number in range(self.n))
            return self._tasks

    def _task(self, number: int) -> Task:
        family, index = self.families[number % len(self.families)], number // len(self.families)
        id = f"{family}/{self.seed}-{self._label}-{index}"
        forged = forge(id, self.dials)
        tools = forged.tools()
        done = walk(forged.solution, tools)
        if done.answer != forged.expected:
            raise AssertionError(f"a fault in the family of {id}: its solution gives {done.answer!r:.200}, "
                                 f"its world {forged.expected!r:.200}")  # fmt: skip
        about = {"seed": self.seed, "difficulty": self.difficulty, "index": index, "dials": self.dials.asdict(),
                 "n_tools": len(tools), "n_calls": len(done.calls)}  # fmt: skip
        return Task(id, family, forged.instruction, forged.expected, about)

    def forged(self, task: Task) -> Forged:
        """The task with its tools and solution, made again from its id."""
        return forge(task.id, Dials(**task.about["dials"]))

    def tools(self, task: Task) -> Sequence[Callable[..., Any]]:
        """The task's tools, over a world made anew."""
        return self.forged(task).tools()

    def prompt(self, task: Task, instructions: str) -> Sequence[Message]:
        """How to act, how to answer, and the question."""
        return [Message("system", render("toolforge", instructions=instructions)), Message("user", task.instruction)]

    def check(self, task: Task, answer: str) -> Mapping[str, bool]:
        """Whether the answer is the expected value, in the form that was asked for."""
        return {"strict": agrees(task.expected, answer)}


def create(*, seed: int = 7, n: int = 120, difficulty: int = 2, families: str | None = None, dials: str | None = None
           ) -> Toolforge:
    """Make a suite.

    Args:
        seed: Other seeds have other tasks. The published ones are in docs/toolforge.md.
        n: How many tasks. More of them begin with the same ones.
        difficulty: 1 to 5; see `dials.LEVELS`.
        families: Some families only, as "trade,ledger".
        dials: Some sizes apart from the difficulty's, as "items=20,page=0".

    Raises:
        ConfigError: An option is out of its range, or there is no such family; the message lists those there are.
    """
    if not 1 <= n <= MAX_TASKS:
        raise ConfigError(f"toolforge makes 1 to {MAX_TASKS:,} tasks, not {n:,}; take further ones from another seed")
    sizes = dials_for(difficulty, dials)
    changed = {key: value for key, value in sizes.asdict().items() if LEVELS[difficulty].asdict()[key] != value}
    label = "+".join([str(difficulty), *(f"{key}={value}" for key, value in changed.items())])
    return Toolforge(seed, n, difficulty, sizes, label, _chosen(families))


def _chosen(wanted: str | None) -> list[str]:
    known = families()
    if wanted is None:
        return known
    names = list(dict.fromkeys(name.strip() for name in wanted.split(",") if name.strip()))
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise ConfigError(f"toolforge has no family {', '.join(unknown) or wanted!r}; there are: {', '.join(known)}")
    return sorted(names)


def add_flags(parser: argparse.ArgumentParser) -> None:
    """The options of `create` as flags."""
    parser.add_argument("--seed", type=int, default=7, help="other seeds have other tasks (default: 7)")
    parser.add_argument("--n", type=int, default=120, help="how many tasks (default: 120)")
    parser.add_argument("--difficulty", type=int, default=2, help="1 to 5 (default: 2)")
    parser.add_argument("--families", metavar="A,B", help=f"some only, of: {', '.join(families())}")
    parser.add_argument("--dials", metavar="NAME=N,...", help="sizes apart from the difficulty's, as items=20,page=0")
