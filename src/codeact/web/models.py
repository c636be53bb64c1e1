"""The bodies of requests and answers of `/api/v1`, as /api/openapi.json shows them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from codeact.chats.values import AMOUNTS

__all__ = [
    "Approval",
    "ApprovalAnswer",
    "At",
    "Back",
    "BegunAnswer",
    "BranchAnswer",
    "Cell",
    "Changes",
    "ConversationAnswer",
    "Edit",
    "EntryAnswer",
    "ErrorAnswer",
    "FileAnswer",
    "MeAnswer",
    "NewConversation",
    "NewMessage",
    "OnBranchAnswer",
    "OptionsAnswer",
    "Picture",
    "ShareAnswer",
    "SharedAnswer",
    "StoppedAnswer",
    "To",
    "TurnAnswer",
    "UsageAnswer",
    "UseAnswer",
    "VariableAnswer",
]

# Bodies of requests ---------------------------------------------------------------------------------------------------


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class NewConversation(_Body):
    """What a conversation begins with."""

    title: str = Field("", max_length=200)
    options: dict[str, Any] | None = None
    """Some of those of `OptionsAnswer`; the others are as the server has them."""


class Changes(_Body):
    """What is to be another way; what is left out stays."""

    title: str | None = Field(None, max_length=200)
    pinned: bool | None = None
    options: dict[str, Any] | None = None
    """Some of those of `OptionsAnswer`; the others stay."""


class Picture(_Body):
    """PNG, JPEG, GIF or WebP."""

    base64: str = Field(max_length=28_000_000)


class NewMessage(_Body):
    """What the user says."""

    text: str = Field("", max_length=2_000_000)
    images: list[Picture] = Field(default_factory=list, max_length=20)
    files: list[str] = Field(default_factory=list, max_length=100)
    """Names of uploads that go with it."""


class Cell(_Body):
    """Code of the user's own."""

    code: str = Field(max_length=2_000_000)


class Edit(_Body):
    """Another cell, or another message, in place of a turn's; one of the two."""

    turn: int = Field(ge=0, le=10_000_000)
    """The number of a turn of the current branch, from 0: below the conversation's `n_turns`."""
    code: str | None = Field(None, max_length=2_000_000)
    """In place of the turn's cell."""
    text: str | None = Field(None, max_length=2_000_000)
    """In place of the message; only where one began the turn (its `user` is there)."""


class Approval(_Body):
    """Leave for a call, or none."""

    granted: bool


class At(_Body):
    """A place in the conversation."""

    turn: int = Field(ge=0, le=10_000_000)
    """How many turns of the current branch the new one begins with: 0 for none, `n_turns` for all."""


class To(_Body):
    """A branch."""

    branch: str = Field(max_length=64)
    """Its `id`, as `GET .../branches` has it."""


class Back(_Body):
    """How many messages are taken back."""

    n: int = Field(1, ge=1, le=10_000)


# Answers --------------------------------------------------------------------------------------------------------------


class _Answer(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True)


class ErrorAnswer(_Answer):
    """Why it cannot be done."""

    error: str
    """A code for programs."""
    message: str
    """What happened, and what to do next."""


class OptionsAnswer(_Answer):
    """How a conversation is had."""

    model: str
    """As `codeact --model` takes it."""
    format: str
    """How actions are spelled: code, json, text, native."""
    tools: list[str]
    """Of those that the server allows."""
    instructions: str
    max_turns: int = Field(description=f"for one message; {AMOUNTS['max_turns']}")
    max_seconds: float | None = Field(description=f"for one message; {AMOUNTS['max_seconds']}")
    max_tokens: int | None = Field(description=f"for one message; {AMOUNTS['max_tokens']}")
    max_cost: float | None = Field(description=f"US dollars, for one message; {AMOUNTS['max_cost']}")
    timeout: float = Field(description=f"seconds of wall clock for one cell; {AMOUNTS['timeout']}")
    network: list[str]
    """Hosts that cells may reach."""


