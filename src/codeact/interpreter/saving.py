"""A session into a file and out of it again: what is stored, what is computed again, what is lost. Backends call this.

On saving, the kernel says of each variable whether it can be stored as it is, comes back by running its own statement
again (modules, functions, classes), or neither; the journal goes along. On loading there are three ways, in order:

1. Everything was stored or has its statement: a fresh worker takes it over, and no cell runs.
2. Else all cells run again, with the answers of the first time. It counts only if each of them shows what it showed,
   and what can be compared, every stored variable, is the same in the end.
3. Else as 1, and what can come back in neither way is lost, by name and with the reason.

What this does not do: keep checkpoints, In, Out and `_`, or what libraries were set to.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from codeact.errors import ConfigError
from codeact.interpreter import saved as saved_file
from codeact.interpreter.history import RESTORE_SECONDS, restore_buffers
from codeact.interpreter.journal import Entry, Stored
from codeact.interpreter.outcome import Outcome
from codeact.interpreter.saved import Saved
from codeact.interpreter.saved_files import Tree

__all__ = ["LoadReport", "SaveReport", "Stage", "check_folder", "load", "save"]

STORE_SECONDS = 120.0
_SAME = ("names", "imports", "definitions", "heap", "folder")
"""Parts of a state that must be equal after a replay."""
MAX_TOLD = 12


@dataclass(frozen=True)
class SaveReport:
    """What went into a file."""

    path: Path
    size: int
    """Bytes."""
    stored: tuple[str, ...]
    """Variables whose values are in the file."""
    recomputed: tuple[str, ...]
    """Modules, functions and classes, which come back by running their statement again."""
    rest: dict[str, str]
    """Variables that only a replay of all cells can bring back -> why."""
    left_out: dict[str, str]
    """Files of the workspace that are not stored -> why."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class LoadReport:
    """What came of a file that was loaded."""

    restored: tuple[str, ...] = ()
    """Variables with their stored values."""
    recomputed: tuple[str, ...] = ()
    """What came back by running code again."""
    lost: dict[str, str] = field(default_factory=dict)
    """Name -> why it is not there."""
    notes: tuple[str, ...] = ()
    """Files that are not there."""
    cells: int = 0
    """How many cells had run: the next is one more."""

    @property
    def text(self) -> str:
        """All of it in words; the model is told this with its first result."""
        said = ["This session was loaded from a file."]
        for word, names in (("Restored", self.restored), ("Recomputed", self.recomputed)):
            if names:
                said.append(f"{word}: {_listed(names)}.")
        if self.lost:
            said.append("Lost: " + _listed([f"{name} ({reason})" for name, reason in self.lost.items()]) + ".")
        said += self.notes
        if self.restored or self.recomputed:
            said.append("Settings of modules, Out and _ are as in a new session.")
        return " ".join(said)


@dataclass
class Stage:
    """A session that can be worked on: what a back-end lends."""

    workspace: Path
    own: bool
    """The workspace is ours to fill, not a folder of the user's."""
    ask: Callable[..., Outcome]
    """Send a frame that "done" answers: (header, buffers=, seconds=)."""
    again: Callable[[Entry], str]
    """Run a cell again; what was different (empty: nothing)."""
    fresh: Callable[[], None]
    """Begin anew in a worker with no variables."""


# Saving ---------------------------------------------------------------------------------------------------------------


def save(path: Path, stage: Stage, entries: Sequence[Entry], number: int) -> SaveReport:
    """Write a session's file.

    Args:
        entries: Every cell that led to the state of now.
        number: Of the last cell.

    Raises:
        OSError: The file cannot be written.
        ConfigError: The session is too large.
    """
    state, parts, unstored = _stored(stage)
    told = _Told.read(state) if state is not None else _Told()
    tree = Tree()
    saved = Saved(number, list(entries), state, parts, tree, None if stage.own else str(stage.workspace), told.python,
                  told.packages, unstored)
    size = saved_file.write(path, saved, stage.workspace if stage.own else None)
    notes = [f"The variables could not be stored: {unstored}."] if unstored else []
    if not stage.own:
        notes.append(f"The files in {stage.workspace} are yours and are not stored: load with it as workspace=.")
    return SaveReport(path, size, tuple(told.names), tuple(told.statements), told.rest, tree.left_out, tuple(notes))


