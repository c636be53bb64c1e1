"""From flags to an agent: what `codeact "task"` and `codeact chat` have in common."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codeact.cli._flags import network_of, packages_of
from codeact.cli._session import limits_of, mode_of, walls_of
from codeact.cli._sheet import counted
from codeact.errors import CodeActError, ConfigError
from codeact.loop import Budget

if TYPE_CHECKING:
    from codeact.agent import Agent
    from codeact.messages import Image
    from codeact.settings import Settings
    from codeact.settings.file import Fault
    from codeact.trajectory import Stop

__all__ = ["agent_of", "by_hand", "check", "images_of", "offered", "settled", "taken_up", "walls", "why_it_ended",
           "workspace_of"]

_MUST_HOLD = ("max_cost", "base_url")
"""Settings without which a task could cost more, or be read by another server, than the user has said."""
_MAX_INSTRUCTIONS = 1_000_000


def check(args: argparse.Namespace) -> None:
    """Find what is wrong with the flags before anything is started.

    Raises:
        ConfigError: The message says what.
    """
    try:
        mode_of(args)
        network_of(args.network)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    for flag, folder in (*([("--workspace", args.workspace)] if args.workspace else []),
                         *(("--read", folder) for folder in args.read)):
        if not folder.is_dir():
            raise ConfigError(f"{flag} {folder}: it is a file; name the folder it is in" if folder.exists() else
                              f"{flag} {folder}: there is no such folder; make it first, or check the spelling")
    if args.save is not None and not args.save.absolute().parent.is_dir():
        raise ConfigError(f"--save {args.save}: there is no folder {args.save.parent}; make it first")


def settled(args: argparse.Namespace, resume: Path | None) -> Settings:
    """All settings; where they name no model, a conversation that is gone on with does.

    Raises:
        ConfigError: A value cannot be used.
    """
    from codeact.settings import DEFAULT, settle

    faults: list[Fault] = []
    settings = settle(args, faults=faults)
    for (name, *_), said in faults:
        if name in _MUST_HOLD and settings.origins[name] == DEFAULT:
            raise ConfigError(f"{said}\nIt cannot be passed over: mend it, or say --{name.replace('_', '-')}")
        print(f"codeact: {said}\n(passed over; the rest of the settings holds)", file=sys.stderr)
    return settings if settings.model or resume is None else settle(args, model=_model_in(resume), faults=[])


def taken_up(args: argparse.Namespace, resume: Path | None, *, asking: bool = True) -> str:
    """Have the flags of a conversation that is gone on with again, and note them all for the next time.

    Args:
        asking: Whether a person may be asked.

    Returns:
        What was done about it, in words.

    Raises:
        ConfigError: The file has no such conversation.
    """
    from codeact.cli import _again

    told = ""
    if resume is not None:
        if args.number:
            _again.choose(resume, args.number)
        told = _again.take_up(args, resume, _ask if asking and _attended() else None)
    elif args.number:
        raise ConfigError("--number goes with --resume FILE")
    elif args.save is not None and (n := _again.count(args.save)):
        told = (f"{args.save} holds {counted(n, 'conversation')} already; this is another one, behind "
                f"{'it' if n == 1 else 'them'}. To go on with the last: --resume {args.save}")
    args.had_with = _again.had_with(args)
    return told


def _model_in(path: Path) -> str:
    """The model that a conversation was had with; "" where that is not one of ours."""
    from codeact import plugins
    from codeact.trajectory import load

    try:
        found = load(path, cut_off=True)
    except (OSError, CodeActError):   # told by who goes on with it
        return ""
    spec = found[-1].about.get("model") if found else ""
    # The file may be somebody else's, and a dotted name would be imported.
    ours = isinstance(spec, str) and spec.partition(":")[0] in plugins.available("models")
    return str(spec) if ours else ""


def by_hand(spec: str) -> bool:
    """Whether somebody types this model's replies at the terminal."""
    return spec.partition(":")[0] == "human"


