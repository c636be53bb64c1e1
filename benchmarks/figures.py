"""What benchmarks/interpreter.py measures with and prints: rows and their figures, accounts of memory, the table."""

from __future__ import annotations

import os
import platform
import statistics
import textwrap
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["FULL", "QUICK", "Figure", "Memory", "Plan", "Row", "as_json", "machine", "meminfo", "spell", "table"]


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