def _stored(stage: Stage) -> tuple[bytes | None, list[bytes], str]:
    """The kernel's account of its state, its binary values; or why there is none."""
    outcome = stage.ask({"t": "store"}, seconds=STORE_SECONDS)
    bundle = outcome.value or {}
    text = bundle.get("application/json")
    if outcome.dead or outcome.error is not None or not isinstance(text, str):
        error = outcome.error
        reason = outcome.reason or ((error.message or error.name) if error else "the kernel did not say")
        return None, [], reason[:500]
    parts = [part for n in range(len(bundle) - 1) if isinstance(part := bundle.get(str(n)), bytes)]
    try:
        _Told.read(text.encode())
    except ConfigError as error:
        return None, [], str(error)
    return text.encode(), parts, ""


# Loading --------------------------------------------------------------------------------------------------------------


def check_folder(saved: Saved, workspace: Any) -> None:
    """Whether a session can be loaded with this `workspace=`.

    Raises:
        ConfigError: It worked in a folder of the user's and none is given, or the other way round.
    """
    if saved.folder is not None and workspace is None:
        raise ConfigError(f"this session worked in a folder of yours, whose files are not in the file: load it with "
                          f"workspace={saved.folder!r}")
    if saved.folder is None and workspace is not None:
        raise ConfigError("this session had a workspace of its own, and its files are in the file: load it without "
                          "workspace=")


def load(saved: Saved, stage: Stage) -> tuple[LoadReport, list[Entry]]:
    """Make a fresh session what was saved; the report, and the entries of its journal from now on.

    Raises:
        ConfigError: The state in the file is malformed.
        OSError: The workspace cannot be filled.
    """
    report, entries = _load(saved, stage)
    return replace(report, cells=saved.cells), entries


def _load(saved: Saved, stage: Stage) -> tuple[LoadReport, list[Entry]]:
    told = _Told.read(saved.state) if saved.state is not None else _Told()
    notes = _differences(saved, told)
    _fill(saved, stage)
    stored = Stored(saved.state, saved.parts, tuple(saved.entries)) if saved.state is not None else None
    taken = [Entry("", saved.cells, 0.0, "", replayable=True, pure=False, files=False, stored=stored)]
    if stored is not None and not told.rest:
        failed = _restore(stored, stage, saved.cells)
        if not failed:
            return LoadReport(tuple(told.names), tuple(told.statements), {}, tuple(notes)), taken
        stage.fresh()
    reason = _replay(saved, stage, told)
    if not reason:
        every = (*told.names, *told.statements, *told.rest)
        return LoadReport((), every, {}, tuple(notes)), list(saved.entries)
    stage.fresh()
    _fill(saved, stage)
    if stored is None:
        lost = {"all variables": f"they could not be stored ({saved.unstored}), and {reason}"}
        return LoadReport((), (), lost, tuple(notes)), []
    failed = _restore(stored, stage, saved.cells)
    lost = {name: f"{why}; {reason}" for name, why in told.rest.items()} | failed
    if failed.get("all variables"):
        stage.fresh()
        return LoadReport((), (), lost, tuple(notes)), []
    return LoadReport(tuple(name for name in told.names if name not in failed),
                      tuple(name for name in told.statements if name not in failed), lost, tuple(notes)), taken


def _fill(saved: Saved, stage: Stage, without: frozenset[str] | None = None) -> None:
    if stage.own and saved.path is not None:
        saved.tree.unpack(saved.path, stage.workspace, without=without)


