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
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import textwrap
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

import engines
from door_rows import DoorRows
from figures import FULL, QUICK, Plan, Row, as_json, machine, table
from session_rows import SessionRows
from state_rows import StateRows


class Bench(SessionRows, StateRows, DoorRows):
    """One method a row (or more): `row_NAME` returns what it measured."""


ROWS = [name.removeprefix("row_") for part in Bench.__bases__ for name in vars(part) if name.startswith("row_")]


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
