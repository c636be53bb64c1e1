"""Go on with a run whose program has ended: the conversation from its file, the interpreter's state from beside it.

While `Agent(save=FILE)` works, the session is saved now and then as `FILE.state-N`, N being the turns of the
conversation it belongs to. `read` takes the conversation of FILE and the newest state that fits it; `replay` runs the
cells of the turns after that state again, as long as that does nothing twice in the world: no cell that called a tool,
that wrote to a folder of the user's, or that could reach the network; and none that was stopped, or never begun. What a
cell had done that was under way when the program ended nobody knows: the model is told of it if it may have acted.
"""

import json
import logging
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from codeact.actions import CodeAction
from codeact.errors import CodeActError, ConfigError
from codeact.trajectory import Trajectory, Turn, load

__all__ = ["Resumed", "Savable", "StateFile", "Unfinished", "bring_back", "read", "replay", "state_path"]

_log = logging.getLogger(__name__)
_MAX_TOLD_CHARS = 2_000
_SHARE_OF_TIME = 20
"""A state is saved again when so many times the duration of the last saving has gone by."""


@runtime_checkable
class Savable(Protocol):
    """An interpreter whose state can be written to a file."""

    def save(self, path: Path) -> object:
        """Write it; replaces what is there in one step."""


class StateFile:
    """The saved states of one conversation, of which the newest is kept.

    Args:
        path: The conversation's file; states lie beside it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._saved_at = self._seconds = 0.0
        self._failed = False

    def save(self, interpreter: Savable, n_turns: int, *, now: bool = False) -> str:
        """Save the state after so many turns, if enough time has gone by since the last one.

        Args:
            now: Whenever the last one was.

        Returns:
            Why it could not be saved, in words; empty where it was, was not due, or could not be before.
        """
        if self._failed:
            return ""
        began = time.monotonic()
        if not now and began - self._saved_at < _SHARE_OF_TIME * self._seconds:
            return ""
        target = state_path(self.path, n_turns)
        try:
            interpreter.save(target)
        except (OSError, CodeActError) as error:
            _log.debug("a state was not saved", exc_info=error)
            self._failed = True
            return str(error)
        finally:
            self._saved_at = time.monotonic()
            self._seconds = self._saved_at - began
        for n, path in _states(self.path).items():
            if n != n_turns:
                path.unlink(missing_ok=True)
        return ""

    def drop(self, n_turns: int) -> None:
        """Remove the states of more turns than these: they belong to turns that are taken back.

        Without turns all go, also one before the first: another conversation begins.
        """
        for n, path in _states(self.path).items():
            if n > n_turns or not n_turns:
                path.unlink(missing_ok=True)


@dataclass(frozen=True)
class Unfinished:
    """What a file tells of a run."""

    trajectory: Trajectory
    state: Path | None
    """The newest saved state that fits."""
    n_state_turns: int
    """The turns that state has seen."""
    with_tools: frozenset[int]
    """Numbers of the turns, from 0, whose cells called tools; the one after the last if it was under way."""
    after_the_users: frozenset[int] = frozenset()
    """Numbers of the turns before which the user ran cells of their own."""
    aside: tuple[str, ...] = ()
    """Words on such cells that the model has not been told."""
    under_way: str = ""
    """The code of a cell that had no end."""
    called: tuple[str, ...] = ()
    """The tools it had called."""

    @property
    def turns_to_replay(self) -> Sequence[Turn]:
        """Those the state has not seen."""
        return self.trajectory.turns[self.n_state_turns :]


@dataclass(frozen=True)
class Resumed:
    """What came back of the interpreter's state."""

    n_replayed: int = 0
    """Cells run again."""
    lost: tuple[str, ...] = ()
    """What did not come back, in words."""
    under_way: str = ""
    """The code of a cell that had no end and may have acted on the world."""

    @property
    def note(self) -> str:
        """For the model; empty where all is as it was."""
        if not self.lost:
            return ""
        lost = "; ".join(self.lost)
        told = f"[The program was started anew meanwhile. The interpreter's state is not all as it was: {lost}.]"
        return f"{told}\n[The code that was under way:]\n{self.under_way[:_MAX_TOLD_CHARS]}" if self.under_way else told


def read(path: str | Path) -> Unfinished:
    """Read what a run has left.

    Raises:
        ConfigError: There is no file, or nothing in it to go on with.
        TrajectoryError: It is no trajectory file.
    """
    path = Path(path)
    try:
        found = load(path, cut_off=True)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}; is it the file that --save or save= named?") from None
    if not found:
        raise ConfigError(f"{path} holds no conversation to go on with")
    trajectory = found[-1]
    n_turns = len(trajectory.turns)
    fitting = {n: state for n, state in _states(path).items() if n <= n_turns}
    newest = max(fitting, default=0)
    return _scan(path, Unfinished(trajectory, fitting.get(newest), newest, frozenset()))


