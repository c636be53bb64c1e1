"""Prints the table of the "Speed" goals: our interpreter beside a plain process, ipykernel and the kernel gateway.

    python benchmarks/interpreter.py [--quick] [--engines LIST] [--rows LIST] [--sessions N] [--json FILE]

All engines are started first and stay alive; each round measures every engine once, one after another, so that what
else the machine does meets them all alike. Figures are medians, with the minimum in parentheses; `12x` after another
engine's figure is how many times ours it is. Absolute times depend on the machine; the ratios are what to trust.
Sessions run behind the strongest walls that work here, and the head of the table names them.

The pool of standby sessions is held empty, but for the row that measures it. An action is what an agent pays: from the
call in this process to the result in this process. Every loop is bounded in rounds and in seconds.

Exits 0 when all goals measured hold, 1 when one is missed, 130 when interrupted (what was measured is still printed).
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import engines

SETTLE_SECONDS = 0.02
"""Before a sample of opening a session: what the one before left to the system's background is over."""

PANDAS = "import pandas, matplotlib.pyplot\nprint(int(pandas.DataFrame({'a': [1, 1]}).a.sum()))"
PANDAS_JOB = ("import numpy, pandas\nnumbers = numpy.random.default_rng(0)\n"
              "frame = pandas.DataFrame({'key': numbers.integers(0, 100, 20_000), 'value': numbers.random(20_000)})\n"
              "means = frame.groupby('key').value.agg(['mean', 'std'])\nprint(len(means) // 50)")
FRAME = "import numpy, pandas\nframe = pandas.DataFrame(numpy.ones((6_250_000, 4)))\nprint(frame.size * 8)"
CPU_BOUND = """
import time
def work():
    table, total = {}, 0
    for i in range(120_000):
        table[i % 1000] = table.get(i % 1000, 0) + i * i
        total += len(str(i))
    return total
work()
times = []
for _ in range(5):
    started = time.perf_counter()
    work()
    times.append(time.perf_counter() - started)
print(min(times))
"""
CRASHES = {
    "segfault": "import ctypes\nctypes.string_at(0)",
    "os._exit": "import os\nos._exit(3)",
    "SIGKILL": "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)",
    "abort": "import os\nos.abort()",
}


# What is measured -----------------------------------------------------------------------------------------------------

@dataclass
class Figure:
    """One engine's figure in one row."""

    samples: list[float]
    ratio: float | None = None
    """How many times ours it is."""

    @property
    def median(self) -> float:
        return statistics.median(self.samples)


@dataclass
class Row:
    """One line of the table."""

    name: str
    what: str
    unit: str = "ms"
    most: float | None = None
    """The goal for our median."""
    ratios: dict[str, float] = field(default_factory=dict)
    """The goals for others: at least so many times ours."""
    ours: Figure | None = None
    others: dict[str, Figure] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    """What the figure does not say; printed below the table."""
    cells: dict[str, str] = field(default_factory=dict)
    """Words for engines without a figure."""
    missed: list[str] = field(default_factory=list)
    """Goals of another kind that were not met."""

    def judge(self) -> None:
        """Work out the ratios, and which goals are missed."""
        if self.ours is None:
            return
        if self.most is not None and self.ours.median > self.most:
            self.missed.append(f"{spell(self.ours.median, self.unit)} > {spell(self.most, self.unit)}")
        for name, figure in self.others.items():
            if self.ours.median > 0:
                figure.ratio = figure.median / self.ours.median
            if figure.ratio is not None and name in self.ratios and figure.ratio < self.ratios[name]:
                self.missed.append(f"{name} {figure.ratio:.2g}x < {self.ratios[name]:g}x")

    kept: bool = False
    """A goal of another kind was met."""

    @property
    def holds(self) -> bool | None:
        """Whether the goals do; None where there is none."""
        if self.missed or self.kept:
            return not self.missed
        measured = self.ours is not None and (self.most is not None or any(n in self.others for n in self.ratios))
        return True if measured else None


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    rounds: int
    """Of what takes tens of milliseconds."""
    slow_rounds: int
    """Of what starts a kernel that imports pandas."""
    hot: int
    memory_sessions: int
    memory_batches: int
    kernels: int
    """Of others, whose memory is measured."""
    sessions: int
    seconds: float
    """For one row, at most; a round begun is ended."""


