"""Prints what an agent costs beside its model: a turn, what is sent, start-up, and many rollouts at once.

    python benchmarks/agent.py [--quick] [--rows LIST] [--json FILE]

The model here replies at once, or after a time that is taken off again, so that all that is measured is ours: the loop,
the format, the interpreter behind its walls, the record. Published figures of a peer (smolagents 1.26) stand in the
notes.

Exits 0 when all goals measured hold, 1 when one is missed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from codeact import Budget, Completion, Interpreter, rollout
from codeact.environments.chat import ChatEnvironment
from codeact.trajectory import Turn
from figures import Figure, Row, as_json, machine, meminfo, table

CODE = "<execute>\nx = {n}\nprint(x)\n</execute>"
ANSWER = "<solution>done</solution>"
THINKING_SECONDS = 0.02
"""A model that thinks so short is hard to find."""
WARM_SECONDS = 3.0
"""The zygote imports what users need in the background of the first session."""


class Instant:
    """Replies with another piece of code, so many times, then answers; counts the characters it is sent."""

    name = "instant"

    def __init__(self, n_turns: int, seconds: float = 0.0) -> None:
        self.n_turns, self.seconds, self.n, self.sent = n_turns, seconds, 0, [0]

    def complete(self, messages: Any, **options: Any) -> Completion:
        time.sleep(self.seconds)
        self.sent.append(sum(len(message.content) for message in messages))
        self.n += 1
        return Completion(CODE.format(n=self.n) if self.n <= self.n_turns else ANSWER)


def turns_of(n_turns: int, thinking_seconds: float = 0.0) -> tuple[list[float], Instant]:
    """Milliseconds of each turn of one long rollout, the model's thinking taken off."""
    model, times = Instant(n_turns, thinking_seconds), []
    with Interpreter() as interpreter:
        env = ChatEnvironment(interpreter, "count")
        interpreter.run("import pandas, matplotlib.pyplot")
        time.sleep(WARM_SECONDS)

        def watch(event: Any) -> None:
            if isinstance(event, Turn):
                times.append(time.perf_counter())

        began = time.perf_counter()
        rollout(model, env, budget=Budget(max_turns=None), observe=watch)
    taken = (later - earlier for earlier, later in zip([began, *times], times, strict=False))
    return [(seconds - thinking_seconds) * 1000 for seconds in taken], model


def row_turn(quick: bool) -> list[Row]:
    n_turns = 300 if quick else 1000
    times, model = turns_of(n_turns)
    step = Row("turn", "a turn without the model", most=1.0, ours=Figure(times[:100]))
    step.notes.append("interpreter behind its walls, its state kept after each cell; smolagents 1.26: 1.7 to 5.9 ms, "
                      "and 58 ms at step 400, without walls")
    late = Row("late", f"the same at turn {n_turns}", most=1.0, ours=Figure(times[-100:]))
    slope = statistics.median(times[-100:]) / statistics.median(times[:100])
    flat = Row("flat", "the late ones over the early ones", unit="x", most=1.5, ours=Figure([slope]))
    grown = [later - earlier for earlier, later in zip(model.sent[1:], model.sent[2:], strict=False)]
    each = Row("sent", "characters by which a request grows, a turn", unit="")
    each.ours = Figure([float(one) for one in grown[10:]])
    once = len(CODE.format(n=n_turns)) + len(f"{n_turns}\n") + 2
    each.kept = max(grown[10:]) <= once
    each.missed += [] if each.kept else [f"up to {max(grown[10:])}, where reply and observation have {once}"]
    each.notes.append("each reply and each observation is sent once, not twice")
    rested, _ = turns_of(100, THINKING_SECONDS)
    thinking = Row("thinking", "the same after 20 ms of thinking, taken off", ours=Figure(rested[10:]))
    thinking.notes.append("processes that slept find their caches empty")
    return [step, late, flat, thinking, each]


def row_start(quick: bool) -> list[Row]:
    def timed(*words: str) -> float:
        began = time.perf_counter()
        subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)
        return (time.perf_counter() - began) * 1000

    rounds = 5 if quick else 15
    rows = {
        "import": Row("import", "import codeact, over python -c pass", most=60),
        "agent": Row("agent", "from codeact import Agent, over the same"),
        "help": Row("help", "codeact --help, the whole program", most=200),
    }
    samples: dict[str, list[float]] = {name: [] for name in rows}
    for _ in range(rounds):
        nothing = timed("-c", "pass")
        samples["import"].append(timed("-c", "import codeact") - nothing)
        samples["agent"].append(timed("-c", "from codeact import Agent") - nothing)
        samples["help"].append(timed("-m", "codeact", "--help"))
    for name, row in rows.items():
        row.ours = Figure(samples[name])
    rows["import"].notes.append("smolagents 1.26: 790 ms")
    return list(rows.values())


def row_many(quick: bool) -> list[Row]:
    n_rollouts, n_threads, n_turns = (200 if quick else 2000), 16, 3
    local = threading.local()

    def one(n: int) -> int:
        if not hasattr(local, "interpreter"):
            local.interpreter = Interpreter()
            opened.append(local.interpreter)
        env = ChatEnvironment(local.interpreter, "count")
        return len(rollout(Instant(n_turns), env, budget=Budget()).turns)

    opened: list[Interpreter] = []
    one(0)  # the zygote is there
    before, began = meminfo()["MemAvailable"], time.perf_counter()
    with ThreadPoolExecutor(n_threads) as pool:
        turns = sum(pool.map(one, range(n_rollouts)))
    seconds = time.perf_counter() - began
    taken = before - meminfo()["MemAvailable"]
    for interpreter in opened:
        interpreter.close()
    assert turns == n_rollouts * (n_turns + 1)
    many = Row("many", f"{n_rollouts:,} rollouts in {n_threads} threads: rollouts a second", unit="",
               ours=Figure([n_rollouts / seconds]))
    many.notes.append(f"{n_turns} cells and an answer each, {turns / seconds:,.0f} turns a second")
    memory = Row("memory", "memory they take while they run", unit="MB", ours=Figure([max(taken, 0.0)]))
    memory.notes.append(f"{n_threads} interpreters among it")
    return [many, memory]


ROWS: dict[str, Callable[[bool], list[Row]]] = {"turn": row_turn, "start": row_start, "many": row_many}


def main() -> int:
    """Measure and print; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    parser.add_argument("--rows", default=",".join(ROWS), help=f"only these, with commas: {', '.join(ROWS)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every sample to FILE")
    chosen = parser.parse_args()
    names = chosen.rows.split(",")
    if unknown := [name for name in names if name not in ROWS]:
        parser.error(f"unknown rows: {', '.join(unknown)}; available: {', '.join(ROWS)}")
    about = machine()
    rows = [row for name in names for row in ROWS[name](chosen.quick)]
    for row in rows:
        row.judge()
    if chosen.json:
        chosen.json.write_text(json.dumps(as_json(rows, {}, about), indent=1) + "\n")
    print(", ".join(f"{key} {value}" for key, value in about.items()), end="\n\n")
    print(table(rows, {"codeact": "codeact"}, {}))
    return int(any(row.holds is False for row in rows))


if __name__ == "__main__":
    sys.exit(main())
