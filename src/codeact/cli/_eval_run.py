"""`codeact eval SUITE` and `codeact eval resume RUN`: flags, the folder, Ctrl-C, and what is said at the end."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codeact.cli._exit import FAILED, INTERRUPTED, fail
from codeact.cli._flags import positive
from codeact.cli._parser import Parser
from codeact.errors import ConfigError

if TYPE_CHECKING:
    from codeact.evals.plan import Plan
    from codeact.evals.runner import Limits, Progress
    from codeact.loop import Cancel

__all__ = ["main", "resume"]

DONE, LEFT = 0, 1

_CODES = "exit code: 0 all done, 1 a limit was reached or jobs failed, 2 wrong usage, 3 given up, 130 interrupted\n"
_SETTINGS = {"max_turns": "max_turns", "max_answers": "max_answers", "temperature": "temperature",
             "timeout": "timeout_seconds", "envelope": "envelope"}


def main(suite: str, argv: Sequence[str]) -> int:
    """Begin a run; `argv` without the suite's name. Returns the exit code.

    Raises:
        ConfigError: Something cannot be had.
        GivenUp: One job after the other failed.
    """
    from codeact import plugins
    from codeact.evals.plan import Plan
    from codeact.evals.runner import begin

    module = plugins.load("suites", suite)
    parser = _parser(suite)
    known = {action.dest for action in parser._actions}
    if hasattr(module, "add_flags"):
        module.add_flags(parser.add_argument_group(f"of {suite}"))
    args = parser.parse_args(argv)
    options = {action.dest: getattr(args, action.dest) for action in parser._actions if action.dest not in known}
    settings = {name: getattr(args, flag) for flag, name in _SETTINGS.items() if getattr(args, flag) is not None}
    if args.max_reply_tokens is not None:
        settings["max_reply_tokens"] = args.max_reply_tokens or None
    plan = Plan(
        suite=suite, models=_models_of(args), formats=_listed(args.format), repeats=args.repeats,
        options={name: value for name, value in options.items() if value is not None}, settings=settings,
        checker=args.check, only=_listed(args.only), limit=args.limit, seed=args.order_seed, sandbox=args.sandbox,
        max_seconds=args.max_seconds, base_url=args.base_url,
    )
    path = args.out or _new_folder(suite.rpartition(".")[2])

    def go(show: Callable[[Progress], None], cancel: Cancel) -> Progress:
        return begin(path, plan, runner=args.runner, n_parallel=_parallel(args, plan), limits=_limits(args),
                     on_progress=show, cancel=cancel)

    return _watched(path, go)


def _new_folder(suite: str) -> Path:
    """One that is not there, also where another run was begun in this second."""
    name = f"{datetime.now():%Y-%m-%d-%H%M%S}-{suite}"
    names = chain([name], (f"{name}-{number}" for number in count(2)))
    return next(path for path in (Path("runs", one) for one in names) if not path.exists())


def resume(argv: Sequence[str]) -> int:
    """Go on with a run; returns the exit code.

    Raises:
        ConfigError: It is no run, is running, or its suite is another version now.
        GivenUp: One job after the other failed.
    """
    from codeact.evals.folder import RunFolder
    from codeact.evals.plan import Plan
    from codeact.evals.runner import resume

    parser = Parser(prog="codeact eval resume", epilog=_CODES,
                    description="Do what is left of a run, and again what the infrastructure failed at.")
    parser.add_argument("run", metavar="RUN", type=Path, help="its folder")
    _add_running(parser)
    args = parser.parse_args(argv)
    folder = RunFolder.open(args.run)
    plan = Plan.from_json(folder.manifest.get("plan", {}))
    limits = _limits(args) if (args.max_tokens, args.max_cost) != (None, None) else None

    def go(show: Callable[[Progress], None], cancel: Cancel) -> Progress:
        return resume(args.run, runner=args.runner, n_parallel=_parallel(args, plan), limits=limits, on_progress=show,
                      cancel=cancel)

    return _watched(args.run, go)


def _parser(suite: str) -> argparse.ArgumentParser:
    parser = Parser(prog=f"codeact eval {suite}", epilog=_CODES,
                    description=f"Put the tasks of {suite} to a model, in one format or several.")
    add = parser.add_argument
    add("--model", metavar="MODEL", action="append", default=[],
        help="as PROVIDER:NAME, or a profile of the settings; may be repeated (default: the one that is set)")
    add("--base-url", metavar="URL", help="where an OpenAI-compatible server is")
    add("--format", metavar="F,F", default="code", help="code, json, text, native; several with commas (default: code)")
    add("--repeats", metavar="N", type=positive(int), default=1, help="do each task so often (default: 1)")
    add("--out", metavar="DIR", type=Path, help="the run's folder, a new one (default: runs/DATE-TIME-SUITE)")
    add("--only", metavar="X,X", default="", help="these families or tasks alone")
    add("--limit", metavar="N", type=positive(int), help="so many tasks, drawn from all")
    add("--order-seed", metavar="N", type=int, default=0, help="for the order of tasks, and what --limit draws")
    add("--check", metavar="NAME", help="the checker whose verdict ends a task (default: the suite's first)")
    add("--max-turns", metavar="N", type=positive(int), help="replies for one task (default: the suite's)")
    add("--max-answers", metavar="N", type=positive(int), help="answers for one task (default: the suite's)")
    add("--max-reply-tokens", metavar="N", type=int,
        help="of one reply; 0: as the server has it, for models that reason at length (default: the suite's)")
    add("--temperature", metavar="T", type=float, help="(default: the suite's)")
    add("--timeout", metavar="S", type=positive(float), help="seconds for one cell (default: the suite's)")
    add("--max-seconds", metavar="S", type=positive(float), help="for one task")
    add("--envelope", metavar="NAME", help="the marks around actions: chat, m3tooleval, mint, fences")
    add("--sandbox", metavar="WALLS", default="auto", help="as `codeact exec` takes it (default: auto)")
    _add_running(parser, "threads")
    return parser


def _add_running(parser: argparse.ArgumentParser, runner: str | None = None) -> None:
    add = parser.add_argument
    add("-j", "--parallel", metavar="N", type=positive(int), default=4, help="tasks at once (default: 4)")
    add("--runner", metavar="NAME", default=runner,
        help="threads, or ray: a cluster (RAY_ADDRESS names it) of many machines")
    add("--max-cost", metavar="DOLLARS", type=positive(float), help="for the whole run, what was done before included")
    add("--max-tokens", metavar="N", type=positive(int), help="for the whole run, read and written")


def _models_of(args: argparse.Namespace) -> tuple[str, ...]:
    if args.model:
        return tuple(model for given in args.model for model in _listed(given))
    from codeact.settings import settle

    configured = settle(args, model=None).model
    if not configured:
        raise ConfigError("which model? --model openai:gpt-5-mini; to try it without one: --model scripted:FILE "
                          "--max-turns N, with N replies in FILE, one JSON string a line")
    return (configured,)


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part for part in (part.strip() for part in text.split(",")) if part)


def _parallel(args: argparse.Namespace, plan: Plan) -> int:
    """A person at the keyboard answers one after the other."""
    by_hand = any(model.partition(":")[0] == "human" for model in plan.models)
    return 1 if by_hand else int(args.parallel)


def _limits(args: argparse.Namespace) -> Limits:
    from codeact.evals.runner import Limits

    return Limits(args.max_tokens, args.max_cost)


def _watched(path: Path, go: Callable[[Callable[[Progress], None], Cancel], Progress]) -> int:
    """Run with progress on standard error and Ctrl-C in hand, then say how it ended."""
    from codeact.cli._eval_progress import ProgressLine, ended
    from codeact.errors import GivenUp

    line = ProgressLine(sys.stderr)
    with _interruptible() as cancel:
        try:
            progress = go(line, cancel)
        except GivenUp as error:
            line.close()
            return fail(f"{error}\nWhat was finished is kept; once that is mended: codeact eval resume {path}", FAILED)
    line.close()
    print(ended(progress, path), file=sys.stderr)
    if progress.stop is None:
        return DONE if not progress.n_failed else LEFT
    return INTERRUPTED if progress.stop == "cancelled" else LEFT


@contextmanager
def _interruptible() -> Iterator[Cancel]:
    """The first Ctrl-C stops what runs, in good order; a second one leaves at once."""
    from codeact.loop import Cancel

    cancel = Cancel()

    def interrupt(signum: int, frame: Any) -> None:
        if cancel.stop:
            raise KeyboardInterrupt
        print("\nstopping; what is finished is kept (Ctrl-C again: at once)", file=sys.stderr, flush=True)
        cancel.set()

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield cancel
    finally:
        signal.signal(signal.SIGINT, before)