FULL = Plan(rounds=15, slow_rounds=5, hot=500, memory_sessions=50, memory_batches=3, kernels=4, sessions=400,
            seconds=40)
QUICK = Plan(rounds=4, slow_rounds=2, hot=100, memory_sessions=30, memory_batches=1, kernels=2, sessions=60, seconds=5)


class Bench:
    """The engines, and one method a row (or two): `row_NAME` returns what it measured."""

    def __init__(self, ours: engines.Codeact, others: dict[str, Any], plan: Plan):
        self.ours, self.others, self.plan = ours, others, plan
        self.all: dict[str, Any] = {"codeact": ours, **others}

    def _rounds(self, count: int) -> Iterator[int]:
        """At most `count`, and no new one when the row's time is over."""
        deadline = time.monotonic() + self.plan.seconds
        for number in range(count):
            if number and time.monotonic() > deadline:
                return
            yield number

    def _in_turn(self, row: Row, count: int, measure: Callable[[str], float]) -> Row:
        """Call `measure(engine's name)` for every engine in each round."""
        samples: dict[str, list[float]] = {name: [] for name in self.all if name not in row.cells}
        for number in self._rounds(count):
            # Not always in one order: who follows whom can matter
            names = list(samples)
            for name in names[number % len(names):] + names[:number % len(names)]:
                samples[name].append(measure(name))
        row.ours = Figure(samples.pop("codeact"))
        row.others = {name: Figure(found) for name, found in samples.items()}
        return row

    def _opening(self, engine: Any, code: str, expected: str) -> float:
        """Milliseconds from nothing to the result of a session's first action."""
        time.sleep(SETTLE_SECONDS)
        started = time.perf_counter()
        session = engine.open()
        try:
            shown = session.run(code)
            took = time.perf_counter() - started
            check(shown, expected)
        finally:
            session.close()
        return took * 1000

    @contextmanager
    def _open_sessions(self) -> Iterator[dict[str, Any]]:
        """One session of each engine, which has answered once."""
        with ExitStack() as stack:
            sessions = {}
            for name, engine in self.all.items():
                sessions[name] = engine.open()
                stack.callback(sessions[name].close)
                check(sessions[name].run("print(1+1)"), "2")
            yield sessions

    # Sessions and actions ---------------------------------------------------------------------------------------------

    def row_session(self) -> list[Row]:
        row = Row("session", "session to first result, zygote warm", most=10, ratios={"ipykernel": 40, "gateway": 30})
        self._in_turn(row, self.plan.rounds, lambda name: self._opening(self.all[name], "print(1+1)", "2"))
        pool = Row("pool", "the same, from the standby pool", most=1)
        samples = []
        for _ in self._rounds(2 * self.plan.rounds):
            self.ours.fill()
            samples.append(self._opening(self.ours, "print(1+1)", "2"))
        pool.ours = Figure(samples)
        pool.others = {name: Figure(figure.samples) for name, figure in row.others.items()}
        return [row, pool]

    def row_pandas(self) -> list[Row]:
        row = Row("pandas", "session until pandas and pyplot are usable", most=15,
                  ratios={"ipykernel": 60, "gateway": 60})
        return [self._in_turn(row, self.plan.slow_rounds, lambda name: self._opening(self.all[name], PANDAS, "2"))]

    def row_action(self) -> list[Row]:
        turn = Row("action", "one action 1+1, in turn with others", most=0.5, ratios={"ipykernel": 10, "gateway": 80})
        hot = Row("hot", "the same in a hot loop", most=0.1)
        with self._open_sessions() as sessions:
            self._in_turn(turn, 3 * self.plan.rounds, lambda name: self._timed(sessions[name], "1+1"))
            for name, session in sessions.items():
                count = {"codeact": self.plan.hot, "python": self.plan.rounds}.get(name, self.plan.hot // 10)
                figure = Figure([self._timed(session, "1+1") for _ in self._rounds(count)])
                if name == "codeact":
                    hot.ours = figure
                else:
                    hot.others[name] = figure
        for row in (turn, hot):
            row.notes += ["python -c keeps no state between actions"] if "python" in self.others else []
        return [turn, hot]

    def _timed(self, session: Any, code: str) -> float:
        started = time.perf_counter()
        session.run(code)
        return (time.perf_counter() - started) * 1000

    def row_tool(self) -> list[Row]:
        row = Row("tool", "a tool call from a cell", most=0.2, cells=dict.fromkeys(self.others, "none"))
        with self.ours.open(tools=[double]) as session:
            samples = []
            for _ in self._rounds(self.plan.rounds):
                shown = session.run("import time\nstarted = time.perf_counter()\nfor i in range(200): double(i)\n"
                                    "print((time.perf_counter() - started) * 5)").stdout   # ms a call, of 200
                samples.append(float(shown))
        row.ours = Figure(samples)
        row.notes.append("time per call in a loop of 200 in one cell, to a host function and back")
        return [row]

    def row_output(self) -> list[Row]:
        row = Row("output", "a cell that prints 10 MB", most=50)
        with self._open_sessions() as sessions:
            self._in_turn(row, self.plan.rounds,
                          lambda name: self._timed(sessions[name], "print('x' * 10_000_000)"))
        row.notes.append("codeact keeps the first MiB and the last 64 KiB and says how much is left out; the gateway "
                         "drops what exceeds its data rate")
        return [row]

    def row_cpu(self) -> list[Row]:
        row = Row("cpu", "CPU-bound code, over plain CPython", unit="x", most=1.05)
        ratios = []
        with self.ours.open() as session:
            for _ in self._rounds(self.plan.rounds):
                plain = float(engines.PlainPython().run(CPU_BOUND))
                ratios.append(float(session.run(CPU_BOUND).stdout) / plain)
        row.ours = Figure(ratios)
        row.cells = dict.fromkeys(self.others, "")
        return [row]

    # Memory -----------------------------------------------------------------------------------------------------------

    def row_memory(self) -> list[Row]:
        idle = Row("idle", "memory per idle session", unit="MB", most=5)
        job = Row("job", "memory per session after a pandas job", unit="MB", most=12)
        for name, engine in self.all.items():
            if not engine.stateful:
                idle.cells[name] = job.cells[name] = "no session"
                continue
            ours = name == "codeact"
            count, batches = (self.plan.memory_sessions, self.plan.memory_batches) if ours else (self.plan.kernels, 1)
            found = [self._memory(engine, count) for _ in self._rounds(batches)]
            for row, i in ((idle, 0), (job, 1)):
                figure = Figure([batch[i].taken for batch in found])
                if ours:
                    row.ours = figure
                else:
                    row.others[name] = figure
                row.notes.append(f"{name}, {count} sessions: " + ", ".join(
                    f"{spell(statistics.median(getattr(batch[i], kind) for batch in found), 'MB')} {words}"
                    for kind, words in (("taken", "of the system's memory"), ("available", "less of MemAvailable"),
                                        ("pss", "PSS of its processes"))))
        idle.notes.append("the figure is the difference, over the whole system, of memory in use that cannot be "
                          "reclaimed, kernel objects included; MemAvailable says the same, but lags where a virtual "
                          "machine gives free pages back to its host")
        return [idle, job]

    def _memory(self, engine: Any, count: int) -> tuple[Memory, Memory]:
        """Per session: idle, after a job."""
        with ExitStack() as stack:
            before = Memory.now(engine)
            sessions = []
            for _ in range(count):
                sessions.append(engine.open())
                stack.callback(sessions[-1].close)
                check(sessions[-1].run("1+1"), "2")
            idle = Memory.now(engine)
            for session in sessions:
                check(session.run(PANDAS_JOB), "2")
            job = Memory.now(engine)
        return idle.since(before, count), job.since(before, count)

    # States -----------------------------------------------------------------------------------------------------------

    def row_checkpoint(self) -> list[Row]:
        take = Row("checkpoint", "checkpoint of a session with a 200 MB frame", most=10,
                   cells=dict.fromkeys(self.others, "impossible"))
        back = Row("restore", "restore it, to the first result", most=50, cells=dict(take.cells))
        taken, restored, held = [], [], []
        with self.ours.open() as session:
            check(session.run(FRAME), "200000000")
            for number in self._rounds(self.plan.rounds):
                session.run(f"frame.iat[0, 0] = {number}")
                session.checkpoint()   # what was asked for after that cell has come
                session.run("1+1")     # not worth a copy by itself: the next one is made on demand
                started = time.perf_counter()
                mark = session.checkpoint()
                taken.append((time.perf_counter() - started) * 1000)
                held.append(mark.frozen)
                session.run("del frame")
                started = time.perf_counter()
                session.restore(mark)
                shown = session.run("print(int(frame.iat[0, 0]))")
                restored.append((time.perf_counter() - started) * 1000)
                check(shown, str(number))
        take.ours, back.ours = Figure(taken), Figure(restored)
        if not all(held):
            take.missed.append("not held by a frozen copy")
        return [take, back]

    def row_crash(self) -> list[Row]:
        row = Row("crash", "state back after segfault, kill, exit, abort", most=50,
                  cells=dict.fromkeys(self.others, "lost"))
        samples, lost, count = [], [], 0
        with self.ours.open() as session:
            session.run("import collections\nstate = collections.Counter(i % 7 for i in range(100_000))")
            for number, (name, code) in zip(self._rounds(2 * self.plan.rounds), itertools.cycle(CRASHES.items())):
                session.run(f"state['last'] = {number}")
                started = time.perf_counter()
                result = session.run(code)
                shown = session.run("print(state['last'], len(state))").stdout.strip()
                samples.append((time.perf_counter() - started) * 1000)
                count += 1
                if shown != f"{number} 8" or result.lost or result.status != "died":
                    lost.append(name)
        row.ours = Figure(samples)
        if lost:
            row.missed.append(f"lost {len(lost)} of {count}: {', '.join(sorted(set(lost)))}")
        row.notes.append(f"{count - len(lost)} of {count} states back; from the start of the cell that dies to the "
                         "result of the next one")
        return [row]

    # Many -------------------------------------------------------------------------------------------------------------

    def row_live(self) -> list[Row]:
        row = Row("live", "live sessions, each answering", unit="", cells=dict.fromkeys(self.others, ""))
        wanted, stopped, answered, action = self.plan.sessions, "", 0, 0.0
        floor = meminfo()["MemAvailable"] * 0.1
        opened = time.perf_counter()
        with ExitStack() as stack:
            sessions = []
            while len(sessions) < wanted and not stopped:
                if meminfo()["MemAvailable"] < floor:
                    stopped = f"memory is short (less than {floor:.0f} MB left)"
                    break
                try:
                    session = self.ours.open()
                    stack.callback(session.close)
                    session.run(f"me = {len(sessions)}")
                    sessions.append(session)
                except Exception as error:   # whatever the limit of this machine is called
                    stopped = f"{type(error).__name__}: {error}"
            rate = len(sessions) / (time.perf_counter() - opened)
            started = time.perf_counter()
            for number, session in enumerate(sessions):
                answered += (session.run("me").value or {}).get("text/plain") == str(number)
            action = (time.perf_counter() - started) * 1000 / max(1, len(sessions))
            closing = time.perf_counter()
        closed = (time.perf_counter() - closing) * 1000 / max(1, len(sessions))
        row.ours = Figure([float(answered)])
        row.notes.append(f"{answered} of {wanted} answered, opened at {rate:.0f} a second, then {action:.2f} ms an "
                         f"action in turn over all, closed in {closed:.1f} ms each"
                         + (f"; stopped: {stopped}" if stopped else ""))
        if answered < wanted:
            row.missed.append(f"{answered} < {wanted}")
        row.kept = answered >= FULL.sessions
        if wanted < FULL.sessions:
            row.notes.append(f"the goal is {FULL.sessions}: --sessions {FULL.sessions}")
        return [row]

    # Programs ---------------------------------------------------------------------------------------------------------

    def row_cold(self) -> list[Row]:
        row = Row("cold", "codeact exec 'print(1)' cold, over python -c pass", most=150,
                  cells=dict.fromkeys(self.others, ""))
        script = Path(sys.executable).with_name("codeact")
        command = [str(script)] if script.exists() else [sys.executable, "-m", "codeact"]
        plain, ours = [], []
        self._program([*command, "exec", "print(1)"], "1")   # Python writes its bytecode down
        for _ in self._rounds(self.plan.rounds):
            plain.append(self._program([sys.executable, "-c", "pass"], ""))
            ours.append(self._program([*command, "exec", "print(1)"], "1"))
        row.ours = Figure([found - statistics.median(plain) for found in ours])
        row.notes.append(f"{statistics.median(ours):.0f} ms from start to end of the program, against "
                         f"{statistics.median(plain):.0f} ms")
        return [row]

    def _program(self, command: list[str], expected: str) -> float:
        started = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL,
                              env=engines.usual_environment())
        took = time.perf_counter() - started
        if done.returncode or done.stdout.strip() != expected:
            raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr.strip()[-300:]}")
        return took * 1000

    def row_import(self) -> list[Row]:
        light = Row("import", "import codeact", most=60, cells=dict.fromkeys(self.others, ""))
        whole = Row("import_all", "from codeact import Interpreter", cells=dict(light.cells))
        engines.PlainPython().run("from codeact import Interpreter")
        for row, statement in ((light, "import codeact"), (whole, "from codeact import Interpreter")):
            samples = []
            for _ in self._rounds(self.plan.rounds):
                took, heavy = engines.PlainPython().run(
                    f"import sys, time\nstarted = time.perf_counter()\n{statement}\n"
                    "print((time.perf_counter() - started) * 1000, *{'numpy', 'pandas', 'IPython', 'starlette', "
                    "'tornado', 'flask', 'django'} & {*sys.modules}, sep='\\n', end='\\n\\n')").split("\n", 1)
                samples.append(float(took))
                if heavy.split():
                    row.missed.append(f"imports {' '.join(heavy.split())}")
            row.ours = Figure(samples)
        return [light, whole]


