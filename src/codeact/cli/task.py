"""`codeact "task"`: do one task and show how; without a task or a model, replay the demo.

Progress goes to the terminal; where standard output is a file or a pipe, progress goes to standard error and standard
output gets the answer alone, or with `--json` the events. Foreseeable faults end in a message and an exit code, never
in a traceback.
"""

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, TextIO

from codeact import __version__, demo, plugins
from codeact.agent import Agent, Result
from codeact.cli import verbs
from codeact.cli._files import OUTPUT_FOLDER, Shelf
from codeact.cli._flags import network_of, packages_of, parser
from codeact.cli._pending import at_end, at_start
from codeact.cli._session import in_flags, limits_of, mode_of, walls_of
from codeact.cli._terminal import Terminal, sheet_for, shown
from codeact.errors import Cancelled, CodeActError, ConfigError, InterpreterError
from codeact.events import Ended, Event, Observer, Started
from codeact.loop import Budget, Cancel
from codeact.trajectory import Stop, Turn

__all__ = ["main"]

ANSWERED, NO_ANSWER, USAGE, FAILED, INTERRUPTED = 0, 1, 2, 3, 130
_MAX_COPIES = 100

_HOW_TO_CONFIGURE = """\
Name a model, as one of these:
  export OPENAI_API_KEY=...; codeact --model openai:gpt-5-mini "your task"
  codeact --model openai:qwen3:8b --base-url http://localhost:11434/v1 "your task"
(the second is Ollama; any OpenAI-compatible server will do)
CODEACT_MODEL and OPENAI_BASE_URL in the environment save typing."""


def main(argv: Sequence[str]) -> int:
    """Do a task; returns the exit code (see `cli.main`)."""
    try:
        return _main(parser().parse_args(argv))
    except SystemExit as left:  # argparse: 0 after --help, 2 after a wrong flag
        return int(left.code or 0)
    except ConfigError as error:
        return _fail(error, USAGE)
    except (CodeActError, InterpreterError) as error:
        return _fail(error, FAILED)
    except (Cancelled, KeyboardInterrupt):
        return _fail("interrupted", INTERRUPTED)
    except BrokenPipeError:
        # Whoever read our output has gone; keep Python from complaining about that when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _fail("nobody reads the output any more", FAILED)


def _main(args: argparse.Namespace) -> int:
    if args.version:
        print(f"codeact {__version__}")
        return ANSWERED
    task = sys.stdin.read().strip() if args.task == ["-"] else " ".join(args.task).strip()
    spec = args.model or os.environ.get("CODEACT_MODEL") or ""
    if not task and not spec and not args.task:
        return _demo(args)
    if not spec:
        hint = _perhaps_a_verb(args.task)
        raise ConfigError(f"no model is configured for the task {task!r}{hint}\n{_HOW_TO_CONFIGURE}")
    try:
        mode_of(args)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    if not task:
        raise ConfigError(f'what is the task? as: codeact --model {spec} "Plot sin(x)/x"')
    for folder in (*([args.workspace] if args.workspace else []), *args.read):
        if not folder.is_dir():
            raise ConfigError(f"there is no folder {str(folder)!r}; make it first, or check the spelling")
    model = plugins.create("models", spec, base_url=args.base_url)
    return _run(args, task, model, spec, title=f"Model: {spec}\nWorkspace: {args.workspace or 'a fresh one'}")


def _demo(args: argparse.Namespace) -> int:
    """Replay our recorded conversation over the real interpreter."""
    from importlib.util import find_spec

    missing = [name for name in ("pandas", "matplotlib") if not find_spec(name)]
    if missing:
        raise ConfigError(
            f"the demo needs {' and '.join(missing)}: pip install 'codeact[science]'\n"
            f"For a task of your own they are not needed. {_HOW_TO_CONFIGURE}"
        )
    model = plugins.load("models", "scripted").create(str(demo.conversation()))
    if sys.stdout.isatty():
        model.seconds_per_word = 0.02
    title = (
        "No model is configured, so this is a REPLAY: the words were written by us beforehand.\n"
        "The code in them is run now, for real, in the interpreter on this machine."
    )
    args.workspace, args.live, args.read = None, False, []

    code = _run(args, demo.TASK, model, "scripted:demo", title=title, given={demo.FILE: demo.sales()})
    print(f"\nThat was a replay. {_HOW_TO_CONFIGURE}", file=sys.stderr)
    return code


def _run(
    args: argparse.Namespace,
    task: str,
    model: Any,
    spec: str,
    *,
    title: str,
    given: Mapping[str, str] = MappingProxyType({}),
) -> int:
    """Do a task with a model that is made already; `given` are files to put into the workspace, with their text."""
    began = time.monotonic()
    piped = args.json or not sys.stdout.isatty()
    progress = sys.stderr if piped else sys.stdout
    shelf = Shelf(args.workspace if args.workspace and args.live else Path(OUTPUT_FOLDER).absolute())
    terminal = Terminal(sheet_for(progress), shelf, with_answer=not piped, images=not piped)
    written: list[str] = []
    watchers: list[Observer] = [lambda event: written.extend(_files_of(event))]

    def observe(event: Event) -> None:
        for watch in watchers:
            watch(event)

    with ExitStack() as stack:
        if args.json:
            watchers.append(_print_json)
        else:
            watchers.append(terminal)
        if args.save:
            watchers.append(_saving(stack, args.save))
        agent = stack.enter_context(_agent(args, model, spec))
        if not args.json:
            terminal.write(f"{title}\n{_walls(agent.about['level'], args.backend)}", "title")
            terminal.write(f"Task: {task}\n", "answer")
        reviewed = agent.interpreter if getattr(agent.interpreter, "layer", None) else None
        if reviewed is not None and (words := at_start(reviewed)):
            terminal.write(f"{words}\n", "note")
        cancel = stack.enter_context(_interruptible())
        for name, content in given.items():
            (agent.interpreter.workspace / name).write_text(content, encoding="utf-8")
        try:
            result = agent.run(task, observe=observe, cancel=cancel)
        finally:
            terminal.finish()
            made = [name for name in written if name not in given]
            files = _there(args.workspace, made) if args.live else \
                [] if args.workspace else _keep(shelf, agent.interpreter.workspace, made)
            _tell_files(terminal.saved, files, at_end(reviewed) if reviewed is not None else "", progress)
    return _end(args, result, piped, progress, time.monotonic() - began)


