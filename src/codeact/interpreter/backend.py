"""What stands between an `Interpreter` and the processes that run its cells: the contract of `codeact/backends/`.

A back-end runs cells and keeps their state; the `Interpreter` numbers them, lets one run at a time and puts what came
of them into the words of a style. A back-end is one file in `codeact/backends/` whose `create` takes a `Request`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from codeact.errors import ConfigError, InterpreterError
from codeact.interpreter.limits import Limits
from codeact.interpreter.outcome import Outcome
from codeact.interpreter.output import OnOutput
from codeact.interpreter.settings import DEFAULT_IMPORTS
from codeact.tools.calls import Approve
from codeact.tools.toolbox import Toolbox

if TYPE_CHECKING:
    from codeact.interpreter.changes import Changes
    from codeact.interpreter.history import Checkpoint
    from codeact.interpreter.saved import Saved
    from codeact.interpreter.saving import LoadReport, SaveReport
    from codeact.interpreter.variables import Variable

__all__ = ["Backend", "KeepsNoStates", "OnInput", "OnOutput", "Ran", "Request", "Reviewed", "only_locally"]

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
    mode: str = "live"
    """"copy": the workspace stays as it is until changes are applied."""
    keep_changes: bool = False
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
    saved: Saved | None = None
    """What the session is to go on from; None for a new one."""


class Reviewed(Protocol):
    """What a back-end has besides where `mode="copy"` was asked for; called between cells."""

    @property
    def layer(self) -> Literal["overlay", "copy"] | None:
        """What stands between the session and the user's folder; None for nothing."""

    @property
    def output_folder(self) -> Path:
        """Where the host finds the files that cells wrote."""

    def changes(self) -> Changes:
        """What the session did to the user's folder and was not applied."""

    def apply(self, paths: Sequence[str], *, force: bool) -> list[str]:
        """Bring changes over."""

    def discard(self, paths: Sequence[str]) -> list[str]:
        """Give changes up."""


@dataclass
class Ran:
    """What came of a cell."""

    outcome: Outcome
    files: list[str]
    """Created or changed, relative to the workspace, sorted."""
    lost: list[str] = field(default_factory=list)
    """What could not be brought back after a death, in words."""
    hint: str = ""
    """What might help, where it failed at a wall."""


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
        """Mark the state of now; this and what goes back raises InterpreterError where a back-end cannot."""

    def restore(self, mark: Checkpoint) -> list[str]:
        """Go back to a marked state; what could not be brought back, in words."""

    def undo(self, n: int) -> list[str]:
        """Go back to before the last `n` cells; what could not be brought back, in words."""

    def branch(self) -> Backend:
        """A second session that begins with the state of now."""

    @property
    def checkpoints(self) -> dict[str, Checkpoint]:
        """The named ones."""

    def reset(self) -> None:
        """Begin again with no variables; files stay."""

    def variables(self) -> list[Variable]:
        """What the session holds; raises InterpreterError where this back-end cannot say."""

    def save(self, path: Path, number: int) -> SaveReport:
        """Write the session to a file, whole or not at all.

        Args:
            number: Of the last cell.

        Raises:
            InterpreterError: This back-end cannot.
            OSError, ConfigError: The file cannot be written.
        """

    @property
    def loaded(self) -> LoadReport | None:
        """What came of `Request.saved`; None for a new session."""

    def close(self) -> None:
        """End every process of the session."""


class KeepsNoStates:
    """What a back-end without frozen copies and a journal answers, where it is asked for a state."""

    no_states = "this back-end keeps no states"
    """Said then, with what does."""

    def checkpoint(self, name: str | None) -> Checkpoint:
        raise self._cannot()

    def restore(self, mark: Checkpoint) -> list[str]:
        raise self._cannot()

    def undo(self, n: int) -> list[str]:
        raise self._cannot()

    def branch(self) -> Backend:
        raise self._cannot()

    def variables(self) -> list[Variable]:
        raise self._cannot()

    def save(self, path: Path, number: int) -> SaveReport:
        raise self._cannot()

    @property
    def loaded(self) -> LoadReport | None:
        return None

    @property
    def checkpoints(self) -> dict[str, Checkpoint]:
        return {}

    def _cannot(self) -> InterpreterError:
        return InterpreterError(f"{self.no_states}; backend='local' and 'docker:IMAGE' do")


def only_locally(request: Request, said: str) -> None:
    """For a back-end that has none of this.

    Args:
        said: The back-end, as in `backend='jupyter:...'`.

    Raises:
        ConfigError: It is asked for.
    """
    asked = {"network=[...]": not isinstance(request.network, str), "mode='copy'": request.mode == "copy",
             "a saved session": request.saved is not None,
             "packages=...": bool(request.packages) and request.packages != "none"}
    for name, is_asked in asked.items():
        if is_asked:
            raise ConfigError(f"{said}: {name} cannot be had; it goes with backend='local'")
