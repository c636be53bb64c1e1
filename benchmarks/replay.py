"""Replays recorded code actions and compares what a model would see with what was recorded.

    python benchmarks/replay.py --trajectories FILE... [--limit N] [--engines codeact,ipython] [--verbose]

Reads MINT trajectories (`.jsonl` or `.jsonl.gz`, one session a line) and runs the code actions of every session that
needs no outside: no alfworld, no wikipedia search, no network, no shell, no deleting. Each session runs in a process of
its own per engine, in an empty working directory, with a memory limit and 10 s an action:

    codeact   `codeact.Interpreter(style="mint")`
    repl      the same cell runner and style without processes and walls (to tell the two apart)
    ipython   an in-process IPython shell, captured as the paper's recorder did

"normal" is equality after dropping ANSI codes, blanks, addresses, `Out[n]:`, paths of libraries and the time limit's
own number, with each traceback reduced to its last line. "error type" is the same exception class, or none in both.
A session that was recorded with a hidden first cell begins at `Out[2]`; so do both engines.

Results are kept in `--work DIR` (one line a session and engine) and not computed again, so an interrupted run goes on
where it stopped. Exits 1 when codeact is below ipython in any share.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ACTION_SECONDS = 10
SESSION_SECONDS = 120
MEMORY_BYTES = 2 << 30
MINT_PREFIX = "Observation:\n"

_EXECUTE = re.compile(r"<execute>(.*?)</execute>", re.S)
_OBSERVATION = re.compile(r"Observation:\n(.*?)\n?You have \d+ steps left and \d+ chances to propose solution left\.\n",
                          re.S)
_OUTSIDE = re.compile(
    r"wikipedia|\burllib|\brequests\b|\bsocket\b|\bhttp\.|\bsubprocess\b|os\.(system|popen|remove|unlink|rmdir|exec)|"
    r"\bshutil\b|^\s*[!%]|^\s*(pip3?|conda|apt|apt-get|git|wget|curl|sudo|cd|ls)\s|yfinance|nltk\.download|"
    r"pandas_datareader|openai|\bwebbrowser\b|\bselenium\b|https?://", re.M)


# Sessions -----------------------------------------------------------------------------------------------------------

@dataclass(frozen=True)
class Session:
    """The code actions of one recorded session."""

    key: str
    task: str
    codes: tuple[str, ...]
    recorded: tuple[str | None, ...]
    """What each action showed; None for the last one of a session, whose observation was never stored."""
    first: int
    """The number of the first cell."""


def sessions(paths: list[Path]) -> Iterator[Session]:
    """The sessions that can be replayed, in order."""
    for path in paths:
        opener = gzip.open if path.suffix == ".gz" else open
        with opener(path, "rt", encoding="utf-8") as file:
            for n, line in enumerate(file):
                session = _session(json.loads(line), f"{path.name}:{n}")
                if session is not None:
                    yield session


def _session(record: dict[str, Any], place: str) -> Session | None:
    task = record.get("task_name", "")
    if record.get("category") == "decision_making" or task == "hotpotqa" or task.startswith("alfworld"):
        return None
    history = record["state"]["history"]
    codes: list[str] = []
    recorded: list[str | None] = []
    for i, message in enumerate(history):
        if message["role"] != "assistant" or "<solution>" in message["content"]:
            continue
        bodies = _EXECUTE.findall(message["content"])
        if not bodies:
            continue
        codes.append("\n".join(body.strip() for body in bodies))
        answer = history[i + 1]["content"] if i + 1 < len(history) else ""
        found = _OBSERVATION.match(answer)
        recorded.append(found.group(1) if found else None)
    if not any(text is not None for text in recorded) or any(_OUTSIDE.search(code) for code in codes):
        return None
    numbers = [(int(n), i) for i, text in enumerate(recorded)
               for n in re.findall(r"(?:Out|Cell In)\[(\d+)\]", text or "")[:1]]
    first = 2 if numbers and numbers[0][0] - numbers[0][1] == 2 else 1
    key = hashlib.sha256(json.dumps([place, codes]).encode()).hexdigest()[:16]
    return Session(key, task, tuple(codes), tuple(recorded), first)


# Engines: each runs in a process of its own, reads a session as JSON and prints a JSON list of observations -----------

def play_codeact(codes: list[str], first: int) -> list[str]:
    from codeact import Interpreter, Limits

    shown = []
    with Interpreter(style="mint", limits=Limits(memory_mb=MEMORY_BYTES >> 20)) as py:
        for _ in range(first - 1):
            py.run("pass")
        for code in codes:
            shown.append(py.run(code, timeout=ACTION_SECONDS).text)
    return shown


def play_repl(codes: list[str], first: int) -> list[str]:
    import io

    from codeact.interpreter.output import Display, Event, Failure, Text, Value
    from codeact.interpreter.style import style
    from codeact.kernel.repl import Repl

    events: list[Event] = []

    class Stream(io.TextIOBase):
        encoding = "utf-8"

        def __init__(self, name: Any):
            self.name = name

        def write(self, text: str) -> int:
            events.append(Text(self.name, text))
            return len(text)

        def writable(self) -> bool:
            return True

    def late(*_: object) -> None:
        raise KeyboardInterrupt

    wording = style("mint")
    repl = Repl(lambda kind, bundle, meta: events.append(Display(bundle)))
    sys.stdout, sys.stderr, sys.stdin = Stream("stdout"), Stream("stderr"), open(os.devnull)   # type: ignore[assignment]
    signal.signal(signal.SIGALRM, late)
    shown = []
    for number, code in enumerate(codes, first):
        events.clear()
        signal.alarm(ACTION_SECONDS)
        result = repl.run(code, number)
        signal.alarm(0)
        if result["value"] is not None:
            events.append(Value(result["value"]))
        error = result["error"]
        if error is not None:
            if error["name"] == "KeyboardInterrupt":
                error.update(name="TimeoutError", message=wording.timed_out.format(seconds=ACTION_SECONDS))
            events.append(Failure(error["name"], error["message"], error["traceback"], tuple(error["chain"])))
        shown.append(wording.render(events, number=number))
    return shown


def play_ipython(codes: list[str], first: int) -> list[str]:
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.utils import io

    sys.stdin = open(os.devnull)
    shell = InteractiveShell.instance(colors="NoColor")
    shell.execution_count = first

    def late(*_: object) -> None:
        raise TimeoutError(f"Timed out after {ACTION_SECONDS} seconds.")

    signal.signal(signal.SIGALRM, late)
    shown = []
    for code in codes:
        with io.capture_output() as captured:
            signal.alarm(ACTION_SECONDS)
            shell.run_cell(code, store_history=True)
            signal.alarm(0)
        text = captured.stdout or "[Executed Successfully with No Output]"
        shown.append((text if len(text) <= 2000 else text[:2000] + "...\n[Output Truncated]").strip())
    return shown


ENGINES = {"codeact": play_codeact, "repl": play_repl, "ipython": play_ipython}


def child(engine: str) -> None:
    """Play the session on stdin."""
    import resource

    out = os.fdopen(os.dup(1), "w")
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 1)
    if engine != "codeact":     # which has limits of its own
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    session = json.load(sys.stdin)
    out.write(json.dumps(ENGINES[engine](session["codes"], session["first"])))
    out.flush()
    os._exit(0)     # whatever threads a session left


def play(engine: str, session: Session) -> list[str]:
    """One session through one engine; shorter than its codes when the process died on the way."""
    with tempfile.TemporaryDirectory(prefix="replay-") as folder:
        environment = {**os.environ, "MPLBACKEND": "Agg", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1",
                       "IPYTHONDIR": folder, "PYTHONHASHSEED": "0"}
        process = subprocess.Popen([sys.executable, os.path.abspath(__file__), "--child", engine], cwd=folder,
                                   env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True, start_new_session=True)
        try:
            out, err = process.communicate(json.dumps({"codes": session.codes, "first": session.first}),
                                           timeout=SESSION_SECONDS)
            return [str(text) for text in json.loads(out)]
        except (subprocess.TimeoutExpired, ValueError) as problem:
            if isinstance(problem, ValueError) and process.returncode == 1:
                raise RuntimeError(f"{engine} failed:\n{err[-2000:]}") from None
            return []
        finally:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()


# Comparing ----------------------------------------------------------------------------------------------------------

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_ADDRESS = re.compile(r"0x[0-9a-fA-F]+")
_PATH = re.compile(r"(?:[\w.~-]*/)+(?:site-packages|dist-packages|lib/python[\d.]+)/")
_LIMIT = re.compile(r"Timed out after [\d.]+ seconds")
_HEADER = re.compile(r"^([A-Za-z_][\w.]*) +Traceback \(most recent call last\)$", re.M)
_RULE = re.compile(r"-{75}\n(?=[A-Za-z_][\w.]* +Traceback )")
_LAST_LINE = re.compile(r"^([A-Z]\w*):(?: |$)", re.M)
_SYNTAX = re.compile(r"^ *(?:Cell In\[\d+\], line \d+|Traceback \(most recent call last\):"
                     r"|An exception has occurred, use %tb to see the full traceback\.)$", re.M)


def error_of(text: str) -> tuple[str, int] | None:
    """The exception's class that an observation ends with, and where its traceback begins."""
    rule = _RULE.search(text)
    if rule:
        names = _HEADER.findall(text, rule.start())     # of several chained the last one ended the cell
        return (names[-1].rsplit(".", 1)[-1] if names else "?"), rule.start()
    found = _SYNTAX.search(text)
    if not found:
        return None
    names = _LAST_LINE.findall(text, found.start())
    return (names[-1] if names else "?"), found.start()