ROWS = [name.removeprefix("row_") for name in vars(Bench) if name.startswith("row_")]


def double(number: int) -> int:
    """Twice `number`."""
    return 2 * number


def check(shown: Any, expected: str) -> None:
    """A figure counts only if the answer was right.

    Raises:
        RuntimeError: It was not.
    """
    text = shown if isinstance(shown, str) else shown.text
    if text.strip().removeprefix("Out[1]: ") != expected:
        raise RuntimeError(f"answered {text.strip()[:200]!r} instead of {expected!r}")


@dataclass(frozen=True)
class Memory:
    """Memory in use, in MB, by three accounts."""

    taken: float
    """Of the whole system: pages of programs and of the kernel that cannot be reclaimed."""
    available: float
    """What MemAvailable has lost."""
    pss: float
    """Of an engine's processes, shared pages shared out; nan where the system hides it."""

    KINDS = ("AnonPages", "Shmem", "SUnreclaim", "PageTables", "SecPageTables", "KernelStack", "Percpu")

    @classmethod
    def now(cls, engine: Any) -> Memory:
        """Once it stands still: what has ended is given back by and by (network namespaces, above all)."""
        deadline = time.monotonic() + 5
        looks: list[float] = []
        while len(looks) < 3 or (max(looks[-3:]) - min(looks[-3:]) > 1 and time.monotonic() < deadline):
            time.sleep(0.15)
            found = meminfo()
            looks.append(sum(found.get(kind, 0.0) for kind in cls.KINDS))
        return cls(looks[-1], -found["MemAvailable"], pss_mb(engine.pids()))

    def since(self, before: Memory, count: int) -> Memory:
        """The difference, for each of `count`."""
        return Memory((self.taken - before.taken) / count, (self.available - before.available) / count,
                      (self.pss - before.pss) / count)