def replay(
    unfinished: Unfinished, run: Callable[[str], Any], *, own_workspace: bool, network: bool, tools: bool = False
) -> Resumed:
    """Make the state what it was, as far as that is safe, and say what it is not.

    Args:
        run: Runs a cell and gives its result.
        own_workspace: The session's files are its own, not the user's.
        network: Cells can reach the network.
        tools: Cells can call tools.
    """
    done = _replayed(unfinished, run, own_workspace=own_workspace, network=network)
    if not unfinished.under_way or (own_workspace and not network and not tools):
        return done  # it is as if it had not begun
    called = f"; it had called {', '.join(dict.fromkeys(unfinished.called))}" if unfinished.called else ""
    told = f"the code under way at the end was not run again, and may have done part of its work{called}"
    return replace(done, lost=(*done.lost, told), under_way=unfinished.under_way)


def _replayed(
    unfinished: Unfinished, run: Callable[[str], Any], *, own_workspace: bool, network: bool
) -> Resumed:
    """Run the cells of the turns that the state has not seen."""
    n = unfinished.n_state_turns
    n_cells = 0
    unseen = unfinished.after_the_users - ({n} if unfinished.state else set())
    for at, turn in enumerate(unfinished.turns_to_replay, start=n):
        if turn.observation.status == "none":  # nothing was run, whatever the model wrote
            continue
        if not isinstance(turn.action, CodeAction):
            return Resumed(n_cells, (f"what was done from turn {at + 1} on was not done again",))
        reason = (
            "you had run code of your own before it" if any(one <= at for one in unseen)
            else "it called tools" if at in unfinished.with_tools
            else "it was interrupted" if turn.observation.status == "interrupted"
            else "it could reach the network" if network
            else "it wrote files of yours" if turn.observation.files and not own_workspace
            else ""
        )  # fmt: skip
        if reason:
            return Resumed(n_cells, (f"the code from turn {at + 1} on was not run again, as {reason}",))
        result = run(turn.action.code)
        n_cells += 1
        if result.status != turn.observation.status:
            return Resumed(n_cells, (f"the code of turn {at + 1} now ends with {result.status}, "
                                     f"where it ended with {turn.observation.status}",))  # fmt: skip
    return Resumed(n_cells, ("the code that the user ran at the end was not run again",) if unseen else ())


def state_path(path: Path, n_turns: int) -> Path:
    """Where the state of a conversation in `path` lies, as it is after so many turns."""
    return path.with_name(f"{path.name}.state-{n_turns}")


def _states(path: Path) -> dict[int, Path]:
    """Saved states by the turns they have seen."""
    pattern = re.compile(re.escape(path.name) + r"\.state-(\d{1,9})")
    found = ((pattern.fullmatch(other.name), other) for other in path.parent.iterdir()) if path.parent.is_dir() else ()
    return {int(match[1]): other for match, other in found if match}


def _scan(path: Path, unfinished: Unfinished) -> Unfinished:
    """With what the lines between the turns of the last conversation tell."""
    with_tools: set[int] = set()
    after_the_users: set[int] = set()
    aside: list[str] = []
    called: list[str] = []
    under_way, n_turns = "", 0
    with open(path, encoding="utf-8", errors="surrogateescape", newline="\n") as file:
        for line in file:
            if not line.endswith("\n") or not line.strip():
                continue
            data = json.loads(line)
            match data["type"]:
                case "start":
                    n_turns = 0
                    with_tools, after_the_users = set(), {0} if aside else set()
                    aside, called, under_way = [], [], ""
                case "continue":
                    n_turns = data["n_turns"]
                    with_tools = {at for at in with_tools if at < n_turns}
                    after_the_users = {at for at in after_the_users if at <= n_turns}
                    aside, called, under_way = [], [], ""
                case "code":
                    called, under_way = [], str(data.get("code", ""))
                case "tool_called":
                    with_tools.add(n_turns)
                    called.append(str(data.get("tool", "")))
                case "note":
                    after_the_users.add(n_turns)
                    aside.append(str(data.get("text", "")))
                case "turn":
                    n_turns += 1
                    called, under_way = [], ""
    return replace(unfinished, with_tools=frozenset(with_tools), after_the_users=frozenset(after_the_users),
                   aside=tuple(aside), under_way=under_way, called=tuple(called))


def bring_back(unfinished: Unfinished, loaded: Any, run: Callable[[str], Any], **where: bool) -> Resumed:
    """Run what the loaded state has not seen.

    Args:
        loaded: What `Interpreter.loaded` says of the state; None where none was loaded.
        run, where: As for `replay`.
    """
    if loaded is None:
        unfinished = replace(unfinished, state=None, n_state_turns=0)
    done = replay(unfinished, run, **where)
    if loaded is None:
        return done
    lost = (f"these variables: {', '.join(loaded.lost)}",) if loaded.lost else ()
    files = tuple(note.rstrip(".") for note in loaded.notes)
    return replace(done, lost=(*lost, *files, *done.lost))