def normal(text: str) -> str:
    """What is compared: see the module's docstring."""
    text = _LIMIT.sub("Timed out after N seconds", _ADDRESS.sub("0x", _ANSI.sub("", text)))
    error = error_of(text)
    if error is not None:
        name, at = error
        tail = text[at:].rstrip()
        if tail.endswith("[Output Truncated]"):
            tail = name     # its last line is cut away
        else:
            starts = [m.start() for m in re.finditer(rf"^(?:[\w.]+\.)?{re.escape(name)}:(?: |$)", tail, re.M)]
            tail = tail[starts[-1]:] if starts else tail.rsplit("\n", 1)[-1]
        text = text[:at] + "\n" + tail
    text = re.sub(r"^Out\[\d+\]:", "", text, flags=re.M)
    return " ".join(_PATH.sub("", text).split())


def cause(recorded: str, shown: str | None) -> str:
    """Why two observations differ, as well as a rule can say."""
    if shown is None:
        return "process died or session took too long"
    before, now = error_of(recorded), error_of(shown)
    if before and now:
        if before[0] == now[0]:
            syntax = before[0] in ("SyntaxError", "IndentationError", "TabError")
            return "same error, other wording" + (" (syntax)" if syntax else "")
        return "time limit" if "TimeoutError" in (before[0], now[0]) else "different error type"
    if before or now:
        if "TimeoutError" in ((before or now or ("",))[0],):
            return "time limit"
        return "error only in the record" if before else "error only now"
    if "[Executed Successfully" in recorded or "[Executed Successfully" in shown:
        return "output in one only"
    if "[Output Truncated]" in recorded or "[Output Truncated]" in shown:
        return "cut output"
    figures = re.compile(r"-?\d+\.?\d*(?:e[+-]?\d+)?")
    if figures.sub("#", normal(recorded)) == figures.sub("#", normal(shown)):
        return "other numbers"
    return "other text"


