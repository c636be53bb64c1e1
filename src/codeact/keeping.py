"""What an agent keeps of its conversation on disk: the trajectory as it grows, and the state of its interpreter."""

from pathlib import Path
from typing import Any

from codeact.events import Event, Note, Observer, Started
from codeact.recording import Recorder
from codeact.resuming import Savable, StateFile

__all__ = ["Keeping"]


class Keeping:
    """An observer that writes a conversation and its states; without a path it does nothing.

    Args:
        path: The trajectory's file; states lie beside it.

    Raises:
        ConfigError: It cannot be written, or is written by another program.
    """

    def __init__(self, path: str | Path | None) -> None:
        self._recorder = Recorder(path) if path is not None else None
        self._state = StateFile(Path(path)) if path is not None else None

    def __call__(self, event: Event) -> None:
        """Write down what happens."""
        if self._state and isinstance(event, Started):
            self._state.drop(len(event.trajectory.turns))
        if self._recorder:
            self._recorder(event)

    def aside(self, told: str) -> None:
        """Write down what the model is told with the next task."""
        if self._recorder:
            self._recorder.write(Note(told).to_json())

    def cut(self, n_turns: int, *, was_written: bool) -> None:
        """The conversation goes back to so many turns."""
        if self._state:
            self._state.drop(n_turns)
        if self._recorder and was_written:
            self._recorder.write({"type": "continue", "n_turns": n_turns, "reply": None})

    def state(self, interpreter: Any, n_turns: int, observe: Observer, *, now: bool = False) -> None:
        """Save the interpreter's state, as it is after so many turns; see `resuming.StateFile.save`."""
        if self._state is None or not isinstance(interpreter, Savable):
            return
        if why := self._state.save(interpreter, n_turns, now=now):
            observe(Note(f"the interpreter's state is not saved beside the conversation: {why}"))

    def close(self) -> None:
        """Let others write the file."""
        if self._recorder:
            self._recorder.close()
