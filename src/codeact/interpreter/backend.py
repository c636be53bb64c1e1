"""What stands between an `Interpreter` and the processes that run its cells: the contract of `codeact/backends/`.

A back-end runs cells and keeps their state; the `Interpreter` numbers them, lets one run at a time and puts what came
of them into the words of a style. A back-end is one file in `codeact/backends/` whose `create` takes a `Request`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from codeact.interpreter.limits import Limits
from codeact.interpreter.outcome import Outcome
from codeact.interpreter.output import Display, Text
from codeact.interpreter.settings import DEFAULT_IMPORTS
from codeact.tools.calls import Approve
from codeact.tools.toolbox import Toolbox

if TYPE_CHECKING:
    from codeact.interpreter.history import Checkpoint

__all__ = ["Backend", "OnInput", "OnOutput", "Ran", "Request"]

OnOutput = Callable[["Text | Display"], None]
"""Called with each piece of output as it comes."""
OnInput = Callable[[str, bool], "str | None"]
"""Asked for a line: prompt, hidden."""


@dataclass(frozen=True)
class Request:
    """What the user of an interpreter asked for; the fields are `Interpreter`'s arguments.

    A back-end that cannot do what a field asks for raises `ConfigError` and names the field.
    """

    toolbox: Toolbox = field(default_factory=Toolbox)
    limits: Limits = field(default_factory=Limits)
    workspace: str | Path | None = None
    read: tuple[str | Path, ...] = ()
    network: str | tuple[str, ...] = "none"
    """"none", "all", or the hosts that may be reached, as `network.AllowList` takes them."""
    sandbox: str | int = "auto"
    python: str | None = None
    preload: str | None = None
    """Source text, not a path."""
    imports: tuple[str, ...] = DEFAULT_IMPORTS
    packages: str | tuple[str, ...] = "none"
    """"none", "allow", or those to be installed at the start, with "*" among them where cells may install more."""
    index_url: str | None = None
    """Of the index of packages; None for what the user configured for pip."""
    on_input: OnInput | None = None
    approve: Approve | None = None


@dataclass
class Ran:
    """What came of a cell."""

    outcome: Outcome
    files: list[str]
    """Created or changed, relative to the workspace, sorted."""
    lost: list[str] = field(default_factory=list)
    """What could not be brought back after a death, in words."""


class Backend(Protocol):
    """Runs cells one at a time; `Interpreter` sees to that. Only `interrupt` is called from another thread."""

    @property
    def level(self) -> int:
        """Which walls stand: 3, 2, 1, or 0 for none of ours."""

    @property
    def workspace(self) -> Path:
        """The folder cells work in, as the host sees it."""

    def run(self, code: str, number: int, *, seconds: float | None, on_output: OnOutput | None) -> Ran:
        """Run one cell and wait; a traceback and a kernel's death are outcomes.

        Args:
            number: The n of `Out[n]`.
            seconds: Wall clock until it is interrupted; None for ever.

        Raises:
            InterpreterGone: The kernel is gone and could not be started again.
        """

    def interrupt(self) -> None:
        """Stop the running cell, from any thread; nothing happens when none runs."""

    def checkpoint(self, name: str | None) -> Checkpoint:
        """Mark the state of now; raises InterpreterError where this back-end cannot."""

    def restore(self, mark: Checkpoint) -> list[str]:
        """Go back to a marked state; what could not be brought back, in words."""

    @property
    def checkpoints(self) -> dict[str, Checkpoint]:
        """The named ones."""

    def reset(self) -> None:
        """Begin again with no variables; files stay."""

    def close(self) -> None:
        """End every process of the session."""