@dataclass
class Tally:
    """What one engine reached."""

    actions: int = 0
    exact: int = 0
    normal: int = 0
    error_type: int = 0
    sessions: int = 0
    whole: int = 0

    def shares(self) -> list[float]:
        n, m = max(1, self.actions), max(1, self.sessions)
        return [100 * self.exact / n, 100 * self.normal / n, 100 * self.error_type / n, 100 * self.whole / m]


def tally(chosen: list[Session], shown: dict[str, list[str]]) -> tuple[Tally, list[tuple[Session, int, str]]]:
    """Count one engine's matches; the actions that differ, with their causes."""
    total, different = Tally(), []
    for session in chosen:
        texts = shown[session.key]
        total.sessions += 1
        whole = True
        for i, recorded in enumerate(session.recorded):
            if recorded is None:
                continue
            text = texts[i] if i < len(texts) else None
            total.actions += 1
            total.exact += text is not None and text.strip() == recorded.strip()
            same = text is not None and normal(text) == normal(recorded)
            total.normal += same
            kind = [None if error is None else error[0] for error in (error_of(recorded), error_of(text or ""))]
            total.error_type += text is not None and kind[0] == kind[1]
            if not same:
                whole = False
                different.append((session, i, cause(recorded, text)))
        total.whole += whole
    return total, different


# The command --------------------------------------------------------------------------------------------------------

def load(path: Path) -> dict[str, list[str]]:
    done = {}
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                row = json.loads(line)
            except ValueError:      # the line that an interrupted run was writing
                continue
            done[row["key"]] = row["shown"]
    return done