def meminfo() -> dict[str, float]:
    """The system's account, in MB."""
    with open("/proc/meminfo") as file:
        fields = [line.split() for line in file]
    return {name.rstrip(":"): int(size) / 1000 for name, size, *_ in fields}


def pss_mb(pids: Sequence[int]) -> float:
    """Memory of these processes, pages they share with others shared out; nan where the system hides it."""
    kb = 0
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except (FileNotFoundError, ProcessLookupError):
            continue   # it has ended
        except OSError:
            return float("nan")
        kb += next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
    return kb / 1000


# The table ------------------------------------------------------------------------------------------------------------

def spell(value: float, unit: str) -> str:
    """Three digits are enough."""
    number = f"{value:.0f}" if abs(value) >= 100 or not unit else f"{value:.3g}"
    return f"{number} {unit}".strip() if unit != "x" else f"{number}x"


def figure_cell(figure: Figure, unit: str) -> str:
    """`9.1 (8.0) ms 52x`"""
    text = spell(figure.median, unit)
    if len(figure.samples) > 1:
        least = spell(min(figure.samples), "x").removesuffix("x")
        number, _, rest = text.partition(" ")
        text = f"{number} ({least}) {rest}".strip()
    return text if figure.ratio is None else f"{text}  {spell(figure.ratio, 'x')}"