class UsageAnswer(_Answer):
    """What it cost so far."""

    prompt_tokens: int
    completion_tokens: int
    cost: float
    """US dollars, where the model's server tells."""


class ConversationAnswer(_Answer):
    """A conversation as a list shows it."""

    id: str
    owner: str
    title: str
    pinned: bool
    options: OptionsAnswer
    created: float
    """Seconds since 1970."""
    updated: float
    state: Literal["idle", "running", "waiting", "interrupted"]
    """`waiting`: for leave to call a tool; `interrupted`: the server ended in a turn."""
    n_turns: int
    """Finished turns of the current branch."""
    usage: UsageAnswer
    branch: str
    """The `id` of the current branch: the way that it goes on. Others stay as they are."""
    n_branches: int
    shared: str | None
    """The token of its read-only link."""


class EntryAnswer(_Answer):
    """Something that happened."""

    seq: int
    """Grows within a conversation, and is never used twice."""
    kind: str
    data: dict[str, Any]
    at: float
    """Seconds since 1970."""
    branch: str
    """Of the branch that it happened on."""
    turn: int | None
    """The number of a turn, from 0 in its branch; of other entries, that of the turn they belong to or come before."""


class TurnAnswer(_Answer):
    """A turn in parts; where `action` is `cut` it came to no end, or is still under way (`status` is `running`)."""

    number: int
    """From 0, in its branch: what `edit` takes."""
    seq: int
    """Of its entry among the events."""
    user: dict[str, Any] | None
    """The message that began it; None where it goes on from the turn before."""
    thought: str
    reasoning: str
    code: str
    action: Literal["code", "tool_call", "answer", "say", "malformed", "cut"]
    outputs: list[dict[str, Any]]
    """Rich outputs by MIME type; bytes as `{"base64": ...}`."""
    text: str
    """What the model was shown."""
    answer: str | None
    status: str
    seconds: float
    usage: dict[str, Any]
    ignored: str
    """What the model wrote after its action, as if it had seen a result: never to be shown as real."""
    files: list[str]


class BranchAnswer(_Answer):
    """A way a conversation went: the first turns of its parent, then its own, numbered on from there."""

    id: str
    """What `switch` takes."""
    parent: str | None
    """The branch it left; None for the first one."""
    at_turn: int
    """How many turns it shares with its parent."""
    label: str
    created: float
    """Seconds since 1970."""
    current: bool
    """Whether the conversation goes on here."""


class VariableAnswer(_Answer):
    """What the interpreter holds under a name."""

    name: str
    type: str
    shape: list[int] | None
    length: int | None
    n_bytes: int | None
    preview: str


class FileAnswer(_Answer):
    """A file of the workspace."""

    name: str
    size: int
    modified: float
    mime: str


class BegunAnswer(_Answer):
    """What comes of it stands among the events after this number."""

    seq: int


class StoppedAnswer(_Answer):
    """Whether something ran; it has stopped."""

    stopped: bool


class ApprovalAnswer(_Answer):
    """What was said."""

    granted: bool


class OnBranchAnswer(_Answer):
    """Where it goes on."""

    branch: str
    """The `id` of the branch, which is the current one from now on."""


class ShareAnswer(_Answer):
    """A link that anybody can read the conversation by."""

    token: str
    path: str
    """Of the page; `/api/v1/shared/TOKEN` is the same for programs."""


class SharedAnswer(_Answer):
    """A conversation as a link shows it: whose it is and how it is had is nobody's business."""

    title: str
    updated: float
    n_turns: int


class UseAnswer(_Answer):
    """How much of something a user may use, and has used."""

    limit: float | None = Field(description="None: as much as there is")
    used: float
    per: str | None = Field(description="day or month (UTC); None: at any time")


class MeAnswer(_Answer):
    """Who somebody is to the server."""

    owner: str
    disk: UseAnswer = Field(description="MB (2**20 bytes) of files and saved states")
    cost: UseAnswer = Field(description="US dollars, as far as models tell what they cost")
    tokens: UseAnswer