def run(engines: list[str], chosen: list[Session], work: Path, jobs: int) -> dict[str, dict[str, list[str]]]:
    """Play what is not played yet, the engines in turn on the same session."""
    work.mkdir(parents=True, exist_ok=True)
    results = {engine: load(work / f"{engine}.jsonl") for engine in engines}
    todo = [session for session in chosen if any(session.key not in results[engine] for engine in engines)]
    played = 0

    def one(session: Session) -> list[tuple[str, list[str]]]:
        return [(engine, play(engine, session)) for engine in engines if session.key not in results[engine]]

    with ThreadPoolExecutor(jobs) as pool:
        for session, made in zip(todo, pool.map(one, todo), strict=True):
            for engine, shown in made:
                results[engine][session.key] = shown
                with open(work / f"{engine}.jsonl", "a", encoding="utf-8") as file:
                    file.write(json.dumps({"key": session.key, "shown": shown}) + "\n")
            played += 1
            if sys.stderr.isatty() or played % 50 == 0:
                print(f"\r{played}/{len(todo)} sessions", end="" if sys.stderr.isatty() else "\n", file=sys.stderr)
    if sys.stderr.isatty() and todo:
        print(file=sys.stderr)
    return results


def report(engines: list[str], chosen: list[Session], results: dict[str, dict[str, list[str]]], examples: int) -> bool:
    """Print the tables; whether the first engine is at least as good as ipython in every share."""
    tallies, misses = {}, {}
    for engine in engines:
        tallies[engine], misses[engine] = tally(chosen, results[engine])
    total = tallies[engines[0]]
    print(f"{total.sessions} sessions, {total.actions} actions with a recorded observation\n")
    print("| engine | exact % | normal % | error type % | sessions wholly normal % |\n|---|---|---|---|---|")
    for engine in engines:
        print(f"| {engine} | " + " | ".join(f"{share:.2f}" for share in tallies[engine].shares()) + " |")
    causes = {engine: Counter(why for _, _, why in misses[engine]) for engine in engines}
    print("\n| cause of difference | " + " | ".join(engines) + " |\n|---" + "|---" * len(engines) + "|")
    for why in sorted(set().union(*causes.values()), key=lambda why: -causes[engines[0]][why]):
        print(f"| {why} | " + " | ".join(str(causes[engine][why]) for engine in engines) + " |")
    if "ipython" in engines and engines[0] != "ipython":
        ours, theirs = ({(s.key, i): (s, i, w) for s, i, w in misses[e]} for e in (engines[0], "ipython"))
        lost = [ours[k] for k in ours if k not in theirs]
        print(f"\nmatched by ipython only: {len(lost)}; by {engines[0]} only: {sum(k not in ours for k in theirs)}")
        for session, i, why in lost[:examples]:
            _example(session, i, why, {engine: results[engine] for engine in engines})
    seen: Counter[str] = Counter()
    for session, i, why in misses[engines[0]]:
        seen[why] += 1
        if seen[why] <= examples:
            _example(session, i, why, {engine: results[engine] for engine in engines})
    if "ipython" not in engines:
        return True
    return all(a >= b for a, b in zip(tallies[engines[0]].shares(), tallies["ipython"].shares(), strict=True))


def _example(session: Session, i: int, why: str, results: dict[str, dict[str, list[str]]]) -> None:
    print(f"\n==== {why}: {session.task} {session.key}, action {i + 1}\n{session.codes[i][-1500:]}")
    print(f"---- recorded\n{(session.recorded[i] or '')[-700:]}")
    for engine, shown in results.items():
        texts = shown[session.key]
        print(f"---- {engine}\n{texts[i][-700:] if i < len(texts) else '(nothing)'}")


def main() -> int:
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trajectories", nargs="+", type=Path, metavar="FILE", required=True)
    parser.add_argument("--engines", default="codeact,ipython", help="of " + ", ".join(ENGINES))
    parser.add_argument("--limit", type=int, help="sessions at most")
    parser.add_argument("--work", type=Path, help="where results are kept (default: a new temporary folder)")
    parser.add_argument("--jobs", type=int, default=2, help="sessions at a time")
    parser.add_argument("--verbose", type=int, nargs="?", const=2, default=0, metavar="N", help="examples a cause")
    options = parser.parse_args()
    engines = options.engines.split(",")
    unknown = [engine for engine in engines if engine not in ENGINES]
    if unknown:
        parser.error(f"unknown engine {unknown[0]!r}; available: {', '.join(ENGINES)}")
    chosen = list(sessions(options.trajectories))[:options.limit]
    work = options.work or Path(tempfile.mkdtemp(prefix="codeact-replay-"))
    return 0 if report(engines, chosen, run(engines, chosen, work, options.jobs), options.verbose) else 1


if __name__ == "__main__":
    sys.exit(main())
