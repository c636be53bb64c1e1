"""`codeact "task"`: do one task and show how; without a task or a model, replay the demo.

Progress goes to the terminal; where standard output is a file or a pipe, progress goes to standard error and standard
output gets the answer alone, or with `--json` the events. Foreseeable faults end in a message and an exit code, never
in a traceback.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TextIO

from codeact import __version__, demo, plugins
from codeact.cli import verbs
from codeact.cli._agent import (
    agent_of,
    by_hand,
    check,
    images_of,
    offered,
    settled,
    taken_up,
    walls,
    why_it_ended,
    workspace_of,
)
from codeact.cli._asking import Asker, quiet
from codeact.cli._exit import ANSWERED, FAILED, INTERRUPTED, NO_ANSWER, fail, guarded
from codeact.cli._files import OUTPUT_FOLDER, Shelf
from codeact.cli._flags import parser
from codeact.cli._keeping import keep, named, there
from codeact.cli._offer import HOW_TO_CONFIGURE
from codeact.cli._pending import at_end, at_start
from codeact.cli._running import tell_what_runs
from codeact.cli._sheet import counted
from codeact.cli._terminal import Terminal, sheet_for
from codeact.errors import Cancelled, ConfigError
from codeact.events import Event, Observer
from codeact.loop import Cancel
from codeact.messages import Image
from codeact.settings import create_model
from codeact.trajectory import Stop, Turn, sum_usage

if TYPE_CHECKING:
    from codeact.agent import Result

__all__ = ["main", "replay"]


def main(argv: Sequence[str]) -> int:
    """Do a task; returns the exit code (see `cli.main`)."""
    return guarded(lambda: _main(parser().parse_args(argv)))


def _main(args: argparse.Namespace) -> int:
    if args.version:
        print(f"codeact {__version__}")
        return ANSWERED
    task = sys.stdin.read().strip() if args.task == ["-"] else " ".join(args.task).strip()
    if args.resume and args.save:
        raise ConfigError("--resume writes on in the file it goes on with: leave out --save")
    as_before = taken_up(args, args.resume, asking=not args.json and args.task != ["-"])
    settings = settled(args, args.resume)
    args = settings.filled(args)
    if not task and not settings.model and not args.task and not args.resume:
        return replay(args, "No model is configured, so this is a REPLAY: the words were written by us beforehand.")
    if not task and not args.resume:
        spelled = f" --model {settings.model}" if settings.model else ""
        raise ConfigError(f'what is the task? as: codeact{spelled} "Plot sin(x)/x", or talk: codeact chat')
    if not settings.model:
        why = f"no model is configured for the task {task!r}{_perhaps_a_verb(args.task)}"
        settings = offered(settings, why, asking=not args.json and args.task != ["-"])
        args = settings.filled(args)
    spec = settings.model
    check(args)
    images = images_of(args.image)
    title = f"Model: {spec}\n{workspace_of(args)}"
    if as_before:
        title += f"\n{as_before}"
    return _run(args, task, create_model(settings), spec, images=images, title=title)


def replay(args: argparse.Namespace, words: str) -> int:
    """Replay our recorded conversation over the real interpreter; its exit code.

    Args:
        words: What it says of itself first.
    """
    from importlib.util import find_spec

    missing = [name for name in ("pandas", "matplotlib") if not find_spec(name)]
    if missing:
        raise ConfigError(
            f"the demo needs {' and '.join(missing)}: pip install 'codeact[science]'\n"
            f"For a task of your own they are not needed. {HOW_TO_CONFIGURE}"
        )
    model = plugins.load("models", "scripted").create(str(demo.conversation()))
    if sys.stdout.isatty():
        model.seconds_per_word = 0.02
    title = f"{words}\nThe code in them is run now, for real, in the interpreter on this machine."
    args.workspace, args.live, args.read = None, False, []

    code = _run(args, demo.TASK, model, "scripted:demo", title=title, given={demo.FILE: demo.sales()})
    print(f"\nThat was a replay. {HOW_TO_CONFIGURE}", file=sys.stderr)
    return code


def _run(
    args: argparse.Namespace,
    task: str,
    model: Any,
    spec: str,
    *,
    title: str,
    images: Sequence[Image] = (),
    given: Mapping[str, str] = MappingProxyType({}),
) -> int:
    """Do a task with a model that is made already; `given` are files to put into the workspace, with their text."""
    began = time.monotonic()
    piped = args.json or not sys.stdout.isatty()
    progress = sys.stderr if piped else sys.stdout
    shelf = Shelf(args.workspace if args.workspace and args.live else Path(OUTPUT_FOLDER).absolute())
    sheet = sheet_for(progress)
    terminal = Terminal(sheet, shelf, with_answer=not piped, images=not piped)
    attended = not args.json and progress.isatty() and sys.stdin is not None and sys.stdin.isatty()
    asker = Asker(sheet, sys.stdin.fileno() if attended else None, yes=args.yes)
    turns: list[Turn] = []
    watchers: list[Observer] = [lambda event: turns.append(event) if isinstance(event, Turn) else None, asker.watch]

    def observe(event: Event) -> None:
        for watch in watchers:
            watch(event)

    with ExitStack() as stack:
        stack.callback(asker.close)
        watchers.append(_print_json if args.json else terminal)
        approve = asker if attended or args.yes else None
        agent = stack.enter_context(agent_of(args, model, spec, approve=approve, save=args.save, resume=args.resume))
        if not task and not agent.unanswered:
            raise ConfigError(f"no task is under way in {args.resume}: say what to do next, as: codeact --resume "
                              f'{args.resume} "..."')
        if not args.json:
            tell_what_runs(getattr(agent.interpreter, "tools", ()), terminal.now)
            terminal.write(f"{title}\n{walls(agent, args.backend)}", "title")
            terminal.write(f"Task: {task or 'the one that was under way'}\n", "answer")
        reviewed = agent.interpreter if getattr(agent.interpreter, "layer", None) else None
        if reviewed is not None and (words := at_start(reviewed)):
            terminal.write(f"{words}\n", "note")
        cancel = stack.enter_context(_interruptible(asker))
        terminal.by_hand = by_hand(spec)
        if attended:
            stack.enter_context(quiet(not terminal.by_hand))
        for name, content in given.items():
            (agent.interpreter.workspace / name).write_text(content, encoding="utf-8")
        try:
            result = agent.run(task or None, images=images, observe=observe, cancel=cancel)
        finally:
            terminal.finish()
            made = [name for turn in turns for name in turn.observation.files if name not in given]
            if args.workspace:
                files = there(args.workspace, made) if args.live else []
            else:
                files, faults = keep(shelf, agent.interpreter.workspace, made)
                for fault in faults:
                    fail(fault, FAILED)
            waiting = at_end(reviewed) if reviewed is not None else ""
            print(named([*terminal.saved, *files], waiting), end="", file=progress, flush=True)
    return _end(args, result, turns, piped, progress, time.monotonic() - began)


def _end(args: argparse.Namespace, result: Result, turns: list[Turn], piped: bool, progress: TextIO,
         seconds: float) -> int:
    """Say how it ended, and give the answer where only that is wanted."""
    usage = sum_usage(turns) + result.asked   # of a conversation gone on with, this part alone
    cost = (f", {usage.tokens:,} tokens" if usage.tokens else "") + (f", ${usage.cost:.4f}" if usage.cost else "")
    print(f"\n[{counted(len(turns), 'turn')}, {seconds:.1f} s{cost}]", file=progress, flush=True)
    if result.answer is not None:
        if piped and not args.json:
            print(result.answer, flush=True)
        return ANSWERED
    if result.stop is Stop.CANCELLED:
        return fail("interrupted", INTERRUPTED)
    return fail(f"ended without an answer: {why_it_ended(result.stop, args)}", NO_ANSWER)


def _print_json(event: Event) -> None:
    print(json.dumps(event.to_json()), flush=True)


@contextmanager
def _interruptible(asker: Asker) -> Iterator[Cancel]:
    """Ctrl-C stops the running cell, or else the wait for the model; a second one stops everything."""
    cancel = Cancel()

    def interrupt(signum: int, frame: object) -> None:
        asker.refuse()
        if cancel.stop:
            raise KeyboardInterrupt
        if not cancel.set():
            raise Cancelled

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield cancel
    finally:
        signal.signal(signal.SIGINT, before)


def _perhaps_a_verb(words: Sequence[str]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(words[0], verbs(), n=1) if len(words) == 1 else []
    return f" (did you mean the verb `codeact {close[0]}`?)" if close else ""
