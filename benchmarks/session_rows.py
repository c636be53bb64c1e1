"""The rows of benchmarks/interpreter.py on sessions and actions, their memory and number, and on programs."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import engines
from figures import FULL, Figure, Memory, Row, meminfo, spell
from rounds import Rounds, check

__all__ = ["SessionRows"]

PANDAS = "import pandas, matplotlib.pyplot\nprint(int(pandas.DataFrame({'a': [1, 1]}).a.sum()))"
PANDAS_JOB = ("import numpy, pandas\nnumbers = numpy.random.default_rng(0)\n"
              "frame = pandas.DataFrame({'key': numbers.integers(0, 100, 20_000), 'value': numbers.random(20_000)})\n"
              "means = frame.groupby('key').value.agg(['mean', 'std'])\nprint(len(means) // 50)")
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


class SessionRows(Rounds):
    """What everyone has."""

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


def double(number: int) -> int:
    """Twice `number`."""
    return 2 * number
