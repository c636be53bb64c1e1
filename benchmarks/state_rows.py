"""The rows of benchmarks/interpreter.py on states: checkpoints, branches, crashes, and sessions in files."""

from __future__ import annotations

import itertools
import tempfile
import time
from pathlib import Path

from figures import Figure, Row, meminfo
from rounds import SETTLE_SECONDS, Rounds, check

__all__ = ["StateRows"]

FRAME = "import numpy, pandas\nframe = pandas.DataFrame(numpy.ones((6_250_000, 4)))\nprint(frame.size * 8)"
FRAME_1GB = FRAME.replace("6_250_000", "31_250_000")
SMALL = """
import collections, json
rows = [{'n': n, 'name': f'row {n}'} for n in range(100)]
counted = collections.Counter(row['n'] % 7 for row in rows)
def answer(): return 42 if counted[0] == 15 and rows[99]['n'] == 99 else None
"""
FRAME_50MB = """
import numpy, pandas
frame = pandas.DataFrame(numpy.random.default_rng(0).random((1_562_500, 4)))
def answer(): return 42 if frame.shape == (1_562_500, 4) else None
"""
CRASHES = {
    "segfault": "import ctypes\nctypes.string_at(0)",
    "os._exit": "import os\nos._exit(3)",
    "SIGKILL": "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)",
    "abort": "import os\nos.abort()",
}


class StateRows(Rounds):
    """What others do not have."""

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

    def row_branch(self) -> list[Row]:
        rows = [Row("branch", "first result of a branch of a 200 MB frame", most=10),
                Row("branch_1gb", "the same of a 1 GB frame", most=25)]
        for row, code, size in ((rows[0], FRAME, "200000000"), (rows[1], FRAME_1GB, "1000000000")):
            row.cells = dict.fromkeys(self.others, "impossible")
            if meminfo()["MemAvailable"] < 4 * int(size) / 1e6:
                row.notes.append("left out: memory is short")
                continue
            samples = []
            with self.ours.open() as session:
                check(session.run(code), size)
                for number in self._rounds(self.plan.rounds):
                    session.run(f"frame.iat[0, 0] = {number}")
                    session.checkpoint()   # what was asked for after that cell has come
                    session.run("1+1")     # not worth a copy by itself: the branch makes its own
                    started = time.perf_counter()
                    branch = session.branch()
                    try:
                        shown = branch.run("print(int(frame.iat[0, 0]))")
                        samples.append((time.perf_counter() - started) * 1000)
                        check(shown, str(number))
                    finally:
                        branch.close()
            row.ours = Figure(samples)
        return rows

    def row_save(self) -> list[Row]:
        rows = []
        with tempfile.TemporaryDirectory() as folder:
            for name, what, code in (("small", "a small session", SMALL),
                                     ("50mb", "one with a 50 MB frame", FRAME_50MB)):
                saved = Row(f"save_{name}", f"save {what} to a file", cells=dict.fromkeys(self.others, "impossible"))
                loaded = Row(f"load_{name}", f"load {what}, to the first result", cells=dict(saved.cells))
                file, saves, loads = Path(folder) / f"{name}.zip", [], []
                with self.ours.open() as session:
                    session.run(code)
                    for _ in self._rounds(self.plan.rounds):
                        started = time.perf_counter()
                        session.save(file)
                        saves.append((time.perf_counter() - started) * 1000)
                        time.sleep(SETTLE_SECONDS)
                        started = time.perf_counter()
                        with self.ours.load(file) as other:
                            shown = other.run("print(answer())")
                            loads.append((time.perf_counter() - started) * 1000)
                            if shown.stdout.strip() != "42":
                                raise RuntimeError(f"loaded as {shown.text.strip()[:200]!r}")
                saved.ours, loaded.ours = Figure(saves), Figure(loads)
                saved.notes.append(f"a file of {file.stat().st_size / 1e6:.3g} MB")
                rows += [saved, loaded]
        return rows
