"""Read what the person types: with history, completion and several lines where the terminal can, else line by line."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from codeact.cli._control import cleaned
from codeact.cli._places import typed
from codeact.cli._terminal import can_move

if TYPE_CHECKING:
    from prompt_toolkit.document import Document

__all__ = ["Prompt", "prompt_for"]

_MAX_PATHS = 200

Complete = Mapping[str, Callable[[str], Iterable[str]]]
"""Commands by name, each with what its argument can be, given its beginning."""


class Prompt(Protocol):
    """Where the person types."""

    def read(self) -> str:
        """One message or command; EOFError at the end, KeyboardInterrupt where it was given up."""

    def line(self, question: str, hidden: bool) -> str | None:
        """A line that a cell asks for; None at the end. KeyboardInterrupt as for `read`."""


def prompt_for(commands: Complete, status: Callable[[], str]) -> Prompt:
    """The best one that works here.

    Args:
        status: What stands below the line, in few words.
    """
    if sys.stdin.isatty() and can_move(sys.stdout):
        try:
            return _Rich(commands, status)
        except ImportError:
            pass
    return _Plain()


class _Plain:
    """For pipes and terminals that only print; with line editing where Python has it."""

    def __init__(self) -> None:
        self._attended = sys.stdin.isatty()
        if self._attended:
            try:
                import readline  # noqa: F401  (line editing for input())
            except ImportError:
                pass

    def read(self) -> str:
        return self._input("> " if self._attended else "")

    def line(self, question: str, hidden: bool) -> str | None:
        if not self._attended:   # the lines of a pipe are the person's messages
            return None
        question = cleaned(question)
        if hidden:
            import getpass

            return getpass.getpass(question)
        return self._input(question)

    def _input(self, prompt: str) -> str:
        try:
            return input(prompt)
        except UnicodeDecodeError as error:
            print(f"[this line cannot be read: {error}]", file=sys.stderr)
            return ""


class _Rich:
    """By prompt_toolkit."""

    def __init__(self, commands: Complete, status: Callable[[], str]) -> None:
        from prompt_toolkit import PromptSession
        from prompt_toolkit.application import get_app
        from prompt_toolkit.completion import Completer, Completion
        from prompt_toolkit.filters import Condition, to_filter
        from prompt_toolkit.history import FileHistory, History, InMemoryHistory
        from prompt_toolkit.key_binding import KeyBindings
        from prompt_toolkit.styles import Style

        class Commands(Completer):
            def get_completions(self, document: Document, complete_event: Any) -> Iterable[Completion]:
                text = document.text_before_cursor
                for whole, shown in _completions(commands, text):
                    yield Completion(whole, start_position=-len(text), display=shown)

        keys = KeyBindings()

        @keys.add("enter")
        def _(event: Any) -> None:
            event.current_buffer.validate_and_handle()

        @keys.add("escape", "enter")
        def _(event: Any) -> None:
            event.current_buffer.insert_text("\n")

        @keys.add("tab")
        def _(event: Any) -> None:
            # At once, not by and by as the menu comes: Enter may follow.
            buffer = event.current_buffer
            begun = buffer.document.text_before_cursor
            found = [whole for whole, _ in _completions(commands, begun)]
            common = os.path.commonprefix(found)   # noqa: RUF071  (of texts, not of paths)
            if len(found) > 1 and buffer.complete_state and common == begun:
                buffer.complete_next()
            elif len(common) > len(begun):
                buffer.insert_text(common[len(begun) :])

        path = typed()
        history: History = FileHistory(str(path)) if path else InMemoryHistory()
        self._status = status
        unicode = (sys.stdout.encoding or "").lower().startswith("utf")
        self._mark = "\u203a " if unicode else "> "
        self._session: PromptSession[str] = PromptSession(
            history=history, completer=Commands(), key_bindings=keys, multiline=True, enable_suspend=True,
            complete_while_typing=Condition(lambda: get_app().current_buffer.text.startswith("/")),
            prompt_continuation=lambda width, number, wrapped: " " * width,
            bottom_toolbar=self._toolbar, reserve_space_for_menu=6,
            style=Style.from_dict({"mark": "bold ansicyan", "bottom-toolbar": "noreverse ansibrightblack",
                                   "placeholder": "ansibrightblack"}),
            color_depth=_depth())
        # The line below stands right there, not at the bottom of the screen.
        self._session.layout.current_window.dont_extend_height = to_filter(True)
        self._lines: PromptSession[str] = PromptSession(history=InMemoryHistory())
        self._hint: str | None = "Ask for something; /help says what else there is"

    def _toolbar(self) -> str:
        columns = os.get_terminal_size(sys.stdout.fileno()).columns
        return cleaned(self._status())[: max(0, columns - 1)]

    def read(self) -> str:
        hint, self._hint = self._hint, None
        placeholder: Any = [("class:placeholder", hint)] if hint else ""
        return self._session.prompt([("class:mark", self._mark)], placeholder=placeholder)

    def line(self, question: str, hidden: bool) -> str | None:
        try:
            return self._lines.prompt(cleaned(question), is_password=hidden)
        except EOFError:
            return None


def _depth() -> Any:
    from prompt_toolkit.output import ColorDepth

    return ColorDepth.MONOCHROME if os.environ.get("NO_COLOR") else None


def _completions(commands: Complete, text: str) -> Iterable[tuple[str, str]]:
    """What a text may become: the whole of it, and what of it is shown."""
    if not text.startswith("/") or "\n" in text:
        return
    name, blank, argument = text[1:].partition(" ")
    if not blank:
        yield from ((f"/{known}", f"/{known}") for known in commands if known.startswith(name))
    elif name in commands:
        yield from ((f"/{name} {value}", value) for value in commands[name](argument))


def paths(beginning: str, suffixes: Sequence[str] = ()) -> list[str]:
    """Paths that begin so, folders and files with one of these suffixes."""
    folder, name = os.path.split(os.path.expanduser(beginning))
    shown = beginning[: len(beginning) - len(name)]
    try:
        with os.scandir(folder or ".") as entries:
            found = sorted((entry.name, entry.is_dir()) for entry in entries if entry.name.startswith(name))
    except OSError:
        return []
    kept = [(entry, is_folder) for entry, is_folder in found
            if (name or not entry.startswith(".")) and (is_folder or not suffixes or Path(entry).suffix in suffixes)]
    return [f"{shown}{entry}{'/' if is_folder else ''}" for entry, is_folder in kept[:_MAX_PATHS]]
