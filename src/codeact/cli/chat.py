"""`codeact chat`: a conversation with a model that acts in one interpreter, whose variables stay.

One message and all that the agent does on it is an exchange. While one is going on, this file's thread runs the
rollout; the view, Ctrl-C and questions about tools are in `_terminal.py`, `_interrupts.py` and `_asking.py`. Between
them it reads what the person types (`_chat_prompt.py`): a message, a command (`_chat_commands.py`) or, after `!`, code.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codeact.cli._agent import agent_of, by_hand, check, offered, settled, taken_up, walls, why_it_ended, workspace_of
from codeact.cli._asking import Asker, lines, quiet
from codeact.cli._chat_commands import COMMANDS, dispatch, wanted
from codeact.cli._chat_prompt import prompt_for
from codeact.cli._control import cleaned
from codeact.cli._exchanges import exchanges
from codeact.cli._exit import ANSWERED, guarded
from codeact.cli._files import OUTPUT_FOLDER, Shelf
from codeact.cli._flags import add_agent, add_number, sentence
from codeact.cli._interrupts import Interrupts
from codeact.cli._keeping import keep, named, there, without_hidden
from codeact.cli._parser import Parser
from codeact.cli._pending import at_end, at_start
from codeact.cli._places import forget_old_states, last_conversation, new_conversation
from codeact.cli._running import tell_what_runs
from codeact.cli._session import in_flags
from codeact.cli._sheet import Style, counted
from codeact.cli._terminal import Terminal, sheet_for, shown
from codeact.errors import Cancelled, CannotGoBack, CodeActError, ConfigError
from codeact.events import Code, Event, Output
from codeact.messages import Image
from codeact.settings import create_model
from codeact.trajectory import Stop, Trajectory, Turn

if TYPE_CHECKING:
    from codeact.agent import Agent, Result

__all__ = ["HELP", "Chat", "main"]

HELP = "talk with a model that acts in one interpreter; variables stay"

_LAST = "last"
_MAX_NAMES = 20

_MORE = """\
examples:
  codeact chat --model openai:gpt-5-mini --workspace .
  codeact chat --model openai:qwen3:8b --base-url http://localhost:11434/v1      Ollama, vLLM, llama.cpp, LM Studio
  codeact chat --resume                       go on with the last conversation, and its variables

In it: Enter sends, Alt-Enter begins a new line, pasted text stays whole. Ctrl-C stops the running code and keeps its
variables, a second one stops the turn, Ctrl-D leaves. A line that begins with ! is code of your own for the same
interpreter. Commands begin with a slash; /help lists them:

"""


def _parser() -> argparse.ArgumentParser:
    commands = "".join(f"  /{command.usage:<28} {command.help}\n" for command in COMMANDS.values())
    made = Parser(prog="codeact chat", description=sentence(HELP), epilog=_MORE + commands)
    add_agent(made)
    group = made.add_argument_group("the conversation")
    group.add_argument("--resume", metavar="FILE", nargs="?", const=_LAST, type=str,
                       help="go on with the conversation in FILE, or else with the last one")
    add_number(group)
    group.add_argument("--save", metavar="FILE.jsonl", type=Path,
                       help="keep the conversation in this file (default: one of its own, for --resume)")
    return made


def main(argv: Sequence[str]) -> int:
    """Run the verb; `argv` without it. Returns the exit code."""
    return guarded(lambda: _main(_parser().parse_args(argv)))


def _main(args: argparse.Namespace) -> int:
    if sys.stdin is None or sys.stdout is None:
        raise ConfigError("a chat needs standard input and output, and one of them is closed")
    resumed = _resumed(args)
    as_before = taken_up(args, resumed)
    settings = settled(args, resumed)
    if not settings.model:
        settings = offered(settings, "no model is configured")
    flags, args = args, settings.filled(args)
    check(args)
    chat = Chat(flags, args, settings.model, create_model(settings), resumed)
    for number in (signal.SIGTERM, signal.SIGHUP):   # the window was closed: files are kept all the same
        signal.signal(number, _leave)
    try:
        chat.begin(as_before, goes_on=resumed is not None)
        chat.loop()
    finally:
        chat.close()
    return ANSWERED


def _leave(number: int, frame: object) -> None:
    raise SystemExit(128 + number)


def _resumed(args: argparse.Namespace) -> Path | None:
    """The file of the conversation to go on with."""
    if args.resume is None:
        return None
    if args.save is not None:
        raise ConfigError("--resume writes on in the file it goes on with: leave out --save")
    path = last_conversation() if args.resume == _LAST else Path(args.resume)
    if path is None:
        raise ConfigError("there is no conversation to go on with yet; begin one with: codeact chat")
    if not path.is_file():
        raise ConfigError(f"there is no conversation in {path}; `codeact chat --resume` takes the last one")
    return path


class Chat:
    """One conversation at a terminal: what its commands act on.

    Args:
        flags: As they were given.
        args: With what settings say of the rest.
    """

    def __init__(self, flags: argparse.Namespace, args: argparse.Namespace, spec: str, model: Any,
                 resumed: Path | None) -> None:
        self.flags, self.args, self.spec = flags, args, spec
        self.sheet = sheet_for(sys.stdout)
        self.shelf = Shelf(args.workspace if args.workspace and args.live else Path(OUTPUT_FOLDER).absolute())
        self.terminal = Terminal(self.sheet, self.shelf, images=sys.stdout.isatty())
        self.attended = sys.stdin.isatty() and sys.stdout.isatty()
        self.asker = Asker(self.sheet, sys.stdin.fileno() if self.attended else None, yes=args.yes)
        self.prompt = prompt_for({command.name: command.complete for command in COMMANDS.values()}, self._status)
        self.images: list[Image] = []
        """Pictures that go with the next message."""
        self.written: list[str] = []
        """Files that cells wrote, for the end."""
        self.seconds = 0.0
        """That the agent has worked."""
        self._told = False
        """Whether the person has been told how to leave."""
        self._died = False
        """Whether the last cell's process ended, and the state of before it is back."""
        self.file: Path | None = resumed
        self.agent = self._make(model, resumed)

    def _make(self, model: Any, resumed: Path | None) -> Agent:
        if resumed is None:
            self.file = self.args.save or new_conversation()
            forget_old_states()
        agent = agent_of(self.args, model, self.spec, approve=self.asker, on_input=self._on_input, save=self.file,
                         resume=resumed)
        tell_what_runs(getattr(agent.interpreter, "tools", ()), self.terminal.now)
        return agent

    # Between exchanges ------------------------------------------------------------------------------------------------

    def begin(self, as_before: str, *, goes_on: bool) -> None:
        """Say what is there.

        Args:
            as_before: What of the flags of a conversation that goes on holds again, in words.
            goes_on: Whether this one does.
        """
        self.say(f"Model: {self.spec}\n{workspace_of(self.args)}\n{walls(self.agent, self.args.backend)}", "title")
        if self.file is None:
            self.say("[this conversation is not kept: its file cannot be made]", "note")
        if self.reviewed is not None and (words := at_start(self.reviewed)):
            self.say(words, "note")
        if as_before:
            self.say(f"[{as_before}]", "note")
        if goes_on:
            self._recall(self.agent.trajectory)
        self.terminal.finish()

    def _recall(self, trajectory: Trajectory | None) -> None:
        """Where the conversation stood, and what came back of it."""
        if trajectory is None:
            self.say("[goes on where all that was said had been taken back]", "note")
        else:
            found = exchanges(trajectory)
            self.say(f"[goes on after {counted(len(found), 'message')} and {counted(len(trajectory.turns), 'turn')}; "
                     "the last message was]", "note")
            said, turns = found[-1] if found else ("", ())
            self.say("> " + " ".join(said.split())[:500], "title")
            last = turns[-1].action if turns else None
            self.say(getattr(last, "text", "") or "[it came to no answer; /continue lets it go on]", "answer")
        resumed = self.agent.resumed
        replayed = f"; {counted(resumed.n_replayed, 'cell was', 'cells were')} run again" if resumed.n_replayed else ""
        self.say(f"[came back: {self._names()}{replayed}]", "note")
        for lost in resumed.lost:
            self.say(f"[did not come back: {lost}]", "note")

    def _names(self) -> str:
        """The variables there are, in words."""
        try:
            names = [one.name for one in getattr(self.agent.interpreter, "variables", list)()]
        except CodeActError:
            return "variables that cannot be listed"
        more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
        return f"the variables {', '.join(names[:_MAX_NAMES])}{more}" if names else "no variables"

    def loop(self) -> None:
        """Read and do, until the person leaves."""
        while True:
            if self.attended:
                print(flush=True)
            try:
                text = self.prompt.read().strip()
            except EOFError:
                return
            except KeyboardInterrupt:
                if not self._told:
                    self.say("[Ctrl-D leaves]", "note")
                    self.terminal.finish()
                self._told = True
                continue
            if not text:
                continue
            try:
                if text.startswith("!"):
                    self.run_cell(text[1:].strip())
                elif (command := wanted(text)) is not None:
                    if not dispatch(self, *command):
                        return
                else:
                    self.exchange(text)
            except (CodeActError, OSError) as error:
                if isinstance(error, BrokenPipeError):
                    raise
                self.fault(error)
            except KeyboardInterrupt:   # at a command: that is given up, not the chat
                self.say("[stopped]", "note")
            self.terminal.finish()

    def say(self, words: str, style: Style = "said") -> None:
        """A part of its own."""
        self.terminal.write(f"{words}\n", style)
        self.sheet.end_part()

    def fault(self, error: Exception, hint: str = "") -> None:
        """What went wrong, and what can be done about it."""
        if isinstance(error, CannotGoBack):
            hint = "Say what should be otherwise, or begin a new conversation with /reset."
        self.say("\n".join([in_flags(str(error)), *([hint] if hint else [])]), "fault")

    @property
    def reviewed(self) -> Any:
        """The interpreter, where it holds changes to a folder back; else None."""
        return self.agent.interpreter if getattr(self.agent.interpreter, "layer", None) else None

    # An exchange ------------------------------------------------------------------------------------------------------

    def exchange(self, text: str) -> None:
        """Have the agent do what the person says."""
        images, self.images = tuple(self.images), []
        self.watched(lambda **watch: self.agent.run(text, images=images, **watch))

    def watched(self, run: Callable[..., Result]) -> None:
        """Show what an agent's method does, and let Ctrl-C stop it."""
        began = time.monotonic()
        interrupts = self._interrupts()
        new: list[Turn] = []
        self.terminal.by_hand = by_hand(self.spec)

        def observe(event: Event) -> None:
            interrupts(event)
            self.asker.watch(event)
            self.terminal(event)
            match event:
                case Code():
                    self._died = False
                case Output(text, "error"):
                    self._died = text.startswith("KernelDied:")
                case Turn():
                    new.append(event)
                    self.written += event.observation.files

        try:
            with quiet(not self.terminal.by_hand), interrupts.watching() as cancel:
                result = run(observe=observe, cancel=cancel)
        except (Cancelled, KeyboardInterrupt):
            self.terminal.finish()
            self.say(self._stopped(), "note")
            return
        except CodeActError as error:
            self.terminal.finish()
            self.fault(error, "" if isinstance(error, ConfigError) else "/retry tries again.")
            return
        finally:
            self.asker.withdraw()
            self.terminal.finish()
            self.seconds += time.monotonic() - began
        self._end(result, new, time.monotonic() - began)

    def _end(self, result: Result, new: list[Turn], seconds: float) -> None:
        tokens = sum(turn.completion.usage.tokens for turn in new)
        cost = sum(turn.completion.usage.cost for turn in new)
        told = [counted(len(new), "turn"), f"{seconds:.1f} s"]
        told += [f"{tokens:,} tokens"] * bool(tokens) + [f"${cost:.4f}"] * bool(cost)
        files = without_hidden([name for turn in new for name in turn.observation.files])
        if files:
            told.append("wrote " + ", ".join(files[:5]) + (f" and {len(files) - 5} more" if len(files) > 5 else ""))
        if result.stop is Stop.CANCELLED:
            self.say(self._stopped(), "note")
        elif result.answer is None:
            self.say(f"[no answer: {why_it_ended(result.stop, self.args)}. /continue lets it go on]", "note")
        self.say(f"[{', '.join(told)}]", "note")

    def _stopped(self) -> str:
        """That it was stopped, and what of the variables."""
        kept = "as they were before the last cell" if self._died else "kept"
        return f"[stopped; the variables are {kept}. Say what to do instead, or /retry, or /continue]"

    def run_cell(self, code: str) -> None:
        """Run code of the person's own in the agent's interpreter."""
        if not code:
            self.say("code goes behind it, as: !len(rows)", "note")
            return
        from codeact.environments._watch import CellWatch

        interrupts, watch = self._interrupts(), CellWatch(self.terminal)
        interrupts.begin_cell()
        self.terminal.begin_cell()
        try:
            with quiet(), interrupts.watching():
                result = self.agent.execute(code, on_output=watch)
            watch.end(result)
        except (Cancelled, KeyboardInterrupt):
            self.say("[stopped; the variables are kept]", "note")
            return
        finally:
            self.asker.withdraw()
            self.terminal.finish()
        self.written += result.files

    def _interrupts(self) -> Interrupts:
        return Interrupts(self.asker.refuse, self.agent.interpreter.interrupt, self.sheet.hint)

    def _on_input(self, question: str, hidden: bool) -> str | None:
        """A cell reads a line; its clock stands still."""
        self.sheet.finish()
        print(flush=True)
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            with lines():
                return self.prompt.line(question, hidden)
        except EOFError:
            return None
        except KeyboardInterrupt:
            self.agent.interpreter.interrupt()
            return None
        finally:
            signal.signal(signal.SIGINT, before)
            self.sheet.phase("the code runs")

    def _status(self) -> str:
        usage = self.agent.trajectory.usage if self.agent.trajectory else None
        spent = f" · {usage.tokens:,} tokens" if usage and usage.tokens else ""
        where = shown(self.args.workspace) if self.args.workspace else "a fresh workspace"
        pictures = f" · {counted(len(self.images), 'picture')} attached" if self.images else ""
        return f"{self.spec} · {where}{spent}{pictures} · /help"

    # The end ----------------------------------------------------------------------------------------------------------

    def reset(self) -> None:
        """A new conversation, with nothing of the old one."""
        model = self.agent.model
        self._leave()
        self.images, self.written, self.seconds = [], [], 0.0
        self.agent = self._make(model, None)

    def close(self) -> None:
        """Keep what was made, and end everything; also where the terminal has gone."""
        with suppress(OSError, ValueError):
            self.terminal.finish()
        try:
            self._leave()
        finally:
            self.asker.close()

    def _leave(self) -> None:
        faults: list[str] = []
        try:
            if self.args.workspace:
                files = there(self.args.workspace, self.written) if self.args.live else []
            else:
                files, faults = keep(self.shelf, self.agent.interpreter.workspace, self.written)
            waiting = at_end(self.reviewed) if self.reviewed is not None else ""
            with suppress(OSError):
                print(cleaned(named([*self.terminal.saved, *files], waiting)), end="", flush=True)
                for fault in faults:
                    self.say(fault, "fault")
        finally:
            self.terminal.saved.clear()
            self.agent.close()
        if self.file is not None and self.file != self.args.save and not self.file.stat().st_size:
            self.file.unlink()   # nothing was said