def goal_cell(row: Row) -> str:
    if row.name == "live":
        return f"{FULL.sessions}"
    parts = [f"≤ {spell(row.most, row.unit)}"] if row.most is not None else []
    return ", ".join([*parts, *(f"≥ {least:g}x" for least in row.ratios.values())])


def table(rows: Sequence[Row], titles: dict[str, str], missing: dict[str, str]) -> str:
    """Rows as aligned text, with what was missed and the notes below."""
    lines = [["", titles["codeact"], "goal", "holds", *(titles[name] for name in titles if name != "codeact")]]
    for row in rows:
        verdict = {True: "yes", False: "NO", None: ""}[row.holds]
        cells = [row.what, figure_cell(row.ours, row.unit) if row.ours else "failed", goal_cell(row), verdict]
        for name in titles:
            if name in row.others:
                cells.append(figure_cell(row.others[name], row.unit))
            elif name != "codeact":
                cells.append("missing" if name in missing else row.cells.get(name, ""))
        lines.append(cells)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    text.insert(1, "-" * max(map(len, text)))
    for row in rows:
        text += wrapped(f"missed, {row.what}: ", "; ".join(row.missed)) if row.missed else []
    for row in rows:
        for note in row.notes:
            text += wrapped(f"{row.what}: ", note)
    return "\n".join([*text, *(line for name, why in missing.items() for line in wrapped(f"{titles[name]}: ", why))])


