"""Turns as cards: what the user said, thought, code, what came of it, the answer; a turn that is being written."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from nicegui import ui

from codeact.formats._streaming import Reply
from codeact.web.page.outputs import bundle, printed, results
from codeact.web.page.words import Source, Written, source, written

__all__ = ["LiveTurn", "cut", "note", "own_cell", "said", "turn"]

_NOTHING = "[no output]"
_SHOWN_FILES = 12
_REST = 8
"""So many times as long as it took to set what is written, it is not set anew: the server's event loop is for all."""
_SETTINGS = "say something to go on, or set another under the tools."
_ENDED = {
    "turn_limit": f"Ended at the limit of turns; {_SETTINGS}",
    "time_limit": f"Ended at the limit of time; {_SETTINGS}",
    "token_limit": f"Ended at the limit of tokens; {_SETTINGS}",
    "cost_limit": f"Ended at the limit of cost; {_SETTINGS}",
    "context_limit": "Ended: the conversation no longer fits the model.",
    "stuck": "Ended: the model repeated itself, also after it had been told.",
}
_NOT_REAL = "written before the result was there: not real"
_IGNORED = re.compile(r"\n\[what you wrote after the code was ignored[^\n]*\]\Z")

_FILES_WRITTEN = re.compile(r"\n?^\[files written: .*\]$", re.M)

Act = Callable[[int], Awaitable[None]]
Look = Callable[[str], Awaitable[None]]


def said(data: Mapping[str, Any]) -> None:
    """A message of the user's."""
    with ui.element("article").classes("said").props('aria-label="You said"'):
        ui.label(data.get("text", "")).classes("words")
        for image in data.get("images", ()):
            bundle({image["mime"]: {"base64": image["base64"]}, "text/plain": "a picture of yours"})
        for name in data.get("files", ()):
            with ui.row().classes("items-center no-wrap gap-1"):
                ui.icon("attach_file")
                ui.label(name).classes("words")


def turn(
    data: Mapping[str, Any],
    number: int,
    *,
    edit: Act | None = None,
    branch: Act | None = None,
    look: Look | None = None,
) -> None:
    """A finished turn.

    Args:
        data: As `Turn.to_json` spells it.
        edit, branch: What the buttons do; None: there are none, as in a shared conversation.
        look: What a press on a file that was written does, likewise.
    """
    action, seen, completion = data["action"], data["observation"], data["completion"]
    with ui.element("article").classes("turn").props('aria-label="The agent"'):
        if completion.get("reasoning"):
            with ui.expansion("reasoning").classes("folded w-full").props("switch-toggle-side dense"):
                ui.label(completion["reasoning"]).classes("reasoning")
        if thought := action.get("thought"):
            written(thought)
        kind = action["type"]
        if kind in ("answer", "say"):
            written(action["text"])
        elif kind == "malformed":
            printed(completion["text"])
            ui.label("This reply could not be read; the model was told so.").classes("aside")
        else:
            code = action.get("code") or _call(action)
            with _cell(code, seen, data.get("seconds", 0.0), number, edit, branch):
                _files(seen.get("files", ()), look)
        if ignored := action.get("ignored"):
            with ui.expansion(_NOT_REAL).classes("folded ignored w-full"):
                printed(ignored)


def _call(action: Mapping[str, Any]) -> str:
    given = [*map(repr, action.get("positional", ())), *(f"{k}={v!r}" for k, v in action.get("arguments", {}).items())]
    return f"{action.get('name')}({', '.join(given)})"


def _cell(
    code: str, seen: Mapping[str, Any], seconds: float, number: int, edit: Act | None, branch: Act | None
) -> ui.element:
    status = seen.get("status", "ok")
    with ui.element("section").classes("cell").props(f'aria-label="cell {number + 1}"') as cell:
        with ui.row().classes("bar items-center no-wrap"):
            told = "" if status == "ok" else f"{status}, "
            failed = " failed" if status not in ("ok", "none") else ""
            ui.label(f"{told}{seconds:.1f} s").classes(f"aside grow{failed}")
            if edit is not None:
                _button("edit", "Change this cell and run again from here", lambda: edit(number))
            if branch is not None:
                _button("call_split", "Go on from after this cell on a branch", lambda: branch(number + 1))
        source(code)
        # What the model invented is shown apart, and marked
        text = _IGNORED.sub("", seen["text"])
        if seen.get("files"):   # they are shown below
            text = _FILES_WRITTEN.sub("", text)
        text = "" if text == _NOTHING else text
        results(text, seen.get("outputs", ()), error=status not in ("ok", "none"))
    return cell


def _files(names: Sequence[str], look: Look | None) -> None:
    """Files that were written, each to be looked at."""
    if not names:
        return
    with ui.row().classes("files gap-1").props('role=list aria-label="Files written"'):
        for name in names[:_SHOWN_FILES]:
            with ui.element("div").props("role=listitem"):
                if look is None:
                    ui.chip(name, icon="description").props("outline dense")
                    continue
                chip = ui.button(icon="description", on_click=lambda name=name: look(name))
                chip.props("flat dense no-caps").classes("file").tooltip(name)
                with chip:
                    ui.label(name).classes("ellipsis")
        if len(names) > _SHOWN_FILES:
            ui.label(f"and {len(names) - _SHOWN_FILES} more, under Files").classes("aside")


