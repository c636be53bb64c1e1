"""A conversation's entries as the text of one reply: Markdown, as front ends of OpenAI's API show it well.

Words come as the model writes them; then the cell, in a block of Python; what it gave, in a block of text, with figures
as pictures; at last the words of the answer. What a model writes after a cell, as if it had run, is left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from codeact.chats.values import Entry
from codeact.formats._streaming import Reply

__all__ = ["Text"]

_MAX_SHOWN_CHARS = 20_000
_MAX_PICTURE_CHARS = 2_000_000
"""Of base64: the client sends all of it back with every message."""
_PICTURES = ("image/png", "image/jpeg", "image/gif", "image/webp")


class Text:
    """What a reply says so far.

    Args:
        live: Whether words may be shown while they are written: in formats that have words around their actions.
    """

    def __init__(self, *, live: bool) -> None:
        self.whole = ""
        self._live = live
        self._begin()

    def _begin(self) -> None:
        self._reply, self._words, self._ran = Reply(), True, False
        self._n_fed = 0
        self._said = self._answered = ""
        """What was shown of this turn's reply; what of it was marked as the answer."""

    def take(self, entry: Entry) -> str:
        """What an entry adds."""
        match entry.kind:
            case "text" if self._live and entry.data.get("channel") == "reply":
                piece = self._written(entry.data["text"])
            case "code":
                self._words, self._ran = False, True
                piece = f"{self._gap()}{_fenced(entry.data['code'], 'python')}\n\n"
            case "turn":
                piece = self._turn(entry.data)
                self._begin()
            case "cut":
                said = "".join(one["text"] for one in entry.data["pieces"] if one.get("channel") == "reply")
                piece = self._written(said[self._n_fed :]) if self._live else ""
                self._begin()
            case "approval":
                tool = entry.data["tool"]
                piece = f"\n\n*`{tool}` waits for leave, which the page or the API can give.*\n\n"
            case "ended" if entry.data["stop"] != "answer":
                piece = f"\n\n*[ended: {entry.data['stop'].replace('_', ' ')}]*"
            case _:
                piece = ""
        self.whole += piece
        return piece

    def _written(self, text: str) -> str:
        before, self._n_fed = len(self._said), self._n_fed + len(text)
        for kind, segment in self._reply.feed(text):
            self._words = self._words and kind != "code"   # after a cell only what came of it is told
            if not self._words:
                continue
            if kind == "answer":
                if not self._answered and self._said.strip():
                    self._said += "\n\n"
                self._answered += segment
            self._said += segment if self._said else segment.lstrip()
        return self._said[before:]

    def _gap(self) -> str:
        """Between the words of this turn and what follows."""
        return "" if not self._said else "\n" if self._said.endswith("\n") else "\n\n"

    def _turn(self, turn: Mapping[str, Any]) -> str:
        action, seen = turn["action"], turn["observation"]
        if action["type"] in ("answer", "say"):
            return self._rest_of(str(action["text"]))
        if action["type"] == "malformed":
            return self._gap()
        piece = ""
        if not self._ran:
            words = self._gap() if self._said else f"{action['thought']}\n\n" if action.get("thought") else ""
            code = action.get("code") or f"{action.get('name')}({json.dumps(action.get('arguments', {}))})"
            piece = f"{words}{_fenced(code, 'python')}\n\n"
        return f"{piece}{_fenced(seen['text'][:_MAX_SHOWN_CHARS], 'text')}\n{_pictures(seen.get('outputs', ()))}\n"

    def _rest_of(self, answer: str) -> str:
        """What of an answer was not shown while it was written."""
        shown, whole = (self._answered or self._said).lstrip(), answer.strip()
        for begun in (shown, shown.rstrip()):
            if whole.startswith(begun):
                return whole[len(begun):]
        return "" if shown.startswith(whole) else f"\n\n{answer}"


def _pictures(outputs: Any) -> str:
    made = ""
    for bundle in outputs:
        for mime in _PICTURES:
            data = bundle.get(mime)
            if isinstance(data, Mapping):
                fits = len(data["base64"]) <= _MAX_PICTURE_CHARS
                made += f"\n![figure](data:{mime};base64,{data['base64']})\n" if fits else "\n*[a large figure]*\n"
                break
    return made


def _fenced(text: str, language: str) -> str:
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"