def wrapped(head: str, text: str) -> list[str]:
    """A line of notes, folded."""
    return textwrap.wrap(head + text, 120, subsequent_indent="    ")


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    return {"python": platform.python_version(), "system": f"{platform.system()} {platform.release()}",
            "machine": platform.machine(), "cpus": os.cpu_count(), "memory_gb": round(meminfo()["MemTotal"] / 1000, 1),
            "load": round(os.getloadavg()[0], 1), "user": "root" if os.getuid() == 0 else "ordinary"}


def as_json(rows: Sequence[Row], missing: dict[str, str], about: dict[str, Any]) -> dict[str, Any]:
    """Everything measured, every sample included."""
    return {"machine": about, "missing": missing, "rows": [
        {**asdict(row), "holds": row.holds,
         "medians": {name: figure.median for name, figure in {"codeact": row.ours, **row.others}.items() if figure}}
        for row in rows]}


# The program ----------------------------------------------------------------------------------------------------------

def names(known: Sequence[str]) -> Callable[[str], list[str]]:
    """A type for argparse: a list with commas, of known names."""
    def parse(text: str) -> list[str]:
        found = [name for name in text.split(",") if name and name != "none"]
        for name in found:
            if name not in known:
                raise argparse.ArgumentTypeError(f"unknown name {name!r}; available: {', '.join(known)}")
        return found
    return parse