def _button(icon: str, label: str, act: Callable[[], Any]) -> None:
    ui.button(icon=icon, on_click=act).props(f'flat round dense size=sm aria-label="{label}"').tooltip(label)


def cut(data: Mapping[str, Any]) -> None:
    """A turn that came to no end: what there was of it."""
    live = LiveTurn()
    for piece in data["pieces"]:
        if piece["type"] == "approval":
            given = ", ".join(f"{name}={value}" for name, value in piece["arguments"].items())
            ui.label(f"{piece['tool']}({given}) was not allowed: nobody answered.").classes("note aside")
        live.take(piece["type"], piece)
    live.freeze()


def own_cell(code: str, done: Mapping[str, Any] | None, look: Look | None = None) -> None:
    """A cell of the user's own; `look` as for `turn`."""
    with ui.element("section").classes("cell own").props('aria-label="your cell"'):
        ui.label("your cell").classes("aside")
        source(code)
        if done is not None:
            text = "" if done.get("text") == _NOTHING else done.get("text", "")
            results(text, done.get("outputs", ()), error=done.get("status") not in ("ok", None))
            _files(done.get("files", ()), look)


def note(kind: str, data: Mapping[str, Any]) -> None:
    """How a run ended, or what came of a pause, in a line; nothing where there is nothing to say."""
    match kind:
        case "stopped":
            words = "Stopped."
        case "interrupted":
            words = "The server ended here; say something to go on."
        case "restored":
            words = f"After a pause: lost {', '.join(data['lost'])}"[:500]
        case "note":
            words = data["text"]
        case "ended" if data["stop"] in _ENDED:
            words = _ENDED[data["stop"]]
        case "error":
            ui.label(data["message"]).classes("output error").props("role=alert")
            return
        case _:
            return
    ui.label(words).classes("note aside")


class LiveTurn:
    """A turn while it is written and run: words, code as it grows, output as it is printed."""

    def __init__(self) -> None:
        self._reply, self._words, self._code_text, self._invented, self._printed = Reply(), "", "", "", ""
        self._began = self._rests_until = time.monotonic()
        self._is_behind = False
        """Whether there is more than is shown."""
        self._card = ui.element("article").classes("turn live").props('aria-label="The agent works" aria-live=polite')
        with self._card:
            self._written = Written("")
            self._code = Source("")
            self._ignored = ui.label(_NOT_REAL).classes("aside")
            self._ignored.set_visibility(False)
            self._output = ui.label("").classes("output")
            self._output.set_visibility(False)
            self._rich = ui.element("div")
            with ui.row().classes("bar items-center no-wrap") as self._bar:
                ui.spinner(size="sm")
                self._doing = ui.label("thinking").classes("aside")
        self._timer = ui.timer(1.0, self._tick)
        self._what = "thinking"

    def _tick(self) -> None:
        if self._is_behind and time.monotonic() >= self._rests_until:
            self._show()
        self._doing.set_text(f"{self._what} · {time.monotonic() - self._began:.0f} s")

    def take(self, kind: str, data: Mapping[str, Any]) -> None:
        """An entry of the turn."""
        match kind:
            case "text" if data.get("channel") == "reasoning":
                self._what = "reasoning"
            case "text":
                for part, text in self._reply.feed(data["text"]):
                    if part != "code" and self._code_text.strip():
                        self._invented += text   # nothing has run yet
                    elif part == "code" and not self._invented.strip():
                        self._code_text += text
                    elif part != "code":
                        self._words += text
                self._is_behind = True
            case "code":
                self._code_text, self._what = data["code"], "running"
                self._show()
            case "output":
                self._printed = (self._printed + data["text"])[-20_000:]
                self._output.set_text(self._printed)
                self._output.set_visibility(True)
            case "display":
                with self._rich:
                    bundle(data["bundle"])
            case "tool_called":
                self._what = f"running; called {data['tool']}"
        self._tick()

    def _show(self) -> None:
        began = time.monotonic()
        if self._words.strip():
            self._written.set(self._words)
        if self._code_text.strip():
            self._code.set(self._code_text)
            self._what = "writing code" if self._what == "thinking" else self._what
        self._ignored.set_visibility(bool(self._invented.strip()))
        self._is_behind, self._rests_until = False, began + (1 + _REST) * (time.monotonic() - began)

    @property
    def is_empty(self) -> bool:
        """Whether nothing of it was seen yet."""
        return not (self._words.strip() or self._code_text.strip() or self._printed)

    def remove(self) -> None:
        """The finished turn takes its place."""
        self._timer.cancel()
        self._card.delete()

    def freeze(self) -> None:
        """It was stopped: what there is of it stays."""
        if self.is_empty:
            self.remove()
            return
        self._timer.cancel()
        if self._is_behind:
            self._show()
        self._written.end(self._words)
        self._bar.delete()
        self._card.classes(remove="live").props('aria-label="The agent"').props(remove="aria-live")