def offered(settings: Settings, why: str, *, asking: bool = True) -> Settings:
    """Settings with a model of this machine, where the person at the terminal takes one.

    Args:
        why: What a model is missing for.
        asking: Whether a person may be asked.

    Raises:
        ConfigError: None was found, or taken; it says how to get one.
    """
    from codeact.cli._offer import kept, offer

    chosen = offer(settings, why, ask=_ask if asking and _attended() else None)
    print("To take it next time too:", *kept(chosen), sep="\n  ", end="\n\n", file=sys.stderr)
    return chosen


def _attended() -> bool:
    return sys.stdin is not None and sys.stdin.isatty() and sys.stdout is not None and sys.stdout.isatty()


def _ask(words: str) -> str:
    try:
        return input(words)
    except EOFError:
        return ""


def agent_of(args: argparse.Namespace, model: Any, spec: str, *, approve: Callable[[str, dict[str, Any]], bool] | None,
             on_input: Callable[[str, bool], str | None] | None = None, save: Path | None = None,
             resume: Path | None = None) -> Agent:
    """An agent as the flags want it.

    Args:
        approve: Asked before a tool that needs approval runs; None refuses.
        on_input: Asked for a line when a cell reads standard input.
        save: The file its trajectory is written to as it goes.
        resume: The file of a conversation to go on with; it is written on there.

    Raises:
        ConfigError: The flags cannot be had.
        InterpreterError: The interpreter could not be started.
    """
    from codeact.agent import Agent  # not for --help

    options: dict[str, Any] = {
        name: getattr(args, name) for name in ("workspace", "read", "sandbox", "python", "backend", "index_url")
    }
    budget = Budget(max_turns=args.max_turns, max_seconds=args.max_seconds, max_tokens=args.max_tokens,
                    max_cost=args.max_cost)
    try:
        options |= mode_of(args)
        options["network"] = network_of(args.network)
        options["packages"] = packages_of(args.package, args.allow_packages)
        options["limits"] = limits_of(args, seconds=args.timeout)
        options |= {"budget": budget, "timeout": args.timeout, "approve": approve, "tools": list(args.tool),
                    "format": args.format, "instructions": _instructions_of(args.instructions), "on_input": on_input}
        agent = Agent.resume(resume, model, **options) if resume else Agent(model, save=save, **options)
    except (ValueError, TypeError, OSError) as error:
        raise ConfigError(str(error)) from None
    agent.about |= {"model": spec, "flags": args.had_with}
    return agent


def _instructions_of(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the instructions in {path}: {error}") from None
    if len(text) > _MAX_INSTRUCTIONS:
        raise ConfigError(f"the instructions in {path} are longer than {_MAX_INSTRUCTIONS:,} characters")
    return text


def images_of(paths: list[Path]) -> tuple[Image, ...]:
    """Pictures of files, told apart by how they begin.

    Raises:
        ConfigError: One cannot be read, or is of a kind that models do not read.
    """
    from codeact.messages import Image

    return tuple(map(Image.of, paths))


def walls(agent: Agent, backend: str) -> str:
    """What stands around the code, as a line."""
    level = agent.about["level"]
    return f"Walls: level {level} (`codeact doctor`)" if level else walls_of(level, backend).removeprefix("with ")


def workspace_of(args: argparse.Namespace) -> str:
    """Where it works, as a line."""
    if args.workspace is None:
        return "Workspace: a fresh one"
    how = "changed at once" if args.live else "which stays as it is until you say so"
    return f"Workspace: {args.workspace}, {how}"


def why_it_ended(stop: Stop, args: argparse.Namespace) -> str:
    """For who waited for an answer and got none: what was used up, and the flag that allows more."""
    from codeact.trajectory import Stop

    match stop:
        case Stop.TURN_LIMIT:
            return f"it used all of its {counted(args.max_turns, 'turn')}; allow more with --max-turns"
        case Stop.TIME_LIMIT:
            return f"its {args.max_seconds:g} seconds are over; allow more with --max-seconds"
        case Stop.TOKEN_LIMIT:
            return f"it used its {args.max_tokens:,} tokens; allow more with --max-tokens"
        case Stop.COST_LIMIT:
            return f"it used its {args.max_cost:g} dollars; allow more with --max-cost"
        case Stop.CONTEXT_LIMIT:
            return "the conversation is longer than the model can read; try a smaller task, or another model"
        case Stop.STUCK:
            return "it did the same again and again; put the task in other words, or try another model"
    return stop.value
