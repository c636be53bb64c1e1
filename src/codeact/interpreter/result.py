"""What one cell gives back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

__all__ = ["ErrorInfo", "ExecutionResult", "Status"]

Status = Literal["ok", "error", "timeout", "interrupted", "died", "limit"]


@dataclass(frozen=True)
class ErrorInfo:
    """An exception a cell ended with, or what stopped it."""

    name: str
    """The exception's type, such as "ZeroDivisionError"; "TimeoutError" and "KernelDied" for what the host did."""
    message: str
    traceback: str
    """Plain text: the user's own frames with their lines."""


@dataclass(frozen=True)
class ExecutionResult:
    """Output, last value and error of one cell. A traceback is a result, and so is a kernel's death."""

    text: str
    """What a model is shown, in the interpreter's style."""
    outputs: list[dict[str, str | bytes]]
    """Rich outputs in order, the last expression's value included: MIME type -> text, or bytes for images."""
    error: ErrorInfo | None
    """None where the cell ran to its end."""
    files: list[str]
    """Files the cell created or changed, relative to the workspace, sorted."""
    status: Status = "ok"
    """ok: ran to its end; error: raised; timeout, interrupted: stopped, variables kept; limit: stopped at a limit;
    died: the process ended, and the state of before the cell is back as far as `lost` says."""
    number: int = 0
    """The n of `Out[n]`."""
    seconds: float = 0.0
    """Wall clock, waits for people left out."""
    value: dict[str, str | bytes] | None = None
    """Of the last expression; the last of `outputs` then."""
    stdout: str = ""
    """Printed text, as kept."""
    stderr: str = ""
    level: int = 3
    """Which walls stood: 3, 2, 1, or 0 for none."""
    restored: bool = False
    """The state had to be brought back after this cell."""
    lost: list[str] = field(default_factory=list)
    """What could not be brought back, in words."""
    layer: Literal["overlay", "copy"] | None = None
    """How the user's folder is kept as it is; None where cells work in it, or it is a fresh one."""
    hint: str = ""
    """What might help where the cell failed at a wall, such as having no network; most styles say it in `text` too."""
