"""Prints what the runner of evaluations does a second, beside a plain loop with a fresh ipykernel for each task.

    python benchmarks/eval.py [--quick] [--rows LIST] [--json FILE]

The model replies at once, so that all that is measured is ours: a fresh session behind its walls for each task, two
cells, an answer that is judged, the trajectory on disk. The plain loop does the same cells one task after another in a
new kernel, and writes nothing. Needs the group `bench`.

Exits 0 when all goals measured hold, 1 when one is missed.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from codeact import Completion, Message
from codeact.evals.plan import Plan
from codeact.evals.runner import begin
from codeact.tasks import Settings, Task
from engines import IPyKernel
from figures import Figure, Row, as_json, machine, table

CELLS = ("x = sum(range(10))\nprint(x)", "print(x * {n})")
GOAL = 20.0
"""Times the plain loop (issue of the evaluation)."""


class Times:
    """Multiplications, done in two cells."""

    name, version, checkers, settings = "times", "1", ("exact",), Settings()

    def __init__(self, n: int) -> None:
        self.n = n

    def tasks(self) -> Sequence[Task]:
        return [Task(f"times/{i}", "times", f"What is 45 times {i}?", 45 * i) for i in range(self.n)]

    def tools(self, task: Task) -> Sequence[Callable[..., Any]]:
        return []

    def prompt(self, task: Task, instructions: str) -> Sequence[Message]:
        return [Message("system", instructions), Message("user", task.instruction)]

    def check(self, task: Task, answer: str) -> Mapping[str, bool]:
        return {"exact": answer == str(task.expected)}


class Instant:
    """Two cells, and what the second printed as the answer."""

    def complete(self, messages: Sequence[Message], **options: Any) -> Completion:
        n = sum(message.role == "assistant" for message in messages)
        if n < len(CELLS):
            asked = messages[1].content.rpartition(" ")[2].rstrip("?")
            return Completion(f"<execute>\n{CELLS[n].format(n=asked)}\n</execute>")
        return Completion(f"<solution>{messages[-1].content.strip()}</solution>")


def ours(n_tasks: int, n_parallel: int, on_progress: Callable[[Any], object] = lambda _: None) -> float:
    """Milliseconds a task."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        progress = begin(Path(folder, "run"), Plan("times", ("instant",)), suite=Times(n_tasks),
                         models={"instant": Instant()}, n_parallel=n_parallel, on_progress=on_progress)
        seconds = time.perf_counter() - began
    assert progress.n_right["code"] == n_tasks
    return seconds / n_tasks * 1000


def plain(engine: IPyKernel, n_tasks: int) -> float:
    """Milliseconds a task of the plain loop."""
    model = Instant()
    began = time.perf_counter()
    for task in Times(n_tasks).tasks():
        session = engine.open()
        messages = [Message("system", ""), Message("user", task.instruction)]
        while not (said := model.complete(messages).text).startswith("<solution>"):
            code = said.removeprefix("<execute>").removesuffix("</execute>").strip()
            messages += [Message("assistant", said), Message("user", session.run(code))]
        assert str(task.expected) in said
        session.close()
    return (time.perf_counter() - began) / n_tasks * 1000


def row_tasks(quick: bool) -> list[Row]:
    n_tasks, n_kernels, rounds = (100, 3, 2) if quick else (400, 6, 5)
    rows = {n: Row(f"j{n}", f"a task, {n} at once", ratios={"ipykernel": GOAL}, ours=Figure([])) for n in (1, 8, 32)}
    engine = IPyKernel()
    try:
        ours(20, 2)   # the zygote is there
        for _ in range(rounds):
            kernels = plain(engine, n_kernels)
            for n, row in rows.items():
                row.ours.samples.append(ours(n_tasks, n))
                row.others.setdefault("ipykernel", Figure([])).samples.append(kernels)
    finally:
        engine.close()
    for row in rows.values():
        row.notes.append(f"{1000 / row.ours.median:.0f} tasks a second; the plain loop "
                         f"{1000 / row.others['ipykernel'].median:.2f}")
    return list(rows.values())


def row_memory(quick: bool) -> list[Row]:
    n_tasks = 2_000 if quick else 10_000
    seen: dict[int, float] = {}

    def look(progress: Any) -> None:
        if progress.n_done in (n_tasks // 10, n_tasks):
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            seen[progress.n_done] = pages * 4096 / 1e6

    ours(n_tasks, 8, look)
    early, late = seen[n_tasks // 10], seen[n_tasks]
    row = Row("memory", f"memory gained between task {n_tasks // 10:,} and task {n_tasks:,}", unit="MB", most=10,
              ours=Figure([max(0.0, late - early)]))
    row.notes.append(f"the process has {early:.0f} MB, then {late:.0f} MB")
    return [row]


ROWS: dict[str, Callable[[bool], list[Row]]] = {"tasks": row_tasks, "memory": row_memory}


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
    print(table(rows, {"codeact": "codeact", "ipykernel": "ipykernel"}, {}))
    return int(any(row.holds is False for row in rows))


if __name__ == "__main__":
    sys.exit(main())
