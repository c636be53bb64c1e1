"""What came of one task of an agent's, and where the files are that it wrote."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from codeact.messages import Usage
from codeact.protocols import Runner
from codeact.trajectory import Stop, Trajectory, Turn

__all__ = ["Result", "files_of"]


@dataclass(frozen=True)
class Result:
    """What came of one task."""

    answer: str | None
    """What the model answered or said at the end; None if it did not come to that."""
    stop: Stop
    """Why it ended."""
    files: tuple[Path, ...]
    """Files the cells of this task wrote and that are still there: in the workspace, or, with mode="copy", in what
    holds the changes to it."""
    trajectory: Trajectory
    """The conversation so far, earlier tasks included."""
    asked: Usage = field(default_factory=Usage)
    """What the agents among its tools have cost so far."""

    @property
    def usage(self) -> Usage:
        """What the conversation so far has cost, the agents among the tools included."""
        return self.trajectory.usage + self.asked


def files_of(runner: Runner, turns: Sequence[Turn]) -> tuple[Path, ...]:
    """The files that the cells of some turns wrote and that are still there."""
    names = dict.fromkeys(name for turn in turns for name in turn.observation.files)
    folder = getattr(runner, "output_folder", runner.workspace)
    paths = (folder / name for name in names)
    # A link of a cell's may lead to any file of the user's.
    return tuple(path for path in paths if path.is_file() and path.resolve().is_relative_to(folder.resolve()))