def _agent(args: argparse.Namespace, model: Any, spec: str) -> Agent:
    options = {name: getattr(args, name) for name in ("workspace", "read", "sandbox", "python", "backend")}
    try:
        options.update(mode_of(args))
        options["network"] = network_of(args.network)
        options["packages"] = packages_of(args.package, args.allow_packages)
        options["index_url"] = args.index_url
        options["limits"] = limits_of(args, seconds=args.timeout)
        agent = Agent(model, budget=Budget(max_turns=args.max_turns), timeout=args.timeout, **options)
    except (ValueError, FileNotFoundError) as error:
        raise ConfigError(str(error)) from None
    agent.about["model"] = spec
    return agent


def _walls(level: int | None, backend: str) -> str:
    return f"Walls: level {level} (`codeact doctor`)" if level else walls_of(level, backend).removeprefix("with ")


def _end(args: argparse.Namespace, result: Result, piped: bool, progress: TextIO, seconds: float) -> int:
    """Say how it ended, and give the answer where only that is wanted."""
    n_turns, tokens = len(result.trajectory.turns), result.usage.tokens
    cost = f", {tokens:,} tokens" if tokens else ""
    print(f"\n[{n_turns} turn{'s' * (n_turns != 1)}, {seconds:.1f} s{cost}]", file=progress, flush=True)
    if result.answer is not None:
        if piped and not args.json:
            print(result.answer, flush=True)
        return ANSWERED
    if result.stop is Stop.CANCELLED:
        return _fail("interrupted", INTERRUPTED)
    advice = {
        Stop.TURN_LIMIT: f"it used all of its {args.max_turns} turns; allow more with --max-turns",
        Stop.CONTEXT_LIMIT: "the conversation is longer than the model can read; try a smaller task, or another model",
    }
    return _fail(f"ended without an answer: {advice.get(result.stop, result.stop.value)}", NO_ANSWER)


def _keep(shelf: Shelf, workspace: Path, names: Sequence[str]) -> list[Path]:
    """Copy what cells wrote out of a workspace that is about to go."""
    copies = []
    wanted = _without_hidden(names)
    try:
        for name in wanted[:_MAX_COPIES]:
            copy = shelf.add_copy(workspace, name)
            copies += [copy] if copy else []
    except OSError as error:
        _fail(f"files could not be copied to {shown(shelf.folder)}: {error}", FAILED)
    if len(wanted) > _MAX_COPIES:
        _fail(f"of {len(wanted)} files written, the first {_MAX_COPIES} are kept; --workspace keeps all", FAILED)
    return copies


def _there(folder: Path, names: Sequence[str]) -> list[Path]:
    """What cells wrote in a folder of the user's and is still there."""
    return [folder / name for name in _without_hidden(names) if (folder / name).is_file()]


def _without_hidden(names: Sequence[str]) -> list[str]:
    """Hidden ones are caches of libraries, whose home the workspace is."""
    return [name for name in dict.fromkeys(names) if not any(part.startswith(".") for part in Path(name).parts)]


def _tell_files(figures: Sequence[Path], files: Sequence[Path], waiting: str, progress: TextIO) -> None:
    """What the user now has, and, where that is another thing, what waits."""
    if paths := list(dict.fromkeys([*figures, *files])):
        names = [f"  {shown(path)}" for path in paths[:_MAX_COPIES]]
        more = [f"  ... and {len(paths) - _MAX_COPIES} more"] if len(paths) > _MAX_COPIES else []
        print("\nFiles for you:", *names, *more, sep="\n", file=progress, flush=True)
    if waiting:
        print(f"\n{waiting}", file=progress, flush=True)


def _files_of(event: Event) -> Sequence[str]:
    return event.observation.files if isinstance(event, Turn) else ()


def _print_json(event: Event) -> None:
    print(json.dumps(event.to_json()), flush=True)


def _saving(stack: ExitStack, path: Path) -> Observer:
    """An observer that adds the lines of a trajectory to a file, each as soon as it is known."""
    try:
        file = stack.enter_context(open(path, "a", encoding="ascii"))
    except OSError as error:
        raise ConfigError(f"cannot write to {path}: {error.strerror}") from None

    def save(event: Event) -> None:
        if isinstance(event, Started | Turn | Ended):
            file.write(json.dumps(event.to_json()) + "\n")
            file.flush()

    return save


@contextmanager
def _interruptible() -> Iterator[Cancel]:
    """Ctrl-C stops the running cell, or else the wait for the model; a second one stops everything."""
    cancel = Cancel()

    def interrupt(signum: int, frame: object) -> None:
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


def _fail(reason: object, code: int) -> int:
    print(f"codeact: {in_flags(str(reason))}", file=sys.stderr)
    return code