def _restore(stored: Stored, stage: Stage, number: int) -> dict[str, str]:
    """Give a fresh worker the stored state; what failed, by name."""
    outcome = stage.ask({"t": "restore", "n": number}, buffers=restore_buffers(stored), seconds=RESTORE_SECONDS)
    text = (outcome.value or {}).get("application/json")
    if outcome.dead or outcome.error is not None or not isinstance(text, str):
        reason = outcome.reason or (outcome.error.message if outcome.error else "")
        return {"all variables": f"the kernel could not take them over ({reason[:300]})"}
    try:
        failed = json.loads(text)
    except (ValueError, RecursionError):
        failed = None
    if not isinstance(failed, dict):
        return {"all variables": "the kernel's answer makes no sense"}
    return {str(name)[:200]: str(reason)[:300] for name, reason in failed.items()}


def _replay(saved: Saved, stage: Stage, told: _Told) -> str:
    """Run every cell again, on the files that no cell has changed; why it did not lead to the same state, or ""."""
    if not saved.entries:
        return "there is no cell to run again"
    odd = next((entry for entry in saved.entries if not entry.replayable or (entry.files and not stage.own)), None)
    if odd is not None:
        return f"cell {odd.number} cannot be run again: " + (
            "it changed files, and these stay as they are" if odd.replayable else
            "it did not run to its end, or what it was answered is too much to keep")
    _fill(saved, stage, frozenset().union(*(entry.touched for entry in saved.entries)))
    for entry in saved.entries:
        reason = stage.again(entry)
        if reason:
            return f"cell {entry.number} was run again, but {reason}"
    _fill(saved, stage)
    if saved.state is not None:
        state, parts, _ = _stored(stage)
        if state is None or not told.is_like(_Told.read(state)) or parts != saved.parts:
            return "the cells, run again, gave other values"
    return ""


def _differences(saved: Saved, told: _Told) -> list[str]:
    notes = [f"{path} is not there: {reason}." for path, reason in list(saved.tree.left_out.items())[:MAX_TOLD]]
    if len(saved.tree.left_out) > MAX_TOLD:
        notes.append(f"{len(saved.tree.left_out) - MAX_TOLD} more files are not there.")
    return notes


@dataclass
class _Told:
    """What a state says of itself; the values in it stay unread on the host."""

    names: list[str] = field(default_factory=list)
    statements: list[str] = field(default_factory=list)
    rest: dict[str, str] = field(default_factory=dict)
    python: str = ""
    packages: dict[str, str] = field(default_factory=dict)
    whole: dict[str, Any] = field(default_factory=dict)

    @staticmethod
    def read(state: bytes) -> _Told:
        """Read it, checked as far as it is used here.

        Raises:
            ConfigError: It is malformed.
        """
        try:
            whole = json.loads(state)
            names, rest = whole["names"], whole["rest"]
            statements = [item[0] for item in (*whole["imports"], *whole["definitions"])]
            packages = whole["packages"]
        except (ValueError, RecursionError, TypeError, KeyError, IndexError):
            names = None
        if not isinstance(names, dict) or not isinstance(rest, dict) or not isinstance(packages, dict) \
                or not all(isinstance(text, str) for text in (*statements, *rest.values(), *packages.values())):
            raise ConfigError("the state in it is malformed")
        return _Told([name[:200] for name in names], [name[:200] for name in statements],
                     {name[:200]: reason[:500] for name, reason in rest.items()}, str(whole.get("python"))[:40],
                     {name[:40]: version[:40] for name, version in packages.items()}, whole)

    def is_like(self, other: _Told) -> bool:
        return set(self.rest) == set(other.rest) and all(self.whole.get(k) == other.whole.get(k) for k in _SAME)


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - MAX_TOLD} more" if len(names) > MAX_TOLD else ""
    return ", ".join(names[:MAX_TOLD]) + more
