"""The bodies of requests and answers of `/api/v1`, as /api/openapi.json shows them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

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
    model_config = ConfigDict(extra="forbid")


class NewConversation(_Body):
    """What a conversation begins with."""

    title: str = Field("", max_length=200)
    options: dict[str, Any] | None = None


class Changes(_Body):
    """What is to be another way; what is left out stays."""

    title: str | None = Field(None, max_length=200)
    pinned: bool | None = None
    options: dict[str, Any] | None = None


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
    code: str | None = Field(None, max_length=2_000_000)
    text: str | None = Field(None, max_length=2_000_000)


class Approval(_Body):
    """Leave for a call, or none."""

    granted: bool


class At(_Body):
    """A place in the conversation."""

    turn: int = Field(ge=0, le=10_000_000)


class To(_Body):
    """A branch."""

    branch: str = Field(max_length=64)


class Back(_Body):
    """How many messages are taken back."""

    n: int = Field(1, ge=1, le=10_000)


# Answers --------------------------------------------------------------------------------------------------------------


class ErrorAnswer(BaseModel):
    """Why it cannot be done."""

    error: str
    """A code for programs."""
    message: str
    """What happened, and what to do next."""


class OptionsAnswer(BaseModel):
    """How a conversation is had."""

    model: str
    format: str
    tools: list[str]
    instructions: str
    max_turns: int
    max_seconds: float | None
    max_tokens: int | None
    max_cost: float | None
    """US dollars, for one message."""
    timeout: float
    """Seconds of wall clock for one cell."""
    network: list[str]
    """Hosts that cells may reach."""


class UsageAnswer(BaseModel):
    """What it cost so far."""

    prompt_tokens: int
    completion_tokens: int
    cost: float
    """US dollars, where the model's server tells."""


class ConversationAnswer(BaseModel):
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
    usage: UsageAnswer
    branch: str
    n_branches: int
    shared: str | None
    """The token of its read-only link."""


class EntryAnswer(BaseModel):
    """Something that happened."""

    seq: int
    """Grows within a conversation, and is never used twice."""
    kind: str
    data: dict[str, Any]
    at: float
    branch: str
    turn: int | None


class TurnAnswer(BaseModel):
    """A turn in parts; where `action` is `cut` it came to no end, or is still under way (`status` is `running`)."""

    number: int
    seq: int
    user: dict[str, Any] | None
    """The message that began it."""
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


class BranchAnswer(BaseModel):
    """A way a conversation went."""

    id: str
    parent: str | None
    at_turn: int
    label: str
    created: float
    current: bool


class VariableAnswer(BaseModel):
    """What the interpreter holds under a name."""

    name: str
    type: str
    shape: list[int] | None
    length: int | None
    n_bytes: int | None
    preview: str


class FileAnswer(BaseModel):
    """A file of the workspace."""

    name: str
    size: int
    modified: float
    mime: str


class BegunAnswer(BaseModel):
    """What comes of it stands among the events after this number."""

    seq: int


class StoppedAnswer(BaseModel):
    """Whether something ran; it has stopped."""

    stopped: bool


class ApprovalAnswer(BaseModel):
    """What was said."""

    granted: bool


class OnBranchAnswer(BaseModel):
    """Where it goes on."""

    branch: str


class ShareAnswer(BaseModel):
    """A link that anybody can read the conversation by."""

    token: str
    path: str
    """Of the page; `/api/v1/shared/TOKEN` is the same for programs."""


class SharedAnswer(BaseModel):
    """A conversation as a link shows it: whose it is and how it is had is nobody's business."""

    title: str
    updated: float
    n_turns: int


class UseAnswer(BaseModel):
    """How much of something a user may use, and has used."""

    limit: float | None = Field(description="None: as much as there is")
    used: float
    per: str | None = Field(description="day or month (UTC); None: at any time")


class MeAnswer(BaseModel):
    """Who somebody is to the server."""

    owner: str
    disk: UseAnswer = Field(description="MB (2**20 bytes) of files and saved states")
    cost: UseAnswer = Field(description="US dollars, as far as models tell what they cost")
    tokens: UseAnswer
