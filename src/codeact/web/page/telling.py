"""Short words that come and go on a page, at its top, where they hide nothing that is written."""

from __future__ import annotations

from nicegui import ui

from codeact.chats.advice import in_chat
from codeact.errors import CodeActError

__all__ = ["refused", "tell"]


def tell(words: str) -> None:
    """What was done."""
    ui.notify(words, position="top")


def refused(error: CodeActError) -> None:
    """What was not, and why."""
    ui.notify(in_chat(str(error)), position="top", type="warning", multi_line=True, classes="whitespace-pre-wrap")
