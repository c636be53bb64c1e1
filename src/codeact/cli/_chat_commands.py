"""The commands of `codeact chat`: a word behind a slash, a function each, listed by /help and completed by Tab.

A function is given the chat and the argument, and says what came of it with `chat.say`; foreseeable faults are raised
as `ConfigError` and shown by the loop.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from codeact import plugins
from codeact.cli._agent import images_of
from codeact.cli._chat_prompt import paths
from codeact.cli._exchanges import exchanges
from codeact.cli._pending import at_end
from codeact.cli._sheet import counted
from codeact.cli._tables import text_table
from codeact.cli._terminal import shown
from codeact.errors import ConfigError
from codeact.settings import create_model, settle

if TYPE_CHECKING:
    from codeact.cli.chat import Chat
    from codeact.interpreter.variables import Variable
    from codeact.trajectory import Trajectory

__all__ = ["COMMANDS", "Command", "dispatch", "wanted"]

_MAX_FILES = 100
_MIN_WORDS = 24
"""Columns that the words of /help need beside the commands."""
_NO_TURNS = "nothing has been said yet"


def _nothing(argument: str) -> Iterable[str]:
    return ()


@dataclass(frozen=True)
class Command:
    """One command."""

    name: str
    usage: str
    help: str
    act: Callable[[Chat, str], bool | None]
    """False leaves the chat."""
    complete: Callable[[str], Iterable[str]] = _nothing


def wanted(text: str) -> tuple[str, str] | None:
    """The command in what was typed, and its argument; None for a message. A path is no command."""
    found = re.match(r"/([A-Za-z?]*)(?:\s+(.*))?\Z", text, re.S)
    return (found[1].lower(), (found[2] or "").strip()) if found else None


def dispatch(chat: Chat, name: str, argument: str) -> bool:
    """Do it; whether the chat goes on.

    Raises:
        ConfigError: There is no such command, or it cannot be done.
    """
    name = {"quit": "exit", "q": "exit", "?": "help", "": "help"}.get(name, name)
    begun = [known for known in COMMANDS if known.startswith(name)]
    command = COMMANDS.get(begun[0] if len(begun) == 1 else name)
    if command is None:
        from difflib import get_close_matches

        close = get_close_matches(name, COMMANDS, n=1)
        hint = f"did you mean /{close[0]}?" if close else "/help lists them."
        raise ConfigError(f"there is no command /{name}; {hint} A message may begin with a blank before the slash.")
    return command.act(chat, argument) is not False


def _undo(chat: Chat, argument: str) -> None:
    n = _number(argument or "1", "/undo takes a number of messages, as /undo 2")
    undone = chat.agent.undo(n)
    if not undone.tasks and chat.agent.trajectory is None:
        raise ConfigError("there is nothing to take back: " + _NO_TURNS)
    n_taken = len(undone.tasks)
    fewer = f", which is all there {'was' if n_taken == 1 else 'were'}" if n_taken < n else ""
    chat.say(f"[took back {counted(n_taken, 'message')}{fewer}, with what came of it in the variables:]", "note")
    for text in undone.tasks:
        chat.say("> " + _line(text), "title")
    for lost in undone.lost:
        chat.say(f"[did not come back: {lost}]", "note")
    if getattr(chat.agent.interpreter, "layer", None):
        chat.say("[files stay as they are: /files shows what waits, `codeact discard` drops it]", "note")
    elif chat.args.workspace:
        chat.say(f"[files in {shown(chat.args.workspace)} stay as they are]", "note")


def _retry(chat: Chat, argument: str) -> None:
    if chat.agent.trajectory is None:
        raise ConfigError("there is nothing to try again: " + _NO_TURNS)
    said = exchanges(chat.agent.trajectory)[-1][0]
    chat.say("> " + _line(said), "title")
    chat.watched(lambda **watch: chat.agent.retry(**watch))


def _continue(chat: Chat, argument: str) -> None:
    if not chat.agent.unanswered:
        raise ConfigError("there is nothing to continue: " + ("the last message has its answer; say what to do next"
                                                              if chat.agent.trajectory else _NO_TURNS))
    chat.watched(lambda **watch: chat.agent.run(None, **watch))


def _vars(chat: Chat, argument: str) -> None:
    variables: list[Variable] = _of(chat, "variables")()
    if not variables:
        chat.say("[no variables]", "note")
        return
    rows = [["name", "type", "size", "value"]]
    for one in variables:
        size = "x".join(map(str, one.shape)) if one.shape is not None else "" if one.length is None else str(one.length)
        rows.append([one.name, one.type, size, one.preview])
    chat.say(text_table(rows, width=_width()), "output")


def _files(chat: Chat, argument: str) -> None:
    if chat.reviewed is not None:
        chat.say(at_end(chat.reviewed) or "[no changes]")
        return
    folder = chat.agent.interpreter.workspace
    rows: list[list[str]] = []
    more = 0
    for where, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(name for name in files if not name.startswith(".")):
            if len(rows) == _MAX_FILES:
                more += 1
                continue
            path = Path(where, name)
            try:
                rows.append([str(path.relative_to(folder)), f"{path.lstat().st_size:,}"])
            except OSError:   # a cell's thread has just removed it
                continue
        if more > 10_000:
            break
    at_last = "" if chat.args.workspace else "; what was written is copied to codeact-output/ when you leave"
    chat.say(f"[{shown(folder)}{at_last}]", "note")
    table = text_table([["file", "bytes"], *rows], width=_width(), right=[False, True])
    chat.say(table if rows else "[no files]", "output")
    if more:
        chat.say(f"[and {more:,} more]", "note")
    for path in chat.terminal.saved:
        chat.say(f"[a figure: {shown(path)}]", "note")


def _model(chat: Chat, argument: str) -> None:
    if argument:
        settings = settle(chat.flags, model=argument, whence="/model", faults=[])   # told at the start
        chat.agent.model = create_model(settings)
        chat.spec = chat.agent.about["model"] = settings.model
    chat.say(f"[the model is {chat.spec}]" if argument else f"[the model is {chat.spec}; /model PROVIDER:NAME takes "
             f"another one: {', '.join(plugins.available('models'))}]", "note")


def _save(chat: Chat, argument: str) -> None:
    trajectory = chat.agent.trajectory
    if trajectory is None:
        raise ConfigError("there is nothing to save: " + _NO_TURNS)
    path = Path(argument).expanduser()
    if path.suffix not in _SAVERS:
        raise ConfigError(f"a conversation is saved as {', '.join(_SAVERS)}: by the end of the name, as "
                          "/save work.ipynb")
    if path.exists() and not chat.asker.sure(f"{shown(path)} is there already. Replace it?"):
        chat.say("[not saved]", "note")
        return
    _SAVERS[path.suffix](trajectory, path)
    chat.say(f"[saved as {shown(path)}]", "note")


def _run(chat: Chat, argument: str) -> None:
    chat.run_cell(argument)


def _image(chat: Chat, argument: str) -> None:
    if not argument:
        raise ConfigError("/image takes a file, as /image plot.png; it goes with your next message")
    chat.images += images_of([Path(argument).expanduser()])
    chat.say("[goes with your next message]", "note")


def _tools(chat: Chat, argument: str) -> None:
    tools = list(getattr(chat.agent.interpreter, "tools", ()))
    if not tools:
        chat.say("[no tools; give some with --tool SPEC]", "note")
    for tool in tools:
        asks = "  (asks first)" if getattr(tool, "needs_approval", False) else ""
        first, *_ = tool.doc.strip().splitlines() or [""]
        chat.say(f"{tool.name}{tool.signature}{asks}\n    {first}", "output")


def _cost(chat: Chat, argument: str) -> None:
    trajectory = chat.agent.trajectory
    if trajectory is None:
        raise ConfigError("nothing was spent: " + _NO_TURNS)
    usage, n_turns = trajectory.usage, len(trajectory.turns)
    rows = [["turns", f"{n_turns:,}"], ["seconds", f"{chat.seconds:.1f}"]]
    if usage.tokens:
        rows += [["tokens read", f"{usage.prompt_tokens:,}"], ["tokens written", f"{usage.completion_tokens:,}"]]
    else:
        rows += [["tokens", "the model does not tell"]]
    rows += [["dollars", f"{usage.cost:.4f}" if usage.cost else "the model does not tell"]]
    chat.say(text_table(rows, width=_width(), header=False), "output")


def _reset(chat: Chat, argument: str) -> None:
    chat.reset()
    chat.say("[a new conversation, with no variables]", "note")


def _help(chat: Chat, argument: str) -> None:
    rows = [[f"/{command.usage}", command.help] for command in COMMANDS.values()]
    rows += [["!CODE", "the same as /run CODE"], ["Alt-Enter", "a new line; Enter sends; Tab completes"],
             ["Ctrl-C", "stops the code and keeps its variables; again: stops the turn"], ["Ctrl-D", "leaves"]]
    wide = max(len(usage) for usage, _ in rows) + 2
    narrow = _width() < wide + _MIN_WORDS   # then the words stand below
    indent = " " * (4 if narrow else wide)
    room = max(_MIN_WORDS, _width() - len(indent))
    heads = (f"{usage}\n{indent}" if narrow else f"{usage:<{wide}}" for usage, _ in rows)
    bodies = (f"\n{indent}".join(wrap(words, room)) for _, words in rows)
    chat.say("\n".join(map("".join, zip(heads, bodies, strict=True))), "output")


def _exit(chat: Chat, argument: str) -> bool:
    return False


def _notebook(trajectory: Trajectory, path: Path) -> None:
    from codeact.export import notebook

    notebook.save(trajectory, path)


def _document(trajectory: Trajectory, path: Path) -> None:
    from codeact.export import markdown

    markdown.save(trajectory, path)


_SAVERS: dict[str, Callable[[Trajectory, Path], None]] = {
    ".ipynb": _notebook, ".md": _document, ".jsonl": lambda trajectory, path: trajectory.save(path),
}

COMMANDS = {
    command.name: command
    for command in (
        Command("undo", "undo [N]", "take the last message back, and all it did to the variables", _undo),
        Command("retry", "retry", "take it back and let the model try again", _retry),
        Command("continue", "continue", "let it go on where a limit or Ctrl-C ended it", _continue),
        Command("vars", "vars", "the variables", _vars),
        Command("files", "files", "the files, or what waits to be applied to your folder", _files),
        Command("run", "run CODE", "run code of your own in the same interpreter; the model is told", _run),
        Command("image", "image FILE", "a picture that goes with your next message", _image, paths),
        Command("tools", "tools", "what the model can call", _tools),
        Command("model", "model [PROVIDER:NAME]", "go on with another model",
                _model, lambda begun: (f"{name}:" for name in plugins.available("models") if name.startswith(begun))),
        Command("cost", "cost", "what was spent so far", _cost),
        Command("save", "save FILE", "as a notebook (.ipynb), a document (.md) or a trajectory (.jsonl)",
                _save, lambda begun: paths(begun, tuple(_SAVERS))),
        Command("reset", "reset", "a new conversation, with no variables", _reset),
        Command("help", "help", "this list", _help),
        Command("exit", "exit", "leave, as Ctrl-D", _exit),
    )
}


def _of(chat: Chat, name: str) -> Callable[..., Any]:
    """A method of the interpreter's, which may be one that has it not."""
    method: Callable[..., Any] | None = getattr(chat.agent.interpreter, name, None)
    if method is None:
        raise ConfigError(f"this interpreter has no {name}()")
    return method


def _number(text: str, message: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text[:9]) == 0:
        raise ConfigError(message)
    return int(text[:9])


def _line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 200 else line[:197] + "..."


def _width() -> int:
    return shutil.get_terminal_size().columns - 4
