"""The bodies of requests and answers, as /openapi.json shows them. Answers are spelled by api.py, not by these."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from codeact.interpreter.style import STYLES

__all__ = [
    "Branch",
    "CheckpointAnswer",
    "CheckpointsAnswer",
    "Code",
    "ErrorAnswer",
    "Execute",
    "ExecuteAnswer",
    "FileAnswer",
    "FilesAnswer",
    "InterruptAnswer",
    "Mark",
    "NewSession",
    "RestoreAnswer",
    "ResultAnswer",
    "SessionAnswer",
    "SessionsAnswer",
]

MAX_TIMEOUT_SECONDS = 3600.0
MAX_UNDONE = 1_000_000

Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,99}$")]
"""A session's name that fits into a path."""
StyleName = Literal["default", "mint", "m3tooleval", "chat"]
assert set(StyleName.__args__) == set(STYLES)   # type: ignore[attr-defined]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Execute(BaseModel):
    """A request as clients of the original's engine send it; further fields are passed over."""

    convid: Annotated[str, Field(max_length=200, pattern=r"^[^/]+$")]
    """Which conversation; a new one gets a new session, of this name."""
    code: str


class ExecuteAnswer(BaseModel):
    result: str
    """What the model is shown."""
    new_kernel_created: bool


class NewSession(_Request):
    id: Id | None = None
    """A name; without it, one that nobody has."""
    style: StyleName = "default"
    """How results are put to a model."""


class Code(_Request):
    code: str
    timeout: Annotated[float, Field(gt=0, le=MAX_TIMEOUT_SECONDS)] | None = None
    """Seconds of wall clock, else as the service was started with."""
    stream: bool = False
    """Answer with server-sent events: `code`, `output`, `display`, `tool_called` and `approval` as they come; `result`
    or `error` at the end."""


class Mark(_Request):
    name: Annotated[str, Field(min_length=1, max_length=100)]


class Undo(_Request):
    n: Annotated[int, Field(ge=1, le=MAX_UNDONE)] = 1
    """How many cells to take back; more than there are is the beginning."""


class Branch(_Request):
    id: Id | None = None
    """The new session's name."""


class SessionAnswer(BaseModel):
    id: str
    state: Literal["starting", "running", "idle", "saved"]
    style: StyleName
    level: int | None
    """Which walls stand; null while it has no processes."""
    created: float
    """Seconds since the epoch."""
    used: float
    """When the latest request to it ended; seconds since the epoch."""


class SessionsAnswer(BaseModel):
    sessions: list[SessionAnswer]


class ErrorOfCell(BaseModel):
    name: str
    message: str
    traceback: str


class ResultAnswer(BaseModel):
    type: Literal["result"]
    text: str
    """What a model is shown."""
    status: Literal["ok", "error", "timeout", "interrupted", "limit", "died"]
    error: ErrorOfCell | None
    outputs: list[dict[str, Any]]
    """Rich outputs in order: MIME type to text, or to {"base64": ...}."""
    files: list[str]
    """Created or changed."""
    stdout: str
    stderr: str
    number: int
    """The n of `Out[n]`."""
    seconds: float
    level: int
    restored: bool
    lost: list[str]
    hint: str
    """What might help where the cell failed at a wall; in the default style it is part of the text."""
    note: str
    """What the service itself has to say; it is part of the text."""


class InterruptAnswer(BaseModel):
    interrupted: bool
    """Whether a cell ran; it has stopped."""


class CheckpointAnswer(BaseModel):
    name: str
    cells: int
    """How many had run."""
    taken: float
    """Seconds since the epoch."""


class CheckpointsAnswer(BaseModel):
    checkpoints: list[CheckpointAnswer]


class RestoreAnswer(BaseModel):
    lost: list[str]
    """What could not be brought back."""


class VariableAnswer(BaseModel):
    name: str
    type: str
    shape: list[int] | None
    """Of arrays and tables."""
    length: int | None
    """Of texts and containers."""
    size: int | None
    """Bytes, contents of containers left out."""
    preview: str


class VariablesAnswer(BaseModel):
    variables: list[VariableAnswer]


class FileAnswer(BaseModel):
    path: str
    size: int
    """Bytes."""


class FilesAnswer(BaseModel):
    files: list[FileAnswer]
    complete: bool
    """False where there are more files than are listed."""


class ErrorAnswer(BaseModel):
    error: str
    """A code for programs."""
    message: str
    """What happened, and what to do next."""