def positive(text: str) -> int:
    """A type for argparse."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("it is a number from 1")
    return number


def options(argv: Sequence[str] | None = None) -> argparse.Namespace:
    known = ["codeact", *engines.NAMES]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=textwrap.dedent(f"""\
            examples:
              python benchmarks/interpreter.py --quick
              python benchmarks/interpreter.py --engines none --rows session,action
              python benchmarks/interpreter.py --rows live --engines none --sessions 2000
              python benchmarks/interpreter.py --json speed.json

            rows:    {', '.join(ROWS)}
            engines: {', '.join(known)}   (pip install --group bench)
            """))
    parser.add_argument("--quick", action="store_true", help="few repetitions: below a minute, and less to be trusted")
    parser.add_argument("--engines", type=names(known), default=known, metavar="LIST",
                        help="beside codeact, with commas; none for codeact alone (default: all)")
    parser.add_argument("--rows", type=names(ROWS), default=ROWS, metavar="LIST", help="only these (default: all)")
    parser.add_argument("--sessions", type=positive, metavar="N",
                        help=f"live at once, at most (default: {FULL.sessions}, quick: {QUICK.sessions})")
    parser.add_argument("--sandbox", default="auto", metavar="WALLS", help="as for Interpreter (default: auto)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every sample to FILE")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; the exit code."""
    chosen = options(argv)
    plan = QUICK if chosen.quick else FULL
    if chosen.sessions:
        plan = Plan(**{**asdict(plan), "sessions": chosen.sessions})
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    allow_open_files()
    about, rows, interrupted = machine(), [], False
    # Sessions' folders go to a place of the run's own, removed with whatever a crash of ours would leave there
    scratch = tempfile.mkdtemp(prefix="codeact-bench-")
    os.chmod(scratch, 0o711)
    tempfile.tempdir = scratch
    titles = {"codeact": "codeact", **{name: name for name in chosen.engines if name != "codeact"}}
    missing: dict[str, str] = {}
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, scratch, ignore_errors=True)
        try:
            ours = engines.Codeact(chosen.sandbox)
            stack.callback(ours.close)
            others, missing = engines.create(name for name in titles if name != "codeact")
            for name, engine in others.items():
                stack.callback(engine.close)
                titles[name] = engine.title
            titles["codeact"] = ours.title
            bench = Bench(ours, others, plan)
            for name in chosen.rows:
                progress(f"measuring: {name} ...")
                try:
                    rows += getattr(bench, f"row_{name}")()
                except Exception as error:   # one row's failure is no reason to lose the others
                    rows.append(Row(name, name, missed=[f"{type(error).__name__}: {error}"]))
        except KeyboardInterrupt:
            interrupted = True
        finally:
            progress("")
    for row in rows:
        row.judge()
    if chosen.json:
        chosen.json.write_text(json.dumps(as_json(rows, missing, about), indent=1) + "\n")
    print(", ".join(f"{key} {value}" for key, value in about.items()), end="\n\n")
    print(table(rows, titles, missing))
    return 130 if interrupted else int(any(row.holds is False for row in rows))


def progress(text: str) -> None:
    """A line on the terminal that the next one replaces."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def allow_open_files() -> None:
    """Hundreds of sessions in one process take more descriptors than the usual soft limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if hard == resource.RLIM_INFINITY else min(65_536, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


if __name__ == "__main__":
    sys.exit(main())
